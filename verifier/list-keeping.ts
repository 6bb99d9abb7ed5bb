/**
 * Which revocation lists are in force: of each issuer and scope the newest that was ever proven, whatever place it came from.
 * A list that is broken, forged or older changes nothing. One that nobody known has signed is held: it counts for a
 * certificate whose issuer proves it, and for more once that issuer is known.
 */
import { equal, toHex } from '../protocol/bytes.ts';
import { type ParsedCertificate, type ParsedCrl, sameName } from '../protocol/certificate.ts';
import type { Crypto } from '../protocol/crypto.ts';
import type { EpochSeconds } from '../protocol/units.ts';
import type { KnownSigners } from './known-signers.ts';
import { listMarks } from './list-marks.ts';
import { baseName, issuerOf, listName } from './list-scope.ts';

/** The newest list of an issuer's key and a scope that was ever in force: nothing older is taken again. */
export interface SeenList {
  /** Of `issuer, key, scope`. */
  readonly key: string;
  readonly number: bigint | null;
  readonly thisUpdate: EpochSeconds;
  /** Hex SHA-256 of the signed part. */
  readonly digest: string;
}

export interface ProvenList extends SeenList {
  /** Equal for a list and the deltas to it. */
  readonly baseKey: string;
  readonly crl: ParsedCrl;
  readonly signer: ParsedCertificate;
}

export interface Taken {
  /** Why the whole of it is refused; null: what it holds is in force, or held. */
  readonly fault: string | null;
  /** Whether anything is in force or held that was not before. */
  readonly changed: boolean;
  /** What is newly in force. */
  readonly proven: readonly ProvenList[];
}

export interface TakeOptions {
  readonly at: EpochSeconds;
  /** Whether what the place held before has to be in there still. */
  readonly whole: boolean;
}

export interface ListKeeping {
  /** Takes all that a place holds now, or nothing of it. @param place  file or URL */
  take(place: string, fresh: readonly ParsedCrl[], options: TakeOptions): Taken;
  /** Looks again at what is held, for somebody new is known. */
  provenNow(): Pick<Taken, 'changed' | 'proven'>;
  /** In force, and held. */
  lists(): readonly ParsedCrl[];
  /** In force. */
  proven(): readonly ProvenList[];
  /** What came last from that place and was not refused. */
  of(place: string): readonly ParsedCrl[];
  /** Of every certificate that a list in force names. */
  marks(): ReadonlySet<string>;
}

/** Implementation limits. */
const MAX_PROVEN = 1024;
const MAX_LISTS_OF_PLACE = 256;
/** Of one key, so that no CA takes the place of another one's first list. */
const MAX_LISTS_OF_SIGNER = 256;
/** Of one issuer in one place: whose signature nobody can check yet costs every question about his certificates. */
const MAX_HELD_OF_ISSUER = 8;
/** How far the clock of a CA may be ahead. */
const CLOCK_SKEW_SECONDS = 300;

/** @param remembered  what was seen before this process began */
export function listKeeping(crypto: Crypto, signers: KnownSigners, remembered: readonly SeenList[]): ListKeeping {
  const seen = new Map(remembered.map((one) => [one.key, one]));
  const inForce = new Map<string, ProvenList>();
  const places = new Map<string, readonly ParsedCrl[]>();
  const held = new Map<string, readonly ParsedCrl[]>();
  const marker = listMarks(crypto, signers.mayName);

  const describe = (crl: ParsedCrl, signer: ParsedCertificate): ProvenList => {
    const by = toHex(crypto.hash('sha-256', signer.spki));
    const digest = toHex(crypto.hash('sha-256', crl.tbs));
    const { number, thisUpdate } = crl;
    return {
      key: `${listName(crl)} ${by}`,
      baseKey: `${baseName(crl)} ${by}`,
      number,
      thisUpdate,
      digest,
      crl,
      signer,
    };
  };
  const enforce = (list: ProvenList): boolean => {
    if (inForce.get(list.key)?.digest === list.digest) return false;
    inForce.set(list.key, list);
    const { key, number, thisUpdate, digest } = list;
    seen.set(key, { key, number, thisUpdate, digest });
    return true;
  };
  const faultOf = (list: ProvenList): string | null => {
    const fault = orderFault(list, seen.get(list.key));
    if (fault !== null) return `the list of ${issuerOf(list.crl)} ${fault}`;
    if (inForce.has(list.key)) return null;
    if (inForce.size >= MAX_PROVEN) return `more than ${MAX_PROVEN} lists`;
    const ofSigner = [...inForce.values()].filter(({ signer }) => equal(signer.spki, list.signer.spki)).length;
    return ofSigner >= MAX_LISTS_OF_SIGNER ? `more than ${MAX_LISTS_OF_SIGNER} lists of ${issuerOf(list.crl)}` : null;
  };

  return {
    take(place, fresh, { at, whole }) {
      const refuse = (fault: string): Taken => ({ fault, changed: false, proven: [] });
      if (fresh.length > MAX_LISTS_OF_PLACE) return refuse(`more than ${MAX_LISTS_OF_PLACE} lists`);
      const found: ProvenList[] = [];
      const unknown: ParsedCrl[] = [];
      for (const crl of fresh) {
        if (crl.thisUpdate > at + CLOCK_SKEW_SECONDS) {
          return refuse(`the list of ${issuerOf(crl)} is from the future: is the clock of this machine right?`);
        }
        const signer = signers.signerOf(crl);
        if (signer === null && signers.isAnchor(crl)) {
          return refuse(`the list of ${issuerOf(crl)} is not signed by its issuer`);
        }
        if (signer === null) {
          unknown.push(crl);
          const alike = unknown.filter(({ issuer }) => sameName(issuer, crl.issuer)).length;
          if (alike > MAX_HELD_OF_ISSUER) {
            const remedy = 'is its CA among intermediateFiles?';
            return refuse(
              `more than ${MAX_HELD_OF_ISSUER} lists of ${issuerOf(crl)} that nobody known signed: ${remedy}`,
            );
          }
          continue;
        }
        const list = describe(crl, signer);
        const fault = faultOf(list);
        if (fault !== null) return refuse(fault);
        found.push(list);
      }
      const missing = (places.get(place) ?? []).find((old) => !fresh.some((crl) => listName(crl) === listName(old)));
      if (whole && missing !== undefined) return refuse(`the list of ${issuerOf(missing)} is missing`);
      const proven = found.filter(enforce);
      const before = held.get(place) ?? [];
      const same = before.length === unknown.length && before.every((crl, i) => sameBytes(crl, unknown[i]!));
      if (!same) held.set(place, unknown);
      places.set(place, fresh);
      return { fault: null, changed: proven.length > 0 || !same, proven };
    },
    provenNow() {
      const proven: ProvenList[] = [];
      let changed = false;
      for (const [place, unknown] of held) {
        const left = unknown.filter((crl) => {
          const signer = signers.signerOf(crl);
          if (signer === null) return true;
          const list = describe(crl, signer);
          // an older one that came meanwhile is let go
          if (faultOf(list) === null && enforce(list)) proven.push(list);
          return false;
        });
        changed ||= left.length < unknown.length;
        held.set(place, left);
      }
      return { changed, proven };
    },
    lists: () => [...[...inForce.values()].map(({ crl }) => crl), ...[...held.values()].flat()],
    proven: () => [...inForce.values()],
    of: (place) => places.get(place) ?? [],
    marks: () => marker([...inForce.values()]),
  };
}

/** By number; where one of the two has none, by date. @returns null when it is none of those that are too old */
function orderFault(list: SeenList, last: SeenList | undefined): string | null {
  if (last === undefined || last.digest === list.digest) return null;
  if (list.number !== null && last.number !== null) {
    if (list.number < last.number) return `is older than number ${last.number}, which is held`;
    return list.number === last.number ? `has number ${list.number} again, with other content` : null;
  }
  if (list.thisUpdate >= last.thisUpdate) return null;
  return `is older than that of ${new Date(last.thisUpdate * 1000).toISOString()}, which is held`;
}

function sameBytes(a: ParsedCrl, b: ParsedCrl): boolean {
  return a === b || equal(a.der, b.der);
}
