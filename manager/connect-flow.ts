/**
 * One session as the manager sees it, from the caller's Connect to the end: open the callee's channel if need be, ask it,
 * store, grant, forward, end (design §5.4, patent 2106–2166). Pure; the manager performs the effects.
 */

import { NONCE_BYTES, type Reason } from '../protocol/message-values.ts';
import type { ChannelMessage } from '../protocol/messages.ts';
import { later, Millis, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import {
  aboutCaller,
  end,
  type Flow,
  type FlowEffect,
  type FlowEvent,
  type FlowLimits,
  over,
  type Step,
  sendEnd,
} from './flow.ts';
import { makeGrants } from './grants.ts';
import { startMove, startRenewal, stepRenewing, stepStoringRenewal } from './renewal-flow.ts';
import type { Terms } from './terms.ts';

/**
 * Starts after policy, reachability, verdict and match have said yes.
 * @param standingNonce  a nonce that the callee left for this caller: the grant rides with the ask
 */
export function startFlow(
  terms: Terms,
  calleeHasChannel: boolean,
  standingNonce: Uint8Array | null,
  limits: FlowLimits,
  world: World,
): Step {
  if (!calleeHasChannel) {
    return [
      { state: 'openingCallee', terms },
      [
        { type: 'openChannel', to: terms.callee.id },
        { type: 'wakeAt', at: later(world.now, limits.openTimeout) },
      ],
    ];
  }
  if (standingNonce !== null) {
    return [{ state: 'storing', terms, nonceB: standingNonce, rideAlong: true }, [{ type: 'store', epoch: 0 }]];
  }
  return ask(terms, limits, world);
}

export function stepFlow(flow: Flow, event: FlowEvent, limits: FlowLimits, world: World): Step {
  switch (flow.state) {
    case 'openingCallee':
      return stepOpening(flow.terms, flow, withoutProcess(event), limits, world);
    case 'asking':
      return stepAsking(flow.terms, flow, withoutProcess(event), limits, world);
    case 'storing':
      return stepStoring(flow, withoutProcess(event), limits, world);
    case 'granted':
      return stepGranted(flow, event, limits, world);
    case 'renewing':
      return stepRenewing(flow, event, limits, world);
    case 'storingRenewal':
      return stepStoringRenewal(flow, event, limits, world);
    case 'ending':
      return stepEnding(flow, event, limits, world);
    case 'over':
      return [flow, []];
    default:
      return flow satisfies never;
  }
}

/** Before the first grant a device that restarted has lost its nonce, and with it this session. */
const withoutProcess = (event: FlowEvent): FlowEvent =>
  event.type === 'keysLost' ? { type: 'lost', device: event.device, reason: 'restarted' } : event;

/** What a caller is told of a callee that is lost before there is a session: only what is no accident of its link. */
const whyLost = (reason: Reason): Reason =>
  reason === 'revoked' || reason === 'verifier-away' ? reason : 'unreachable';

function stepOpening(terms: Terms, flow: Flow, event: FlowEvent, limits: FlowLimits, world: World): Step {
  switch (event.type) {
    case 'channelOpened':
      return event.device === terms.callee.id ? ask(terms, limits, world) : [flow, []];
    case 'channelFailed':
      return event.device === terms.callee.id ? deny(terms, event.reason) : [flow, []];
    case 'lost':
      return event.device === terms.callee.id ? deny(terms, whyLost(event.reason)) : over(terms, event.reason);
    case 'endAsked':
      return over(terms, event.reason);
    case 'userLeft':
      return deny(terms, event.reason);
    case 'deadline':
      return deny(terms, 'unreachable');
    default:
      return [flow, []];
  }
}

function stepAsking(terms: Terms, flow: Flow, event: FlowEvent, limits: FlowLimits, world: World): Step {
  switch (event.type) {
    case 'approved': {
      const { nonceB, consent, instance } = event;
      const agreed = { ...terms, callee: { ...terms.callee, consent, instance } };
      return [{ state: 'storing', terms: agreed, nonceB, rideAlong: false }, [{ type: 'store', epoch: 0 }]];
    }
    case 'refused':
      return deny(terms, event.reason);
    case 'withheld':
      return denyBoth(terms, 'verifier-away');
    case 'userLeft':
      return denyBoth(terms, event.reason);
    case 'lost':
      if (event.device === terms.callee.id) return deny(terms, whyLost(event.reason));
      return withdraw(terms, event.reason);
    case 'endAsked':
      return event.by === terms.callee.id ? deny(terms, event.reason) : withdraw(terms, event.reason);
    case 'deadline':
      return denyBoth(terms, 'timeout');
    case 'channelOpened': // the callee came back on a new channel before it answered: its question is asked again
      return event.device === terms.callee.id ? ask(terms, limits, world) : [flow, []];
    default:
      return [flow, []];
  }
}

function stepStoring(
  flow: Extract<Flow, { state: 'storing' }>,
  event: FlowEvent,
  limits: FlowLimits,
  world: World,
): Step {
  const { terms } = flow;
  switch (event.type) {
    case 'stored': {
      const until = later(world.now, seconds(terms.lifetimeSeconds));
      const grants = makeGrants(terms, 0, flow.nonceB, world);
      return [
        { state: 'granted', terms, epoch: 0, at: world.now, until, up: [] },
        [
          { type: 'forward', allowed: true },
          { type: 'deliver', grants, ask: flow.rideAlong ? askMessage(terms) : null },
          { type: 'wakeAt', at: until },
          { type: 'audit', event: 'session.granted' },
        ],
      ];
    }
    case 'userLeft':
      return end(terms, null, event.reason, [terms.callee.id], limits, world, [denied(terms, event.reason)]);
    case 'storeFailed':
    case 'withheld': {
      const reason = event.type === 'withheld' ? 'verifier-away' : 'internal-error';
      return end(terms, null, reason, [terms.callee.id], limits, world, [denied(terms, reason)]);
    }
    case 'standingWithdrawn': // the callee has heard nothing of this one; the next is asked for
      return flow.rideAlong ? deny(terms, 'withdrawn') : [flow, []];
    case 'lost':
    case 'endAsked': {
      const by = event.type === 'lost' ? event.device : event.by;
      if (by === terms.callee.id) return deny(terms, event.reason);
      const answer = by === null ? [denied(terms, event.reason)] : [];
      return end(terms, null, event.reason, [terms.callee.id], limits, world, answer);
    }
    default:
      return [flow, []];
  }
}

function stepGranted(
  flow: Extract<Flow, { state: 'granted' }>,
  event: FlowEvent,
  limits: FlowLimits,
  world: World,
): Step {
  const { terms } = flow;
  const both = [terms.caller.id, terms.callee.id];
  switch (event.type) {
    case 'cameUp': {
      if (flow.up.includes(event.device)) return [flow, []];
      const up = [...flow.up, event.device];
      return [{ ...flow, up }, up.length === 2 ? [{ type: 'audit', event: 'session.open' }] : []];
    }
    case 'endAsked': {
      const others = both.filter((id) => id !== event.by);
      return end(terms, event.by, event.reason, others, limits, world, []);
    }
    case 'lost': {
      const others = both.filter((id) => id !== event.device);
      return end(terms, null, event.reason, others, limits, world, []);
    }
    case 'keysLost':
      return startRenewal(flow, event.device, world);
    case 'renewalRefused':
    case 'userLeft':
      return end(terms, null, event.reason, both, limits, world, []);
    case 'move':
      return startMove(flow, event.to, world);
    case 'refused': // the grant rode with the ask, and the callee did not take it
      return end(terms, null, event.reason, [terms.caller.id], limits, world, []);
    case 'deadline': {
      // both devices count the same lifetime from receipt and close by themselves
      const [next, effects] = over(terms, 'expired');
      return [next, [{ type: 'forward', allowed: false }, ...effects]];
    }
    default:
      return [flow, []];
  }
}

function stepEnding(
  flow: Extract<Flow, { state: 'ending' }>,
  event: FlowEvent,
  limits: FlowLimits,
  world: World,
): Step {
  const { terms } = flow;
  switch (event.type) {
    case 'endConfirmed':
    case 'keysLost':
    case 'lost':
    case 'channelFailed': {
      const device = event.type === 'endConfirmed' ? event.by : event.device;
      const waitingFor = flow.waitingFor.filter((id) => id !== device);
      return waitingFor.length > 0 ? [{ ...flow, waitingFor }, []] : finish(flow);
    }
    case 'endAsked': // both ends asked at once: the asking side has erased, so it counts as its confirmation
      return event.by === null ? [flow, []] : stepEnding(flow, { type: 'endConfirmed', by: event.by }, limits, world);
    case 'channelOpened':
      return flow.waitingFor.includes(event.device) ? [flow, [sendEnd(event.device, terms, flow.reason)]] : [flow, []];
    case 'deadline':
      return flow.reason === 'revoked' ? remind(flow, limits, world) : finish(flow);
    default:
      return [flow, []];
  }
}

/** With waits that double: a minute and a quarter in all by default. */
const MAX_REMINDERS = 4;

/** Who talks to somebody who is revoked has to hear of it, also when the manager's link broke at that moment. */
function remind(flow: Extract<Flow, { state: 'ending' }>, { endTimeout }: FlowLimits, world: World): Step {
  const { terms, reason, waitingFor, reminders = 0 } = flow;
  if (reminders >= MAX_REMINDERS) return finish(flow);
  const at = later(world.now, Millis(endTimeout * 2 ** reminders));
  return [
    { ...flow, reminders: reminders + 1 },
    [...waitingFor.map((id) => sendEnd(id, terms, reason)), { type: 'wakeAt', at }],
  ];
}

/** [patent 2158] The answer to who asked for the end. */
function finish(flow: Extract<Flow, { state: 'ending' }>): Step {
  const { terms, by } = flow;
  const [next, effects] = over(terms, flow.reason);
  if (by === null) return [next, effects];
  return [next, [{ type: 'send', to: by, messages: [{ kind: 'EndOk', sid: terms.sid }] }, ...effects]];
}

/** [patent 2114] */
function ask(terms: Terms, limits: FlowLimits, world: World): Step {
  return [
    { state: 'asking', terms },
    [
      { type: 'send', to: terms.callee.id, messages: [askMessage(terms)] },
      { type: 'wakeAt', at: later(world.now, limits.askTimeout) },
    ],
  ];
}

function askMessage(terms: Terms): ChannelMessage {
  const { sid, caller, name, nonceA, suite, keyMode, lifetimeSeconds: lifetime } = terms;
  const { id: from, leaf } = caller;
  return { kind: 'Ask', sid, from, name, nonceA, suite, keyMode, lifetime, ...aboutCaller(terms), leaf };
}

function denied(terms: Terms, reason: Reason): FlowEffect {
  if (terms.nonceA.length !== NONCE_BYTES) throw new RangeError('a nonce of the wrong length');
  return { type: 'send', to: terms.caller.id, messages: [{ kind: 'Denied', requestId: terms.nonceA, reason }] };
}

/** [patent 2124] The caller learns the answer. */
function deny(terms: Terms, reason: Reason): Step {
  const [next, effects] = over(terms, reason);
  return [next, [denied(terms, reason), ...effects]];
}

/** So does a callee that has been asked. */
function denyBoth(terms: Terms, reason: Reason): Step {
  const [next, effects] = deny(terms, reason);
  return [next, [...effects, sendEnd(terms.callee.id, terms, reason)]];
}

function withdraw(terms: Terms, reason: Reason): Step {
  const [next, effects] = over(terms, reason);
  return [next, [sendEnd(terms.callee.id, terms, reason), ...effects]];
}
