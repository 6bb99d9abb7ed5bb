/**
 * The small CA certifies keys that it never saw: what a request may ask for, what it may not, and what is refused.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type IssuedKind, initAuthority, revokeCertificate } from '../../cli/ca/authority.ts';
import { CaError, type CaFault } from '../../cli/ca/ca-error.ts';
import { type RequestOptions, signRequest } from '../../cli/ca/request-signing.ts';
import type { AlternativeName } from '../../platform/certificate-issuing.ts';
import { issueRequest } from '../../platform/certificate-request-issuing.ts';
import { readPem, writePem } from '../../platform/certificates.ts';
import { generateSigningKey } from '../../platform/crypto-node.ts';
import { EXTENDED_KEY_USAGE, type ParsedCertificate } from '../../protocol/certificate.ts';
import { validatePath } from '../../protocol/path-validation.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { AT, crypto, DAY, inDirectory, openssl, opensslAbsent, parse } from '../test-authority.ts';

const world = { crypto, now: AT };
const { key } = generateSigningKey('p256');
const NAMES: readonly AlternativeName[] = [
  { type: 'dns', value: 'bank.example' },
  { type: 'ip', value: '2001:db8:0:0:0:0:0:7' },
];

interface House {
  readonly dir: string;
  sign(wishes?: Partial<RequestOptions>): ReturnType<typeof signRequest> & { readonly chain: ParsedCertificate[] };
  refuses(code: CaFault, what: RegExp, wishes?: Partial<RequestOptions>): void;
}

function house(use: (house: House) => void): Promise<void> {
  return inDirectory((dir) => {
    initAuthority(dir, { name: 'Home', algorithm: 'p256', years: 10, withIntermediate: true }, world);
    const file = join(dir, 'request.pem');
    const wish = { name: 'tv', alternativeNames: NAMES, extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriManager] };
    writeFileSync(file, writePem('CERTIFICATE REQUEST', issueRequest(key, wish)));
    const base = { file, kind: 'device' as IssuedKind, name: null, sans: [], namesOfRequest: false };
    const rest = { days: 365, outDir: join(dir, 'out'), allowSecond: false };
    const sign: House['sign'] = (wishes) => {
      const signed = signRequest(dir, { ...base, ...rest, ...wishes }, world);
      return { ...signed, chain: readPem(readFileSync(signed.chainFile), 'CERTIFICATE')!.map(parse) };
    };
    const refuses: House['refuses'] = (code, what, wishes) => {
      assert.throws(
        () => sign(wishes),
        (error) => error instanceof CaError && error.code === code && what.test(error.message),
      );
    };
    use({ dir, sign, refuses });
  });
}

test('a request gives its key and its name; purpose and alternative names come from the operator alone', () =>
  house(({ dir, sign }) => {
    const { chain, names, namesLeftOut } = sign({ sans: [{ type: 'dns', value: 'tv.example' }] });
    const [leaf] = chain as [ParsedCertificate];
    assert.deepEqual(leaf.spki, key.publicSpki);
    assert.equal(leaf.subject.commonName, 'tv');
    assert.deepEqual(leaf.extensions.subjectAltName?.dns, ['tv.example']);
    assert.deepEqual(leaf.extensions.subjectAltName?.ip, []);
    assert.deepEqual([names.length, namesLeftOut], [1, 2]);
    const anchors = readPem(readFileSync(join(dir, 'root.pem')), 'CERTIFICATE')!.map(parse);
    const question = { crypto, chain, anchors, revocation: null, at: EpochSeconds(AT + DAY) };
    assert.ok(validatePath({ ...question, purpose: 'device', name: 'tv' }).ok);
    assert.ok(!validatePath({ ...question, purpose: 'manager' }).ok);
  }));

test('with the operator’s word the names of the request are taken, and another name than its own', () =>
  house(({ sign }) => {
    const { chain, namesLeftOut } = sign({ namesOfRequest: true, name: 'television' });
    const [leaf] = chain as [ParsedCertificate];
    assert.equal(leaf.subject.commonName, 'television');
    assert.deepEqual(leaf.extensions.subjectAltName?.dns, ['bank.example']);
    assert.equal(leaf.extensions.subjectAltName?.ip.length, 1);
    assert.equal(namesLeftOut, 0);
  }));

test('[P4] a key has one owner, and a revoked one is never certified again', () =>
  house(({ dir, sign, refuses }) => {
    sign();
    refuses('name-taken', /tv has a living certificate/);
    refuses('key-taken', /that of device tv/, { name: 'radio' });
    refuses('key-taken', /that of device tv/, { kind: 'manager', allowSecond: true });
    sign({ allowSecond: true });
    revokeCertificate(dir, 'tv', world);
    refuses('key-taken', /was revoked/);
    refuses('key-taken', /was revoked/, { name: 'radio' });
  }));

test('what is no request, proves nothing, or cannot log in is refused with its reason', () =>
  house(({ dir, refuses }) => {
    const file = join(dir, 'other');
    const given = (bytes: Uint8Array | string): Partial<RequestOptions> => {
      writeFileSync(file, bytes);
      return { file };
    };
    const whole = issueRequest(key, { name: 'tv' });
    const pem = writePem('CERTIFICATE REQUEST', whole);
    refuses('bad-request', /not hold one request/, given('nothing'));
    refuses('bad-request', /not hold one request/, given(pem + pem));
    refuses('bad-request', /no well-formed/, given(whole.subarray(0, -1)));
    const flipped = whole.slice();
    flipped[whole.length - 1]! ^= 1;
    refuses('bad-request', /not signed with the key/, given(flipped));
    refuses('bad-request', /no single common name/, given(issueRequest(key, { name: '~tv' })));
    refuses('bad-name', /no name/, { ...given(whole), name: 'a\nb' });
    refuses('bad-option', /at least one day/, { ...given(whole), days: 0 });
    refuses('bad-name', /no dns name/, { ...given(whole), sans: [{ type: 'dns', value: 'a b' }] });
    const wrong = given(issueRequest(key, { name: 'tv', alternativeNames: [{ type: 'dns', value: '*.example' }] }));
    refuses('bad-name', /no dns name/, { ...wrong, namesOfRequest: true });
    const large = given(issueRequest(generateSigningKey('p384').key, { name: 'tv' }));
    refuses('bad-option', /no EDHOC suite signs with p384/, large);
  }));

test(
  'a request of OpenSSL with an RSA key becomes a server, not a device and not a verifier',
  {
    skip: opensslAbsent,
  },
  () =>
    house(({ dir, sign, refuses }) => {
      const made = [
        'req',
        '-new',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-keyout',
        'rsa.key',
        '-subj',
        '/CN=broker.example',
      ];
      openssl(dir, ...made, '-outform', 'DER', '-out', 'rsa.der');
      const file = join(dir, 'rsa.der');
      refuses('bad-option', /no EDHOC suite signs with rsa/, { file });
      refuses('bad-option', /not rsa/, { file, kind: 'verifier' });
      const { chain, chainFile } = sign({ file, kind: 'server' });
      assert.deepEqual(chain[0]!.extensions.subjectAltName?.dns, ['broker.example']);
      const at = ['-attime', String(AT + DAY), '-CAfile', 'root.pem', '-untrusted', chainFile];
      assert.match(openssl(dir, 'verify', '-x509_strict', ...at, '-purpose', 'sslserver', chainFile), /OK/);
    }),
);
