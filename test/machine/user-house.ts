/**
 * Users of a town: their certificates, what is said to register them by hand, and where the manager has them.
 */
import assert from 'node:assert/strict';
import { sendOnChannel } from '../../device-agent/outbox.ts';
import { remembered } from '../../manager/outbox.ts';
import { usersAt } from '../../manager/user-desk.ts';
import { EXTENDED_KEY_USAGE } from '../../protocol/certificate.ts';
import { NONCE_BYTES } from '../../protocol/message-values.ts';
import type { ChannelMessage, MessageOf } from '../../protocol/messages.ts';
import { userSignature, userStatement } from '../../protocol/user-proof.ts';
import { certify, DEVICE_WISHES, type Holder, type Wishes } from '../test-authority.ts';
import type { Town, TownDevice } from '../town-plan.ts';

export const USER_WISHES: Wishes = { ...DEVICE_WISHES, extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriUser] };

export const person = (t: Town, name: string, wishes: Wishes = {}): Holder =>
  certify(name, { ...USER_WISHES, ...wishes }, t.ca);

/** Who the manager has at a device, the most recent first. */
export const usersOf = (t: Town, device: TownDevice): string[] =>
  usersAt(t.manager.users, device.id).map(({ record }) => record.user);

/** Puts the medium in; the manager has to have the user there. */
export function settle(t: Town, device: TownDevice, user: Holder, called?: string): void {
  device.insert(user, called);
  t.flush();
  assert.ok(device.latest('userHere'), JSON.stringify(device.latest('userRefused') ?? null));
}

/** Says this to the manager over the device's channel. */
export function sayTo(t: Town, device: TownDevice, ...messages: ChannelMessage[]): void {
  device.run((state, world) => sendOnChannel(state, messages, null, world));
  t.flush();
}

type Registration = MessageOf<'RegisterUser'>;

export interface Forgery {
  /** Who signs, in place of the key of the certificate. */
  readonly signer?: Holder;
  readonly binding?: Uint8Array;
  readonly device?: TownDevice;
  readonly user?: string;
  readonly requestId?: Uint8Array;
}

/** A registration by hand; what is signed may be something else than what is said. */
export function registration(
  t: Town,
  device: TownDevice,
  user: Holder,
  called: string,
  forgery: Forgery = {},
): Registration {
  const requestId = device.crypto.random(NONCE_BYTES);
  const { key } = (forgery.signer ?? user).key;
  const signed = {
    binding: forgery.binding ?? device.state.channel!.channel.binding,
    device: (forgery.device ?? device).id,
    user: forgery.user ?? called,
    requestId: forgery.requestId ?? requestId,
  };
  const signature = key.sign(userSignature(key.algorithm)!, userStatement(signed));
  const chain = [user.certificate.der, t.ca.certificate.der];
  return { kind: 'RegisterUser', requestId, user: called, chain, signature };
}

/** What the manager answered, for people. */
export function answerTo(t: Town, device: TownDevice, { requestId }: Registration): string {
  const reply = remembered(t.manager, device.id, requestId, t.clock.now());
  if (reply?.kind !== 'Denied') return reply?.kind ?? 'nothing';
  return `${reply.reason}: ${reply.detail ?? ''}`;
}

/** @returns the answer to a registration by hand */
export function register(t: Town, device: TownDevice, user: Holder, called: string, forgery: Forgery = {}): string {
  const message = registration(t, device, user, called, forgery);
  sayTo(t, device, message);
  return answerTo(t, device, message);
}

/** Why a call found nobody: reason and detail; null: it found somebody, or waits. */
export function refusalOf(
  t: Town,
  caller: TownDevice,
  callee: string,
  wish: Parameters<TownDevice['call']>[1] = {},
): string | null {
  const call = caller.call(callee, wish);
  t.flush();
  return failureOf(caller, call);
}

export function failureOf(caller: TownDevice, call: string): string | null {
  for (const one of caller.news)
    if (one.news === 'callFailed' && one.call === call) return `${one.reason}: ${one.detail ?? ''}`;
  return null;
}

/** The peer with whom a call has an open session. */
export const reachedBy = (caller: TownDevice, call: string): string | null => {
  const opened = caller.news.findLast((one) => one.news === 'sessionOpened' && one.call === call);
  return opened?.news === 'sessionOpened' ? opened.peer : null;
};

/** SIDs of sessions that stand open at a device. */
export const openAt = (device: TownDevice): string[] =>
  [...device.state.sessions].filter(([, { state }]) => state.name === 'open').map(([sid]) => sid);
