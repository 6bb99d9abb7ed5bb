/**
 * Cases after the descriptions of NIST PKITS: made by hand, judged by the search, in order, and by OpenSSL beside them.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { writePem } from '../platform/certificates.ts';
import { type ParsedCertificate, type ParsedCrl, sameName } from '../protocol/certificate.ts';
import { findPath } from '../protocol/path-building.ts';
import { validatePath } from '../protocol/path-validation.ts';
import { crlSet } from '../protocol/revocation-list.ts';
import * as H from './hand-made.ts';
import { AT, crypto, inDirectory, opensslAbsent } from './test-authority.ts';

export interface Given {
  /** From the anchor down, signers of lists among them, the leaf last. */
  readonly certificates: readonly ParsedCertificate[];
  readonly lists: readonly ParsedCrl[];
}

export const R = H.maker('Trust Anchor');
const anchor = H.authorityCertificate(R, R);
export const rootList = H.list(R);

/** One CA below the anchor, a leaf below it, and what is special about each. */
interface Wishes {
  readonly ca?: H.CertificateWishes;
  /** Instead of what a CA has. */
  readonly caExtensions?: readonly Uint8Array[];
  readonly leaf?: H.CertificateWishes;
  readonly leafName?: Uint8Array;
  readonly caName?: Uint8Array;
  readonly entries?: readonly H.Entry[];
  readonly list?: H.ListWishes;
  readonly lists?: (by: H.Maker) => readonly ParsedCrl[];
}

export function simple(wishes: Wishes = {}): Given {
  const by = H.maker(wishes.caName ?? 'CA');
  const extensions = [...(wishes.caExtensions ?? H.CA), ...(wishes.ca?.extensions ?? [])];
  const leaf = H.maker(wishes.leafName ?? 'EE');
  return {
    certificates: [
      H.certificate(by, R, { ...wishes.ca, serial: wishes.ca?.serial ?? [7], extensions }),
      H.certificate(leaf, by, wishes.leaf),
    ],
    lists: [rootList, ...(wishes.lists?.(by) ?? [H.list(by, wishes.entries, wishes.list)])],
  };
}

export const EE = H.maker('EE');
/** C=US, O=Test, … */
export const dn = (...more: readonly H.Attribute[]): Uint8Array => H.name(['C', 'US'], ['O', 'Test'], ...more);

const common = { crypto, at: AT, purpose: 'any', anchors: [anchor] } as const;

function inOrder({ certificates, lists }: Given): boolean {
  const chain = [certificates.at(-1)!];
  for (const one of certificates.slice(0, -1).toReversed()) {
    if (sameName(one.subject, chain.at(-1)!.issuer)) chain.push(one);
  }
  return validatePath({ ...common, chain, revocation: crlSet(lists, certificates) }).ok;
}

function search({ certificates, lists }: Given): ReturnType<typeof findPath> {
  const intermediates = [...certificates.slice(0, -1), anchor, ...certificates].reverse();
  return findPath({
    ...common,
    strict: true,
    leaf: certificates.at(-1)!,
    intermediates,
    revocation: crlSet(lists.toReversed()),
  });
}

/** Every fourth case, in the long run each. */
const OPENSSL_EVERY = process.env.KAGIMORI_LONG === '1' ? 1 : 4;

/** @param cases  id, title, whether it is valid */
export function judgeCases(
  cases: readonly (readonly [id: string, title: string, valid: boolean, given: () => Given])[],
): void {
  for (const [id, title, valid, given] of cases) {
    test(`[P3] [P4] PKITS ${id}: ${title} is ${valid ? 'valid' : 'invalid'}`, () => {
      const made = given();
      const found = search(made);
      assert.equal(found.ok, valid, found.ok ? 'accepted' : `${found.reason}: ${found.detail}`);
      // In order, a sibling with the same name as the issuer is no part of the chain.
      if (!/^4\.(4\.(19|2)|5\.[4-8])/.test(id)) assert.equal(inOrder(made), valid, 'in order');
    });
  }
  test('the cases are PKITS’s own: OpenSSL judges them alike', { skip: opensslAbsent }, () =>
    inDirectory((dir) => {
      const asked = cases.filter((_, i) => i % OPENSSL_EVERY === 0);
      const differing = asked.filter(([, , valid, given]) => opensslAccepts(dir, given()) !== valid);
      assert.deepEqual(
        differing.map(([id]) => id),
        [],
      );
    }),
  );
}

function opensslAccepts(dir: string, { certificates, lists }: Given): boolean {
  const write = (file: string, ...pem: readonly string[]): string => {
    writeFileSync(join(dir, file), pem.join(''));
    return file;
  };
  const pem = (one: ParsedCertificate): string => writePem('CERTIFICATE', one.der);
  const files = [
    ['-CAfile', write('anchor.pem', pem(anchor))],
    ['-untrusted', write('heap.pem', ...certificates.slice(0, -1).map(pem))],
    ['-CRLfile', write('lists.pem', ...lists.map(({ der }) => writePem('X509 CRL', der)))],
  ].flat();
  const options = ['-crl_check_all', '-extended_crl', '-use_deltas', '-attime', `${AT}`];
  const leaf = write('leaf.pem', pem(certificates.at(-1)!));
  return spawnSync('openssl', ['verify', ...options, ...files, leaf], { cwd: dir, timeout: 20_000 }).status === 0;
}
