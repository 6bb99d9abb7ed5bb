/**
 * What the match is measured on: pairs of devices whose proposals have ranges, lists of hashes, priorities and costs, and
 * rules of which none but the last applies. Drawn with a fixed seed, each proposal alone: how many of all pairs of proposals
 * meet is the same for short lists and for long ones.
 */
import type { Subject } from '../manager/policy.ts';
import type { Rule, Rules, When } from '../manager/rules.ts';
import type { HashName } from '../protocol/crypto.ts';
import { match } from '../protocol/matching.ts';
import type { Proposal } from '../protocol/messages.ts';
import { type OfferList, offersOf } from '../protocol/proposal.ts';
import { DEFAULT_SELECTION, type Selection } from '../protocol/selection.ts';
import { CIPHERS, type Cipher, HASH_WIRE } from '../protocol/suites.ts';
import { timeWindow } from '../protocol/time-window.ts';
import { type DeviceId, EpochSeconds } from '../protocol/units.ts';

export interface Device {
  readonly subject: Subject;
  readonly proposals: readonly Proposal[];
  readonly offers: OfferList;
}

export interface Couple {
  readonly caller: Device;
  readonly callee: Device;
}

/** A Monday, 10:00 UTC. */
export const WALL = EpochSeconds(Date.UTC(2026, 10, 23, 10) / 1000);

/** As often as a fleet might have them. */
const CIPHER_LOTS: readonly Cipher[] = ['aes-gcm', 'aes-gcm', 'chacha20-poly1305', 'aes-ccm', 'aes-ctr-hmac'];
const KEY_LOTS: readonly Pick<Proposal, 'keyBits' | 'minKeyBits' | 'maxKeyBits'>[] = [
  { minKeyBits: 128 },
  { minKeyBits: 64 },
  { minKeyBits: 256 },
  { minKeyBits: 128, maxKeyBits: 256 },
  { keyBits: [128, 256] },
];
const HASH_LOTS: readonly (readonly HashName[])[] = [
  ['sha-256'],
  ['sha-256', 'sha-384'],
  ['sha-384', 'sha-256'],
  ['sha-512', 'sha-384', 'sha-256'],
];
/** Of a small board without and with AES instructions, and of a server; most say nothing. */
const COST_LOTS: readonly Proposal['cost'][] = [
  undefined,
  undefined,
  { picosPerOp: 9_000_000, picosPerByte: 4100 },
  { picosPerOp: 7_500_000, picosPerByte: 1200 },
  { picosPerOp: 3_100_000, picosPerByte: 310 },
];
const CLASS_LOTS = ['router', 'pc', 'phone', 'pda', 'television', 'refrigerator'] as const;

/** Mulberry32: the same lots in every run. */
function lots(seed: number): <T>(from: readonly T[]) => T {
  let state = seed;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  return (from) => from[Math.floor(next() * from.length)]!;
}

/** @param length  of each list; both lists of a couple have a suite in common */
export function couples(count: number, length: number): readonly Couple[] {
  const draw = lots(length);
  const device = (name: string): Device => {
    const proposals = Array.from({ length }, (_, index): Proposal => {
      const cipher = draw(CIPHER_LOTS);
      const tagBits = draw([undefined, undefined, draw(CIPHERS[cipher].tagBits)]);
      const of = { ...draw(KEY_LOTS), hashes: draw(HASH_LOTS), tagBits, cost: draw(COST_LOTS) };
      return { cipher, ...of, keyMode: draw(['seed', 'seed', 'seed', 'key']), priority: draw([index + 1, undefined]) };
    });
    const subject = {
      id: name as DeviceId,
      class: draw(CLASS_LOTS),
      groups: ['house', draw(['attic', 'hall'])],
      user: null,
    };
    return { subject, proposals, offers: offersOf(proposals) };
  };
  const drawn: Couple[] = [];
  while (drawn.length < count) {
    const couple = { caller: device(`caller-${drawn.length}.home`), callee: device(`callee-${drawn.length}.home`) };
    if (match(couple.caller.offers, couple.callee.offers).matched) drawn.push(couple);
  }
  return drawn;
}

/** All that a registration may hold, and all of it meets: every cipher length and hash in every proposal. */
export function heaviestCouple(length: number): Couple {
  const hashes = Object.keys(HASH_WIRE) as HashName[];
  const device = (name: string, cost: number): Device => {
    const proposals = Array.from(
      { length },
      (_, index): Proposal => ({
        cipher: 'aes-ctr-hmac',
        minKeyBits: 128,
        // nothing is equal to its neighbour, so that nothing can be told apart by looking once
        hashes: index % 2 === 0 ? hashes : [...hashes].reverse(),
        keyMode: 'seed',
        cost: index % 3 === 0 ? undefined : { picosPerOp: cost - index, picosPerByte: 1000 + index },
      }),
    );
    const subject = { id: name as DeviceId, class: null, groups: [], user: null };
    return { subject, proposals, offers: offersOf(proposals) };
  };
  return { caller: device('heavy-1.home', 7_000_000), callee: device('heavy-2.home', 8_000_000) };
}

const NIGHT = timeWindow({
  fromMinute: 22 * 60,
  toMinute: 6 * 60,
  days: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'],
  timeZone: 'Europe/Berlin',
});
/** In turn: by class, by group, by id, of one side, either and both. None applies to a couple drawn here. */
const WHENS: readonly ((at: number) => When)[] = [
  (at) => ({ callee: { class: `camera-${at}` } }),
  (at) => ({ caller: { class: 'router' }, callee: { group: `floor-${at}` } }),
  (at) => ({ either: { id: `plant-${at}-*.factory.example` } }),
  (at) => ({ both: { group: `floor-${at}` } }),
  (at) => ({ caller: { id: `*.site-${at}.example` } }),
];

/** So many rules, the last of which applies; one holds at night only. Without rules the default decides. */
export function rulesOf(count: number, selection: Selection): Rules {
  const named = (at: number): Selection => ({ ...DEFAULT_SELECTION, name: `rule ${at + 1}` });
  const rules = Array.from({ length: count }, (_, at): Rule => {
    if (at === count - 1) return { when: { both: { group: 'house' } }, selection };
    if (at === Math.floor(count / 2)) return { when: { time: NIGHT }, selection: named(at) };
    return { when: WHENS[at % WHENS.length]!(at), selection: named(at) };
  });
  return { rules, otherwise: count === 0 ? selection : DEFAULT_SELECTION, digest: null };
}
