/**
 * When links that have not logged in may pass a message to the manager: at a pace, in turns (broker/waiting-room.ts), and
 * more slowly while the manager is behind. So garbage queues up here, where addresses take turns, and not before the
 * manager, where everybody stands in one line. [5.6 handshake floods]
 */

import type { Millis } from '../protocol/units.ts';
import type { Limits } from './limits.ts';
import { enterRoom, leaveRoom, nextTurns, passTurn, untilNextTurn, waitingRoom } from './waiting-room.ts';

export interface LoginTurnsParts<L> {
  readonly limits: Limits;
  readonly now: () => Millis;
  /** @returns what takes it back */
  readonly later: (act: () => void, ms: number) => () => void;
  /** Messages that the manager has not acknowledged. */
  readonly unacknowledged: () => number;
  /** The link's turn has come. */
  readonly come: (link: L) => void;
}

export interface LoginTurns<L> {
  /** @returns false when the link has to wait until it is told */
  ask(link: L, address: string): boolean;
  /** The link is logged in, or gone. */
  leave(link: L, address: string): void;
  /** The manager has acknowledged something. */
  acknowledged(): void;
  close(): void;
}

/** By how much turns come later while the manager is behind. */
const SLOWER_WHEN_BEHIND = 10;

export function loginTurns<L>({ limits, now, later, unacknowledged, come }: LoginTurnsParts<L>): LoginTurns<L> {
  const perSecond = limits.loginMessagesPerSecond;
  const room = waitingRoom<L>(perSecond, now());
  let pending: { readonly cancel: () => void; readonly slow: boolean } | null = null;
  const places = (): number => limits.managerBehind - unacknowledged();

  const schedule = (): void => {
    if (pending !== null) return;
    const waitMs = untilNextTurn(room);
    if (waitMs === null) return;
    const slow = places() <= 0;
    const leastMs = slow ? (SLOWER_WHEN_BEHIND * 1000) / perSecond : 0;
    pending = { cancel: later(give, Math.ceil(Math.max(waitMs, leastMs))), slow };
  };
  const stop = (): void => {
    pending?.cancel();
    pending = null;
  };
  function give(): void {
    pending = null;
    for (const link of nextTurns(room, now(), Math.max(1, places()))) come(link);
    schedule();
  }

  return {
    ask(link, address) {
      if (places() > 0 && passTurn(room, now())) return true;
      enterRoom(room, link, address);
      schedule();
      return false;
    },
    leave: (link, address) => leaveRoom(room, link, address),
    acknowledged() {
      if (pending?.slow !== true || places() <= 0) return;
      stop();
      schedule();
    },
    close: stop,
  };
}
