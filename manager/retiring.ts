/**
 * Retires suites: live sessions move to another one by a new grant, both devices holding keys meanwhile; what cannot move ends
 * on the day.
 */
import { schedule } from '../protocol/deadlines.ts';
import { type SuitePattern, spellSuitePattern, suiteFits } from '../protocol/suite-pattern.ts';
import { type EpochSeconds, later, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { commit, log } from './outbox.ts';
import { retirementChange } from './registry.ts';
import type { Retirement } from './retirement.ts';
import { chooseSuite } from './selection.ts';
import { stepSession } from './sessions.ts';
import { type ManagerState, mayBeLinked, type Session } from './state.ts';

const LOOK_EVERY = seconds(5);
/** In one turn: the manager has other work. */
const MOVES_AT_ONCE = 100;

/** From now on taken only when nothing else is common; from `by` on not at all. */
export function retire(state: ManagerState, pattern: SuitePattern, by: EpochSeconds, world: World): void {
  const suite = spellSuitePattern(pattern);
  state.retirements.set(suite, { pattern, by });
  commit(state, [retirementChange(suite, by)], { next: 'nothing' });
  log(state, 'warn', 'suite.retiring', { suite, by: new Date(by * 1000).toISOString() });
  for (const session of state.sessions.values()) delete session.stuck;
  schedule(state.deadlines, 'retirements', world.now);
}

/** @returns whether it was retiring or retired */
export function reinstate(state: ManagerState, pattern: SuitePattern): boolean {
  const suite = spellSuitePattern(pattern);
  if (!state.retirements.delete(suite)) return false;
  commit(state, [retirementChange(suite, null)], { next: 'nothing' });
  log(state, 'info', 'suite.reinstated', { suite });
  return true;
}

/** Moves some sessions; ends those whose suite is retired and that have no other. */
export function retirementsDue(state: ManagerState, world: World): void {
  if (state.retirements.size === 0) return;
  schedule(state.deadlines, 'retirements', later(world.now, LOOK_EVERY));
  let moves = 0;
  for (const [sid, session] of [...sessionsOn(state)]) {
    if (moves >= MOVES_AT_ONCE) return schedule(state.deadlines, 'retirements', later(world.now, seconds(1)));
    const { terms } = session.flow;
    const reachable = mayBeLinked(state, terms.caller.id) && mayBeLinked(state, terms.callee.id);
    const choice = reachable ? otherChoice(state, session, world) : null;
    if (choice?.match.matched) {
      const { suite, keyMode, rule } = choice.match;
      stepSession(state, sid, { type: 'move', to: { suite, keyMode, rule, decision: choice.decision } }, world);
      moves++;
    } else if (isRetired(state, session, world)) {
      log(state, 'warn', 'session.suite-retired', { sid, caller: terms.caller.id, callee: terms.callee.id });
      stepSession(state, sid, { type: 'endAsked', by: null, reason: 'no-common-suite' }, world);
      moves++;
    }
  }
}

/** Granted sessions whose suite is to go. */
export function* sessionsOn(state: ManagerState): Iterable<readonly [string, Session]> {
  const patterns = [...state.retirements.values()];
  for (const entry of state.sessions) {
    const { flow } = entry[1];
    if (flow.state === 'granted' && fitsOne(flow.terms.suite, patterns)) yield entry;
  }
}

/** @returns a choice that is not to go, or null; what was found out is remembered as long as lists and rules are the same */
export function otherChoice(
  state: ManagerState,
  session: Session,
  world: World,
): ReturnType<typeof chooseSuite> | null {
  const { caller, callee, decision } = session.flow.terms;
  const on = [state.registrations.get(caller.id), state.registrations.get(callee.id), state.rules] as const;
  if (on[0] === undefined || on[1] === undefined) return null;
  if (session.stuck?.on.every((one, at) => one === on[at])) return null;
  const wishes = {
    allowUnencrypted: decision?.allowUnencrypted ?? false,
    messageBytes: decision?.messageBytes ?? null,
  };
  const choice = chooseSuite(state, caller.id, callee.id, wishes, world);
  if (choice.match.matched && !choice.match.retiring) return choice;
  session.stuck = { on };
  return null;
}

function isRetired(state: ManagerState, { flow }: Session, world: World): boolean {
  const over = [...state.retirements.values()].filter(({ by }) => by <= world.wall);
  return fitsOne(flow.terms.suite, over);
}

const fitsOne = (suite: Parameters<typeof suiteFits>[0], retirements: readonly Retirement[]): boolean =>
  retirements.some(({ pattern }) => suiteFits(suite, pattern));
