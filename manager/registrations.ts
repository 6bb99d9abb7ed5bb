/**
 * Registration of addresses and proposals, deletion, standing approvals (patent 2000–2014, 0100, 0145–0155).
 */

import type { Change } from '../platform/store.ts';
import { equal } from '../protocol/bytes.ts';
import type { MessageOf } from '../protocol/messages.ts';
import { checkProposals } from '../protocol/proposal.ts';
import { registrationHash } from '../protocol/registration.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { commit, log, remember, remembered, sendTo } from './outbox.ts';
import { type RegistrationRecord, registrationChange } from './registry.ts';
import { sessionsBetween, stepSession } from './sessions.ts';
import type { ManagerState } from './state.ts';

const MAX_STANDING = 256;

/**
 * Replaces what the device had registered, in memory at once and on disk with the changes returned.
 * A repeat changes nothing and gets the same version.
 */
export function prepareRegistration(
  state: ManagerState,
  device: DeviceId,
  message: MessageOf<'Register'>,
  world: World,
): { readonly reply: MessageOf<'Registered'>; readonly changes: readonly Change[] } {
  const { requestId, addresses, proposals } = message;
  checkProposals(proposals);
  const before = state.registrations.get(device);
  const hash = registrationHash(world.crypto, { addresses, proposals });
  // the same content is the same version, and a grant made from it stays good; written all the same: the disk may have
  // refused it the first time
  const same = before !== undefined && equal(before.hash, hash);
  const version = same ? before.version : (before?.version ?? 0) + 1;
  const record: RegistrationRecord = { version, requestId: requestId.slice(), hash, addresses, proposals };
  state.registrations.set(device, record);
  log(state, 'info', 'device.registered', {
    device,
    version,
    proposals: proposals.length,
    addresses: addresses.length,
  });
  return {
    reply: { kind: 'Registered', requestId: record.requestId, version },
    changes: [registrationChange(device, record)],
  };
}

/** [patent 2004–2010] The completion is sent once the record is durable. */
export function receiveRegister(
  state: ManagerState,
  device: DeviceId,
  message: MessageOf<'Register'>,
  world: World,
): void {
  const { reply, changes } = prepareRegistration(state, device, message, world);
  commit(state, changes, { next: 'reply', device, message: reply, requestId: reply.requestId });
}

/** [patent 0100] */
export function receiveDelete(state: ManagerState, device: DeviceId, message: MessageOf<'Delete'>): void {
  state.registrations.delete(device);
  log(state, 'info', 'device.deleted', { device });
  const reply = { kind: 'Done', requestId: message.requestId.slice() } as const;
  commit(state, [registrationChange(device, null)], {
    next: 'reply',
    device,
    message: reply,
    requestId: reply.requestId,
  });
}

/** A standing approval lives as long as the process that drew its nonces. */
export function receiveApprove(
  state: ManagerState,
  device: DeviceId,
  message: MessageOf<'Approve'>,
  world: World,
): void {
  const standing = state.channels.get(device)?.standing;
  if (standing === undefined) return;
  const { caller, lifetime, nonces, requestId } = message;
  const before = standing.get(caller)?.nonces ?? [];
  const known = (nonce: Uint8Array): boolean => before.some((held) => equal(held, nonce));
  const added = nonces.filter((nonce) => !known(nonce)).map((nonce) => nonce.slice());
  if (standing.size >= MAX_STANDING && !standing.has(caller)) {
    return answer(
      state,
      device,
      { kind: 'Denied', requestId: requestId.slice(), reason: 'too-many' },
      requestId,
      world,
    );
  }
  standing.set(caller, { lifetimeSeconds: lifetime, nonces: [...before, ...added].slice(-MAX_NONCES) });
  log(state, 'debug', 'standing.given', { callee: device, caller });
  answer(state, device, { kind: 'Done', requestId: requestId.slice() }, requestId, world);
}

const MAX_NONCES = 16;

export function receiveWithdraw(
  state: ManagerState,
  device: DeviceId,
  message: MessageOf<'Withdraw'>,
  world: World,
): void {
  const { caller } = message;
  state.channels.get(device)?.standing.delete(caller);
  log(state, 'info', 'standing.withdrawn', { callee: device, caller });
  for (const sid of [...sessionsBetween(state, device, caller)]) {
    if (state.sessions.get(sid)?.flow.terms.callee.id === device)
      stepSession(state, sid, { type: 'standingWithdrawn' }, world);
  }
  answer(state, device, { kind: 'Done', requestId: message.requestId.slice() }, message.requestId, world);
}

function answer(
  state: ManagerState,
  device: DeviceId,
  message: MessageOf<'Done' | 'Denied'>,
  requestId: Uint8Array,
  world: World,
): void {
  remember(state, device, requestId, message, world.now);
  sendTo(state, device, [message], world);
}

/** @returns whether the request was a repeat and has its answer */
export function answeredBefore(state: ManagerState, device: DeviceId, requestId: Uint8Array, world: World): boolean {
  const reply = remembered(state, device, requestId, world.now);
  if (reply === null) return false;
  sendTo(state, device, [reply], world);
  return true;
}
