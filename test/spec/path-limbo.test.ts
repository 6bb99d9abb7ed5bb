/**
 * x509-limbo's awkward chains through `kagimori verifier check`: with the purpose, name, time and depth that each of them
 * asks for. What is judged in another way stands here case by case, with its reason.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { type CheckResult, checkCertificate } from '../../cli/verifier-check/certificate-check.ts';
import { inDirectory } from '../test-authority.ts';

const folder = process.env.KAGIMORI_VECTORS ?? resolve(import.meta.dirname, '../../../shared/vectors');
const file = resolve(folder, 'x509-limbo.json');
const skip = existsSync(file) ? false : 'vectors absent: x509-limbo.json';

interface Peer {
  readonly kind: 'DNS' | 'IP' | 'RFC822';
  readonly value: string;
}

interface Chain {
  readonly id: string;
  readonly validation_kind: 'SERVER' | 'CLIENT';
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly validation_time: string | null;
  readonly extended_key_usage: readonly string[] | null;
  readonly expected_result: 'SUCCESS' | 'FAILURE';
  readonly expected_peer_name: Peer | null;
  readonly expected_peer_names: readonly Peer[] | null;
  readonly max_chain_depth: number | null;
}

/** That of the suite's version. */
const TIME = '2023-12-02T00:00:00Z';
const FORMS = { DNS: 'dns', IP: 'ip', RFC822: 'email' } as const;

const WEB = 'a duty of public CAs alone, and no purpose is named: `--purpose server` refuses it';
const ACCEPTED: Readonly<Record<string, string>> = {
  'webpki::ee-basicconstraints-ca': 'RFC 5280 lets a CA be the leaf of a path; a device, manager or user is never one',
  'webpki::san::san-critical-with-nonempty-subject': WEB,
};
const REFUSED: Readonly<Record<string, string>> = {
  'rfc5280::nc::permitted-dn-match':
    'asks for the name example.com, and the certificate holds a directory name alone; its path is accepted',
};

function check(dir: string, chain: Chain, change: Partial<Parameters<typeof checkCertificate>[0]> = {}): CheckResult {
  const put = (name: string, pems: readonly string[]): string => {
    const path = join(dir, name);
    writeFileSync(path, pems.join('\n'));
    return path;
  };
  const peers = [chain.expected_peer_name, ...(chain.expected_peer_names ?? [])].filter((one) => one !== null);
  return checkCertificate({
    leaf: put('leaf.pem', [chain.peer_certificate]),
    anchors: [put('anchors.pem', chain.trusted_certs)],
    intermediates: chain.untrusted_intermediates.length > 0 ? [put('heap.pem', chain.untrusted_intermediates)] : [],
    crls: null,
    at: Math.floor(Date.parse(chain.validation_time ?? TIME) / 1000),
    purpose: chain.extended_key_usage?.includes('serverAuth') === true ? 'server' : 'any',
    names: peers.map(({ kind, value }) => `${FORMS[kind]}:${value}`),
    maxDepth: chain.max_chain_depth,
    ...change,
  });
}

const chains: readonly Chain[] = skip === false ? JSON.parse(readFileSync(file, 'utf8')).testcases : [];

test('[P3] [P4] x509-limbo: what differs is listed with its reason', { skip }, () =>
  inDirectory((dir) => {
    const outcomes = chains.map((chain) => ({ ...chain, found: check(dir, chain) }));
    const ids = (expected: Chain['expected_result']): string[] =>
      outcomes
        .filter((one) => one.expected_result === expected && one.found.valid !== (expected === 'SUCCESS'))
        .map(({ id }) => id);
    assert.deepEqual(ids('FAILURE').sort(), Object.keys(ACCEPTED).sort(), 'accepted though they are to be refused');
    assert.deepEqual(ids('SUCCESS').sort(), Object.keys(REFUSED).sort(), 'refused though they are to be accepted');
    assert.ok(outcomes.length > 60);
  }),
);

test(
  'the chains of x509-limbo that are good are good as bare paths, and no longer when anything asked is another',
  { skip },
  () =>
    inDirectory((dir) => {
      for (const chain of chains.filter(({ expected_result }) => expected_result === 'SUCCESS')) {
        assert.equal(check(dir, chain, { purpose: 'any', names: [] }).reason, null, chain.id);
        assert.equal(check(dir, chain, { names: ['dns:other.example'] }).reason, 'wrong-name', chain.id);
        assert.equal(check(dir, chain, { purpose: 'manager' }).valid, false, chain.id);
        assert.equal(check(dir, chain, { at: 0 }).reason, 'not-yet-valid', chain.id);
        assert.equal(check(dir, { ...chain, trusted_certs: [chain.peer_certificate] }).valid, false, chain.id);
      }
    }),
);
