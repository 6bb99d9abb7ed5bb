/**
 * Writes what survives the process after every change of it.
 */
import { encodeMemory } from './memory.ts';
import { save } from './outbox.ts';
import type { AgentState } from './state.ts';

/** @returns the number under which the end of it is told */
export function saveMemory(state: AgentState): number {
  const { secret, managerLeaf, chainHeld, consentKey, leafHash: leaf, time } = state;
  const managerChain = managerLeaf?.chain ?? null;
  return save(state, encodeMemory({ secret, managerChain, chainHeld, consentKey, leaf, time: time.bound }));
}
