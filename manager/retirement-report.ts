/**
 * Who depends on a suite: devices that register nothing else that encrypts and stays, live sessions that have nothing else in
 * common. Pairs without a session are counted by the command, not here.
 */
import type { JsonValue } from '../platform/control-socket.ts';
import type { Offer } from '../protocol/proposal.ts';
import { type SuitePattern, spellSuitePattern, suiteFits } from '../protocol/suite-pattern.ts';
import { CIPHERS } from '../protocol/suites.ts';
import type { World } from '../protocol/world.ts';
import { suiteInUse } from './flow.ts';
import { otherChoice } from './retiring.ts';
import { offers } from './selection.ts';
import type { ManagerState } from './state.ts';

const MOST_NAMED = 50;
/** The manager has other work: of more sessions than these it is not said whether they can move. */
const MOST_EXAMINED = 5000;

export function showDependents(
  state: ManagerState,
  pattern: SuitePattern,
  world: World,
): { readonly [key: string]: JsonValue } {
  const only: string[] = [];
  // what does not encrypt is no replacement, nor is what goes too
  const going = [pattern, ...[...state.retirements.values()].map((one) => one.pattern)];
  let offering = 0;
  for (const [id, record] of state.registrations) {
    const list = offers(state, record).offers;
    if (list.some((offer) => touches(offer, pattern))) offering++;
    const left = list.filter((offer) => CIPHERS[offer.cipher].encrypts && !going.some((one) => liesWithin(offer, one)));
    if (left.length === 0 && list.some((offer) => touches(offer, pattern))) only.push(id);
  }
  const on = [...state.sessions].filter(([, { flow }]) => suiteFits(suiteInUse(flow), pattern));
  const examined = on.slice(0, MOST_EXAMINED);
  const stuck = examined.filter(([, { flow }]) => otherChoice(state, flow, world, [pattern]) === null);
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
    sessions: [...state.sessions.values()].filter(({ flow }) => suiteFits(suiteInUse(flow), pattern)).length,
  }));
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
