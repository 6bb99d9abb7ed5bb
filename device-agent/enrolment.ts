/**
 * Enrolment on the device: a full login that ends in a certificate. The token leaves this device in message_3 alone, for
 * a manager that was proven to be the one of the invitation. Where an operator has to say yes, and where the verifier is
 * away, it is asked again with the same key and token.
 */

import { equal } from '../protocol/bytes.ts';
import type { CertificateReader } from '../protocol/certificate.ts';
import { cancel, type Deadlines, noDeadlines, schedule, takeDue } from '../protocol/deadlines.ts';
import { decodeError } from '../protocol/edhoc/error-message.ts';
import { nextSuite } from '../protocol/edhoc/initiator.ts';
import { ProtocolError } from '../protocol/errors.ts';
import { decodeFrame, EXCHANGE_ID_BYTES, encodeFrame } from '../protocol/frame.ts';
import {
  type LoginIdentity,
  type LoginRequested,
  type LoginStarted,
  ownFreshness,
  readChoice,
  readLoginAnswer,
  requestLogin,
  startLogin,
  verifyChoice,
} from '../protocol/login.ts';
import type { Reason, VerdictReason } from '../protocol/message-values.ts';
import { Busy, type LoginOffer } from '../protocol/messages.ts';
import type { Topics } from '../protocol/topics.ts';
import { type LinkId, later, Millis, seconds, type Topic } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import {
  acceptIssued,
  type BelievedManager,
  believeManager,
  type Enrolled,
  type EnrolmentWish,
} from './enrolment-checks.ts';

export interface EnrolmentSettings extends EnrolmentWish {
  readonly topics: Topics;
  readonly reader: CertificateReader;
  /** null: the certificate in `identity` speaks for this device. */
  readonly token: Uint8Array | null;
  /** What message_3 shows: a self-signed certificate over the new key, or one that the device has. */
  readonly identity: LoginIdentity;
  /** PKCS#10, DER. */
  readonly certificateRequest: Uint8Array;
}

/** Why this enrolment is over without a certificate. */
export type Refusal = Reason | Exclude<VerdictReason, 'good'>;

export type EnrolmentNews =
  /** The manager is the one of the invitation: the request is on its way to it. */
  | { readonly news: 'managerProven' }
  /** Asked again later, with the same key and token. */
  | { readonly news: 'waiting'; readonly reason: 'held' | 'verifier-away' | 'busy' | 'too-many' }
  /** Nothing that can be believed came: a new exchange is tried. `why` is null when nothing came at all. */
  | { readonly news: 'failed'; readonly why: string | null }
  | { readonly news: 'enrolled'; readonly enrolled: Enrolled }
  | { readonly news: 'refused'; readonly reason: Refusal }
  /** @param tokenSent  false: whoever answered did not get it */
  | { readonly news: 'untrusted'; readonly why: string; readonly tokenSent: boolean };

export type EnrolmentEvent =
  | { readonly type: 'linked'; readonly link: LinkId }
  | { readonly type: 'unlinked' }
  | { readonly type: 'received'; readonly topic: Topic; readonly payload: Uint8Array }
  | { readonly type: 'time' };

export type EnrolmentEffect =
  | { readonly type: 'publish'; readonly topic: Topic; readonly payload: Uint8Array; readonly qos: 1 }
  /** Give the link back; another one is of use only after so long. */
  | { readonly type: 'rest'; readonly forMs: number }
  | { readonly type: 'tell'; readonly news: EnrolmentNews };

type Step =
  | { readonly name: 'idle' }
  | { readonly name: 'awaitingMessage2'; readonly login: LoginStarted; readonly offered: readonly number[] }
  | {
      readonly name: 'awaitingMessage4';
      readonly login: LoginRequested;
      readonly manager: BelievedManager;
      readonly nonce: Uint8Array;
    }
  | { readonly name: 'over' };

export interface EnrolmentState {
  readonly settings: EnrolmentSettings;
  readonly deadlines: Deadlines;
  link: LinkId | null;
  linkedAt: Millis;
  step: Step;
  exchange: Uint8Array;
  /** The last frame that went out: repeated as it is while no answer comes. */
  sent: Uint8Array;
  repeats: number;
  out: EnrolmentEffect[];
}

/** A link that has not logged in is closed by the broker after 10 s. */
const EXCHANGE_TIMEOUT = seconds(8);
const LIFE_OF_NEW_LINK = seconds(8);
const FIRST_REPEAT = seconds(1);
const ASK_AGAIN_MS = 5000;
const TRY_AGAIN_MS = 2000;

export function createEnrolment(settings: EnrolmentSettings): EnrolmentState {
  const nothing = new Uint8Array(0);
  const deadlines = noDeadlines();
  return {
    settings,
    deadlines,
    link: null,
    linkedAt: Millis(0),
    step: { name: 'idle' },
    exchange: nothing,
    sent: nothing,
    repeats: 0,
    out: [],
  };
}

/** A peer's fault never throws out of it. */
export function stepEnrolment(state: EnrolmentState, event: EnrolmentEvent, world: World): readonly EnrolmentEffect[] {
  state.out = [];
  if (state.step.name === 'over') return state.out;
  switch (event.type) {
    case 'linked':
      state.link = event.link;
      state.linkedAt = world.now;
      begin(state, [], world);
      break;
    case 'unlinked':
      state.link = null;
      rest(state, null);
      break;
    case 'received':
      receive(state, event.topic, event.payload, world);
      break;
    case 'time':
      for (const due of takeDue(state.deadlines, world.now)) {
        if (due === 'repeat') repeat(state, world);
        else if (due === 'again') begin(state, [], world);
        else giveUp(state, null);
      }
      break;
    default:
      event satisfies never;
  }
  return state.out;
}

/** @param suitesR  what the manager said that it supports; unauthenticated, so it leads to another try at most */
function begin(state: EnrolmentState, offered: readonly number[], world: World, suitesR?: readonly number[]): void {
  const { identity } = state.settings;
  const selected =
    suitesR === undefined ? identity.cipherSuites[0] : nextSuite(identity.cipherSuites, suitesR, offered);
  if (selected === undefined || selected === null) {
    return giveUp(state, `the manager logs in with keys of another kind than ${identity.signingKey.algorithm}`);
  }
  const offer: LoginOffer = { suites: identity.channelSuites, sendChain: true, verdict: 'fresh', enrol: true };
  const { message1, state: login } = startLogin(world.crypto, identity, offer, selected);
  state.step = { name: 'awaitingMessage2', login, offered: [...offered, selected] };
  state.exchange = world.crypto.random(EXCHANGE_ID_BYTES);
  schedule(state.deadlines, 'exchange', later(world.now, EXCHANGE_TIMEOUT));
  send(state, 'message1', message1, world);
}

function send(state: EnrolmentState, kind: 'message1' | 'message3', body: Uint8Array, world: World): void {
  state.sent = encodeFrame(kind, state.exchange, body);
  state.repeats = 0;
  publish(state);
  schedule(state.deadlines, 'repeat', later(world.now, FIRST_REPEAT));
}

function publish({ link, settings, out, sent }: EnrolmentState): void {
  if (link === null) return;
  out.push({ type: 'publish', topic: settings.topics.toManager({ kind: 'link', link }), payload: sent, qos: 1 });
}

/** The byte-identical frame, after 1 s and 4 s more. */
function repeat(state: EnrolmentState, world: World): void {
  if (state.step.name === 'idle') return;
  publish(state);
  state.repeats++;
  schedule(state.deadlines, 'repeat', later(world.now, Millis(FIRST_REPEAT * 4 ** state.repeats)));
}

function receive(state: EnrolmentState, topic: Topic, payload: Uint8Array, world: World): void {
  const { link, settings } = state;
  if (link === null || topic !== settings.topics.toDevice({ kind: 'link', link })) return;
  try {
    const frame = decodeFrame(payload);
    if (frame.kind === 'record' || frame.kind === 'hint' || !equal(frame.exchange, state.exchange)) return;
    if (frame.kind === 'message2') receiveMessage2(state, frame.body, world);
    if (frame.kind === 'message4') receiveMessage4(state, frame.body, world);
    if (frame.kind === 'error') receiveError(state, frame.body, world);
    if (frame.kind === 'busy') receiveBusy(state, frame.body, world);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    const { code, message } = error;
    // garbage: the answer proper may follow. `unexpected` is found only behind the signature.
    if (code !== 'badCertificate' && code !== 'badVerdict' && code !== 'badSignature' && code !== 'unexpected') return;
    end(state, {
      news: 'untrusted',
      why: message,
      tokenSent: state.step.name === 'awaitingMessage4' && settings.token !== null,
    });
  }
}

/** Read, believed, proven; and only then the token. */
function receiveMessage2(state: EnrolmentState, body: Uint8Array, world: World): void {
  const { step, settings } = state;
  if (step.name !== 'awaitingMessage2') return;
  const { crypto } = world;
  const read = readChoice(crypto, step.login, body);
  const manager = believeManager(settings.reader, settings, read, world);
  const verified = verifyChoice(crypto, read, manager.peer);
  const { certificateRequest, token, identity } = settings;
  const request = { certificateRequest, token: token ?? undefined };
  const { message3, state: login } = requestLogin(crypto, identity, verified, request, true);
  state.step = { name: 'awaitingMessage4', login, manager, nonce: ownFreshness(crypto, step.login) };
  tell(state, { news: 'managerProven' });
  send(state, 'message3', message3, world);
}

function receiveMessage4(state: EnrolmentState, body: Uint8Array, world: World): void {
  const { step, settings } = state;
  if (step.name !== 'awaitingMessage4') return;
  const { answer, keys } = readLoginAnswer(world.crypto, step.login, body);
  if (keys !== null) for (const key of [keys.resumptionSecret, keys.channel.masterSecret]) key.fill(0);
  if (answer.issued !== undefined) {
    const enrolled = acceptIssued(settings.reader, settings, step.manager, answer, step.nonce, world);
    return end(state, { news: 'enrolled', enrolled });
  }
  const reason = answer.reason ?? answer.refusal ?? 'forbidden';
  switch (reason) {
    case 'held':
    case 'verifier-away':
    case 'busy':
    case 'too-many':
      tell(state, { news: 'waiting', reason });
      return rest(state, ASK_AGAIN_MS);
    case 'good':
      return end(state, { news: 'refused', reason: 'forbidden' });
    default:
      return end(state, { news: 'refused', reason });
  }
}

/** E0 is not authenticated: it explains, and leads to another try at most. */
function receiveError(state: EnrolmentState, body: Uint8Array, world: World): void {
  if (state.step.name === 'idle') return;
  const error = decodeError(body);
  if (error.kind === 'wrongSuite' && state.step.name === 'awaitingMessage2') {
    return begin(state, state.step.offered, world, error.suites);
  }
  giveUp(state, error.kind === 'unspecified' ? error.text : error.kind);
}

/** D3 is not authenticated either, and delays by what it may say at most. The turn that the manager keeps is this link's. */
function receiveBusy(state: EnrolmentState, body: Uint8Array, world: World): void {
  if (state.step.name !== 'awaitingMessage2') return;
  const { after } = Busy.decode(body);
  const again = later(world.now, Millis(after));
  tell(state, { news: 'waiting', reason: 'busy' });
  if (again > later(state.linkedAt, LIFE_OF_NEW_LINK)) return rest(state, after);
  rest(state, null);
  schedule(state.deadlines, 'again', again);
}

function giveUp(state: EnrolmentState, why: string | null): void {
  tell(state, { news: 'failed', why });
  rest(state, TRY_AGAIN_MS);
}

/** @param forMs  null: the link is gone already, or kept */
function rest(state: EnrolmentState, forMs: number | null): void {
  state.step = { name: 'idle' };
  cancel(state.deadlines, 'exchange');
  cancel(state.deadlines, 'repeat');
  cancel(state.deadlines, 'again');
  if (forMs !== null) state.out.push({ type: 'rest', forMs });
}

function end(state: EnrolmentState, news: EnrolmentNews): void {
  rest(state, null);
  state.step = { name: 'over' };
  tell(state, news);
}

function tell(state: EnrolmentState, news: EnrolmentNews): void {
  state.out.push({ type: 'tell', news });
}
