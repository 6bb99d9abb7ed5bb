/**
 * Both sides of an enrolment for tests: the machine of the device, and a manager that is put together by hand and may be
 * hostile.
 */
import {
  createEnrolment,
  type EnrolmentEffect,
  type EnrolmentEvent,
  type EnrolmentNews,
  type EnrolmentState,
  stepEnrolment,
} from '../../device-agent/enrolment.ts';
import { commonName, freshSerial, issueCertificate } from '../../platform/certificate-issuing.ts';
import { readRequest as readCertificateRequest } from '../../platform/certificate-request.ts';
import { issueRequest } from '../../platform/certificate-request-issuing.ts';
import { generateSigningKey } from '../../platform/crypto-node.ts';
import { EXTENDED_KEY_USAGE } from '../../protocol/certificate.ts';
import { decodeFrame, encodeFrame } from '../../protocol/frame.ts';
import {
  answerLogin,
  chooseLogin,
  type LoginChosen,
  type LoginIdentity,
  peerFreshness,
  readOffer,
  readRequest,
  suitesFor,
  verifyRequest,
} from '../../protocol/login.ts';
import type { LoginAnswer, LoginRequest } from '../../protocol/messages.ts';
import { topicsUnder } from '../../protocol/topics.ts';
import { type DeviceId, EpochSeconds, LinkId, Millis } from '../../protocol/units.ts';
import { signVerdict } from '../../protocol/verdict.ts';
import type { Verdict } from '../../protocol/verifier-messages.ts';
import {
  AT,
  ca,
  certify,
  crypto,
  DEVICE_WISHES,
  type Holder,
  MANAGER_WISHES,
  reader,
  root,
} from '../test-authority.ts';

export const TOKEN = crypto.random(24);
export const anchor = root('Home root');
export const issuer = ca(anchor, 'Home CA');
export const manager = certify('home-manager', MANAGER_WISHES, issuer);
export const VERIFIER_WISHES = { ...DEVICE_WISHES, extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriVerifier] };
export const verifier = certify('verifier', VERIFIER_WISHES, issuer);
export const deviceKey = generateSigningKey('p256');
export const topics = topicsUnder();

/** A certificate for the key of the request. */
export const issued = (by: Holder = issuer, name = 'boiler', spki = deviceKey.publicSpki): readonly Uint8Array[] => [
  issueCertificate(crypto, by.issuer, {
    name,
    spki,
    serial: freshSerial(crypto),
    notBefore: AT - 3600,
    notAfter: AT + 86_400 * 365,
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriDevice],
  }),
  by.certificate.der,
];

export const GOOD: LoginAnswer = {
  permitted: false,
  issued: issued(),
  anchors: [anchor.certificate.der],
  verifiers: [verifier.certificate.der],
};

/** What this manager does otherwise than a good one. */
export interface Desk {
  readonly holder?: Holder;
  readonly chain?: readonly Uint8Array[];
  readonly anchors?: readonly Uint8Array[];
  /** null: no verdict is stapled. */
  readonly verdict?: ((good: Verdict) => Uint8Array) | null;
  readonly answer?: LoginAnswer | ((request: LoginRequest) => LoginAnswer);
  /** Changes message_2 on its way. */
  readonly bend?: (frame: Uint8Array) => Uint8Array;
}

export const signedBy =
  (holder: Holder, change: Partial<Verdict> = {}) =>
  (good: Verdict): Uint8Array =>
    signVerdict(holder.key.key, { ...good, ...change });

export interface Attempt {
  readonly news: readonly EnrolmentNews[];
  readonly last: EnrolmentNews | undefined;
  /** Frames that the device sent, by their first byte. */
  readonly frames: readonly number[];
  readonly rests: readonly number[];
  readonly requests: readonly LoginRequest[];
}

export interface DeviceWish {
  readonly wall?: number;
  readonly name?: DeviceId | null;
  readonly identity?: LoginIdentity;
  readonly token?: Uint8Array | null;
}

export function deviceSide({ name = 'boiler' as DeviceId, identity, token = TOKEN }: DeviceWish = {}): EnrolmentState {
  const { key, publicSpki: spki } = deviceKey;
  const period = { notBefore: 0, notAfter: AT };
  const own = { name: commonName('boiler'), spki, key };
  const selfSigned = issueCertificate(crypto, own, { name: 'boiler', spki, serial: freshSerial(crypto), ...period });
  return createEnrolment({
    topics,
    reader,
    manager: 'home-manager',
    anchorHash: crypto.hash('sha-256', anchor.certificate.der),
    spki,
    name,
    token,
    identity: identity ?? { chain: [selfSigned], signingKey: key, cipherSuites: suitesFor(key), channelSuites: [0, 1] },
    certificateRequest: issueRequest({ ...key, publicSpki: spki }, { name: 'boiler' }),
  });
}

/** One link with this manager at its other end, from its beginning until nobody has anything to say. */
export function attempt(desk: Desk = {}, wish: DeviceWish = {}, state = deviceSide(wish)): Attempt {
  const wall = EpochSeconds(wish.wall ?? AT);
  const link = LinkId('link-0123456789abcdef');
  const topic = topics.toDevice({ kind: 'link', link });
  const seen = {
    news: [] as EnrolmentNews[],
    frames: [] as number[],
    rests: [] as number[],
    requests: [] as LoginRequest[],
  };
  const { holder = manager, answer = GOOD } = desk;
  const managerIdentity: LoginIdentity = {
    chain: desk.chain ?? [holder.certificate.der, issuer.certificate.der],
    signingKey: holder.key.key,
    cipherSuites: suitesFor(holder.key.key),
    channelSuites: [0, 1],
  };
  let chosen: LoginChosen | null = null;
  const respond = (payload: Uint8Array): Uint8Array | null => {
    const frame = decodeFrame(payload);
    if (frame.kind === 'message1') {
      const read = readOffer(crypto, managerIdentity, frame.body);
      if ('error' in read) return encodeFrame('error', frame.exchange, read.error);
      const good: Verdict = {
        purpose: 'manager',
        leaf: crypto.hash('sha-256', holder.certificate.der),
        issuerAndSerial: Uint8Array.of(0),
        reason: 'good',
        time: AT,
        maxAge: 300,
        nonce: peerFreshness(crypto, read),
        policy: 1,
      };
      const verdict = desk.verdict === null ? undefined : (desk.verdict ?? signedBy(verifier))(good);
      const choice = { suite: 0, anchors: desk.anchors ?? [anchor.certificate.der], verdict };
      const { message2, state: next } = chooseLogin(crypto, managerIdentity, read, choice);
      chosen = next;
      const written = encodeFrame('message2', frame.exchange, message2);
      return desk.bend?.(written) ?? written;
    }
    if (frame.kind !== 'message3' || chosen === null) return null;
    const read = readRequest(crypto, chosen, frame.body);
    seen.requests.push(read.request);
    const der = read.peer.kind === 'x5chain' ? read.peer.certificates[0] : undefined;
    const leaf = der === undefined ? null : reader.readCertificate(der.slice());
    const publicKey = leaf === null ? null : crypto.publicKey(leaf.spki);
    if (leaf === null || publicKey === null) throw new Error('the device shows no certificate');
    const login = verifyRequest(crypto, read, { der: leaf.der, publicKey });
    const said = typeof answer === 'function' ? answer(read.request) : answer;
    return encodeFrame('message4', frame.exchange, answerLogin(crypto, login, said).message4);
  };
  const events: EnrolmentEvent[] = [{ type: 'linked', link }];
  for (let event = events.shift(); event !== undefined; event = events.shift()) {
    for (const effect of stepEnrolment(state, event, { now: Millis(1000), wall, crypto })) perform(effect);
  }
  function perform(effect: EnrolmentEffect): void {
    if (effect.type === 'tell') seen.news.push(effect.news);
    if (effect.type === 'rest') seen.rests.push(effect.forMs);
    if (effect.type !== 'publish') return;
    seen.frames.push(effect.payload[0] ?? 0);
    const reply = respond(effect.payload);
    if (reply !== null) events.push({ type: 'received', topic, payload: reply });
  }
  return { ...seen, last: seen.news.at(-1) };
}

/** Whether a request is over the key and for the name that the test gave. */
export function spkiOf(request: LoginRequest): Uint8Array | undefined {
  return request.certificateRequest === undefined
    ? undefined
    : readCertificateRequest(request.certificateRequest.slice())?.spki;
}
