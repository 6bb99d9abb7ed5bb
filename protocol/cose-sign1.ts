/**
 * COSE_Sign1, untagged, in the one spelling we accept: the algorithm alone in the protected header, nothing beside it.
 * Reading and verifying are apart, so that the key can be looked up between them.
 * @spec RFC 9052 §4.2, §4.4; RFC 9053 §2
 */
import { EMPTY } from './bytes.ts';
import { type CborItem, decode, encode, MESSAGE_LIMITS } from './cbor.ts';
import type { Crypto, KeyAlgorithm, PublicKey, SignatureAlgorithm, SigningKey } from './crypto.ts';
import { ProtocolError } from './errors.ts';

export type CoseAlgorithm = 'ES256' | 'ES384' | 'EdDSA';

interface CoseRow {
  /** COSE algorithm number. */
  readonly number: number;
  /** The one kind of key it goes with. */
  readonly key: KeyAlgorithm;
  readonly signature: SignatureAlgorithm;
  readonly signatureBytes: number;
}

export const COSE_ALGORITHMS: Readonly<Record<CoseAlgorithm, CoseRow>> = {
  ES256: { number: -7, key: 'p256', signature: 'ecdsa-sha256', signatureBytes: 64 },
  ES384: { number: -35, key: 'p384', signature: 'ecdsa-sha384', signatureBytes: 96 },
  EdDSA: { number: -8, key: 'ed25519', signature: 'ed25519', signatureBytes: 64 },
};
const NAMES = Object.keys(COSE_ALGORITHMS) as CoseAlgorithm[];

const ALG_LABEL = 1;
/** Implementation limit for a whole COSE_Sign1. */
export const MAX_COSE_BYTES = 4096;
const LIMITS = { ...MESSAGE_LIMITS, maxBytes: MAX_COSE_BYTES };

/** A COSE_Sign1 that was read; nothing in it is verified. */
export interface CoseSign1 {
  readonly algorithm: CoseAlgorithm;
  /** The protected header as it stood on the wire. */
  readonly protectedHeader: Uint8Array;
  readonly payload: Uint8Array;
  /** ECDSA as r ‖ s. */
  readonly signature: Uint8Array;
}

export interface CoseInput {
  readonly payload: Uint8Array;
  readonly signingKey: SigningKey;
  /** What the signature covers beside the payload; empty when nothing. */
  readonly externalAad?: Uint8Array;
}

/**
 * COSE_Sign1 = [ protected : bstr, {}, payload : bstr, signature : bstr ]
 * @throws RangeError for a key of another kind (RSA), or when the result would exceed MAX_COSE_BYTES
 */
export function signCose(input: CoseInput): Uint8Array {
  const { payload, signingKey, externalAad = EMPTY } = input;
  const row = NAMES.map((name) => COSE_ALGORITHMS[name]).find(({ key }) => key === signingKey.algorithm);
  if (row === undefined) throw new RangeError(`no COSE algorithm for a key of type ${signingKey.algorithm}`);
  const protectedHeader = encode(new Map([[ALG_LABEL, row.number]]));
  const signature = signingKey.sign(row.signature, sigStructure(protectedHeader, externalAad, payload));
  const encoded = encode([protectedHeader, new Map(), payload, signature]);
  if (encoded.length > MAX_COSE_BYTES) throw new RangeError(`a COSE_Sign1 of ${encoded.length} bytes`);
  return encoded;
}

/** Reads without verifying. @throws ProtocolError malformed | tooLarge */
export function readCose(bytes: Uint8Array): CoseSign1 {
  const item = decode(bytes, LIMITS);
  if (!Array.isArray(item) || item.length !== 4) throw new ProtocolError('malformed', 'COSE_Sign1: not four elements');
  const [protectedHeader, unprotected, payload, signature]: readonly CborItem[] = item;
  if (!(protectedHeader instanceof Uint8Array && payload instanceof Uint8Array && signature instanceof Uint8Array)) {
    throw new ProtocolError('malformed', 'COSE_Sign1: header, payload and signature are byte strings');
  }
  if (!(unprotected instanceof Map) || unprotected.size !== 0) {
    throw new ProtocolError('malformed', 'COSE_Sign1: an unprotected header');
  }
  const algorithm = readAlgorithm(protectedHeader);
  if (signature.length !== COSE_ALGORITHMS[algorithm].signatureBytes) {
    throw new ProtocolError('malformed', `COSE_Sign1: a signature of ${signature.length} bytes for ${algorithm}`);
  }
  return { algorithm, protectedHeader, payload, signature };
}

function readAlgorithm(protectedHeader: Uint8Array): CoseAlgorithm {
  const header = decode(protectedHeader, LIMITS);
  if (!(header instanceof Map) || header.size !== 1) {
    throw new ProtocolError('malformed', 'COSE_Sign1: the protected header holds the algorithm and nothing else');
  }
  const number = header.get(ALG_LABEL);
  const name = NAMES.find((candidate) => COSE_ALGORITHMS[candidate].number === number);
  if (name === undefined) throw new ProtocolError('malformed', 'COSE_Sign1: an algorithm that is not offered');
  return name;
}

export interface CoseVerification {
  readonly cose: CoseSign1;
  readonly key: PublicKey;
  /** Must be what the signer took. */
  readonly externalAad?: Uint8Array;
}

/**
 * @returns the payload, verified
 * @throws ProtocolError badSignature, also when the algorithm is not the one of the key [algorithm confusion]
 */
export function verifyCose(crypto: Crypto, { cose, key, externalAad = EMPTY }: CoseVerification): Uint8Array {
  const row = COSE_ALGORITHMS[cose.algorithm];
  if (row.key !== key.algorithm) {
    throw new ProtocolError('badSignature', `${cose.algorithm} does not go with a key of type ${key.algorithm}`);
  }
  const signed = sigStructure(cose.protectedHeader, externalAad, cose.payload);
  if (!crypto.verify(row.signature, key, cose.signature, signed, 'raw')) {
    throw new ProtocolError('badSignature', 'the signature does not fit payload and key');
  }
  return cose.payload;
}

/**
 * By whichever of a few pinned keys fits: nothing in the message says which, so nobody can steer it.
 * @returns the payload, verified
 * @throws ProtocolError badSignature
 */
export function verifyCoseByAny(
  crypto: Crypto,
  cose: CoseSign1,
  keys: readonly PublicKey[],
  externalAad: Uint8Array,
): Uint8Array {
  const fitting = keys.filter(({ algorithm }) => COSE_ALGORITHMS[cose.algorithm].key === algorithm);
  for (const key of fitting.slice(0, -1)) {
    try {
      return verifyCose(crypto, { cose, key, externalAad });
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
    }
  }
  const last = fitting.at(-1) ?? keys.at(-1);
  if (last === undefined) throw new ProtocolError('badSignature', 'no key is pinned');
  return verifyCose(crypto, { cose, key: last, externalAad });
}

/** Sig_structure = [ "Signature1", body_protected, external_aad, payload ]. @spec RFC 9052 §4.4 */
export function sigStructure(protectedHeader: Uint8Array, externalAad: Uint8Array, payload: Uint8Array): Uint8Array {
  return encode(['Signature1', protectedHeader, externalAad, payload]);
}
