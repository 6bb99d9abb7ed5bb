/**
 * Nonce and additional authenticated data of a protected message, exactly as OSCORE makes them; records and the published
 * vectors run through the same functions.
 * @spec RFC 8613 §5.2, §5.4; RFC 9052 §5.3
 */
import { EMPTY } from './bytes.ts';
import { encode } from './cbor.ts';

/** A partial IV is the sender sequence number in 1 to 5 bytes. */
export const MAX_SEQUENCE = 2 ** 40 - 1;
const MAX_PARTIAL_IV_BYTES = 5;

/** Bytes of the shortest partial IV that holds the sequence number. */
export function partialIvBytes(sequence: number): number {
  if (sequence < 0x100) return 1;
  if (sequence < 0x1_0000) return 2;
  if (sequence < 0x100_0000) return 3;
  return sequence < 0x1_0000_0000 ? 4 : MAX_PARTIAL_IV_BYTES;
}

/**
 * The nonce without the partial IV: Common IV ⊕ (size of ID_PIV ‖ ID_PIV ‖ 5 bytes of zero), ID_PIV padded on the left.
 * @param id  ID_PIV, at most nonce length − 6 bytes
 * @throws RangeError when the id is too long: our bug, never the peer's
 * @spec RFC 8613 §5.2
 */
export function nonceBase(commonIv: Uint8Array, id: Uint8Array): Uint8Array {
  const room = commonIv.length - 1 - MAX_PARTIAL_IV_BYTES;
  if (id.length > room) throw new RangeError(`an id of ${id.length} bytes, at most ${room} fit into the nonce`);
  const base = commonIv.slice();
  base[0]! ^= id.length;
  for (let i = 0; i < id.length; i++) base[1 + room - id.length + i]! ^= id[i]!;
  return base;
}

/** nonce = base ⊕ partial IV, padded on the left. @spec RFC 8613 §5.2 */
export function makeNonce(base: Uint8Array, partialIv: Uint8Array): Uint8Array {
  const nonce = base.slice();
  const shift = nonce.length - partialIv.length;
  for (let i = 0; i < partialIv.length; i++) nonce[shift + i]! ^= partialIv[i]!;
  return nonce;
}

/** What of the authenticated data is the same for every message of one sender. */
export interface AadPrefix {
  /** Array head, context string and empty protected header. */
  readonly outer: Uint8Array;
  /** The first three elements of aad_array. */
  readonly inner: Uint8Array;
}

/** "Encrypt0" as RFC 9052 §5.3 has it; "MAC0" for suites that do not encrypt. */
export type AadContext = 'Encrypt0' | 'MAC0';

/** @param kid  request_kid: in a record always the sender's own id */
export function aadPrefix(context: AadContext, coseAlgorithm: number, kid: Uint8Array): AadPrefix {
  const outer = encode([context, EMPTY]);
  outer[0] = 0x83;
  const inner = encode([1, [coseAlgorithm], kid]);
  inner[0] = 0x85;
  return { outer, inner };
}

/**
 * Enc_structure = [ context, h'', external_aad ], external_aad = bstr .cbor [ 1, [alg], kid, partial IV, options ]
 * @param partialIv  request_piv: in a record always its own, 1 to 5 bytes
 * @param options    empty in OSCORE; in a record what its head and the session add, at most 200 bytes
 * @spec RFC 8613 §5.4
 */
export function authenticatedData(prefix: AadPrefix, partialIv: Uint8Array, options: Uint8Array): Uint8Array {
  const { outer, inner } = prefix;
  const optionsHead = options.length < 24 ? 1 : 2;
  const external = inner.length + 1 + partialIv.length + optionsHead + options.length;
  const aad = new Uint8Array(outer.length + (external < 24 ? 1 : 2) + external);
  aad.set(outer, 0);
  let at = putByteStringHead(aad, outer.length, external);
  aad.set(inner, at);
  at = putByteStringHead(aad, at + inner.length, partialIv.length);
  aad.set(partialIv, at);
  at = putByteStringHead(aad, at + partialIv.length, options.length);
  aad.set(options, at);
  return aad;
}

/** @returns the offset behind the head of a byte string of `length` bytes, at most 255 */
function putByteStringHead(into: Uint8Array, at: number, length: number): number {
  if (length < 24) {
    into[at] = 0x40 | length;
    return at + 1;
  }
  if (length > 255) throw new RangeError(`${length} bytes of authenticated data, at most 255`);
  into[at] = 0x58;
  into[at + 1] = length;
  return at + 2;
}
