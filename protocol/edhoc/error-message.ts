/**
 * The EDHOC error message: unprotected, so it explains and never decides more than the end of an exchange.
 * @spec RFC 9528 §6
 */
import { type CborLimits, decodeSequence, encodeSequence } from '../cbor.ts';
import { ProtocolError } from '../errors.ts';
import { parseSuites, suitesItem } from './cipher-suites.ts';

export type EdhocError =
  /** ERR_CODE 1: a text for the log of the other side; it must give away nothing. */
  | { readonly kind: 'unspecified'; readonly text: string }
  /** ERR_CODE 2: the suites that the responder supports, in its own order of preference. */
  | { readonly kind: 'wrongSuite'; readonly suites: readonly number[] }
  /** ERR_CODE 3: an x5t that the receiver holds no certificate for. */
  | { readonly kind: 'unknownCredential' }
  /** A code that is not known here: the exchange ends, that is all. */
  | { readonly kind: 'other'; readonly code: number };

const LIMITS: CborLimits = { maxBytes: 512, maxDepth: 3 };

export function encodeError(error: EdhocError): Uint8Array {
  switch (error.kind) {
    case 'unspecified':
      return encodeSequence([1, error.text]);
    case 'wrongSuite':
      return encodeSequence([2, suitesItem(error.suites)]);
    case 'unknownCredential':
      return encodeSequence([3, true]);
    case 'other':
      return encodeSequence([error.code, null]);
    default:
      return error satisfies never;
  }
}

/** @throws ProtocolError malformed | tooLarge */
export function decodeError(message: Uint8Array): EdhocError {
  const [code, info, ...rest] = decodeSequence(message, LIMITS);
  if (typeof code !== 'number' || info === undefined || rest.length > 0) {
    throw new ProtocolError('malformed', 'an EDHOC error is a code and its information');
  }
  if (code === 1 && typeof info === 'string') return { kind: 'unspecified', text: info };
  if (code === 2) return { kind: 'wrongSuite', suites: parseSuites(info) };
  if (code === 3 && info === true) return { kind: 'unknownCredential' };
  if (code >= 1 && code <= 3) throw new ProtocolError('malformed', `EDHOC error ${code} without its information`);
  return { kind: 'other', code };
}
