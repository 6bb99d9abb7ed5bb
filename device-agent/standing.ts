/**
 * Standing approvals: nonces given out beforehand, so that a grant may ride with the ask (design §5.4).
 */
import { toHex } from '../protocol/bytes.ts';
import { type MessageOf, NONCE_BYTES } from '../protocol/messages.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import type { AgentState } from './state.ts';

const NONCES_OUT = 4;

/** For a new channel: every standing approval with its nonces, fresh ones where some were used. */
export function standingMessages(state: AgentState, world: World): MessageOf<'Approve'>[] {
  return state.settings.standing.map(({ caller, lifetimeSeconds }) => approve(state, caller, lifetimeSeconds, world));
}

function approve(state: AgentState, caller: DeviceId, lifetime: number, world: World): MessageOf<'Approve'> {
  const out = state.standing.get(caller) ?? new Set<string>();
  state.standing.set(caller, out);
  const nonces: Uint8Array[] = [];
  while (out.size < NONCES_OUT) {
    const nonce = world.crypto.random(NONCE_BYTES);
    out.add(toHex(nonce));
    nonces.push(nonce);
  }
  return { kind: 'Approve', requestId: world.crypto.random(NONCE_BYTES), caller, lifetime, nonces };
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
  const standing = state.settings.standing.find((entry) => entry.caller === caller);
  if (standing === undefined || lifetime > standing.lifetimeSeconds) return false;
  if (state.standing.get(caller)?.delete(toHex(nonce)) !== true) return false;
  state.riding.push(approve(state, caller, standing.lifetimeSeconds, world));
  return true;
}
