/**
 * PLAINTEXT_2 = ( C_R, ID_CRED_R, Signature_or_MAC_2, ? EAD_2 ) and PLAINTEXT_3, the same without C_R.
 * @spec RFC 9528 §5.3.1, §5.4.1
 */
import { concat } from '../bytes.ts';
import { type CborItem, decodeSequence, encode, encodeSequence } from '../cbor.ts';
import { ProtocolError } from '../errors.ts';
import { connectionIdItem, parseConnectionId } from './connection-id.ts';
import { type IdCred, parseIdCred } from './credential.ts';
import { type EadItem, parseEad } from './ead.ts';
import { EDHOC_LIMITS } from './limits.ts';

/** A party's proof as it was read, not verified. */
export interface Proof {
  readonly idCred: IdCred;
  /** ID_CRED as CBOR; decoding admits one spelling only, so this is what the peer encoded. */
  readonly idCredBytes: Uint8Array;
  readonly signature: Uint8Array;
  readonly ead: readonly EadItem[];
  /** EAD as CBOR sequence, padding included. */
  readonly eadBytes: Uint8Array;
}

/** @param cR  C_R in message_2, null in message_3 */
export function encodePlaintext(
  cR: Uint8Array | null,
  idCredBytes: Uint8Array,
  signature: Uint8Array,
  eadBytes: Uint8Array,
): Uint8Array {
  const head = cR === null ? new Uint8Array(0) : encode(connectionIdItem(cR));
  return concat(head, idCredBytes, encode(signature), eadBytes);
}

/** @throws ProtocolError malformed */
export function decodePlaintext2(plaintext: Uint8Array): { readonly cR: Uint8Array; readonly proof: Proof } {
  const [cR, ...rest] = decodeSequence(plaintext, EDHOC_LIMITS);
  return { cR: parseConnectionId(cR), proof: parseProof(rest) };
}

/** @throws ProtocolError malformed */
export function decodePlaintext3(plaintext: Uint8Array): Proof {
  return parseProof(decodeSequence(plaintext, EDHOC_LIMITS));
}

function parseProof([idCred, signature, ...ead]: readonly CborItem[]): Proof {
  const named = parseIdCred(idCred);
  if (!(signature instanceof Uint8Array)) throw new ProtocolError('malformed', 'Signature_or_MAC is no byte string');
  return {
    idCred: named,
    idCredBytes: encode(idCred!),
    signature,
    ead: parseEad(ead),
    eadBytes: encodeSequence(ead),
  };
}
