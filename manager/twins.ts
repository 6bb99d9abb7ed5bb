/**
 * Two machines with one certificate: noticed by a question to the one that is there.
 */
import { ProtocolError } from '../protocol/errors.ts';
import type { MessageOf } from '../protocol/messages.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import type { ManagerState } from './state.ts';

export function receivePresent(
  _state: ManagerState,
  _device: DeviceId,
  message: MessageOf<'Present'>,
  _world: World,
): void {
  throw new ProtocolError('unexpected', message.kind);
}
