/**
 * Who depends on a suite: devices that register nothing else, live sessions that have nothing else in common.
 */
import type { JsonValue } from '../platform/control-socket.ts';
import type { Offer } from '../protocol/proposal.ts';
import { type SuitePattern, spellSuitePattern, suiteFits } from '../protocol/suite-pattern.ts';
import { CIPHERS } from '../protocol/suites.ts';
import type { World } from '../protocol/world.ts';
import { chooseSuite, offers } from './selection.ts';
import type { ManagerState, Session } from './state.ts';

const MOST_NAMED = 50;
/** The manager has other work: of more sessions than these it is not said whether they can move. */
const MOST_EXAMINED = 5000;

export function showDependents(
  state: ManagerState,
  pattern: SuitePattern,
  world: World,
): { readonly [key: string]: JsonValue } {
  const only: string[] = [];
  let offering = 0;
  for (const [id, record] of state.registrations) {
    const list = offers(state, record).offers;
    if (list.some((offer) => touches(offer, pattern))) offering++;
    if (list.length > 0 && list.every((offer) => liesWithin(offer, pattern))) only.push(id);
  }
  const on = [...state.sessions].filter(([, { flow }]) => suiteFits(flow.terms.suite, pattern));
  const examined = on.slice(0, MOST_EXAMINED);
  const stuck = examined.filter(([, session]) => !canMove(state, session, pattern, world));
  return {
    devicesOffering: offering,
    devicesWithNothingElse: only.length,
    devices: only.sort().slice(0, MOST_NAMED),
    sessions: on.length,
    sessionsExamined: examined.length,
    sessionsWithNothingElse: stuck.length,
    stuck: stuck
      .slice(0, MOST_NAMED)
      .map(([sid, { flow }]) => ({ sid, caller: flow.terms.caller.id, callee: flow.terms.callee.id })),
  };
}

export function showRetirements(state: ManagerState, world: World): JsonValue {
  return [...state.retirements.values()].map(({ pattern, by }) => ({
    suite: spellSuitePattern(pattern),
    by: new Date(by * 1000).toISOString(),
    state: world.wall < by ? 'retiring' : 'retired',
    sessions: [...state.sessions.values()].filter(({ flow }) => suiteFits(flow.terms.suite, pattern)).length,
  }));
}

function canMove(state: ManagerState, { flow }: Session, pattern: SuitePattern, world: World): boolean {
  const { caller, callee, decision } = flow.terms;
  if (!state.registrations.has(caller.id) || !state.registrations.has(callee.id)) return false;
  const wishes = {
    allowUnencrypted: decision?.allowUnencrypted ?? false,
    messageBytes: decision?.messageBytes ?? null,
  };
  const { match } = chooseSuite(state, caller.id, callee.id, wishes, world, [pattern]);
  return match.matched && !match.retiring;
}

const keyLengths = ({ cipher, keys }: Offer): readonly number[] =>
  CIPHERS[cipher].keyBits.filter((_, bit) => (keys & (1 << bit)) !== 0);

function touches(offer: Offer, { cipher, keyBits, hash, tagBits }: SuitePattern): boolean {
  return (
    offer.cipher === cipher &&
    (keyBits === null || keyLengths(offer).includes(keyBits)) &&
    (hash === null || offer.hashes.includes(hash)) &&
    (tagBits === null || offer.tagBits === tagBits)
  );
}

/** Whether every suite that the offer allows fits. */
function liesWithin(offer: Offer, pattern: SuitePattern): boolean {
  const { keyBits, hash } = pattern;
  return (
    touches(offer, pattern) &&
    (keyBits === null || keyLengths(offer).every((length) => length === keyBits)) &&
    (hash === null || offer.hashes.every((one) => one === hash))
  );
}
