/**
 * A live session after the keys of one or both devices are gone (design §5.4, B7), or because its suite retires: both are
 * asked for a nonce, the new epoch is stored, a fresh secret is granted under the same sid and approval. A device without
 * keys knows its consent again, or the session ends.
 */
import { LAST_EPOCH, type Reason } from '../protocol/message-values.ts';
import { sameSuite } from '../protocol/suites.ts';
import { type DeviceId, Millis, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import {
  aboutCaller,
  end,
  type Flow,
  type FlowEffect,
  type FlowEvent,
  type FlowLimits,
  over,
  type Ready,
  type Step,
  sendEnd,
} from './flow.ts';
import { makeGrants } from './grants.ts';
import type { Party, Terms } from './terms.ts';

type Granted = Extract<Flow, { state: 'granted' }>;
type Renewing = Extract<Flow, { state: 'renewing' }>;
type StoringRenewal = Extract<Flow, { state: 'storingRenewal' }>;

/** A question that was lost is asked again, more and more rarely. */
const ASK_AGAIN = seconds(5);
const LONGEST_WAIT = seconds(60);

/** @param device  whose keys are gone; it is asked when its channel opens, the other one at once */
export function startRenewal(flow: Granted | Renewing | StoringRenewal, device: DeviceId, world: World): Step {
  const { terms, epoch, until } = flow;
  const other = terms.caller.id === device ? terms.callee : terms.caller;
  const kept = flow.state === 'renewing' ? flow.ready.filter(({ party }) => party.id === other.id) : [];
  const renewing: Renewing = { state: 'renewing', terms, epoch, until, ready: kept, repeats: 0, from: null };
  const asked = kept.length === 0 ? [askForNonce(renewing, other.id, world)] : [];
  return [renewing, [...asked, wakeUp(renewing, world), { type: 'audit', event: 'session.renewing' }]];
}

/** Both hold keys and are asked at once. */
export function startMove(flow: Granted, to: Extract<FlowEvent, { type: 'move' }>['to'], world: World): Step {
  const { terms, epoch, until } = flow;
  const { suite, keyMode, rule, decision } = terms;
  const from = { suite, keyMode, rule, decision, epoch };
  return askBoth({ state: 'renewing', terms: { ...terms, ...to }, epoch, until, ready: [], repeats: 0, from }, world);
}

function askBoth(moving: Renewing, world: World): Step {
  const asked = partiesOf(moving.terms).map(({ id }) => askForNonce(moving, id, world));
  return [moving, [...asked, wakeUp(moving, world), { type: 'audit', event: 'session.moving' }]];
}

/** A device will not have the other suite: both get new keys for the one that they use. Will it not have these: the end. */
function refused(
  flow: Renewing | StoringRenewal,
  { reason }: Extract<FlowEvent, { type: 'renewalRefused' }>,
  limits: FlowLimits,
  world: World,
): Step {
  const { terms, epoch, until, from } = flow;
  // who refuses may hold the session all the same: both are told
  if (from === null || sameSuite(from.suite, terms.suite)) return endAt(flow, null, reason, limits, world);
  const { suite, keyMode, rule, decision } = from;
  const back = { ...terms, suite, keyMode, rule, decision };
  // one epoch on: what is still refused of the question before is told by its epoch
  return askBoth({ state: 'renewing', terms: back, epoch: epoch + 1, until, ready: [], repeats: 0, from }, world);
}

export function stepRenewing(flow: Renewing, event: FlowEvent, limits: FlowLimits, world: World): Step {
  const { terms, ready } = flow;
  switch (event.type) {
    case 'keysLost':
      return startRenewal(flow, event.device, world);
    case 'channelOpened':
      return isReady(ready, event.device)
        ? [flow, []]
        : [flow, [askForNonce(flow, event.device, world), wakeUp(flow, world)]];
    case 'channelFailed':
      return event.reason === 'authenticate-only' ? endAt(flow, event.device, event.reason, limits, world) : [flow, []];
    case 'renewed': {
      const { party } = event.ready;
      const others = ready.filter((one) => one.party.id !== party.id);
      const next = { ...flow, ready: [...others, event.ready] };
      return next.ready.length === 2 ? store(next, limits, world) : [next, []];
    }
    case 'renewalRefused':
      return refused(flow, event, limits, world);
    case 'userLeft':
      return endAt(flow, null, event.reason, limits, world);
    case 'lost':
    case 'endAsked':
      return endAt(flow, event.type === 'lost' ? event.device : event.by, event.reason, limits, world);
    case 'deadline': {
      if (world.now >= flow.until) return expired(terms);
      const missing = partiesOf(terms).filter(({ id }) => !isReady(ready, id));
      const again = { ...flow, repeats: flow.repeats + 1 };
      return [again, [...missing.map(({ id }) => askForNonce(again, id, world)), wakeUp(again, world)]];
    }
    default:
      return [flow, []];
  }
}

/** The epoch is durable before it is granted: no two grants have the same one, whatever dies. */
function store(flow: Renewing, limits: FlowLimits, world: World): Step {
  const { terms, until, ready, from } = flow;
  const of = (id: DeviceId): Ready => ready.find(({ party }) => party.id === id)!;
  const [caller, callee] = [of(terms.caller.id), of(terms.callee.id)];
  const least = Math.max(flow.epoch + 1, caller.epoch, callee.epoch);
  // records of the two epochs are told apart by one bit
  const epoch = from !== null && ((least ^ from.epoch) & 1) === 0 ? least + 1 : least;
  // a device may name any: one that leaves none for the next grant ends the session
  if (epoch >= LAST_EPOCH) return endAt(flow, null, 'expired', limits, world);
  const renewed: Terms = {
    ...terms,
    caller: caller.party,
    callee: callee.party,
    nonceA: caller.nonce,
    lifetimeSeconds: secondsLeft(until, world),
  };
  const next: StoringRenewal = { state: 'storingRenewal', terms: renewed, epoch, until, nonceB: callee.nonce, from };
  return [next, [{ type: 'store', epoch }]];
}

export function stepStoringRenewal(flow: StoringRenewal, event: FlowEvent, limits: FlowLimits, world: World): Step {
  const { terms, epoch, until } = flow;
  switch (event.type) {
    case 'stored': {
      if (event.epoch !== epoch) return [flow, []];
      const grants = makeGrants(terms, epoch, flow.nonceB, world);
      return [
        { state: 'granted', terms, epoch, at: world.now, until, up: [] },
        [
          { type: 'forward', allowed: true },
          { type: 'deliver', grants, ask: null },
          { type: 'wakeAt', at: until },
          { type: 'audit', event: 'session.renewed' },
        ],
      ];
    }
    case 'storeFailed':
    case 'withheld': {
      // disk or verifier may come back: both are asked again after a while, and nothing that lives is given up
      const again: Renewing = { state: 'renewing', terms, epoch, until, ready: [], repeats: 0, from: flow.from };
      return [again, [wakeUp(again, world)]];
    }
    case 'keysLost':
      return startRenewal(flow, event.device, world);
    case 'renewalRefused':
      return refused(flow, event, limits, world);
    case 'userLeft':
      return endAt(flow, null, event.reason, limits, world);
    case 'lost':
    case 'endAsked':
      return endAt(flow, event.type === 'lost' ? event.device : event.by, event.reason, limits, world);
    case 'deadline':
      return world.now >= until ? expired(terms) : [flow, [{ type: 'wakeAt', at: until }]];
    default:
      return [flow, []];
  }
}

function askForNonce({ terms, epoch, until, from }: Renewing, to: DeviceId, world: World): FlowEffect {
  const { sid, caller, callee, name, suite, keyMode, call } = terms;
  const [role, mine, peer] =
    to === caller.id ? (['caller', caller, callee] as const) : (['callee', callee, caller] as const);
  const message = {
    kind: 'Renew',
    sid,
    role,
    epoch: epoch + 1,
    peer: peer.id,
    name,
    suite,
    keyMode,
    lifetime: secondsLeft(until, world),
    consent: mine.consent ?? undefined,
    call: role === 'caller' && call.length > 0 ? call : undefined,
    handover: from === null ? undefined : true,
    ...(role === 'callee' ? aboutCaller(terms) : {}),
  } as const;
  return { type: 'send', to, messages: [message] };
}

/** However long a device takes to answer, the life of the session ends when it was approved to. */
const secondsLeft = (until: Millis, world: World): number => Math.max(1, Math.ceil((until - world.now) / 1000));
const isReady = (ready: readonly Ready[], id: DeviceId): boolean => ready.some(({ party }) => party.id === id);
const partiesOf = ({ caller, callee }: Terms): readonly Party[] => [caller, callee];

const wakeUp = ({ until, repeats }: Renewing, world: World): FlowEffect => ({
  type: 'wakeAt',
  at: Millis(Math.min(until, world.now + Math.min(LONGEST_WAIT, ASK_AGAIN * 2 ** Math.max(0, repeats - 3)))),
});

/** @param by  who is gone or asked for it; the other one is told */
function endAt(
  { terms }: Renewing | StoringRenewal,
  by: DeviceId | null,
  reason: Reason,
  limits: FlowLimits,
  world: World,
): Step {
  const others = partiesOf(terms).flatMap(({ id }) => (id === by ? [] : [id]));
  return end(terms, null, reason, others, limits, world, []);
}

/** Whoever waits for a grant, or holds what its peer has lost, hears so. */
function expired(terms: Terms): Step {
  const [next, effects] = over(terms, 'expired');
  const ends = partiesOf(terms).map(({ id }) => sendEnd(id, terms, 'expired'));
  return [next, [...ends, { type: 'forward', allowed: false }, ...effects]];
}
