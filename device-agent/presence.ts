/**
 * The answer to the manager's question whether this device is there: by it the manager tells a machine that was restarted
 * from two machines with one certificate.
 */
import type { MessageOf } from '../protocol/messages.ts';
import type { World } from '../protocol/world.ts';
import { sendOnChannel } from './outbox.ts';
import type { AgentState } from './state.ts';

export function receiveProbe(state: AgentState, { nonce }: MessageOf<'Probe'>, world: World): void {
  const users = [...state.users.here.values()].map(({ leaf }) => leaf);
  sendOnChannel(state, [{ kind: 'Present', nonce: nonce.slice(), users }], null, world);
}
