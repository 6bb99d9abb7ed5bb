/**
 * The choice of a suite for two registered devices: the deciding rule over what both have registered, as things stand now.
 */
import { type Match, match } from '../protocol/matching.ts';
import { type OfferList, offersOf } from '../protocol/proposal.ts';
import type { Selection, Wishes } from '../protocol/selection.ts';
import type { SuitePattern } from '../protocol/suite-pattern.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import type { Subject } from './policy.ts';
import type { RegistrationRecord } from './registry.ts';
import { retirementsAt } from './retirement.ts';
import { decidingRule } from './rules.ts';
import { listingOf, type ManagerState } from './state.ts';
import type { Decision } from './terms.ts';

export interface Choice {
  readonly selection: Selection;
  readonly wishes: Wishes;
  readonly match: Match;
  readonly decision: Decision;
}

/** What the caller adds to what stands in the registry. */
export type CallerWishes = Pick<Wishes, 'allowUnencrypted' | 'messageBytes'>;

export const subjectOf = (state: ManagerState, id: DeviceId): Subject => ({ id, ...listingOf(state, id) });

/**
 * @param alsoRetiring  as if these were to go as well
 * @throws RangeError when one of the two is not registered: our bug
 */
export function chooseSuite(
  state: ManagerState,
  caller: DeviceId,
  callee: DeviceId,
  callerWishes: CallerWishes,
  world: World,
  alsoRetiring: readonly SuitePattern[] = [],
): Choice {
  const [ours, theirs] = [state.registrations.get(caller), state.registrations.get(callee)];
  if (ours === undefined || theirs === undefined) throw new RangeError('a device that is not registered');
  const selection = decidingRule(state.rules, subjectOf(state, caller), subjectOf(state, callee), world.wall);
  const { retiring, retired } = retirementsAt(state.retirements.values(), world.wall);
  const wishes = { ...callerWishes, retiring: [...retiring, ...alsoRetiring], retired };
  const decision: Decision = {
    at: world.wall,
    rules: state.rules.digest,
    ...callerWishes,
    callerRegistration: ours.hash,
    calleeRegistration: theirs.hash,
  };
  return { selection, wishes, match: match(offers(state, ours), offers(state, theirs), selection, wishes), decision };
}

/** Read once for a registration. */
export function offers(state: ManagerState, record: RegistrationRecord): OfferList {
  const known = state.offers.get(record);
  if (known !== undefined) return known;
  const read = offersOf(record.proposals);
  state.offers.set(record, read);
  return read;
}
