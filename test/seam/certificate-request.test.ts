/**
 * Requests for certificates beside OpenSSL: it verifies ours, we take its own, and what is no request is refused.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { MAX_REQUEST_BYTES, readRequest } from '../../platform/certificate-request.ts';
import { issueRequest } from '../../platform/certificate-request-issuing.ts';
import { readPem, writePem } from '../../platform/certificates.ts';
import { generateSigningKey, signingKey } from '../../platform/crypto-node.ts';
import { concat } from '../../protocol/bytes.ts';
import { EXTENDED_KEY_USAGE } from '../../protocol/certificate.ts';
import { checkRequest, type ParsedRequest } from '../../protocol/certificate-request.ts';
import { crypto, inDirectory, openssl, opensslAbsent } from '../test-authority.ts';
import { bitString, der, membersOf, oid, partsOf, sequence, TAG } from '../test-der.ts';

const KEYS = {
  p256: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  p384: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  ed25519: ['ed25519'],
  rsa: ['rsa', '-pkeyopt', 'rsa_keygen_bits:2048'],
} as const;

function read(bytes: Uint8Array): ParsedRequest {
  const request = readRequest(bytes);
  assert.ok(request !== null);
  return request;
}

for (const [algorithm, options] of Object.entries(KEYS)) {
  test(
    `RFC 2986: OpenSSL verifies our request and we verify its own, ${algorithm}, PEM and DER`,
    { skip: opensslAbsent },
    () =>
      inDirectory((dir) => {
        openssl(dir, 'genpkey', '-algorithm', ...options, '-out', 'key.pem');
        const key = signingKey(readFileSync(join(dir, 'key.pem')), crypto.counter);
        const own = issueRequest(key, {
          name: '冷蔵庫-1',
          keyUsage: ['digitalSignature'],
          extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriDevice],
          alternativeNames: [{ type: 'dns', value: 'fridge.example' }],
        });
        writeFileSync(join(dir, 'own.der'), own);
        writeFileSync(join(dir, 'own.pem'), writePem('CERTIFICATE REQUEST', own));
        openssl(dir, 'req', '-in', 'own.der', '-inform', 'DER', '-verify', '-noout');
        assert.match(
          openssl(dir, 'req', '-in', 'own.pem', '-verify', '-noout', '-text'),
          /Digital Signature[\s\S]*DNS:fridge\.example/,
        );
        const mine = read(own);
        assert.equal(mine.subject.commonName, '冷蔵庫-1');
        assert.deepEqual(mine.wishes.extendedKeyUsage, [EXTENDED_KEY_USAGE.kagimoriDevice]);
        assert.ok(checkRequest(crypto, mine).ok);

        const names = 'subjectAltName=DNS:tv.example,IP:192.0.2.7,URI:urn:dev:mac:001122334455';
        const wish = ['-addext', names, '-addext', 'basicConstraints=critical,CA:true', '-subj', '/O=Home/CN=tv'];
        openssl(dir, 'req', '-new', '-key', 'key.pem', ...wish, '-out', 'theirs.pem');
        openssl(dir, 'req', '-in', 'theirs.pem', '-outform', 'DER', '-out', 'theirs.der');
        const bytes = new Uint8Array(readFileSync(join(dir, 'theirs.der')));
        assert.deepEqual(readPem(readFileSync(join(dir, 'theirs.pem')), 'CERTIFICATE REQUEST'), [bytes]);
        const theirs = read(bytes);
        assert.deepEqual(theirs.wishes.subjectAltName?.dns, ['tv.example']);
        assert.equal(theirs.wishes.basicConstraints?.ca, true);
        const finding = checkRequest(crypto, theirs);
        assert.ok(finding.ok && finding.key.algorithm === algorithm);
        openssl(dir, 'req', '-new', '-key', 'key.pem', '-subj', '/CN=bare', '-outform', 'DER', '-out', 'bare.der');
        assert.ok(checkRequest(crypto, read(new Uint8Array(readFileSync(join(dir, 'bare.der'))))).ok);
      }),
  );
}

const key = generateSigningKey('p256').key;
const whole = issueRequest(key, { name: 'tv', alternativeNames: [{ type: 'dns', value: 'tv.example' }] });
const [info, algorithm] = membersOf(whole).map(({ raw }) => raw) as [Uint8Array, Uint8Array];
const [version, subject, spki, attributes] = membersOf(info).map(({ raw }) => raw) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
  Uint8Array,
];
const remade = (...parts: readonly Uint8Array[]): Uint8Array =>
  sequence(sequence(...parts), algorithm, bitString(Uint8Array.of(1)));
const asked = partsOf(attributes)[0]!.content;
const challenge = sequence(oid('1.2.840.113549.1.9.7'), der(0x31, der(TAG.utf8, Uint8Array.of(65))));

test('the frame of a request is read to the letter', () => {
  assert.ok(readRequest(remade(version, subject, spki, attributes)) !== null);
  const inside = (...list: readonly Uint8Array[]): Uint8Array => remade(version, subject, spki, der(0xa0, ...list));
  assert.ok(readRequest(inside(challenge)) !== null);
  assert.ok(readRequest(inside(challenge, asked)) !== null);
  const wrong: readonly Uint8Array[] = [
    inside(asked, challenge),
    inside(asked, asked),
    inside(sequence(oid('1.2.840.113549.1.9.7'), der(0x31))),
    remade(version, subject, spki),
    remade(der(TAG.integer, Uint8Array.of(1)), subject, spki, attributes),
    remade(version, subject, spki, attributes, attributes),
    remade(subject, spki, attributes),
    concat(whole, Uint8Array.of(0)),
    whole.subarray(0, -1),
    new Uint8Array(MAX_REQUEST_BYTES + 1),
  ];
  for (const [i, bytes] of wrong.entries()) assert.equal(readRequest(bytes), null, `case ${i}`);
});

test('a request proves that its sender holds the key: another one’s key, signature or algorithm does not', () => {
  const request = read(whole);
  const reasonOf = (changed: Partial<ParsedRequest>): string => {
    const finding = checkRequest(crypto, { ...request, ...changed });
    return finding.ok ? 'good' : finding.reason;
  };
  assert.equal(reasonOf({}), 'good');
  assert.equal(reasonOf({ spki: generateSigningKey('p256').publicSpki }), 'bad-signature');
  assert.equal(reasonOf({ signatureAlgorithm: 'ecdsa-sha384' }), 'bad-signature');
  assert.equal(reasonOf({ signatureAlgorithm: null }), 'weak-signature');
  assert.equal(reasonOf({ spki: request.spki.subarray(1) }), 'weak-key');
});
