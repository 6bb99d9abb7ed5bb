/**
 * Where the keys of a record context come from: derived as in OSCORE, or given as they are (key mode).
 * @spec RFC 8613 §3.2
 */
import { EMPTY, wipe } from './bytes.ts';
import { type CborItem, encode } from './cbor.ts';
import type { Crypto } from './crypto.ts';
import { ProtocolError } from './errors.ts';
import type { RecordAlgorithm } from './suites.ts';

/** The keys of one epoch, as one side sees them; lengths are those of the algorithm. */
export interface KeySet {
  readonly senderKey: Uint8Array;
  readonly recipientKey: Uint8Array;
  readonly commonIv: Uint8Array;
}

export interface KeyInput {
  readonly algorithm: RecordAlgorithm;
  readonly masterSecret: Uint8Array;
  /** May be empty. */
  readonly masterSalt: Uint8Array;
  readonly idContext: Uint8Array | null;
  readonly senderId: Uint8Array;
  readonly recipientId: Uint8Array;
}

/** What a key is for; it stands in `info`, so that no key serves two purposes. */
export type KeyPurpose = 'Key' | 'MAC' | 'IV';

/**
 * Derives sender key, recipient key and common IV: HKDF(Master Salt, Master Secret, info, L) with the suite's hash.
 * @returns keys that the caller wipes; the input stays the caller's
 * @spec RFC 8613 §3.2.1
 */
export function deriveContext(crypto: Crypto, input: KeyInput): KeySet {
  const { algorithm } = input;
  const { hash } = algorithm.suite;
  const prk = crypto.hkdfExtract(hash, input.masterSalt, input.masterSecret);
  const derive = (id: Uint8Array, purpose: KeyPurpose, length: number): Uint8Array =>
    crypto.hkdfExpand(hash, prk, keyInfo(id, input.idContext, algorithm.coseAlgorithm, purpose, length), length);
  const purpose = algorithm.kind === 'integrity-only' ? 'MAC' : 'Key';
  const keys = {
    senderKey: derive(input.senderId, purpose, algorithm.keyBytes),
    recipientKey: derive(input.recipientId, purpose, algorithm.keyBytes),
    commonIv: derive(EMPTY, 'IV', algorithm.nonceBytes),
  };
  wipe(prk);
  return keys;
}

/**
 * info = [ id : bstr, id_context : bstr / nil, alg_aead : int, type : tstr, L : uint ]
 * @spec RFC 8613 §3.2.1; "MAC" in place of "Key" is ours, for suites that do not encrypt
 */
export function keyInfo(
  id: Uint8Array,
  idContext: Uint8Array | null,
  coseAlgorithm: number,
  purpose: KeyPurpose,
  length: number,
): Uint8Array {
  const info: readonly CborItem[] = [id, idContext, coseAlgorithm, purpose, length];
  return encode(info);
}

/** Bytes of a grant's secret in key mode: caller key ‖ callee key ‖ common IV. */
export function keyModeSecretBytes(algorithm: RecordAlgorithm): number {
  return 2 * algorithm.keyBytes + algorithm.nonceBytes;
}

/**
 * Cuts a grant's secret of key mode into the keys of one side.
 * @returns copies; the caller wipes them and the secret
 * @throws ProtocolError malformed when the secret has not exactly `keyModeSecretBytes`
 */
export function givenKeys(algorithm: RecordAlgorithm, secret: Uint8Array, role: 'caller' | 'callee'): KeySet {
  const { keyBytes } = algorithm;
  if (secret.length !== keyModeSecretBytes(algorithm)) {
    const wanted = keyModeSecretBytes(algorithm);
    throw new ProtocolError(
      'malformed',
      `the keys of the grant have ${secret.length} bytes, the suite needs ${wanted}`,
    );
  }
  const callerKey = secret.slice(0, keyBytes);
  const calleeKey = secret.slice(keyBytes, 2 * keyBytes);
  return {
    senderKey: role === 'caller' ? callerKey : calleeKey,
    recipientKey: role === 'caller' ? calleeKey : callerKey,
    commonIv: secret.slice(2 * keyBytes),
  };
}
