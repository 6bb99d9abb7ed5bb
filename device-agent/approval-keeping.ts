/**
 * Changes of what survives of approval, and the mode in force.
 */
import type { EpochSeconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import type { Mode } from './approval.ts';
import { encodeApprovals } from './approval-memory.ts';
import type { AgentState } from './state.ts';

/** After every change. */
export function keepApprovals(state: AgentState, world: World): void {
  const { remembered, given, withdrawn, mode } = state.approvals;
  for (const [key, { until }] of remembered) if (until <= world.wall) remembered.delete(key);
  const content = encodeApprovals({
    remembered: [...remembered.values()],
    standing: [...given].map(([caller, lifetimeSeconds]) => ({ caller, lifetimeSeconds })),
    withdrawn: [...withdrawn],
    mode,
  });
  state.out.push({ type: 'keep', content });
}

/** @param mode  null: as the policy says @param until  null: until another is set */
export function setMode(state: AgentState, mode: Mode | null, until: EpochSeconds | null, world: World): void {
  state.approvals.mode = mode === null ? null : { mode, until };
  keepApprovals(state, world);
}

export function modeNow(
  { approvals: { mode }, settings: { approval } }: Pick<AgentState, 'approvals' | 'settings'>,
  { wall }: Pick<World, 'wall'>,
): Mode {
  if (mode !== null && (mode.until === null || wall < mode.until)) return mode.mode;
  return approval.busy ? 'busy' : 'normal';
}
