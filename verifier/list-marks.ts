/**
 * The marks of every certificate that the lists in force name. A list of 100,000 entries costs half a second once; of its next
 * edition only what is new in it.
 */
import { fromHex } from '../protocol/bytes.ts';
import { nameKey, type ParsedCertificate, type ParsedCrl, sameName } from '../protocol/certificate.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { issuerMarks } from '../protocol/revocation-mark.ts';

export interface MarkedList {
  /** Kept from edition to edition. */
  readonly key: string;
  /** Equal for a list and the deltas to it. */
  readonly baseKey: string;
  readonly crl: ParsedCrl;
  readonly signer: ParsedCertificate;
}

export type MayName = (signer: ParsedCertificate, issuer: ParsedCertificate['subject']) => boolean;

interface Marked extends MarkedList {
  /** Of an indirect list: whom it names, and may; changes as CAs become known. */
  readonly issuers: string;
  /** By issuer and serial number. */
  readonly revoked: ReadonlyMap<string, string>;
  /** Marks of what a delta takes off its list. */
  readonly removed: readonly string[];
}

/** @returns what gives the marks of these lists: the same set as before unless other certificates are named */
export function listMarks(crypto: Crypto, mayName: MayName): (lists: readonly MarkedList[]) => ReadonlySet<string> {
  let known = new Map<string, Marked>();
  let union: ReadonlySet<string> = new Set();
  return (lists) => {
    const before = known;
    const changed =
      lists.length !== before.size ||
      lists.some((list) => {
        const known = before.get(list.key);
        return known?.crl !== list.crl || known.issuers !== issuersOf(list, mayName);
      });
    if (!changed) return union;
    known = new Map(lists.map((list) => [list.key, markOf(crypto, mayName, list, before.get(list.key))]));
    const all = unite([...known.values()]);
    if (!isSame(all, union)) union = all;
    return union;
  };
}

/** What a delta takes off counts for the very list that it is made for. [RFC 5280 §5.2.4] */
function unite(lists: readonly Marked[]): ReadonlySet<string> {
  const removals = lists.filter(({ removed }) => removed.length > 0);
  const all = new Set<string>();
  for (const list of lists) {
    const off = new Set(removals.filter((delta) => appliesTo(delta, list)).flatMap(({ removed }) => removed));
    for (const mark of list.revoked.values()) if (!off.has(mark)) all.add(mark);
  }
  return all;
}

function isSame(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  if (a.size !== b.size) return false;
  for (const mark of a) if (!b.has(mark)) return false;
  return true;
}

function appliesTo(delta: Marked, { baseKey, crl }: Marked): boolean {
  const { deltaBase, number } = delta.crl;
  if (deltaBase === null || number === null || crl.deltaBase !== null || crl.number === null) return false;
  return delta.baseKey === baseKey && deltaBase <= crl.number && crl.number <= number;
}

/** Spelled as one text. */
function issuersOf({ crl, signer }: MarkedList, mayName: MayName): string {
  if (crl.scope?.indirect !== true) return '';
  return crl.revoked.map(({ issuer }) => (mayName(signer, issuer) ? '1' : '0')).join('');
}

function markOf(crypto: Crypto, mayName: MayName, list: MarkedList, before: Marked | undefined): Marked {
  const { crl } = list;
  const issuers = issuersOf(list, mayName);
  if (before?.crl === crl && before.issuers === issuers) return before;
  const revoked = new Map<string, string>();
  const removed: string[] = [];
  for (const { issuer, entries } of crl.revoked) {
    // of somebody else's certificates an indirect list alone may speak
    if (!sameName(issuer, crl.issuer) && (crl.scope?.indirect !== true || !mayName(list.signer, issuer))) continue;
    const mark = issuerMarks(crypto, issuer);
    const prefix = sameName(issuer, crl.issuer) ? '' : `${nameKey(issuer)} `;
    for (const [serial, reason] of entries) {
      const key = `${prefix}${serial}`;
      const made = before?.revoked.get(key) ?? mark(fromHex(serial));
      if (crl.deltaBase !== null && reason === 'removeFromCRL') removed.push(made);
      else revoked.set(key, made);
    }
  }
  return { ...list, issuers, revoked, removed };
}
