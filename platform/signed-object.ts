/**
 * The frame that certificates, revocation lists and requests share: signed part, algorithm, signature. @spec RFC 5280 §4.1, §5.1
 */
import type { EpochSeconds } from '../protocol/units.ts';
import { type Element, expect, Members } from './asn1.ts';
import { DerFault, type Span, scanDer, spansOf, TAG } from './der.ts';

/** What every reader of bytes gives for a fault of theirs. */
export function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof DerFault) return null;
    throw error; // our bug: every fault of the bytes is a DerFault, those that the library throws included (asn1.ts)
  }
}

const MAX_SERIAL_BYTES = 20;

export function readSerial({ content }: { readonly content: Uint8Array }): Uint8Array {
  if (content.length > MAX_SERIAL_BYTES) throw new DerFault('a serial number too long');
  return content;
}

/** Bytes of a BIT STRING that is a whole number of bytes. */
function wholeBits({ content }: { readonly content: Uint8Array }): Uint8Array {
  if (content[0] !== 0) throw new DerFault('a bit string that is no whole number of bytes');
  return content.subarray(1);
}

export function readTime(element: Element): EpochSeconds {
  return element.time as EpochSeconds;
}

export interface Signed {
  readonly tbs: Uint8Array;
  /** Of the signed part; behind the optional first one stands the AlgorithmIdentifier, equal to the one outside. */
  readonly members: Members<Span>;
  /** AlgorithmIdentifier, DER. */
  readonly algorithm: Uint8Array;
  readonly signature: Uint8Array;
}

/**
 * The frame that certificates, lists and requests share. It is cut by the spans of the scan, and the library reads only the
 * members that have to be understood: a key, a signature or 200,000 entries would cost it 5 µs an element for nothing.
 */
export function readSigned(der: Uint8Array, maxElements: number): Signed {
  const outer = new Members(spansOf(expect(scanDer(der, maxElements), TAG.sequence).content));
  const tbs = outer.take(TAG.sequence);
  const algorithm = outer.take(TAG.sequence).raw;
  const signature = wholeBits(outer.take(TAG.bitString));
  outer.end();
  return { tbs: tbs.raw, members: new Members(spansOf(tbs.content)), algorithm, signature };
}

/** SubjectPublicKeyInfo: an algorithm and whole bytes of a key, of whatever kind. @returns DER @throws DerFault */
export function readSpki(span: Span): Uint8Array {
  const members = new Members(spansOf(expect(span, TAG.sequence).content));
  expect(spansOf(members.take(TAG.sequence).content)[0], TAG.oid);
  wholeBits(members.take(TAG.bitString));
  members.end();
  return span.raw;
}
