/**
 * What comes from devices: frames of exchanges and records, each to the part that understands it.
 */
import { toHex } from '../protocol/bytes.ts';
import { openMessages } from '../protocol/channel.ts';
import { cancel } from '../protocol/deadlines.ts';
import { ProtocolError } from '../protocol/errors.ts';
import { decodeFrame, type ExchangeKind } from '../protocol/frame.ts';
import type { ChannelMessage } from '../protocol/messages.ts';
import type { Party } from '../protocol/topics.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { receiveCancel } from './cancelling.ts';
import { receiveCloseMessage } from './channels.ts';
import { receiveAnswer, receiveConnect, receiveEnd, receiveEndOk, receiveUp } from './connects.ts';
import { endHandshake } from './half-open.ts';
import { type Handshake, partyKey } from './handshake.ts';
import { receiveMessage1, receiveMessage3 } from './logins.ts';
import * as openings from './openings.ts';
import { log, publish, sendHint } from './outbox.ts';
import { receivePresent } from './probes.ts';
import { receiveDoubt } from './reach.ts';
import { answeredBefore, receiveApprove, receiveDelete, receiveRegister, receiveWithdraw } from './registrations.ts';
import { receiveHolding, receiveRenewal } from './renewals.ts';
import type { ManagerState } from './state.ts';
import { receiveRemoveUser } from './user-leaving.ts';
import { receiveRegisterUser } from './users.ts';

/** A payload of a device, or of a link that is none yet. @throws ProtocolError */
export function receiveFrame(state: ManagerState, from: Party, payload: Uint8Array, world: World): void {
  const frame = decodeFrame(payload);
  if (from.kind === 'link' && state.settings.broker === 'outside') {
    throw new ProtocolError(
      'unexpected',
      'a link without a device on an outside broker: its agent has another broker.kind',
    );
  }
  const party = settle(state, from);
  // a link that was bound without the device's hearing of it goes on logging in as a link
  const handshake = state.handshakes.get(partyKey(from)) ?? state.handshakes.get(partyKey(party)) ?? null;
  switch (frame.kind) {
    case 'record':
      return receiveRecord(state, party, handshake, frame.record, world);
    case 'hint':
      if (handshake?.step.name === 'awaitingResumed') openings.resumptionUnknown(state, handshake, world);
      else if (party.kind === 'device') receiveDoubt(state, party.id, world);
      return;
    default: {
      const repeat = handshake === null ? null : openings.repeated(handshake, payload);
      if (repeat !== null) {
        if (repeat.length > 0) publish(state, state.settings.topics.toDevice(from), repeat);
        return;
      }
      receiveExchange(state, from, handshake, frame.kind, frame.exchange, frame.body, payload, world);
    }
  }
}

/** A link that is bound to a device speaks as that device, on whichever of its topics. */
function settle(state: ManagerState, from: Party): Party {
  const device = from.kind === 'link' ? state.linkDevices.get(from.link) : undefined;
  return device === undefined ? from : { kind: 'device', id: device };
}

function receiveExchange(
  state: ManagerState,
  party: Party,
  handshake: Handshake | null,
  kind: ExchangeKind,
  exchange: Uint8Array,
  body: Uint8Array,
  frame: Uint8Array,
  world: World,
): void {
  log(state, 'debug', 'exchange.received', { from: partyKey(party), kind, bytes: frame.length });
  if (kind === 'message1') return receiveMessage1(state, party, exchange, body, frame, world); // the device's own wins
  if (kind === 'resume') return openings.receiveResume(state, party, exchange, body, frame, world);
  if (handshake === null || toHex(handshake.exchange) !== toHex(exchange)) return; // of an exchange that is over
  switch (kind) {
    case 'message3':
      return receiveMessage3(state, handshake, body, frame, world);
    case 'resumed':
      return openings.receiveResumedByDevice(state, handshake, body, world);
    case 'message2':
      return openings.receiveMessage2(state, handshake, body, world);
    case 'message4':
      return openings.receiveMessage4(state, handshake, body, world);
    case 'error':
      return openings.receiveExchangeError(state, handshake, body, world);
    case 'busy':
      throw new ProtocolError('unexpected', 'busy is for devices to receive');
    default:
      kind satisfies never;
  }
}

function receiveRecord(
  state: ManagerState,
  party: Party,
  handshake: Handshake | null,
  record: Uint8Array,
  world: World,
): void {
  if (handshake?.step.name === 'awaitingFirstRecord') {
    const first = tryFirstRecord(state, handshake, record, world);
    if (first !== null) {
      receiveMessages(state, first.device, first.messages, record.length, world);
      return;
    }
  }
  const open = party.kind === 'device' ? state.channels.get(party.id) : undefined;
  if (party.kind !== 'device' || open === undefined) return sendHint(state, party, 'record', world);
  // revoked or reset, and about to be put out
  if (state.revocation.condemned.has(party.id) || state.voids.underWay.has(party.id)) return;
  let messages: readonly ChannelMessage[];
  try {
    messages = openMessages(world.crypto, open.channel, record);
  } catch (error) {
    if (error instanceof ProtocolError && error.code === 'badMac') sendHint(state, party, 'record', world);
    throw error;
  }
  receiveMessages(state, party.id, messages, record.length, world);
}

function receiveMessages(
  state: ManagerState,
  from: DeviceId,
  messages: readonly ChannelMessage[],
  bytes: number,
  world: World,
): void {
  const link = state.links.get(from);
  // a record under the new keys: the answer of the exchange has arrived and need not be repeated
  if (link !== undefined) endHandshake(state, { kind: 'link', link });
  const own: Party = { kind: 'device', id: from };
  if (state.handshakes.get(partyKey(own))?.step.name === 'answered') endHandshake(state, own);
  cancel(state.deadlines, `word:${from}`);
  log(state, 'debug', 'message.received', { from, kinds: messages.map(({ kind }) => kind).join('+'), bytes });
  for (const message of messages) receiveMessage(state, from, message, world);
}

function tryFirstRecord(state: ManagerState, handshake: Handshake, record: Uint8Array, world: World) {
  try {
    return openings.receiveFirstRecord(state, handshake, record, world);
  } catch (error) {
    if (error instanceof ProtocolError && error.code === 'badMac') return null; // of the channel before
    throw error;
  }
}

function receiveMessage(state: ManagerState, device: DeviceId, message: ChannelMessage, world: World): void {
  switch (message.kind) {
    case 'Permit':
      return;
    case 'Register':
      return receiveRegister(state, device, message, world);
    case 'Delete':
      if (!answeredBefore(state, device, message.requestId, world)) receiveDelete(state, device, message);
      return;
    case 'Approve':
      if (!answeredBefore(state, device, message.requestId, world)) receiveApprove(state, device, message, world);
      return;
    case 'Withdraw':
      if (!answeredBefore(state, device, message.requestId, world)) receiveWithdraw(state, device, message, world);
      return;
    case 'Connect':
      return receiveConnect(state, device, message, world);
    case 'Answer':
      return receiveAnswer(state, device, message, world);
    case 'End':
      return receiveEnd(state, device, message, world);
    case 'EndOk':
      return receiveEndOk(state, device, message, world);
    case 'Up':
      return receiveUp(state, device, message, world);
    case 'Renewal':
      return receiveRenewal(state, device, message, world);
    case 'Holding':
      return receiveHolding(state, device, message, world);
    case 'Present':
      return receivePresent(state, device, message, world);
    case 'Cancel':
      return receiveCancel(state, device, message, world);
    case 'RegisterUser':
      return receiveRegisterUser(state, device, message, world);
    case 'RemoveUser':
      return receiveRemoveUser(state, device, message, world);
    case 'Close':
    case 'CloseOk':
      return receiveCloseMessage(state, device, message, world);
    case 'Registered':
    case 'Done':
    case 'Denied':
    case 'Ask':
    case 'Grant':
    case 'Renew':
    case 'Probe':
      throw new ProtocolError('unexpected', `${message.kind} is for devices to receive`);
    default:
      message satisfies never;
  }
}
