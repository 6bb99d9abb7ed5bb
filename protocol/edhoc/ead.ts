/**
 * External authorization data: labelled items that ride in the four messages under their protection.
 * @spec RFC 9528 §3.8
 */
import { type CborItem, encodeSequence } from '../cbor.ts';
import { ProtocolError } from '../errors.ts';

export interface EadItem {
  /** 1 and above: what the item means. 0, padding, never reaches the application. */
  readonly label: number;
  /** A receiver that does not know a critical label ends the exchange; on the wire its sign is negative. */
  readonly critical: boolean;
  readonly value: Uint8Array | null;
}

/** Implementation limit, padding included. */
const MOST_ITEMS = 8;
const MOST_LABEL = 0xffff_ffff;

/** @returns the items as a CBOR sequence, empty when there are none */
export function encodeEad(items: readonly EadItem[]): Uint8Array {
  if (items.length > MOST_ITEMS) throw new RangeError(`${items.length} EAD items, at most ${MOST_ITEMS}`);
  const sequence: CborItem[] = [];
  for (const { label, critical, value } of items) {
    if (!Number.isInteger(label) || label < 1 || label > MOST_LABEL) throw new RangeError(`EAD label ${label}`);
    sequence.push(critical ? -label : label);
    if (value !== null) sequence.push(value);
  }
  return encodeSequence(sequence);
}

/** Reads ( ead_label : int, ? ead_value : bstr )*, leaving out padding. @throws ProtocolError malformed */
export function parseEad(sequence: readonly CborItem[]): EadItem[] {
  const items: EadItem[] = [];
  let count = 0;
  for (let at = 0; at < sequence.length; at++) {
    const label = sequence[at];
    if (typeof label !== 'number' || Math.abs(label) > MOST_LABEL) {
      throw new ProtocolError('malformed', 'an EAD item does not begin with a label');
    }
    if (++count > MOST_ITEMS) throw new ProtocolError('malformed', `more than ${MOST_ITEMS} EAD items`);
    const next = sequence[at + 1];
    const value = next instanceof Uint8Array ? next : null;
    if (value !== null) at++;
    if (label !== 0) items.push({ label: Math.abs(label), critical: label < 0, value });
  }
  return items;
}

/**
 * The rule of criticality; the application calls it with the labels that it reads in this message.
 * @throws ProtocolError malformed for a critical item outside `known`, and for a known label that comes twice
 * @spec RFC 9528 §3.8
 */
export function checkEad(items: readonly EadItem[], known: ReadonlySet<number>): void {
  const seen = new Set<number>();
  for (const { label, critical } of items) {
    if (!known.has(label)) {
      if (critical) throw new ProtocolError('malformed', `critical EAD item ${label} is not known here`);
      continue;
    }
    if (seen.has(label)) throw new ProtocolError('malformed', `EAD item ${label} comes twice`);
    seen.add(label);
  }
}
