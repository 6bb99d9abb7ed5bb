/**
 * message_1 = ( METHOD : int, SUITES_I, G_X : bstr, C_I, ? EAD_1 ): the only message in the clear.
 * @spec RFC 9528 §5.2.1
 */
import { concat } from '../bytes.ts';
import { decodeSequence, encodeSequence } from '../cbor.ts';
import { ProtocolError } from '../errors.ts';
import { EPHEMERAL_BYTES, parseSuites, suitesItem } from './cipher-suites.ts';
import { connectionIdItem, parseConnectionId } from './connection-id.ts';
import { type EadItem, encodeEad, parseEad } from './ead.ts';
import { checkOwnSize, EDHOC_LIMITS } from './limits.ts';

/** Both sides authenticate with a signature. @spec RFC 9528 §3.2 */
const METHOD = 0;

export interface Message1 {
  /** SUITES_I, in the initiator's order of preference; the last one is the selected suite. */
  readonly suites: readonly number[];
  readonly gX: Uint8Array;
  readonly cI: Uint8Array;
  readonly ead1: readonly EadItem[];
}

export function encodeMessage1({ suites, gX, cI, ead1 }: Message1): Uint8Array {
  const head = encodeSequence([METHOD, suitesItem(suites), gX, connectionIdItem(cI)]);
  return checkOwnSize(concat(head, encodeEad(ead1)));
}

/** @throws ProtocolError malformed | tooLarge */
export function decodeMessage1(message1: Uint8Array): Message1 {
  const [method, suites, gX, cI, ...ead] = decodeSequence(message1, EDHOC_LIMITS);
  if (typeof method !== 'number') throw new ProtocolError('malformed', 'message_1 does not begin with a method');
  if (method !== METHOD) throw new ProtocolError('malformed', `method ${method}: only ${METHOD}, two signatures`);
  const list = parseSuites(suites);
  if (!(gX instanceof Uint8Array) || gX.length !== EPHEMERAL_BYTES) {
    throw new ProtocolError('malformed', `G_X is no byte string of ${EPHEMERAL_BYTES}`);
  }
  return { suites: list, gX, cI: parseConnectionId(cI), ead1: parseEad(ead) };
}
