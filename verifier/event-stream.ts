/**
 * The numbered events that a verifier process tells: what is newly revoked, at once and in parts; otherwise that it lives.
 */
import { concat, encodeUtf8, equal, fromHex, toHex } from '../protocol/bytes.ts';
import type { ParsedCertificate } from '../protocol/certificate.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { INSTANCE_BYTES } from '../protocol/message-values.ts';
import { MAX_MARKS, type RevocationEvent } from '../protocol/verifier-messages.ts';
import type { World } from '../protocol/world.ts';

/** What events are about: everything that may turn a good verdict bad between two questions. */
export interface Revoked {
  readonly anchors: readonly ParsedCertificate[];
  /** Hex marks of certificates. */
  readonly revokedMarks: ReadonlySet<string>;
  /** Hex marks of keys. */
  readonly revokedKeys: ReadonlySet<string>;
}

export interface EventStream {
  /** From the next events on. */
  adopt(revoked: Revoked): void;
  /** @returns the news since the last call; one sign of life when there is none */
  next(world: World): RevocationEvent[];
}

/** @param initial  counts as told: a manager that hears a new process compares states instead */
export function eventStream(initial: Revoked): EventStream {
  let told = initial;
  let pending: Revoked | null = null;
  let number = 0;
  let beat = 0;
  let instance: Uint8Array | null = null;
  let state: State | null = null;

  return {
    adopt(revoked) {
      pending = revoked;
    },
    next({ crypto, wall: time }) {
      instance ??= crypto.random(INSTANCE_BYTES);
      state ??= stateOf(crypto, told, null);
      if (pending === null) return [{ instance, beat: beat++, number, time, state: state.digest }];
      const now = pending;
      const marks = newMarks(told, now);
      // what was issued under an anchor that is gone bears no mark: a number that is left out has everybody judged anew
      if (someAnchorGone(told, now)) number++;
      told = now;
      pending = null;
      const before = state;
      state = stateOf(crypto, now, before);
      // a certificate that is no longer on hold brings no mark, but another state
      if (marks.length === 0 && !equal(before.digest, state.digest)) number++;
      if (marks.length === 0) return [{ instance, beat: beat++, number, time, state: state.digest }];
      const events: RevocationEvent[] = [];
      for (let at = 0; at < marks.length; at += MAX_MARKS) {
        number++;
        const more = at + MAX_MARKS < marks.length ? true : undefined;
        events.push({
          instance,
          beat: beat++,
          number,
          time,
          state: state.digest,
          marks: marks.slice(at, at + MAX_MARKS),
          more,
        });
      }
      return events;
    },
  };
}

function newMarks(before: Revoked, now: Revoked): Uint8Array[] {
  const isNew = (mark: string): boolean => !before.revokedMarks.has(mark) && !before.revokedKeys.has(mark);
  return [...now.revokedMarks, ...now.revokedKeys].filter(isNew).map(fromHex);
}

const someAnchorGone = (before: Revoked, now: Revoked): boolean =>
  before.anchors.some(({ der }) => !now.anchors.some((anchor) => equal(anchor.der, der)));

interface State {
  readonly marks: Ordered;
  readonly keys: Ordered;
  /** Equal for two processes that call the same things revoked under the same anchors, whenever they began. */
  readonly digest: Uint8Array;
}

/** A set in ascending order, and its hash. */
interface Ordered {
  readonly set: ReadonlySet<string>;
  readonly order: readonly string[];
  readonly digest: Uint8Array;
}

function stateOf(crypto: Crypto, { anchors, revokedMarks, revokedKeys }: Revoked, before: State | null): State {
  const roots = ordered(crypto, new Set(anchors.map(({ der }) => toHex(crypto.hash('sha-256', der)))), null);
  const marks = ordered(crypto, revokedMarks, before?.marks ?? null);
  const keys = ordered(crypto, revokedKeys, before?.keys ?? null);
  return { marks, keys, digest: crypto.hash('sha-256', concat(roots.digest, marks.digest, keys.digest)) };
}

/** What stays keeps its order, and two runs in order are merged, not sorted: one mark more among 100,000 costs 60 ms, not 200. */
function ordered(crypto: Crypto, set: ReadonlySet<string>, before: Ordered | null): Ordered {
  if (before?.set === set) return before;
  const staying = before?.order.filter((one) => set.has(one)) ?? [];
  const fresh = [...set].filter((one) => before?.set.has(one) !== true).sort();
  const order = [...staying, ...fresh].sort();
  return { set, order, digest: crypto.hash('sha-256', encodeUtf8(order.join())) };
}
