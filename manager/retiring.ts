/**
 * Retires suites: live sessions move to another one by a new grant, both devices holding keys meanwhile; what has not moved
 * ends on the day.
 */
import { schedule } from '../protocol/deadlines.ts';
import { type SuitePattern, spellSuitePattern, suiteFits } from '../protocol/suite-pattern.ts';
import { CIPHERS, type Suite } from '../protocol/suites.ts';
import { type EpochSeconds, later, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { type Flow, suiteInUse } from './flow.ts';
import { commit, log } from './outbox.ts';
import { retirementChange } from './registry.ts';
import type { Retirement } from './retirement.ts';
import { type Choice, chooseSuite } from './selection.ts';
import { isLive, stepSession } from './sessions.ts';
import { type ManagerState, mayBeLinked, type Session } from './state.ts';
import type { Terms } from './terms.ts';
import { mayBeGranted } from './verdict-age.ts';

const LOOK_EVERY = seconds(5);
const GO_ON_AFTER = seconds(1);
/** In one turn: the manager has other work. */
const MOVES_AT_ONCE = 100;
const LOOKS_AT_ONCE = 2000;
/** Devices tell records of two epochs apart, not of three: the one before the last has to be gone. */
const OVERLAP = seconds(65);

/** What became of the wish: null, or why it is not on disk. */
export type Done = (failure: string | null) => void;

/** Once it is on disk: taken only when nothing else is common; from `by` on not at all. */
export function retire(state: ManagerState, pattern: SuitePattern, by: EpochSeconds, done: Done = () => {}): void {
  const suite = spellSuitePattern(pattern);
  commit(state, [retirementChange(suite, by)], { next: 'retirement', retirement: { pattern, by }, done });
}

/** @returns whether it was retiring or retired */
export function reinstate(state: ManagerState, pattern: SuitePattern, done: Done = () => {}): boolean {
  const suite = spellSuitePattern(pattern);
  if (!state.retirements.has(suite)) return false;
  commit(state, [retirementChange(suite, null)], { next: 'retirement', retirement: { pattern, by: null }, done });
  return true;
}

export function retirementStored(
  state: ManagerState,
  { pattern, by }: { readonly pattern: SuitePattern; readonly by: EpochSeconds | null },
  world: World,
): void {
  const suite = spellSuitePattern(pattern);
  if (by === null) {
    state.retirements.delete(suite);
    log(state, 'info', 'suite.reinstated', { suite });
    return;
  }
  state.retirements.set(suite, { pattern, by });
  log(state, 'warn', 'suite.retiring', { suite, by: new Date(by * 1000).toISOString() });
  schedule(state.deadlines, 'retirements', world.now);
}

/** Moves some sessions; ends those whose suite is retired and that have not moved. */
export function retirementsDue(state: ManagerState, world: World): void {
  if (state.retirements.size === 0) return;
  const all = [...sessionsOn(state)];
  // in turns, so that those which cannot move keep nobody from it
  const from = state.retirementsSeen;
  let acts = 0;
  for (const [sid, session] of all.slice(from)) {
    if (acts >= MOVES_AT_ONCE || state.retirementsSeen - from >= LOOKS_AT_ONCE) {
      return schedule(state.deadlines, 'retirements', later(world.now, GO_ON_AFTER));
    }
    state.retirementsSeen++;
    if (moveOrEnd(state, sid, session, world)) acts++;
  }
  state.retirementsSeen = 0;
  schedule(state.deadlines, 'retirements', later(world.now, LOOK_EVERY));
}

function moveOrEnd(state: ManagerState, sid: string, { flow }: Session, world: World): boolean {
  const { caller, callee } = flow.terms;
  const reachable = mayBeLinked(state, caller.id) && mayBeLinked(state, callee.id);
  const choice =
    reachable && mayBeGranted(state, flow.terms, world) && mayMove(flow, world)
      ? otherChoice(state, flow, world)
      : null;
  if (choice?.match.matched) {
    const { suite, keyMode, rule } = choice.match;
    stepSession(state, sid, { type: 'move', to: { suite, keyMode, rule, decision: choice.decision } }, world);
    return true;
  }
  if (!isRetired(state, suiteInUse(flow), world)) return false;
  log(state, 'warn', 'session.suite-retired', { sid, caller: caller.id, callee: callee.id });
  stepSession(state, sid, { type: 'endAsked', by: null, reason: 'no-common-suite' }, world);
  return true;
}

/** One move after the other: the first has been seen at work on both sides, or its old keys are gone. */
function mayMove(flow: Flow, world: World): boolean {
  if (flow.state !== 'granted') return false;
  const settled = Number.isFinite(flow.at) && world.now >= later(flow.at, OVERLAP);
  return flow.epoch === 0 || flow.up.length === 2 || settled;
}

/** Live sessions whose devices use a suite that is to go. */
export function* sessionsOn(state: ManagerState): Iterable<readonly [string, Session]> {
  const retirements = [...state.retirements.values()];
  for (const entry of state.sessions) {
    const { flow } = entry[1];
    if (isLive(flow) && fitsOne(suiteInUse(flow), retirements)) yield entry;
  }
}

/** @returns a choice that is not to go, or null @param alsoRetiring  as if these were to go as well */
export function otherChoice(
  state: ManagerState,
  flow: Flow,
  world: World,
  alsoRetiring: readonly SuitePattern[] = [],
): Choice | null {
  const { caller, callee } = flow.terms;
  if (!state.registrations.has(caller.id) || !state.registrations.has(callee.id)) return null;
  const choice = chooseSuite(state, caller.id, callee.id, wishesOf(flow.terms, suiteInUse(flow)), world, alsoRetiring);
  return choice.match.matched && !choice.match.retiring ? choice : null;
}

/** What the caller wished for; a session that encrypts never moves to a suite that does not. */
const wishesOf = ({ decision }: Terms, inUse: Suite) => ({
  allowUnencrypted: !CIPHERS[inUse.cipher].encrypts && decision?.allowUnencrypted === true,
  messageBytes: decision?.messageBytes ?? null,
});

const isRetired = (state: ManagerState, suite: Suite, world: World): boolean =>
  fitsOne(
    suite,
    [...state.retirements.values()].filter(({ by }) => by <= world.wall),
  );

const fitsOne = (suite: Suite, retirements: readonly Retirement[]): boolean =>
  retirements.some(({ pattern }) => suiteFits(suite, pattern));
