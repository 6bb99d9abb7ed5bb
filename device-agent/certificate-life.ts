/**
 * The life of this device's certificate: it is renewed by itself at two thirds, over the same key, in a full login; the new
 * one is stored before it is shown, and shown at once. Warnings where that did not happen. (P3, P4)
 */
import { equal } from '../protocol/bytes.ts';
import { deviceNames, type ParsedCertificate } from '../protocol/certificate.ts';
import { schedule } from '../protocol/deadlines.ts';
import type { LoginAnswer } from '../protocol/messages.ts';
import { validatePath } from '../protocol/path-validation.ts';
import { EpochSeconds, later, Millis, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { dateOf, isTimeUnknown } from './device-time.ts';
import type { CertificateLife, OwnCertificate } from './life-states.ts';
import { log } from './outbox.ts';
import type { AgentState } from './state.ts';

const RENEW_AT = 2 / 3;
/** So that a fleet that was certified in one hour does not come back in one. */
const SPREAD = 0.05;
const LOOK_EVERY = seconds(3600);
const EXCHANGE_UNDER_WAY = seconds(1);
const AFTER_LINK = seconds(2);
/** The login that was to show the new one may come to nothing. */
const SHOW_AGAIN = seconds(60);
const FIRST_PAUSE_S = 60;
const LONGEST_PAUSE_S = 3600;
/** A manager without a CA may get one. */
const PAUSE_CERTIFIED_ELSEWHERE_S = 86_400;
/** Days before the end; one that is no shorter than what is left at the renewal would say nothing. */
const WARNINGS = [30, 7, 1];
const DAY_S = 86_400;

export function ownCertificate(
  chain: readonly Uint8Array[],
  hash: Uint8Array,
  leaf: ParsedCertificate | null,
): OwnCertificate {
  const { spki, notBefore, notAfter } = leaf ?? { spki: new Uint8Array(0), notBefore: 0, notAfter: 0 };
  return { chain, hash, spki, notBefore, notAfter };
}

export function newLife(current: OwnCertificate, world: World): CertificateLife {
  return {
    current,
    renewAt: renewalTime(current, world),
    storing: null,
    stored: null,
    asked: false,
    failures: 0,
    notBefore: world.now,
    warnedAt: Number.POSITIVE_INFINITY,
    fault: null,
  };
}

function renewalTime({ notBefore, notAfter }: OwnCertificate, { crypto }: World): EpochSeconds {
  const share = crypto.random(1)[0]! / 255;
  return EpochSeconds(Math.round(notBefore + (notAfter - notBefore) * (RENEW_AT + SPREAD * share)));
}

/** @returns the request that goes with the login under way, or undefined: none is due, or none is wanted */
export function requestOfRenewal(state: AgentState, world: World): Uint8Array | undefined {
  state.life.asked = isDue(state, world);
  return state.life.asked ? state.settings.renewal?.writeRequest() : undefined;
}

function isDue(state: AgentState, world: World): boolean {
  const { life, settings } = state;
  if (settings.renewal === undefined || life.storing !== null || life.stored !== null) return false;
  return world.wall >= life.renewAt && world.now >= life.notBefore && !isTimeUnknown(state, world);
}

/** A link has come: what could not be done without one is done once the channel stands. */
export function lookSoon(state: AgentState, world: World): void {
  const next = state.deadlines.current.get('certificate');
  const soon = later(world.now, AFTER_LINK);
  if (next === undefined || next > soon) schedule(state.deadlines, 'certificate', soon);
}

/** Looks at the certificate now, and again within the hour. @returns whether a full login has to begin */
export function lookAtCertificate(state: AgentState, world: World): boolean {
  const { life } = state;
  const isBusy = state.joining !== null || state.invitation !== null;
  warn(state, world);
  const mayBegin = !isBusy && state.link !== null;
  if (mayBegin && life.stored !== null) adopt(state, life.stored, world);
  schedule(state.deadlines, 'certificate', later(world.now, nextLook(state, isBusy, world)));
  if (!mayBegin) return false;
  return !equal(life.current.hash, state.leafHash) || isDue(state, world);
}

function nextLook(state: AgentState, isBusy: boolean, world: World): Millis {
  const { life } = state;
  if (isBusy && (life.stored !== null || isDue(state, world))) return EXCHANGE_UNDER_WAY;
  if (!equal(life.current.hash, state.leafHash)) return SHOW_AGAIN;
  const untilDue = Math.max((life.renewAt - world.wall) * 1000, life.notBefore - world.now);
  return Millis(untilDue > 0 ? Math.min(untilDue, LOOK_EVERY) : LOOK_EVERY);
}

function adopt(state: AgentState, certificate: OwnCertificate, world: World): void {
  const { life } = state;
  life.stored = null;
  life.current = certificate;
  life.renewAt = renewalTime(certificate, world);
  life.failures = 0;
  life.fault = null;
  life.warnedAt = Number.POSITIVE_INFINITY;
  state.identity = { ...state.identity, chain: certificate.chain };
  state.chainHeld = false;
  log(state, 'info', 'certificate.in-force', { ends: dateOf(certificate.notAfter), renewAt: dateOf(life.renewAt) });
}

/** The answer to a login that may have asked. @returns whether it brought a certificate, which is being stored */
export function takeIssued(state: AgentState, answer: LoginAnswer, world: World): boolean {
  const { life } = state;
  if (!life.asked) return false;
  life.asked = false;
  if (answer.issued === undefined) {
    if (world.wall < life.renewAt) return false; // none was due, by the time that this very login told
    const elsewhere = answer.refusal === 'not-certified';
    const said = answer.reason ?? answer.refusal ?? 'the manager did not say why: look at its log';
    failed(state, said, elsewhere ? PAUSE_CERTIFIED_ELSEWHERE_S : null, world);
    return false;
  }
  const chain = answer.issued.map((der) => der.slice());
  const found = examine(state, chain, world);
  if (typeof found === 'string') {
    failed(state, `what the manager issued is of no use: ${found}`, null, world);
    return false;
  }
  if (found.notAfter <= life.current.notAfter) {
    failed(state, 'what the manager issued ends no later than the present one', null, world);
    return false;
  }
  store(state, found);
  return true;
}

function store(state: AgentState, certificate: OwnCertificate): void {
  const number = state.nextSave++;
  state.life.storing = { number, certificate };
  state.out.push({ type: 'storeCertificate', number, chain: certificate.chain });
}

/** @returns what is wrong with a chain that is to become ours, or it */
function examine(state: AgentState, chain: readonly Uint8Array[], world: World): OwnCertificate | string {
  const { reader, anchors } = state.settings;
  const parsed = chain.map((der) => reader.readCertificate(der));
  const certificates = parsed.filter((one) => one !== null);
  const [leaf] = certificates;
  if (leaf === undefined || certificates.length !== parsed.length) return 'a certificate that cannot be read';
  if (!equal(leaf.spki, state.life.current.spki)) return 'it is over another key';
  if (deviceNames(leaf)?.id !== state.id) return `it is not the certificate of ${state.id}`;
  const { crypto, wall: at } = world;
  const finding = validatePath({ crypto, chain: certificates, anchors, revocation: null, at, purpose: 'device' });
  if (!finding.ok) return `${finding.reason}: ${finding.detail}`;
  return ownCertificate(chain, crypto.hash('sha-256', leaf.der), leaf);
}

function failed(state: AgentState, why: string, pauseSeconds: number | null, world: World): void {
  const { life } = state;
  life.fault = why;
  const grown = Math.min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** Math.min(10, life.failures++));
  const jittered = (pauseSeconds ?? grown) * (1 - (SPREAD * world.crypto.random(1)[0]!) / 255);
  life.notBefore = later(world.now, seconds(jittered));
  schedule(state.deadlines, 'certificate', life.notBefore);
  const remedy = 'it is tried again by itself; to end that: renewal: off';
  log(state, 'info', 'certificate.not-renewed', { why, againInSeconds: Math.round(jittered), remedy });
}

/** The exchange that had asked came to nothing. */
export function renewalEnded(state: AgentState, why: string, world: World): void {
  if (!state.life.asked) return;
  state.life.asked = false;
  failed(state, why, null, world);
}

/** It stands on the disk. @returns whether a full login has to begin */
export function certificateStored(state: AgentState, number: number, world: World): boolean {
  const { life } = state;
  if (life.storing?.number !== number) return false;
  life.stored = life.storing.certificate;
  life.storing = null;
  return lookAtCertificate(state, world);
}

export function certificateNotStored(state: AgentState, number: number, reason: string, world: World): void {
  const { life } = state;
  if (life.storing?.number !== number) return;
  life.storing = null;
  log(state, 'error', 'certificate.not-stored', {
    reason,
    remedy: 'let the agent write certificateFile, and its folder',
  });
  failed(state, 'the new certificate could not be stored', null, world);
}

/** Somebody has put another file in the place. @returns whether a full login has to begin */
export function certificateReplaced(state: AgentState, chain: readonly Uint8Array[], world: World): boolean {
  const { life } = state;
  const known = [life.current, life.storing?.certificate, life.stored];
  const hash = world.crypto.hash('sha-256', chain[0]!);
  if (known.some((one) => one != null && equal(one.hash, hash))) return false;
  const found = examine(state, chain, world);
  if (typeof found === 'string') {
    const remedy = 'the one before stays in force; with another key or name: start the agent anew';
    log(state, 'warn', 'certificate.refused', { reason: found, remedy });
    return false;
  }
  life.stored = found;
  return lookAtCertificate(state, world);
}

function warn(state: AgentState, world: World): void {
  const { life } = state;
  const { notBefore, notAfter } = life.current;
  if (isTimeUnknown(state, world)) return;
  const left = notAfter - world.wall;
  if (left <= 0) return warnOnce(state, 0, 'error', 'certificate.ended');
  const third = (notAfter - notBefore) * (1 - RENEW_AT);
  const reached = WARNINGS.filter((days) => days * DAY_S < third && left <= days * DAY_S).at(-1);
  if (reached !== undefined) warnOnce(state, reached, 'warn', 'certificate.ends');
}

function warnOnce(state: AgentState, days: number, level: 'warn' | 'error', event: string): void {
  const { life, settings } = state;
  if (days >= life.warnedAt) return;
  life.warnedAt = days;
  const elsewhere = 'get another one from whoever issues it, put it in the place of certificateFile';
  const remedy = settings.renewal === undefined ? `renewal is off: ${elsewhere}` : renewalRemedy(life);
  log(state, level, event, { ends: dateOf(life.current.notAfter), within: `${days} d`, remedy });
}

const renewalRemedy = ({ fault }: CertificateLife): string =>
  fault === null
    ? 'the manager is asked for another one: see that this device reaches it'
    : `the manager was asked: ${fault}; ask the operator, or enrol anew: kagimori agent enrol`;

export interface CertificateReport {
  readonly ends: string;
  readonly renewal: 'automatic' | 'off';
  readonly renewAt: string;
  readonly fault: string | null;
}

export function certificateReport({ life, settings }: AgentState): CertificateReport {
  return {
    ends: new Date(life.current.notAfter * 1000).toISOString(),
    renewal: settings.renewal === undefined ? 'off' : 'automatic',
    renewAt: new Date(life.renewAt * 1000).toISOString(),
    fault: life.fault,
  };
}
