/**
 * A user's proof of being at a device: a signature of the key on the medium, good for one channel and one request alone
 * (P21, design §5.4).
 */
import { type CborItem, decode, encode } from './cbor.ts';
import type { Crypto, PublicKey, SignatureAlgorithm } from './crypto.ts';
import { ProtocolError } from './errors.ts';
import type { DeviceId } from './units.ts';

const LABEL = 'kagimori user 1';

export interface UserStatement {
  /** Of the channel on which it is sent: 32 bytes. */
  readonly binding: Uint8Array;
  readonly device: DeviceId;
  readonly user: string;
  /** Of the RegisterUser. */
  readonly requestId: Uint8Array;
}

/** What the user's key signs: CBOR [label, binding, device, user, request id]. */
export function userStatement({ binding, device, user, requestId }: UserStatement): Uint8Array {
  return encode([LABEL, binding, device, user, requestId]);
}

/** @returns what would be said by signing these bytes, or null: they are no such statement */
export function readUserStatement(bytes: Uint8Array): UserStatement | null {
  const item = decodedOrNull(bytes);
  if (!Array.isArray(item) || item.length !== 5) return null;
  const [label, binding, device, user, requestId] = item as readonly CborItem[];
  const ofBytes = binding instanceof Uint8Array && requestId instanceof Uint8Array;
  if (label !== LABEL || !ofBytes || typeof device !== 'string' || typeof user !== 'string') return null;
  return { binding, device: device as DeviceId, user, requestId };
}

function decodedOrNull(bytes: Uint8Array): CborItem {
  try {
    return decode(bytes);
  } catch (error) {
    if (error instanceof ProtocolError) return null;
    throw error;
  }
}

/** @param signature  ECDSA as r ‖ s */
export function checkUserProof(
  crypto: Crypto,
  key: PublicKey,
  statement: UserStatement,
  signature: Uint8Array,
): boolean {
  const algorithm = userSignature(key.algorithm);
  return algorithm !== null && crypto.verify(algorithm, key, signature, userStatement(statement), 'raw');
}

/** In which algorithm a key of this kind signs the statement; null: no user has such a key. */
export function userSignature(kind: PublicKey['algorithm']): SignatureAlgorithm | null {
  switch (kind) {
    case 'p256':
      return 'ecdsa-sha256';
    case 'p384':
      return 'ecdsa-sha384';
    case 'ed25519':
      return 'ed25519';
    default:
      return null;
  }
}
