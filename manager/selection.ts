/**
 * The choice of a suite for two registered devices: the deciding rule over what both have registered, as things stand now.
 */
import { encodeUtf8 } from '../protocol/bytes.ts';
import { closestRequirement, refusalSentence } from '../protocol/match-refusal.ts';
import { requirementText } from '../protocol/match-sentences.ts';
import { type Match, match } from '../protocol/matching.ts';
import { type OfferList, offersOf } from '../protocol/proposal.ts';
import { messageBytesOf, type Selection, type Wishes } from '../protocol/selection.ts';
import type { SuitePattern } from '../protocol/suite-pattern.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { type Grounds, keepChoice, type Outcome, type Refused, recall, retirementsNow } from './choices.ts';
import type { Subject } from './policy.ts';
import type { RegistrationRecord } from './registry.ts';
import { decidingRule } from './rules.ts';
import { listingOf, type ManagerState } from './state.ts';
import type { About, Decision } from './terms.ts';
import { userAt } from './user-desk.ts';

export interface Choice {
  readonly selection: Selection;
  readonly wishes: Wishes;
  readonly match: Match;
  /** Of a match that found nothing; not asked for with `alsoRetiring`. */
  readonly refused: Refused | null;
  readonly decision: Decision;
}

/** What the caller adds to what stands in the registry. */
export type CallerWishes = Pick<Wishes, 'allowUnencrypted' | 'messageBytes'>;

/** A user who is proven to be at the device comes before whose device it is. */
export function subjectOf(state: ManagerState, id: DeviceId): Subject {
  const listing = listingOf(state, id);
  return { id, ...listing, user: userAt(state.users, id) ?? listing.user };
}

/** The caller for the callee's policy: what does not fit into an Ask is left out. */
export function callerOf(state: ManagerState, id: DeviceId, purpose: string | null): About {
  const { class: kind, groups, user } = subjectOf(state, id);
  const fits = (text: string, most: number): boolean => text.length > 0 && encodeUtf8(text).length <= most;
  return {
    class: kind !== null && fits(kind, 64) ? kind : null,
    groups: groups.filter((group) => fits(group, 64)).slice(0, 64),
    user: user !== null && fits(user, 255) ? user : null,
    purpose,
  };
}

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
  const retirements = retirementsNow(state.choices, state.retirements, world.wall);
  const { retiring, retired } = retirements;
  const wishes: Wishes = { ...callerWishes, retiring: [...retiring, ...alsoRetiring], retired };
  const decision: Decision = {
    at: world.wall,
    rules: state.rules.digest,
    selection,
    ...callerWishes,
    callerRegistration: ours.hash,
    calleeRegistration: theirs.hash,
  };
  if (alsoRetiring.length > 0) {
    const found = match(offers(state, ours), offers(state, theirs), selection, wishes);
    return { selection, wishes, match: found, refused: null, decision };
  }
  const messageBytes = selection.prefer.includes('cost') ? messageBytesOf(selection, wishes) : null;
  const grounds = { caller: ours, callee: theirs, selection, retirements, messageBytes };
  const key = `${caller} ${callee} ${callerWishes.allowUnencrypted}`;
  const outcome = recall(state.choices, key, grounds) ?? chooseAnew(state, grounds, wishes);
  keepChoice(state.choices, key, outcome);
  return { selection, wishes, match: outcome.match, refused: outcome.refused, decision };
}

function chooseAnew(state: ManagerState, grounds: Grounds, wishes: Wishes): Outcome {
  const { caller, callee, selection } = grounds;
  const [ours, theirs] = [offers(state, caller), offers(state, callee)];
  const found = match(ours, theirs, selection, wishes);
  if (found.matched) return { grounds, match: found, refused: null };
  const detail = refusalSentence(ours, found, wishes);
  const requirement =
    found.failedOn === 'rule'
      ? requirementText(closestRequirement(ours, theirs, selection, wishes), selection.require)
      : null;
  // no criterion is asked where there is nothing to choose from
  return { grounds: { ...grounds, messageBytes: null }, match: found, refused: { detail, requirement } };
}

/** Read once for a registration. */
export function offers(state: ManagerState, record: RegistrationRecord): OfferList {
  const known = state.offers.get(record);
  if (known !== undefined) return known;
  const read = offersOf(record.proposals);
  state.offers.set(record, read);
  return read;
}
