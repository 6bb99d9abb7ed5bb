/**
 * A caller that takes its Connect back: what is not granted yet never will be, what is granted ends.
 */
import { toHex } from '../protocol/bytes.ts';
import type { MessageOf } from '../protocol/messages.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { log, remember } from './outbox.ts';
import { sidsOfCall, stepSession } from './sessions.ts';
import type { ManagerState } from './state.ts';
import { cancelWaiting } from './waiting.ts';

/** Nobody is answered. A Connect that comes after its Cancel, which no order of the network brings about, finds this reply. */
export function receiveCancel(state: ManagerState, caller: DeviceId, message: MessageOf<'Cancel'>, world: World): void {
  const nonceA = message.nonceA.slice();
  const withdrawn = { kind: 'Denied', requestId: nonceA, reason: 'withdrawn' } as const;
  remember(state, caller, nonceA, withdrawn, world.now);
  cancelWaiting(state, caller, nonceA);
  const sids = sidsOfCall(state, caller, nonceA);
  log(state, 'info', 'connect.withdrawn', { caller, call: toHex(nonceA), sid: sids[0] ?? null });
  for (const sid of sids) stepSession(state, sid, { type: 'endAsked', by: caller, reason: 'withdrawn' }, world);
}
