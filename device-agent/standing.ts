/**
 * Standing approvals: nonces given out beforehand, so that a grant may ride with the ask (design §5.4).
 */
import { fromHex, toHex } from '../protocol/bytes.ts';
import { NONCE_BYTES } from '../protocol/message-values.ts';
import type { MessageOf } from '../protocol/messages.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { ride, sendOnChannel } from './outbox.ts';
import type { AgentState, StandingApproval } from './state.ts';

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

/** Takes a standing approval back, here at once. @returns false when there is none */
export function withdrawStanding(state: AgentState, caller: DeviceId, world: World): boolean {
  if (!state.standing.delete(caller)) return false;
  const others = state.riding.filter((message) => message.kind !== 'Approve' || message.caller !== caller);
  state.riding.splice(0, state.riding.length, ...others);
  // without a channel nothing has to be said: the next one carries only what stands
  sendOnChannel(state, [{ kind: 'Withdraw', requestId: world.crypto.random(NONCE_BYTES), caller }], null, world);
  return true;
}
