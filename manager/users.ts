/**
 * Users at devices (P21, patent 0168–0171).
 */
import { ProtocolError } from '../protocol/errors.ts';
import type { MessageOf } from '../protocol/messages.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import type { ManagerState } from './state.ts';

export function receiveRegisterUser(
  _state: ManagerState,
  _device: DeviceId,
  message: MessageOf<'RegisterUser'>,
  _world: World,
): void {
  throw new ProtocolError('unexpected', message.kind);
}

export function receiveRemoveUser(
  _state: ManagerState,
  _device: DeviceId,
  message: MessageOf<'RemoveUser'>,
  _world: World,
): void {
  throw new ProtocolError('unexpected', message.kind);
}
