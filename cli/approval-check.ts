/**
 * What an approval file that need not be in force says of a caller, by the clock of this machine.
 */
import { type Caller, decideAsk } from '../device-agent/approval.ts';
import type { JsonValue } from '../platform/control-socket.ts';
import { localClock } from '../protocol/time-window.ts';
import { type DeviceId, EpochSeconds } from '../protocol/units.ts';
import { readApprovalFile } from './daemons/approval-keeper.ts';

export type AskedAbout = Omit<Caller, 'from' | 'callee'> & { readonly from: string; readonly callee: string | null };

/** @throws Failure, FileFault when the file cannot be used */
export function checkApprovalFile(file: string, about: AskedAbout, at = Math.floor(Date.now() / 1000)): JsonValue {
  const policy = readApprovalFile(file);
  const caller: Caller = { ...about, from: about.from as DeviceId, callee: about.callee ?? '' };
  const shown = localClock(new Intl.DateTimeFormat().resolvedOptions().timeZone)(EpochSeconds(at));
  const mode = policy.busy ? 'busy' : 'normal';
  const { ground, ...said } = decideAsk(policy, caller, shown, mode, null);
  return { ...said, ground: ground.by, rule: ground.by === 'rule' ? ground.rule : null, mode, standing: false };
}
