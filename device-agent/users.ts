/**
 * The users whose medium is in (P21, patent 0168–0171): each is proven to the manager on every channel by a signature of
 * the key on the medium, and nothing of it is left when the medium is taken out.
 */
import { toHex } from '../protocol/bytes.ts';
import type { Channel } from '../protocol/channel.ts';
import { cancel, schedule } from '../protocol/deadlines.ts';
import { NONCE_BYTES, type Reason } from '../protocol/message-values.ts';
import { MAX_USERS, type MessageOf } from '../protocol/messages.ts';
import { later, Millis, seconds } from '../protocol/units.ts';
import { canonicalUser, userAsked } from '../protocol/user-name.ts';
import { userStatement } from '../protocol/user-proof.ts';
import type { World } from '../protocol/world.ts';
import { forgetAsk } from './asks.ts';
import { log, sendOnChannel, tell } from './outbox.ts';
import { dropRenewal, endAtOnce } from './sessions.ts';
import type { AgentState } from './state.ts';
import type { InsertedUser, LocalUser } from './user-states.ts';

const ANSWER_TIMEOUT = seconds(20);
const AGAIN = seconds(10);
const LAST_AGAIN = seconds(300);
/** After 60 s without a channel the manager removes its users by itself; removals beyond this number are left to that. */
const MAX_GONE = 16;

/** What may be better in a while, without the medium being touched. */
const PASSING: ReadonlySet<Reason> = new Set<Reason>([
  'verifier-away',
  'bad-verdict',
  'internal-error',
  'busy',
  'timeout',
  'too-many',
  'not-registered',
  'user-elsewhere',
]);

// ── The medium ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** The medium is in and its key is at hand. */
export function userInserted(state: AgentState, { user, chain }: InsertedUser, world: World): void {
  const leaf = world.crypto.hash('sha-256', chain[0]);
  const key = toHex(leaf);
  if (state.users.here.has(key)) return;
  if (state.users.here.size >= MAX_USERS) {
    const detail = `this device takes ${MAX_USERS} users at a time`;
    log(state, 'warn', 'user.refused', { user, reason: 'too-many', detail });
    return tell(state, { news: 'userRefused', user, leaf: key, reason: 'too-many', detail });
  }
  state.users.gone.delete(key); // it is registered anew, which takes the place of what was
  const local: LocalUser = { user, leaf, chain, told: false, refusedFor: null, refusals: 0, step: { name: 'waiting' } };
  state.users.here.set(key, local);
  log(state, 'info', 'user.inserted', { user });
  askToSign(state, key, local, world);
}

/** [patent 0170] Whatever was made to the user here ends at once, with a channel or without. */
export function userRemoved(state: AgentState, leaf: Uint8Array, world: World): void {
  const key = toHex(leaf);
  const local = state.users.here.get(key);
  if (local === undefined) return;
  state.users.here.delete(key);
  cancel(state.deadlines, `user:${key}`);
  log(state, 'info', 'user.removed', { user: local.user });
  const user = canonicalUser(local.user);
  for (const [sid, asked] of state.asked) if (userAsked(asked.ask.name) === user) refuseGone(state, sid, world);
  for (const [sid, { renew }] of state.renewals)
    if (renew.role === 'callee' && userAsked(renew.name) === user) dropRenewal(state, sid);
  for (const [sid, { role, user }] of state.sessions)
    if (role === 'callee' && user === key) endAtOnce(state, sid, 'user-gone', world);
  if (local.told) {
    const removal = { kind: 'RemoveUser', requestId: world.crypto.random(NONCE_BYTES), leaf: local.leaf } as const;
    if (state.users.gone.size < MAX_GONE) state.users.gone.set(key, removal);
    sendOnChannel(state, [removal], null, world);
  }
  tell(state, { news: 'userGone', user: local.user, leaf: key });
}

/** A grant that is on its way finds nothing to answer. */
function refuseGone(state: AgentState, sid: string, world: World): void {
  const asked = state.asked.get(sid);
  forgetAsk(state, sid);
  if (asked === undefined || asked.nonceB !== null) return; // the manager hears of the user, and ends what it approved
  sendOnChannel(state, [{ kind: 'Answer', sid: asked.ask.sid, reason: 'user-gone' }], asked.cost, world);
  const { from } = asked.ask;
  tell(state, { news: 'askRefused', sid, from, reason: 'user-gone', by: 'policy', cost: asked.cost });
}

// ── The registration ────────────────────────────────────────────────────────────────────────────────────────────────

/** What was signed for the channel before counts on this one no more: everybody signs anew. */
export function registerUsers(state: AgentState, world: World): void {
  for (const removal of state.users.gone.values())
    if (carriesUsers(state)) sendOnChannel(state, [removal], null, world);
  for (const [key, local] of state.users.here) {
    if (local.step.name === 'refused' && local.step.final) continue;
    askToSign(state, key, local, world);
  }
}

const carriesUsers = (state: AgentState): boolean => state.channel?.channel.authenticateOnly === false;

function askToSign(state: AgentState, key: string, local: LocalUser, world: World): void {
  cancel(state.deadlines, `user:${key}`);
  const channel = state.channel?.channel;
  if (channel === undefined) {
    local.step = { name: 'waiting' };
    return;
  }
  if (channel.authenticateOnly) {
    return refused(state, key, local, 'authenticate-only', 'this channel only authenticates', world);
  }
  const number = state.users.nextSignature++;
  const requestId = world.crypto.random(NONCE_BYTES);
  local.step = { name: 'signing', number, requestId, channel };
  const toSign = userStatement({ binding: channel.binding, device: state.id, user: local.user, requestId });
  state.out.push({ type: 'signAsUser', number, leaf: local.leaf, toSign });
  schedule(state.deadlines, `user:${key}`, later(world.now, ANSWER_TIMEOUT));
}

/** @param signature  null: the key has not signed */
export function userSigned(state: AgentState, number: number, signature: Uint8Array | null, world: World): void {
  for (const [key, local] of state.users.here) {
    const { step } = local;
    if (step.name !== 'signing' || step.number !== number) continue;
    if (step.channel !== state.channel?.channel) return; // the next channel asks for another
    if (signature === null) {
      return refused(state, key, local, 'bad-user', 'the key on the medium has not signed', world);
    }
    const { user, chain } = local;
    const message = { kind: 'RegisterUser', requestId: step.requestId, user, chain, signature } as const;
    local.told = true;
    local.step = { name: 'registering', message, channel: step.channel };
    schedule(state.deadlines, `user:${key}`, later(world.now, ANSWER_TIMEOUT));
    sendOnChannel(state, [message], null, world);
    return;
  }
}

/** No answer, or it is time to try again. */
export function userOverdue(state: AgentState, key: string, world: World): void {
  const local = state.users.here.get(key);
  if (local === undefined || state.channel === null) return; // the next channel asks
  const { step } = local;
  if (step.name === 'registering' && step.channel === state.channel.channel) {
    schedule(state.deadlines, `user:${key}`, later(world.now, ANSWER_TIMEOUT));
    sendOnChannel(state, [step.message], null, world);
    return;
  }
  if (step.name !== 'here') askToSign(state, key, local, world);
}

/** @returns whether the answer was for a user */
export function userDone(state: AgentState, requestId: Uint8Array): boolean {
  const id = toHex(requestId);
  for (const [key, removal] of state.users.gone) {
    if (toHex(removal.requestId) === id) return state.users.gone.delete(key);
  }
  const found = registering(state, id);
  if (found === null) return false;
  const [key, local, channel] = found;
  cancel(state.deadlines, `user:${key}`);
  local.step = { name: 'here', channel };
  local.refusedFor = null;
  log(state, 'info', 'user.here', { user: local.user });
  tell(state, { news: 'userHere', user: local.user, leaf: key });
  return true;
}

/** @returns whether the denial was for a user */
export function userDenied(state: AgentState, message: MessageOf<'Denied'>, world: World): boolean {
  const id = toHex(message.requestId);
  for (const [key, removal] of state.users.gone) {
    if (toHex(removal.requestId) === id) return state.users.gone.delete(key); // the manager knows of no such user
  }
  const found = registering(state, id);
  if (found === null) return false;
  const [key, local] = found;
  refused(state, key, local, message.reason, message.detail ?? null, world);
  return true;
}

/** The manager counts the user here no more: revoked, say, or by the operator. What was made to the user it ends by itself. */
export function userPutOut(state: AgentState, { leaf, reason }: MessageOf<'RemoveUser'>, world: World): void {
  const key = toHex(leaf);
  const local = state.users.here.get(key);
  if (local === undefined || reason === undefined) return;
  refused(state, key, local, reason, 'the manager has put the user out', world);
}

function registering(state: AgentState, requestId: string): readonly [string, LocalUser, Channel] | null {
  for (const [key, local] of state.users.here) {
    const { step } = local;
    if (step.name === 'registering' && toHex(step.message.requestId) === requestId) return [key, local, step.channel];
  }
  return null;
}

function refused(
  state: AgentState,
  key: string,
  local: LocalUser,
  reason: Reason,
  detail: string | null,
  world: World,
): void {
  const final = !PASSING.has(reason);
  const isNew = reason !== local.refusedFor;
  local.refusals = isNew ? 1 : local.refusals + 1;
  local.refusedFor = reason;
  local.step = { name: 'refused', reason, detail, final };
  if (final) cancel(state.deadlines, `user:${key}`);
  else
    schedule(
      state.deadlines,
      `user:${key}`,
      later(world.now, Millis(Math.min(LAST_AGAIN, AGAIN * 2 ** (local.refusals - 1)))),
    );
  // the same again is no news
  log(state, isNew ? 'warn' : 'debug', 'user.refused', { user: local.user, reason, detail });
  if (isNew) tell(state, { news: 'userRefused', user: local.user, leaf: key, reason, detail });
}

// ── What is made to a user ──────────────────────────────────────────────────────────────────────────────────────────

/** As callee. @returns why not, or null */
export function awayFault(state: AgentState, name: string): Reason | null {
  const user = userAsked(name);
  if (user === null) return null;
  return [...state.users.here.values()].some((local) => canonicalUser(local.user) === user) ? null : 'user-gone';
}

/**
 * What a grant says of a user fits what was asked for, and the callee has that user's medium.
 * @returns what is wrong with it, or null
 */
export function userFault(
  state: AgentState,
  role: 'caller' | 'callee',
  name: string,
  leaf: Uint8Array | undefined,
): string | null {
  const user = userAsked(name);
  if (user === null) return leaf === undefined ? null : 'a user, where a device was asked for';
  if (leaf === undefined) return 'no user, where one was asked for';
  if (role === 'caller') return null;
  const here = state.users.here.get(toHex(leaf));
  return here !== undefined && canonicalUser(here.user) === user ? null : 'a user whose medium is not in';
}
