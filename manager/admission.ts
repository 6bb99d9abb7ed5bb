/**
 * Who comes in when all come at once: so many exchanges in a second, and so many at a time, in the order in which they
 * asked. Whoever would wait longer than a moment is told when to come again and has its turn then. Resumptions and full
 * logins stand in lines of their own; while the first is busy, the second moves at a quarter of its pace.
 * @spec docs/decisions/0011-reconnect-storm.md
 */
import { later, Millis, seconds } from '../protocol/units.ts';

/** Exchanges in a second that are let in. */
export interface Pace {
  readonly resumptionsPerSecond: number;
  readonly loginsPerSecond: number;
}

/** What a manager and a broker on two cores do beside everything else. */
export const DEFAULT_PACE: Pace = { resumptionsPerSecond: 500, loginsPerSecond: 200 };

export type LineName = 'resumption' | 'login';

interface Waiting {
  readonly exchange: number;
  readonly party: string;
  readonly turn: Millis;
}

export interface Line {
  /** Infinity: nobody waits. */
  readonly perSecond: number;
  /** No turn is given out that is further away. */
  readonly horizon: Millis;
  /** Exchanges let in and not over, with the time at which their place is free whatever becomes of them. */
  readonly underWay: Map<number, Millis>;
  /** By turn, the earliest first; who left stays in here until its turn comes. */
  readonly queue: Waiting[];
  /** Of `queue`, those that are still there. */
  readonly present: Set<number>;
  /** Who was told to come again, and when. */
  readonly turns: Map<string, Millis>;
  /** The next turn that can be given out. */
  nextTurn: Millis;
  /** Nobody is let in before. */
  nextEntry: Millis;
  readonly counted: {
    letIn: number;
    turnedAway: number;
    readonly second: { from: Millis; letIn: number };
    busiest: number;
  };
}

export type Admission = Readonly<Record<LineName, Line>>;

/** The longest that anybody is told to wait. */
export const LONGEST_WAIT = seconds(30);
/** A new link is closed by the broker when it has not logged in after 10 s, so its turn has to come before. */
const LOGIN_HORIZON = seconds(5);
/** Whoever's turn comes within this waits here; it is less than what an agent waits before it repeats itself. */
const MOMENT = seconds(0.9);
/** What was not used of the pace may be used at once. */
const BURST_MS = 100;
/** An exchange whose peer has fallen silent holds its place no longer. */
const PLACE_HELD = seconds(2);
/** Share of a second's exchanges that may be under way at once: more would only make each of them slower. */
const AT_ONCE = 0.5;
/** While resumptions wait, logins keep this share of their pace. */
const LOGINS_BESIDE = 0.25;
/** A turn that was not taken is forgotten after this. */
const TURN_KEPT = seconds(10);

export function newAdmission(pace: Pace | undefined): Admission {
  return {
    resumption: newLine(pace?.resumptionsPerSecond ?? Number.POSITIVE_INFINITY, LONGEST_WAIT),
    login: newLine(pace?.loginsPerSecond ?? Number.POSITIVE_INFINITY, LOGIN_HORIZON),
  };
}

const newLine = (perSecond: number, horizon: Millis): Line => ({
  perSecond,
  horizon,
  underWay: new Map(),
  queue: [],
  present: new Set(),
  turns: new Map(),
  nextTurn: Millis(Number.NEGATIVE_INFINITY),
  nextEntry: Millis(Number.NEGATIVE_INFINITY),
  counted: { letIn: 0, turnedAway: 0, second: { from: Millis(0), letIn: 0 }, busiest: 0 },
});

export type Place =
  | { readonly place: 'in' }
  | { readonly place: 'queue' }
  /** Nothing was noted of the exchange; its peer is to come again. */
  | { readonly place: 'later'; readonly after: Millis };

/**
 * Asks for a place.
 * @param key    whose turn it is if it comes again: a device that has proven itself, or a link
 * @param share  0 up to 1, random: spreads those for whom there is no turn
 */
export function ask(
  admission: Admission,
  name: LineName,
  who: { readonly exchange: number; readonly party: string; readonly key: string },
  now: Millis,
  share: number,
): Place {
  const line = admission[name];
  // turns that nobody takes must not keep others out
  if (line.present.size === 0 && hasPlace(line, now)) {
    line.turns.delete(who.key);
    letIn(line, who.exchange, now);
    return { place: 'in' };
  }
  const turn = line.turns.get(who.key) ?? newTurn(admission, name, now);
  const wait = turn - now;
  if (wait > line.horizon) {
    line.counted.turnedAway++;
    return { place: 'later', after: Millis(line.horizon * (0.5 + share / 2)) };
  }
  const full = line.present.size >= Math.max(1, (line.perSecond * MOMENT) / 1000);
  if (wait > MOMENT || full) {
    forgetTurns(line, now);
    // at the end, so that the map stays in the order of time
    line.turns.delete(who.key);
    line.turns.set(who.key, turn);
    line.counted.turnedAway++;
    return { place: 'later', after: Millis(Math.max(wait, MOMENT * (0.5 + share / 2))) };
  }
  line.turns.delete(who.key);
  enqueue(line, { exchange: who.exchange, party: who.party, turn });
  return { place: 'queue' };
}

/** @returns the next free turn, which is taken unless it lies beyond the horizon */
function newTurn(admission: Admission, name: LineName, now: Millis): Millis {
  const line = admission[name];
  const beside = name === 'login' && isBusy(admission.resumption, now) ? LOGINS_BESIDE : 1;
  const turn = Millis(Math.max(line.nextTurn, now - BURST_MS));
  if (turn - now <= line.horizon) line.nextTurn = Millis(turn + 1000 / (line.perSecond * beside));
  return turn;
}

function isBusy(line: Line, now: Millis): boolean {
  forgetTurns(line, now);
  return line.present.size > 0 || line.turns.size > 0;
}

function forgetTurns({ turns }: Line, now: Millis): void {
  for (const [key, turn] of turns) {
    if (now < later(turn, TURN_KEPT)) return;
    turns.delete(key);
  }
}

function letIn(line: Line, exchange: number, now: Millis): void {
  const { underWay, perSecond, counted } = line;
  underWay.set(exchange, later(now, PLACE_HELD));
  line.nextEntry = Millis(Math.max(line.nextEntry, now - BURST_MS) + 1000 / perSecond);
  counted.letIn++;
  if (now - counted.second.from >= 1000) Object.assign(counted.second, { from: now, letIn: 0 });
  counted.busiest = Math.max(counted.busiest, ++counted.second.letIn);
}

/** @returns whether one more may be let in now; places whose time is over are free */
function hasPlace({ underWay, perSecond, nextEntry }: Line, now: Millis): boolean {
  if (now < nextEntry) return false;
  const most = Math.max(1, perSecond * AT_ONCE);
  if (underWay.size < most) return true;
  for (const [exchange, until] of underWay) {
    if (until > now) break;
    underWay.delete(exchange);
  }
  return underWay.size < most;
}

function enqueue({ queue, present }: Line, waiting: Waiting): void {
  let at = queue.length;
  while (at > 0 && queue[at - 1]!.turn > waiting.turn) at--;
  queue.splice(at, 0, waiting);
  present.add(waiting.exchange);
}

/** The exchange is over, or was never to be. */
export function leave(admission: Admission, exchange: number): void {
  for (const { underWay, present } of [admission.resumption, admission.login]) {
    underWay.delete(exchange);
    present.delete(exchange);
  }
}

/** @returns the exchanges whose turn has come, with their parties; they are in */
export function takeNext(admission: Admission, now: Millis): { readonly exchange: number; readonly party: string }[] {
  const next: Waiting[] = [];
  for (const line of [admission.resumption, admission.login]) {
    const { queue, present } = line;
    for (let first = queue[0]; first !== undefined; first = queue[0]) {
      if (present.has(first.exchange)) {
        if (first.turn > now || !hasPlace(line, now)) break;
        present.delete(first.exchange);
        letIn(line, first.exchange, now);
        next.push(first);
      }
      queue.shift();
    }
  }
  return next;
}

/** @returns when `takeNext` has something to do at the latest, or null: nobody waits */
export function nextTurnAt(admission: Admission): Millis | null {
  let soonest: Millis | null = null;
  for (const { queue, underWay, perSecond, nextEntry } of [admission.resumption, admission.login]) {
    const first = queue[0];
    if (first === undefined) continue;
    const [free] = underWay.size < Math.max(1, perSecond * AT_ONCE) ? [] : underWay.values();
    const at = Millis(Math.max(first.turn, nextEntry, free ?? 0));
    soonest = soonest === null ? at : Millis(Math.min(soonest, at));
  }
  return soonest;
}

/** How many more could be asked to come now without having to wait. */
export function roomFor({ resumption }: Admission): number {
  return Math.max(0, Math.ceil((resumption.perSecond * MOMENT) / 2000) - resumption.present.size);
}

/** For `status`. */
export const showLine = ({ present, turns, counted }: Line) => ({
  waiting: present.size,
  toldToComeAgain: turns.size,
  letIn: counted.letIn,
  turnedAway: counted.turnedAway,
  mostInASecond: counted.busiest,
});
