/**
 * COSE_Sign1: the structure that is signed, the one spelling that is read, and what never verifies.
 */
import assert from 'node:assert/strict';
import { createPublicKey, verify as opensslVerify } from 'node:crypto';
import { test } from 'node:test';
import { generateSigningKey, newPublicKeyCounter, nodeCrypto } from '../../platform/crypto-node.ts';
import { concat, EMPTY, encodeUtf8, fromHex, toHex } from '../../protocol/bytes.ts';
import { type CborItem, decode, encode } from '../../protocol/cbor.ts';
import {
  COSE_ALGORITHMS,
  type CoseAlgorithm,
  MAX_COSE_BYTES,
  readCose,
  signCose,
  sigStructure,
  verifyCose,
} from '../../protocol/cose-sign1.ts';
import type { PublicKey } from '../../protocol/crypto.ts';
import { type ErrorCode, ProtocolError } from '../../protocol/errors.ts';

const counter = newPublicKeyCounter();
const crypto = nodeCrypto(counter);
const payload = encodeUtf8('This is the content.');
const externalAad = fromHex('11aa22bb33cc44dd55006699');

const fails = (code: ErrorCode) => (error: unknown) => error instanceof ProtocolError && error.code === code;
const names = ['ES256', 'ES384', 'EdDSA'] as const satisfies readonly CoseAlgorithm[];
const KEY_TYPES = { ES256: 'p256', ES384: 'p384', EdDSA: 'ed25519' } as const;
const signers = Object.fromEntries(
  names.map((name) => {
    const { key, publicSpki } = generateSigningKey(KEY_TYPES[name], counter);
    return [name, { signingKey: key, spki: publicSpki, key: crypto.publicKey(publicSpki)! }];
  }),
) as Record<
  CoseAlgorithm,
  { signingKey: ReturnType<typeof generateSigningKey>['key']; spki: Uint8Array; key: PublicKey }
>;

test('[P4] RFC 9052 §4.4: Sig_structure is ["Signature1", protected, external_aad, payload], and a published signature verifies', () => {
  // cose-wg/Examples sign1-tests/sign-pass-02: the message of RFC 9052 C.2.1 with external data
  const toBeSigned =
    '846a5369676e61747572653143a101264c11aa22bb33cc44dd5500669954546869732069732074686520636f6e74656e742e';
  const protectedHeader = fromHex('a10126');
  assert.equal(toHex(sigStructure(protectedHeader, externalAad, payload)), toBeSigned);

  const x = 'bac5b11cad8f99f9c72b05cf4b9e26d244dc189f745228255a219a86d6a09eff';
  const y = '20138bf82dc1b6d562be0fa54ab7804a3a64b6d72ccfed6b6fb6ed28bbfc117e';
  const spkiHead = '3059301306072a8648ce3d020106082a8648ce3d03010703420004';
  const signature = fromHex(
    '10729cd711cb3813d8d8e944a8da7111e7b258c9bdca6135f7ae1adbee9509891267837e1e33bd36c150326ae62755c6bd8e540c3e8f92d7d225e8db72b8820b',
  );
  const key = crypto.publicKey(fromHex(spkiHead + x + y))!;
  const cose = { algorithm: 'ES256', protectedHeader, payload, signature } as const;
  assert.deepEqual(verifyCose(crypto, { cose, key, externalAad }), payload);
});

for (const name of names) {
  const { signingKey, spki, key } = signers[name];
  const signed = signCose({ payload, signingKey, externalAad });

  test(`[P4] ${name}: what was signed is read and verifies, with the algorithm in the protected header`, () => {
    const [header, unprotected, content, signature] = decode(signed) as [Uint8Array, unknown, Uint8Array, Uint8Array];
    assert.deepEqual(header, encode(new Map([[1, COSE_ALGORITHMS[name].number]])));
    assert.deepEqual(unprotected, new Map());
    assert.deepEqual(content, payload);
    assert.equal(signature.length, name === 'ES384' ? 96 : 64);
    const cose = readCose(signed);
    assert.equal(cose.algorithm, name);
    assert.deepEqual(verifyCose(crypto, { cose, key, externalAad }), payload);
  });

  test(`[P4] ${name}: OpenSSL finds the signature good over the bytes of Sig_structure`, () => {
    const { protectedHeader, signature } = readCose(signed);
    const object = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
    const hash = { ES256: 'sha256', ES384: 'sha384', EdDSA: null }[name];
    const toBeSigned = sigStructure(protectedHeader, externalAad, payload);
    assert.ok(opensslVerify(hash, toBeSigned, { key: object, dsaEncoding: 'ieee-p1363' }, signature));
  });

  test(`[P4] ${name}: other external data, another payload, another key of the type: not verified`, () => {
    const cose = readCose(signed);
    const { publicSpki } = generateSigningKey(KEY_TYPES[name], counter);
    const other = crypto.publicKey(publicSpki)!;
    const forged = { ...cose, payload: encodeUtf8('This is another.') };
    assert.throws(() => verifyCose(crypto, { cose, key }), fails('badSignature'));
    assert.throws(() => verifyCose(crypto, { cose: forged, key, externalAad }), fails('badSignature'));
    assert.throws(() => verifyCose(crypto, { cose, key: other, externalAad }), fails('badSignature'));
  });

  test(`[P4] ${name}: each flipped bit of the whole is refused`, () => {
    for (let bit = 0; bit < signed.length * 8; bit++) {
      const flipped = signed.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      assert.throws(
        () => verifyCose(crypto, { cose: readCose(flipped), key, externalAad }),
        ProtocolError,
        `bit ${bit}`,
      );
    }
  });

  test(`[P4] ${name}: the algorithm must fit the key, whatever the header says`, () => {
    for (const other of names.filter((candidate) => candidate !== name)) {
      const header = encode(new Map([[1, COSE_ALGORITHMS[other].number]]));
      const { signature } = readCose(signed);
      const cose = { algorithm: other, protectedHeader: header, payload, signature };
      assert.throws(() => verifyCose(crypto, { cose, key, externalAad }), fails('badSignature'));
    }
  });
}

const good = readCose(signCose({ payload, signingKey: signers.EdDSA.signingKey }));
const header = (...entries: readonly (readonly [number, CborItem])[]) => encode(new Map(entries));
const REFUSED: ReadonlyArray<readonly [string, readonly CborItem[]]> = [
  ['three elements', [good.protectedHeader, new Map(), payload]],
  ['five elements', [good.protectedHeader, new Map(), payload, good.signature, null]],
  ['a detached payload', [good.protectedHeader, new Map(), null, good.signature]],
  ['the algorithm outside the protected header', [EMPTY, new Map([[1, -8]]), payload, good.signature]],
  ['an empty protected map', [header(), new Map(), payload, good.signature]],
  ['an unprotected header beside it', [good.protectedHeader, new Map([[4, EMPTY]]), payload, good.signature]],
  ['a second protected header', [header([1, -8], [4, EMPTY]), new Map(), payload, good.signature]],
  ['a critical header', [header([1, -8], [2, [4]]), new Map(), payload, good.signature]],
  ['an algorithm that is not offered', [header([1, -36]), new Map(), payload, good.signature]],
  ['an algorithm by name', [header([1, 'EdDSA']), new Map(), payload, good.signature]],
  ['a protected header that is no map', [encode(-8), new Map(), payload, good.signature]],
  ['a signature of another length', [good.protectedHeader, new Map(), payload, good.signature.slice(1)]],
];
for (const [what, items] of REFUSED) {
  test(`[P4] a COSE_Sign1 with ${what} is refused`, () => {
    assert.throws(() => readCose(encode(items)), fails('malformed'));
  });
}

test('a tagged COSE_Sign1, one with bytes behind it, and each truncation are refused', () => {
  const signed = signCose({ payload, signingKey: signers.EdDSA.signingKey });
  assert.throws(() => readCose(concat(Uint8Array.of(0xd2), signed)), fails('malformed'));
  assert.throws(() => readCose(concat(signed, Uint8Array.of(0))), fails('malformed'));
  for (let length = 0; length < signed.length; length++) {
    assert.throws(() => readCose(signed.subarray(0, length)), fails('malformed'));
  }
});

test('a COSE_Sign1 over the size limit is neither made nor read', () => {
  const big = new Uint8Array(MAX_COSE_BYTES);
  assert.throws(() => signCose({ payload: big, signingKey: signers.EdDSA.signingKey }), RangeError);
  const item = encode([good.protectedHeader, new Map(), big, good.signature]);
  assert.throws(() => readCose(item), fails('tooLarge'));
});

test('[B5] reading costs no public-key operation, verifying one', () => {
  const before = { ...counter };
  const cose = readCose(signCose({ payload, signingKey: signers.EdDSA.signingKey }));
  verifyCose(crypto, { cose, key: signers.EdDSA.key });
  assert.deepEqual(counter, { ...before, sign: before.sign + 1, verify: before.verify + 1 });
});
