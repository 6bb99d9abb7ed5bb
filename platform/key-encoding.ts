/**
 * Public and private keys of the three fixed-size kinds in their DER frames. Each kind has one frame: what is in front of
 * the key is constant, so no parser is needed and a second spelling of the same key is refused.
 * @spec RFC 8410 §4, §7 (Ed25519), RFC 5480 §2, RFC 5915 §3, RFC 5958 §2 (EC keys)
 */
import { concat, equal, fromHex } from '../protocol/bytes.ts';

export type FixedKeyAlgorithm = 'ed25519' | 'p256' | 'p384';

interface KeyFrame {
  readonly bits: number;
  readonly spki: Uint8Array;
  /** What follows the SPKI frame: the point uncompressed without its first byte 04, or the Ed25519 key. */
  readonly publicBytes: number;
  readonly pkcs8: Uint8Array;
  readonly secretBytes: number;
  /** PrivateKeyInfo with the public key behind the secret, as OpenSSL writes it for EC: what stands before each. */
  readonly pair: { readonly beforeSecret: Uint8Array; readonly beforePublic: Uint8Array } | null;
}

const FRAMES: Readonly<Record<FixedKeyAlgorithm, KeyFrame>> = {
  ed25519: {
    bits: 256,
    spki: fromHex('302a300506032b6570032100'),
    publicBytes: 32,
    pkcs8: fromHex('302e020100300506032b657004220420'),
    secretBytes: 32,
    pair: null,
  },
  p256: {
    bits: 256,
    spki: fromHex('3059301306072a8648ce3d020106082a8648ce3d03010703420004'),
    publicBytes: 64,
    pkcs8: fromHex('3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420'),
    secretBytes: 32,
    pair: {
      beforeSecret: fromHex('308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420'),
      beforePublic: fromHex('a14403420004'),
    },
  },
  p384: {
    bits: 384,
    spki: fromHex('3076301006072a8648ce3d020106052b8104002203620004'),
    publicBytes: 96,
    pkcs8: fromHex('304e020100301006072a8648ce3d020106052b81040022043730350201010430'),
    secretBytes: 48,
    pair: {
      beforeSecret: fromHex('3081b6020100301006072a8648ce3d020106052b8104002204819e30819b0201010430'),
      beforePublic: fromHex('a16403620004'),
    },
  },
};

const ALGORITHMS: readonly FixedKeyAlgorithm[] = ['ed25519', 'p256', 'p384'];

export interface RawPublicKey {
  readonly algorithm: FixedKeyAlgorithm;
  readonly bits: number;
  /** x ‖ y, or the Ed25519 key; whether it is a point of the curve is not looked at. */
  readonly raw: Uint8Array;
}

/** @returns null for any other kind of key, frame or length */
export function readSpki(spki: Uint8Array): RawPublicKey | null {
  for (const algorithm of ALGORITHMS) {
    const { spki: frame, publicBytes, bits } = FRAMES[algorithm];
    if (spki.length !== frame.length + publicBytes || !begins(spki, frame)) continue;
    return { algorithm, bits, raw: spki.slice(frame.length) };
  }
  return null;
}

/** @param raw  x ‖ y, or the Ed25519 key @returns SubjectPublicKeyInfo @throws RangeError for another length */
export function writeSpki(algorithm: FixedKeyAlgorithm, raw: Uint8Array): Uint8Array {
  const { spki, publicBytes } = FRAMES[algorithm];
  if (raw.length !== publicBytes) throw new RangeError(`no public key of kind ${algorithm}: ${raw.length} bytes`);
  return concat(spki, raw);
}

/**
 * PrivateKeyInfo of a seed (Ed25519) or scalar (EC), without the public key, which OpenSSL then computes.
 * @returns a copy of the secret stands in it; the caller wipes it @throws RangeError for another length
 */
export function writePkcs8(algorithm: FixedKeyAlgorithm, secret: Uint8Array): Uint8Array {
  const { pkcs8, secretBytes } = FRAMES[algorithm];
  if (secret.length !== secretBytes)
    throw new RangeError(`no private key of kind ${algorithm}: ${secret.length} bytes`);
  return concat(pkcs8, secret);
}

export interface RawPrivateKey {
  readonly algorithm: FixedKeyAlgorithm;
  /** Seed (Ed25519) or scalar (EC); a copy, which the caller wipes. */
  readonly secret: Uint8Array;
  /** As it stands beside the secret, unchecked; null when there is none. */
  readonly publicRaw: Uint8Array | null;
}

/** @returns null for any other kind of key, frame or length, an encrypted one among them */
export function readPkcs8(pkcs8: Uint8Array): RawPrivateKey | null {
  for (const algorithm of ALGORITHMS) {
    const { pkcs8: frame, secretBytes, publicBytes, pair } = FRAMES[algorithm];
    if (pkcs8.length === frame.length + secretBytes && begins(pkcs8, frame)) {
      return { algorithm, secret: pkcs8.slice(frame.length), publicRaw: null };
    }
    if (pair === null) continue;
    const { beforeSecret, beforePublic } = pair;
    const secretEnd = beforeSecret.length + secretBytes;
    const rest = pkcs8.subarray(secretEnd);
    if (rest.length !== beforePublic.length + publicBytes) continue;
    if (!begins(pkcs8, beforeSecret) || !begins(rest, beforePublic)) continue;
    const secret = pkcs8.slice(beforeSecret.length, secretEnd);
    return { algorithm, secret, publicRaw: rest.slice(beforePublic.length) };
  }
  return null;
}

function begins(bytes: Uint8Array, frame: Uint8Array): boolean {
  return equal(bytes.subarray(0, frame.length), frame);
}
