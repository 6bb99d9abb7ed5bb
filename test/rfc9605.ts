/**
 * Published vectors of AES-CTR with HMAC: key, nonce, authenticated data, plaintext, ciphertext ‖ tag.
 *
 * Suites 1 to 3 are those of RFC 9605, AEAD alone (appendix C.2) and with keys of its key schedule (C.3; of the ciphertext
 * without the header, which stands in the authenticated data). Suites 6 to 8, AES-256 with HMAC-SHA-512, are those of draft-barnes-sframe-iana-256, as the
 * working group's repository has them beside the RFC's (sframe-wg/sframe, test-vectors/).
 */
import { fromHex } from '../protocol/bytes.ts';
import { type RecordAlgorithm, resolveSuite, type Suite } from '../protocol/suites.ts';

export interface SframeVector {
  readonly source: string;
  readonly algorithm: RecordAlgorithm & { readonly kind: 'encrypt-then-mac' };
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly aad: Uint8Array;
  readonly plaintext: Uint8Array;
  readonly sealed: Uint8Array;
}

const RFC = { cipher: 'aes-ctr-hmac', keyBits: 128, hash: 'sha-256', tagBits: 64 } as const;
const DRAFT = { cipher: 'aes-ctr-hmac', keyBits: 256, hash: 'sha-512', tagBits: 64 } as const;

/** @param tagBytes  10 and 4 are no suites here; the construction takes them all the same */
function cut(suite: Suite, tagBytes: number): SframeVector['algorithm'] {
  const algorithm = resolveSuite(suite);
  if (algorithm?.kind !== 'encrypt-then-mac') throw new RangeError('no suite of AES-CTR with HMAC');
  return { ...algorithm, tagBytes };
}

/** "IETF SFrame WG", "draft-ietf-sframe-enc". */
const METADATA = '4945544620534672616d65205747';
const PLAINTEXT = '64726166742d696574662d736672616d652d656e63';
const HEADER = '9901234567';

const vector = (
  source: string,
  algorithm: SframeVector['algorithm'],
  ...[key, nonce, aad, sealed]: readonly [string, string, string, string]
): SframeVector => ({
  source,
  algorithm,
  key: fromHex(key),
  nonce: fromHex(nonce),
  aad: fromHex(aad),
  plaintext: fromHex(PLAINTEXT),
  sealed: fromHex(sealed),
});

const KEY_48 = Array.from({ length: 48 }, (_, i) => i.toString(16).padStart(2, '0')).join('');
const KEY_96 = Array.from({ length: 96 }, (_, i) => i.toString(16).padStart(2, '0')).join('');
const NONCE = '101112131415161718191a1b';

export const SFRAME_VECTORS: readonly SframeVector[] = [
  vector(
    'RFC 9605 C.2, suite 1',
    cut(RFC, 10),
    KEY_48,
    NONCE,
    METADATA,
    '6339af04ada1d064688a442b8dc69d5b6bfa40f4bef0583e8081069cc60705',
  ),
  vector(
    'RFC 9605 C.2, suite 2',
    cut(RFC, 8),
    KEY_48,
    NONCE,
    METADATA,
    '6339af04ada1d064688a442b8dc69d5b6bfa40f4be6e93b7da076927bb',
  ),
  vector(
    'RFC 9605 C.2, suite 3',
    cut(RFC, 4),
    KEY_48,
    NONCE,
    METADATA,
    '6339af04ada1d064688a442b8dc69d5b6bfa40f4be09480509',
  ),
  vector(
    'RFC 9605 C.3, suite 1',
    cut(RFC, 10),
    '3f7d9a7c83ae8e1c8a11ae695ab59314b367e359fadac7b9c46b2bc6f81f46e16b96f0811868d59402b7e870102720b3',
    '50b29329a04dc0f184ac740f',
    HEADER + METADATA,
    '449408b6f490086165b9d6f62b24ae1a59a56486b4ae8ed036b88912e24f11',
  ),
  vector(
    'RFC 9605 C.3, suite 2',
    cut(RFC, 8),
    'e2ec5c797540310483b16bf6e7a570d2a27d192fe869c7ccd8584a8d9dab91549fbe553f5113461ec6aa83bf3865553e',
    'e68ac8dd3d02fbcd368c1010',
    HEADER + METADATA,
    '3f31438db4d09434e43afa0f8a2f00867a2be085046a9f5cb4f101d607',
  ),
  vector(
    'RFC 9605 C.3, suite 3',
    cut(RFC, 4),
    '2c5703089cbb8c583475e4fc461d97d18809df79b6d550f78eb6d50ffa80d89211d57909934f46f5405e38cd583c69fe',
    '38c16e4f5159700c00c7b637',
    HEADER + METADATA,
    '17fc8af28a5a695afcfc6c8df6358a17e26b2fcb3bae32e443',
  ),
  vector(
    'draft-barnes-sframe-iana-256, suite 6',
    cut(DRAFT, 10),
    KEY_96,
    NONCE,
    METADATA,
    'f861831490fa37f8e284a1994021589564a23bf3050eb0e0ace45930d53a7f',
  ),
  vector(
    'draft-barnes-sframe-iana-256, suite 7',
    cut(DRAFT, 8),
    KEY_96,
    NONCE,
    METADATA,
    'f861831490fa37f8e284a1994021589564a23bf30508ee5fb61b88f889',
  ),
  vector(
    'draft-barnes-sframe-iana-256, suite 8',
    cut(DRAFT, 4),
    KEY_96,
    NONCE,
    METADATA,
    'f861831490fa37f8e284a1994021589564a23bf305131a979b',
  ),
  vector(
    'draft-barnes-sframe-iana-256, suite 7 with its key schedule',
    cut(DRAFT, 8),
    '7271d6c6cbccd2e2343d480ebea65718a7bb379eefcf3f8d107c1e2a76e755293a497fd9e4e8291b965161987ef4ef24983eabb06cb0a392defaab18654780a39c106ffa4a47d4183a6e593cd0c1bcab2b9c6dcf049215845bfb7580c4dea80e',
    '46b4367993a314910d4dda5a',
    HEADER + METADATA,
    '97cb5644d8831ff8bdc080249990b24b569144cab2a87be22c20d97976',
  ),
];
