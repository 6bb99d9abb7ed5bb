/**
 * The sessions under way: each a connect flow, whose effects are performed here (patent 2112–2166).
 */
import { toHex } from '../protocol/bytes.ts';
import { cancel, schedule } from '../protocol/deadlines.ts';
import type { ChannelMessage } from '../protocol/messages.ts';
import type { DeviceId, EpochSeconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { startFlow, stepFlow } from './connect-flow.ts';
import type { Flow, FlowEffect, FlowEvent } from './flow.ts';
import { commit, log, publish, remember, sendTo, tellBroker } from './outbox.ts';
import { type SessionRecord, sessionChange } from './registry.ts';
import { noteRevokedEnd } from './revocation-ends.ts';
import type { ManagerState, Session } from './state.ts';
import type { Terms } from './terms.ts';

export function startSession(state: ManagerState, terms: Terms, standingNonce: Uint8Array | null, world: World): void {
  const sid = toHex(terms.sid);
  const hasChannel = state.channels.has(terms.callee.id);
  const [flow, effects] = startFlow(terms, hasChannel, standingNonce, state.settings.flowLimits, world);
  const until = (world.wall + terms.lifetimeSeconds) as EpochSeconds;
  const session: Session = { flow, sealed: new Map(), until };
  addSession(state, sid, session);
  perform(state, sid, session, effects, world);
}

export function addSession(state: ManagerState, sid: string, session: Session): void {
  state.sessions.set(sid, session);
  for (const { id } of [session.flow.terms.caller, session.flow.terms.callee]) {
    const of = state.sessionsOf.get(id);
    if (of === undefined) state.sessionsOf.set(id, new Set([sid]));
    else of.add(sid);
  }
  const { caller, callee, call } = session.flow.terms;
  const pair = pairKey(caller.id, callee.id);
  const between = state.sessionsBetween.get(pair);
  if (between === undefined) state.sessionsBetween.set(pair, new Set([sid]));
  else between.add(sid);
  if (call.length === 0) return;
  const key = callKey(caller.id, call);
  const ofCall = state.sessionsOfCall.get(key);
  if (ofCall === undefined) state.sessionsOfCall.set(key, new Set([sid]));
  else ofCall.add(sid);
}

/** No control character stands in an id. */
const pairKey = (a: DeviceId, b: DeviceId): string => (a < b ? `${a}\n${b}` : `${b}\n${a}`);

/** The callee has read the caller's nonce, and may show it in a Connect of its own. */
export const callKey = (caller: DeviceId, nonce: Uint8Array): string => `${caller}\n${toHex(nonce)}`;

/** The sessions of two devices, whichever asked. */
export const sessionsBetween = (state: ManagerState, a: DeviceId, b: DeviceId): ReadonlySet<string> =>
  state.sessionsBetween.get(pairKey(a, b)) ?? new Set();

export function stepSession(state: ManagerState, sid: string, event: FlowEvent, world: World): void {
  const session = state.sessions.get(sid);
  if (session === undefined) return;
  const [flow, effects] = stepFlow(session.flow, event, state.settings.flowLimits, world);
  // an end is one from here on: whoever dies before all have confirmed it, it is not granted again
  if (isOver(flow) && !isOver(session.flow)) {
    const isLoss = event.type === 'lost' || event.type === 'userLeft';
    const isRevoked = isLoss && event.reason === 'revoked' && isLive(session.flow);
    const reason = isRevoked ? noteRevokedEnd(state, sid, session.until, world) : [];
    commit(state, [sessionChange(sid, null), ...reason], { next: 'nothing' });
  }
  const isDecided = flow.state === 'storing' && session.flow.state !== 'storing';
  session.flow = flow;
  if (event.type === 'cameUp') session.sealed.delete(event.device);
  perform(state, sid, session, effects, world);
  if (isDecided) withdrawOthers(state, sid, flow.terms, world);
}

/** Of several devices that are asked for one call the first that says yes has it. */
function withdrawOthers(state: ManagerState, sid: string, terms: Terms, world: World): void {
  for (const other of othersOfCall(state, sid, terms))
    stepSession(state, other, { type: 'endAsked', by: null, reason: 'withdrawn' }, world);
}

/** The sessions of the same call that are not over. */
const othersOfCall = (state: ManagerState, sid: string, { caller, call }: Terms): readonly string[] =>
  sidsOfCall(state, caller.id, call).filter((other) => {
    const flow = state.sessions.get(other)?.flow;
    return other !== sid && flow !== undefined && !isOver(flow);
  });

/** What a Connect has brought about: one session, or several while every device of a user is asked. */
export const sidsOfCall = (state: ManagerState, caller: DeviceId, call: Uint8Array): readonly string[] => [
  ...(state.sessionsOfCall.get(callKey(caller, call)) ?? []),
];

/** The same event to every session of a device. */
export function stepSessionsOf(state: ManagerState, device: DeviceId, event: FlowEvent, world: World): void {
  for (const sid of [...(state.sessionsOf.get(device) ?? [])]) stepSession(state, sid, event, world);
}

function perform(
  state: ManagerState,
  sid: string,
  session: Session,
  effects: readonly FlowEffect[],
  world: World,
): void {
  for (const effect of effects) performOne(state, sid, session, effect, world);
}

function performOne(state: ManagerState, sid: string, session: Session, effect: FlowEffect, world: World): void {
  const { terms } = session.flow;
  switch (effect.type) {
    case 'send':
      // the caller hears of a refusal when nobody is left who may still say yes
      if (effect.messages[0]?.kind === 'Denied' && othersOfCall(state, sid, terms).length > 0) return;
      for (const message of effect.messages) {
        if (message.kind === 'Denied') remember(state, effect.to, message.requestId, message, world.now);
      }
      if (sendTo(state, effect.to, effect.messages, world) !== null) return;
      // [patent 0135] a channel that was closed during the session is opened again to end it
      // one whose keys are gone needs the channel of both
      if (
        (effect.messages[0]?.kind === 'End' && session.flow.state === 'ending') ||
        effect.messages[0]?.kind === 'Renew'
      ) {
        state.toOpen.push({ sid, device: effect.to });
      }
      return;
    case 'deliver': {
      const { caller, callee, secret } = effect.grants;
      try {
        sealGrant(state, session, terms.callee.id, effect.ask === null ? [callee] : [effect.ask, callee], world);
        sealGrant(state, session, terms.caller.id, [caller], world);
      } finally {
        secret.fill(0);
      }
      return;
    }
    case 'openChannel':
      state.toOpen.push({ sid, device: effect.to });
      return;
    case 'store': {
      const { epoch } = effect;
      // the approved lifetime counts from the first grant
      if (epoch === 0) session.until = (world.wall + terms.lifetimeSeconds) as EpochSeconds;
      commit(state, [sessionChange(sid, recordOf(session, epoch))], { next: 'granted', sid, epoch });
      return;
    }
    case 'forget':
      forget(state, sid, session);
      return;
    case 'forward': {
      const pairs = [{ a: terms.caller.id, b: terms.callee.id }];
      if (effect.allowed) tellBroker(state, { kind: 'Allow', pairs });
      else if (!pairStillTalks(state, sid, terms)) tellBroker(state, { kind: 'Forbid', pairs });
      return;
    }
    case 'wakeAt':
      if (effect.at === null) cancel(state.deadlines, `session:${sid}`);
      else schedule(state.deadlines, `session:${sid}`, effect.at);
      return;
    case 'audit':
      log(state, 'info', effect.event, {
        sid,
        caller: terms.caller.id,
        callee: terms.callee.id,
        cipher: terms.suite.cipher,
        keyBits: terms.suite.keyBits,
        keyMode: terms.keyMode,
        rule: terms.rule,
        reason: effect.reason,
      });
      return;
    default:
      effect satisfies never;
  }
}

function sealGrant(
  state: ManagerState,
  session: Session,
  to: DeviceId,
  messages: readonly ChannelMessage[],
  world: World,
): void {
  const record = sendTo(state, to, messages, world);
  const channel = state.channels.get(to)?.channel;
  if (record !== null && channel !== undefined) {
    session.sealed.set(to, { channel, record });
    return;
  }
  session.sealed.delete(to);
  state.undelivered.push({ sid: toHex(session.flow.terms.sid), device: to });
}

/**
 * The same bytes once more to a device that has no grant yet: one that has it takes them for a replay.
 * @returns false when they were sealed for a channel that is gone: that grant never arrived and never will
 */
export function repeatGrant(state: ManagerState, session: Session, to: DeviceId): boolean {
  const sealed = session.sealed.get(to);
  if (sealed === undefined || state.channels.get(to)?.channel !== sealed.channel) return false;
  publish(state, state.settings.topics.toDevice({ kind: 'device', id: to }), sealed.record);
  return true;
}

function forget(state: ManagerState, sid: string, session: Session): void {
  state.sessions.delete(sid);
  for (const { id } of [session.flow.terms.caller, session.flow.terms.callee]) {
    const of = state.sessionsOf.get(id);
    of?.delete(sid);
    if (of?.size === 0) state.sessionsOf.delete(id);
  }
  const { caller, callee, call } = session.flow.terms;
  const pair = pairKey(caller.id, callee.id);
  const between = state.sessionsBetween.get(pair);
  between?.delete(sid);
  if (between?.size === 0) state.sessionsBetween.delete(pair);
  const key = callKey(caller.id, call);
  const ofCall = state.sessionsOfCall.get(key);
  ofCall?.delete(sid);
  if (ofCall?.size === 0) state.sessionsOfCall.delete(key);
}

/** Another session of the two is granted, so that the broker must go on forwarding. */
function pairStillTalks(state: ManagerState, sid: string, { caller, callee }: Terms): boolean {
  for (const other of sessionsBetween(state, caller.id, callee.id)) {
    const flow = state.sessions.get(other)?.flow;
    if (other !== sid && flow !== undefined && isLive(flow)) return true;
  }
  return false;
}

/** Granted, and not over: the broker forwards. */
export const isLive = ({ state }: Flow): boolean =>
  state === 'granted' || state === 'renewing' || state === 'storingRenewal';

const isOver = ({ state }: Flow): boolean => state === 'ending' || state === 'over';

export const partiesOf = (flow: Flow): readonly DeviceId[] => [flow.terms.caller.id, flow.terms.callee.id];

function decisionRecord({ decision }: Terms): SessionRecord['decision'] {
  if (decision === null) return undefined;
  const { rules, messageBytes, selection, ...rest } = decision;
  const { require, prefer } = selection;
  return {
    ...rest,
    rules: rules ?? undefined,
    messageBytes: messageBytes ?? undefined,
    selection: { ...require, prefer, messageBytes: selection.messageBytes ?? undefined },
  };
}

function recordOf({ flow: { terms }, until }: Session, epoch: number): SessionRecord {
  const { caller, callee, name, suite, keyMode, rule, route, call, about } = terms;
  return {
    caller: caller.id,
    callee: callee.id,
    name,
    suite,
    keyMode,
    epoch,
    approvedUntil: until,
    rule,
    route,
    callerInstance: caller.instance ?? undefined,
    calleeInstance: callee.instance ?? undefined,
    callerConsent: caller.consent ?? undefined,
    calleeConsent: callee.consent ?? undefined,
    user: terms.user?.id,
    userLeaf: terms.user?.leaf,
    call: call.length === 0 ? undefined : call,
    decision: decisionRecord(terms),
    purpose: about.purpose ?? undefined,
  };
}
