/**
 * Renewal: a device whose certificate is good asks in its login for the next one, over the same key and of the same name.
 * It costs nobody his login: what cannot be had now is simply not there. [design §5.2]
 */
import { equal } from '../protocol/bytes.ts';
import type { ParsedCertificate } from '../protocol/certificate.ts';
import { checkRequest } from '../protocol/certificate-request.ts';
import type { LoginAnswer, LoginRequest } from '../protocol/messages.ts';
import { type DeviceId, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { askForCertificateAlone } from './certifying.ts';
import { sameKey } from './credentials.ts';
import type { Certified } from './effects.ts';
import { sameHandshake } from './half-open.ts';
import { type Handshake, type Proven, partyKey } from './handshake.ts';
import { log } from './outbox.ts';
import type { AskedRenewal, RenewingDesk } from './renewing-desk.ts';
import type { ManagerState } from './state.ts';

/** What of an answer a renewal decides. */
export type Renewed = Pick<LoginAnswer, 'issued' | 'refusal'>;

const NOT_NOW: Renewed = {};
const MAX_KEPT = 10_000;
/** Whoever asks again so soon has not got the answer, or shows the old certificate still: it gets the same one again. */
const SAME_AGAIN = seconds(3600);
/** So long a CA that is silent, or has refused, is not asked for the same device. */
const CA_PAUSE = seconds(60);
const DAY_S = 86_400;

/**
 * Asks the CA when the login asks for a renewal and may have one; the exchange waits for it.
 * @param then  is called when that is decided and the exchange is still there, in the step that it was in
 */
export function renewFirst(
  state: ManagerState,
  handshake: Handshake,
  then: (renewed: Renewed, world: World) => void,
  world: World,
): void {
  const { step } = handshake;
  if (step.name !== 'awaitingVerdict' || step.request.certificateRequest === undefined) return then(NOT_NOW, world);
  const { proven, login, request } = step;
  const device = proven.id;
  if (state.settings.enrolment === undefined) return then({ refusal: 'not-certified' }, world);
  const leaf = leafToRenew(state, proven, request, world);
  if (leaf === null) return then(NOT_NOW, world);
  const spki = leaf.spki.slice();
  const before = state.renewing.asked.get(device);
  if (before !== undefined && equal(before.spki, spki)) {
    const age = world.now - before.at;
    if (before.chain !== null && age < SAME_AGAIN) return then({ issued: before.chain }, world);
    if (before.chain === null && age < CA_PAUSE) return then(NOT_NOW, world);
  }
  const waiting = { name: 'certifying', device, login } as const;
  handshake.step = waiting;
  const asked: AskedRenewal = { spki, at: world.now, chain: null };
  note(state.renewing, device, asked);
  askForCertificateAlone(state, { device, spki, renews: true, alternativeNames: namesOf(leaf) }, (certified, later) => {
    take(state, device, asked, certified);
    if (sameHandshake(state, partyKey(handshake.party), handshake.id)?.step !== waiting) return;
    handshake.step = step;
    then(asked.chain === null ? NOT_NOW : { issued: asked.chain }, later);
  });
}

function note({ asked }: RenewingDesk, device: DeviceId, entry: AskedRenewal): void {
  asked.delete(device);
  asked.set(device, entry);
  for (const oldest of asked.keys()) {
    if (asked.size <= MAX_KEPT) break;
    asked.delete(oldest);
  }
}

function take(state: ManagerState, device: DeviceId, asked: AskedRenewal, certified: Certified): void {
  if ('refused' in certified) {
    const remedy = 'look at the CA; the device asks again by itself';
    return log(state, 'error', 'renewal.failed', { device, reason: certified.refused, remedy });
  }
  const leaf = state.reader.readCertificate(certified.chain[0]!);
  if (leaf === null || !equal(leaf.spki, asked.spki))
    return log(state, 'error', 'renewal.failed', { device, reason: 'the CA answered with another certificate' });
  asked.chain = certified.chain;
  log(state, 'info', 'renewal.issued', { device, ends: new Date(leaf.notAfter * 1000).toISOString() });
}

/** The names by which the device is found go on; an address is none of them. */
function namesOf({ extensions: { subjectAltName: names } }: ParsedCertificate) {
  const all = (type: 'dns' | 'email' | 'uri') => (names?.[type] ?? []).map((value) => ({ type, value }));
  return [...all('dns'), ...all('email'), ...all('uri')];
}

/** @returns the leaf over whose key another one is asked for, or null, which is told to the log */
function leafToRenew(
  state: ManagerState,
  { id: device, chain }: Proven,
  { certificateRequest }: LoginRequest,
  world: World,
): ParsedCertificate | null {
  const leaf = state.reader.readCertificate(chain[0]!);
  const request = certificateRequest === undefined ? null : state.readRequest(certificateRequest);
  const no = (detail: string): null => {
    log(state, 'info', 'renewal.refused', { device, detail });
    return null;
  };
  if (leaf === null || request === null) return no('a request that cannot be read');
  if (!equal(request.spki, leaf.spki)) return no('the request is over another key: that is an enrolment');
  if (world.wall < (leaf.notBefore + leaf.notAfter) / 2) return no('not half of the life of its certificate is over');
  return checkRequest(world.crypto, request).ok ? leaf : no('the request is not signed by its key');
}

/** Whether the verifier shall be asked if nothing but the end of the certificate stands against the device. */
export function mayRenewExpired(
  state: ManagerState,
  { proven, request, login }: Extract<Handshake['step'], { name: 'awaitingVerdict' }>,
  world: World,
): boolean {
  const days = state.settings.enrolment?.renewExpiredDays ?? 0;
  if (days <= 0 || world.wall > proven.notAfter + days * DAY_S) return false;
  // an enrolment would be over another key
  if (request.certificateRequest === undefined || login.choice.anchors !== undefined) return false;
  // a list may have dropped what ran out since; what was heard here stays
  const known = state.devices.get(proven.id);
  return known?.revokedAt === undefined || !sameKey(state, known.chain, proven.chain);
}

/** The warnings of a device whose own renewal should have come before. Days. */
const WARNINGS = [30, 7, 1];

/** At each login: what ends soon is told, each of the days once. */
export function warnOfEnd(state: ManagerState, { id: device, notAfter, chain }: Proven, world: World): void {
  const { warned } = state.renewing;
  const left = notAfter - world.wall;
  if (left > WARNINGS[0]! * DAY_S) {
    warned.delete(device);
    return;
  }
  const leaf = state.reader.readCertificate(chain[0]!);
  const days = WARNINGS.filter((one) => left <= one * DAY_S && one * DAY_S < thirdOf(leaf)).at(-1);
  const said = warned.get(device);
  if (days === undefined || (said?.notAfter === notAfter && said.days <= days)) return;
  warned.set(device, { notAfter, days });
  const remedy = `look at \`kagimori agent status\` on it, which says why its certificate was not renewed`;
  log(state, 'warn', 'device.certificate-ends', { device, ends: new Date(notAfter * 1000).toISOString(), remedy });
}

const thirdOf = (leaf: ParsedCertificate | null): number => (leaf === null ? 0 : (leaf.notAfter - leaf.notBefore) / 3);
