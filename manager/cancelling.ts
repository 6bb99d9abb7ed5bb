/**
 * A caller that takes its Connect back before it is granted.
 */
import { ProtocolError } from '../protocol/errors.ts';
import type { MessageOf } from '../protocol/messages.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import type { ManagerState } from './state.ts';

export function receiveCancel(
  _state: ManagerState,
  _device: DeviceId,
  message: MessageOf<'Cancel'>,
  _world: World,
): void {
  throw new ProtocolError('unexpected', message.kind);
}
