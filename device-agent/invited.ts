/**
 * The channel that the manager opens because somebody wants this device (P13, patent 0109–0110, 2112): resumption, or
 * EDHOC with the roles swapped. An exchange of our own under way wins.
 */
import { equal } from '../protocol/bytes.ts';
import { openChannel, openMessages } from '../protocol/channel.ts';
import { schedule } from '../protocol/deadlines.ts';
import { encodeError } from '../protocol/edhoc/error-message.ts';
import {
  answerLogin,
  chooseLogin,
  pickChannelSuite,
  readOffer,
  readRequest,
  verifyRequest,
} from '../protocol/login.ts';
import type { ChannelMessage } from '../protocol/messages.ts';
import { answerResumption, nextSecret } from '../protocol/resumption.ts';
import { later, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { channelKeysOf, channelOpened } from './channel.ts';
import { noCost } from './cost.ts';
import { demandedVerdict, isSecretOfUse } from './device-time.ts';
import { keepSecret, startFullLogin } from './joining.ts';
import type { InvitationStep } from './joining-states.ts';
import { judgeManager, managerChainOf } from './manager-judgement.ts';
import { saveMemory } from './memory-keeping.ts';
import { managerTopic, publish, sendExchange } from './outbox.ts';
import type { AgentState } from './state.ts';

const EXCHANGE_TIMEOUT = seconds(10);

/** @returns whether the frame was answered as a byte-identical repeat */
export function repeatedInvitation(state: AgentState, frame: Uint8Array): boolean {
  const last = state.invitation?.last;
  const topic = managerTopic(state);
  if (last === null || last === undefined || topic === null || !equal(last.received, frame)) return false;
  publish(state, topic, last.sent, null);
  return true;
}

function begin(state: AgentState, exchange: Uint8Array, step: InvitationStep, received: number, world: World): void {
  const cost = noCost();
  cost.received = 1;
  cost.bytes = received;
  state.charged = cost;
  state.invitation = { exchange: exchange.slice(), cost, step, last: null };
  schedule(state.deadlines, 'exchange', later(world.now, EXCHANGE_TIMEOUT));
}

function reply(
  state: AgentState,
  kind: 'resumed' | 'message2' | 'message4',
  received: Uint8Array,
  body: Uint8Array,
): void {
  const { invitation } = state;
  if (invitation === null) return;
  const sent = sendExchange(state, kind, invitation.exchange, body, invitation.cost);
  invitation.last = { received: received.slice(), sent };
}

/** D1 from the manager. @returns false when there is no secret for it: a hint is due */
export function receiveResume(
  state: AgentState,
  exchange: Uint8Array,
  body: Uint8Array,
  frame: Uint8Array,
  world: World,
): boolean {
  const { secret } = state;
  if (secret === null || !isSecretOfUse(state, secret.until, world)) return false;
  const answered = answerResumption(world.crypto, secret, 'manager', body, state.instance);
  if (answered === null) return false;
  const { answer, resumed } = answered;
  const next = nextSecret(world.crypto, resumed.used);
  const channel = openChannel(world.crypto, channelKeysOf(resumed, 'responder'));
  begin(state, exchange, { name: 'awaitingFirstRecord', channel, resumed, next }, frame.length, world);
  reply(state, 'resumed', frame, answer);
  return true;
}

/** [patent 1002–1004, roles swapped] */
export function receiveMessage1(
  state: AgentState,
  exchange: Uint8Array,
  body: Uint8Array,
  frame: Uint8Array,
  world: World,
): void {
  // without a trusted clock the verdict has to be bound to our key, which only our own message_1 can ask for
  if (demandedVerdict(state, world) === 'fresh') return startFullLogin(state, [], world);
  const read = readOffer(world.crypto, state.identity, body);
  if ('error' in read) {
    sendExchange(state, 'error', exchange, read.error, noCost());
    return;
  }
  const suite = pickChannelSuite(state.identity, read.offer);
  if (suite === null) {
    sendExchange(
      state,
      'error',
      exchange,
      encodeError({ kind: 'unspecified', text: 'no channel suite in common' }),
      noCost(),
    );
    return;
  }
  const choice = {
    suite,
    sendChain: state.managerLeaf === null ? true : undefined,
    authenticateOnly: undefined,
    instance: state.instance,
  };
  // the leaf alone identifies; the chain is sent whenever the manager may not hold it
  const wanted = state.chainHeld ? read : { ...read, offer: { ...read.offer, sendChain: true } };
  const { message2, state: login } = chooseLogin(world.crypto, state.identity, wanted, choice);
  begin(state, exchange, { name: 'awaitingMessage3', login }, frame.length, world);
  reply(state, 'message2', frame, message2);
}

/** The manager shows itself; the same judgement as in a login of our own. */
export function receiveMessage3(state: AgentState, body: Uint8Array, frame: Uint8Array, world: World): void {
  const { invitation } = state;
  if (invitation?.step.name !== 'awaitingMessage3') return;
  state.charged = invitation.cost;
  invitation.cost.received++;
  invitation.cost.bytes += frame.length;
  const read = readRequest(world.crypto, invitation.step.login, body);
  const chain = managerChainOf(state, read.peer);
  if (chain === null) {
    const unknown = encodeError({ kind: 'unknownCredential' });
    sendExchange(state, 'error', invitation.exchange, unknown, invitation.cost);
    state.managerLeaf = null; // the chain is asked for next time
    state.invitation = null;
    return;
  }
  const judged = judgeManager(state, chain, read.request.verdict ?? null, null, world);
  if (judged === null) {
    state.invitation = null;
    return startFullLogin(state, [], world);
  }
  const login = verifyRequest(world.crypto, read, judged.peer);
  const { message4, keys } = answerLogin(world.crypto, login, { permitted: true, chainHeld: true });
  if (keys === null) return;
  keepSecret(state, keys.resumptionSecret, keys.channel, judged.manager, world);
  state.chainHeld = true;
  invitation.step = { name: 'savingLogin', keys, message4 };
  invitation.last = { received: frame.slice(), sent: new Uint8Array(0) };
  state.awaitedSave = saveMemory(state);
}

/** What had to be stored is stored: the answer goes out, and the channel is open. */
export function savedInvitation(state: AgentState, world: World): void {
  const { invitation } = state;
  if (invitation?.step.name !== 'savingLogin') return;
  const { keys, message4 } = invitation.step;
  state.charged = invitation.cost;
  reply(state, 'message4', invitation.last!.received, message4);
  const channel = openChannel(world.crypto, keys.channel);
  state.invitation = null;
  channelOpened(state, channel, { opened: 'edhoc', by: 'manager', cost: invitation.cost }, [], world);
}

/**
 * A record while a resumption of the manager waits for its first one.
 * @returns its messages when it opens under the new keys; the secret moves on then
 * @throws ProtocolError badMac when it belongs to another channel
 */
export function receiveFirstRecord(state: AgentState, record: Uint8Array, world: World): ChannelMessage[] | null {
  const { invitation } = state;
  if (invitation?.step.name !== 'awaitingFirstRecord') return null;
  const { channel, next } = invitation.step;
  const messages = openMessages(world.crypto, channel, record);
  invitation.cost.received++;
  invitation.cost.bytes += record.length;
  state.charged = invitation.cost;
  state.invitation = null;
  state.secret = next;
  saveMemory(state);
  channelOpened(state, channel, { opened: 'resume', by: 'manager', cost: invitation.cost }, [], world);
  return messages;
}
