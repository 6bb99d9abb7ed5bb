/**
 * Standing approvals: nonces given out beforehand, so that a grant may ride with the ask (design §5.4).
 */
import { fromHex, toHex } from '../protocol/bytes.ts';
import { NONCE_BYTES } from '../protocol/message-values.ts';
import type { MessageOf } from '../protocol/messages.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { keepApprovals } from './approval-keeping.ts';
import { type ApprovalMemory, MAX_STANDING } from './approval-memory.ts';
import { forgetAsk } from './asks.ts';
import { ride, sendOnChannel } from './outbox.ts';
import type { AgentSettings, AgentState, StandingApproval } from './state.ts';

const NONCES_OUT = 4;

/** For a new channel: every standing approval with all its nonces, for the manager may have forgotten them. */
export function standingMessages(state: AgentState, world: World): MessageOf<'Approve'>[] {
  return [...state.standing].map(([caller, standing]) => {
    drawNonces(standing, world);
    return approve(caller, standing, [...standing.nonces].map(fromHex), world);
  });
}

/** @returns the fresh ones */
function drawNonces({ nonces }: StandingApproval, world: World): Uint8Array[] {
  const fresh: Uint8Array[] = [];
  while (nonces.size < NONCES_OUT) {
    const nonce = world.crypto.random(NONCE_BYTES);
    nonces.add(toHex(nonce));
    fresh.push(nonce);
  }
  return fresh;
}

function approve(
  caller: DeviceId,
  { lifetimeSeconds }: StandingApproval,
  nonces: Uint8Array[],
  world: World,
): MessageOf<'Approve'> {
  return { kind: 'Approve', requestId: world.crypto.random(NONCE_BYTES), caller, lifetime: lifetimeSeconds, nonces };
}

/**
 * Uses up the nonce of a grant that came with its ask, and lets a fresh one ride on the next record.
 * @returns false when it was never given out to this caller, or is used
 */
export function useStandingNonce(
  state: AgentState,
  caller: DeviceId,
  lifetime: number,
  nonce: Uint8Array,
  world: World,
): boolean {
  const standing = state.standing.get(caller);
  if (standing === undefined || lifetime > standing.lifetimeSeconds) return false;
  if (!standing.nonces.delete(toHex(nonce))) return false;
  ride(state, [approve(caller, standing, drawNonces(standing, world), world)], world);
  return true;
}

/** Those of the configuration that nobody has taken back, and those that were given at run time. */
export function standingAtStart(
  { standing }: AgentSettings,
  { standing: given, withdrawn }: ApprovalMemory,
): Map<DeviceId, StandingApproval> {
  const configured = standing.filter(({ caller }) => !withdrawn.includes(caller));
  return new Map([...configured, ...given].map((entry) => [entry.caller, { ...entry, nonces: new Set<string>() }]));
}

/** In the place of what stood for this caller. @returns false when there are too many */
export function giveStanding(state: AgentState, caller: DeviceId, lifetimeSeconds: number, world: World): boolean {
  const { standing, approvals } = state;
  if (!standing.has(caller) && standing.size >= MAX_STANDING) return false;
  dropStanding(state, caller, world); // nonces that were given out for other terms count no more
  approvals.withdrawn.delete(caller);
  approvals.given.set(caller, lifetimeSeconds);
  keepApprovals(state, world);
  const given: StandingApproval = { lifetimeSeconds, nonces: new Set() };
  standing.set(caller, given);
  // without a channel the next one carries all that stand
  if (state.channel !== null && !state.channel.channel.authenticateOnly)
    sendOnChannel(state, [approve(caller, given, drawNonces(given, world), world)], null, world);
  return true;
}

/** Takes a standing approval back, here at once and for good. @returns false when there is none */
export function withdrawStanding(state: AgentState, caller: DeviceId, world: World): boolean {
  const { approvals, settings } = state;
  if (!dropStanding(state, caller, world)) return false;
  approvals.given.delete(caller);
  if (settings.standing.some((one) => one.caller === caller)) approvals.withdrawn.add(caller);
  keepApprovals(state, world);
  return true;
}

function dropStanding(state: AgentState, caller: DeviceId, world: World): boolean {
  if (!state.standing.delete(caller)) return false;
  const others = state.riding.filter((message) => message.kind !== 'Approve' || message.caller !== caller);
  state.riding.splice(0, state.riding.length, ...others);
  for (const [sid, asked] of state.asked) if (asked.stands && asked.ask.from === caller) forgetAsk(state, sid);
  // without a channel nothing has to be said: the next one carries only what stands
  sendOnChannel(state, [{ kind: 'Withdraw', requestId: world.crypto.random(NONCE_BYTES), caller }], null, world);
  return true;
}
