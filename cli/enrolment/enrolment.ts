/**
 * An enrolment from the invitation to the files: key, exchange, certificates, configuration, in this order.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { EnrolmentSettings } from '../../device-agent/enrolment.ts';
import type { Enrolled } from '../../device-agent/enrolment-checks.ts';
import { openKeyStore, shownKeyPlace } from '../../hardware/key-store.ts';
import type { KeyStore } from '../../hardware/pkcs11-key.ts';
import { readCertificateFile } from '../../platform/certificate-file.ts';
import { commonName, freshSerial, issueCertificate } from '../../platform/certificate-issuing.ts';
import { issueRequest } from '../../platform/certificate-request-issuing.ts';
import { certificateReader } from '../../platform/certificates.ts';
import type { OwnSigningKey } from '../../platform/crypto-node.ts';
import { makePrivateDirectory, readBounded, writeAtomically, writeFault } from '../../platform/files.ts';
import { LockHeld, lockProcess, type ProcessLock } from '../../platform/process-lock.ts';
import { encodeUtf8, equal, toHex } from '../../protocol/bytes.ts';
import { deviceNames, EXTENDED_KEY_USAGE } from '../../protocol/certificate.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import type { Invitation } from '../../protocol/invitation.ts';
import { type LoginIdentity, suitesFor } from '../../protocol/login.ts';
import { CHANNEL_SUITES } from '../../protocol/suites.ts';
import { topicsUnder } from '../../protocol/topics.ts';
import { type DeviceId, EpochSeconds, type Millis } from '../../protocol/units.ts';
import { exampleConfig } from '../commands/daemon-verbs.ts';
import { MAX_CONFIG_BYTES, textOf } from '../config-file.ts';
import { type BrokerSettings, brokerLink } from '../daemons/broker-link.ts';
import { Failure } from '../failure.ts';
import { changedConfig, newConfig } from './config-writing.ts';
import { type DeviceKeyAlgorithm, openOrMakeKey } from './device-key.ts';
import { machinePart, nameToAsk } from './device-name.ts';
import { failureOf } from './enrolment-failure.ts';
import { type Passing, runExchange } from './exchange-run.ts';
import type { Places } from './places.ts';
import { standingOf, storeEnrolled } from './storing.ts';

export interface EnrolmentOrder {
  readonly invitation: Invitation;
  readonly places: Places;
  /** The whole name, or what stands for `*`. */
  readonly name: string | undefined;
  /** A certificate that the device has, and its key: they speak for it where the invitation has no token. */
  readonly own: { readonly certificateFile: string; readonly keyFile: string } | null;
  readonly algorithm: DeviceKeyAlgorithm;
  /** Anchors of the broker's TLS certificate; null: as the configuration says. */
  readonly brokerAnchorsFile: string | null;
  /** false: the configuration is the operator's, and stays as it is. */
  readonly writesConfig: boolean;
  readonly patienceMs: number | null;
}

export type Progress =
  | Passing
  /** Before the first word. `key`: SHA-256 of its SubjectPublicKeyInfo in hex, as `kagimori enrolment list` shows it. */
  | { readonly news: 'begun'; readonly key: string };

export interface EnrolmentParts {
  readonly crypto: Crypto;
  readonly clock: { now(): Millis; wall(): EpochSeconds };
  readonly signal: AbortSignal;
  readonly tell: (news: Progress) => void;
}

export interface Enrolment {
  readonly id: DeviceId;
  /** true: it was before, and nothing was sent. */
  readonly already: boolean;
  readonly notAfter: EpochSeconds;
  /** How far this device's clock is behind the verifier's, in seconds; null: the verifier did not say. */
  readonly clockBehindSeconds: number | null;
}

const DAY_SECONDS = 86_400;

/** @throws Failure; FileFault; KeyStoreError */
export async function enrolDevice(order: EnrolmentOrder, parts: EnrolmentParts): Promise<Enrolment> {
  const lock = takeState(order.places.stateDirectory);
  try {
    return await enrolLocked(order, parts);
  } finally {
    lock.release();
  }
}

/** Two that enrol at once would use the token twice, and one is too many beside a running agent. */
function takeState(stateDirectory: string): ProcessLock {
  makePrivateDirectory(stateDirectory);
  try {
    return lockProcess(join(stateDirectory, 'agent.lock'));
  } catch (error) {
    if (!(error instanceof LockHeld)) throw writeFault(stateDirectory, error);
    throw new Failure(
      'refused',
      'already-running',
      `${stateDirectory} is in use by process ${error.pid}: stop it first`,
    );
  }
}

async function enrolLocked(order: EnrolmentOrder, parts: EnrolmentParts): Promise<Enrolment> {
  const { invitation, places, own, algorithm } = order;
  const { crypto } = parts;
  if (places.config?.broker.kind === 'outside') {
    const remedy = 'enrol over a Kagimori broker, or have the certificate issued with `kagimori ca`';
    throw new Failure('refused', 'outside-broker', `an outside broker lets in nobody whom it does not know: ${remedy}`);
  }
  const said = { manager: invitation.manager, root: invitation.root ?? 'km1' };
  for (const key of ['manager', 'root'] as const) {
    const configured = places.config?.[key] ?? said[key];
    if (order.writesConfig || configured === said[key]) continue;
    const what = `the invitation is for ${key} ${said[key]}, ${places.configFile} says ${configured}`;
    throw new Failure('usage', 'config', `${what}: correct it, or put the right invitation there`);
  }
  const shown = own === null ? null : ownIdentity(own, crypto);
  if (shown === null && invitation.token === undefined) {
    const remedy = 'give them with --certificate and --key, or ask for an invitation with a token';
    throw new Failure(
      'usage',
      'no-token',
      `this invitation is for devices that have a certificate of their own: ${remedy}`,
    );
  }
  const name = shown === null ? nameToAsk(invitation.name, order.name, () => machinePart(crypto)) : shown.id;
  const key = openOrMakeKey(places.keyFile, algorithm, crypto.counter);
  try {
    return await enrolWith(key, name, shown?.identity ?? null, order, parts);
  } finally {
    key.close();
    shown?.key.close();
  }
}

async function enrolWith(
  key: KeyStore,
  name: DeviceId | null,
  shown: LoginIdentity | null,
  order: EnrolmentOrder,
  parts: EnrolmentParts,
): Promise<Enrolment> {
  const { invitation, places, patienceMs } = order;
  const { crypto, clock } = parts;
  const wish = { manager: invitation.manager, anchorHash: invitation.anchor, spki: key.publicSpki, name };
  const standing = standingOf(places, wish, { crypto, now: clock.now(), wall: clock.wall() });
  if (standing.standing === 'elsewhere') {
    const remedy = 'run `kagimori agent reset` first when this is meant';
    throw new Failure(
      'refused',
      'enrolled-elsewhere',
      `this device is ${standing.id}, and not ${standing.why}: ${remedy}`,
    );
  }
  if (standing.standing === 'enrolled') {
    if (order.writesConfig) writeConfig(order, false);
    const { id, leaf } = standing;
    return { id, already: true, notAfter: EpochSeconds(leaf.notAfter), clockBehindSeconds: null };
  }
  const asked = name ?? `new-device-${machinePart(crypto) ?? 'unknown'}`;
  const settings: EnrolmentSettings = {
    ...wish,
    topics: topicsUnder(invitation.root),
    reader: certificateReader(),
    token: shown === null ? (invitation.token ?? null) : null,
    identity: shown ?? selfSigned(asked, key, crypto, clock.wall()),
    certificateRequest: issueRequest(key, { name: asked }),
  };
  parts.tell({ news: 'begun', key: toHex(crypto.hash('sha-256', key.publicSpki)) });
  const openTransport = brokerLink(brokerOf(order), null, crypto);
  const ending = await runExchange(settings, { ...parts, openTransport, patienceMs });
  if (ending.news !== 'enrolled') throw failureOf(ending, invitation);
  const { enrolled } = ending;
  storeEnrolled(places, enrolled);
  if (order.writesConfig) writeConfig(order, enrolled.clockInDoubt);
  return { id: enrolled.id, already: false, ...times(enrolled, clock.wall()) };
}

function times({ chain, time }: Enrolled, wall: EpochSeconds): Pick<Enrolment, 'notAfter' | 'clockBehindSeconds'> {
  const leaf = chain[0] === undefined ? null : certificateReader().readCertificate(chain[0]);
  return { notAfter: EpochSeconds(leaf?.notAfter ?? 0), clockBehindSeconds: time === null ? null : time - wall };
}

/** The address is the invitation's, how it is reached is the configuration's. */
function brokerOf({ invitation, places, brokerAnchorsFile, writesConfig }: EnrolmentOrder): BrokerSettings {
  const broker: BrokerSettings = places.config?.broker ?? { url: invitation.broker };
  const url = writesConfig ? invitation.broker : broker.url;
  return { ...broker, url, ...(brokerAnchorsFile === null ? {} : { anchorsFile: brokerAnchorsFile }) };
}

/** It proves nothing but the possession of the key: the token speaks for the device. */
function selfSigned(name: string, key: OwnSigningKey, crypto: Crypto, wall: EpochSeconds): LoginIdentity {
  const spki = key.publicSpki;
  const period = { notBefore: Math.max(0, wall - DAY_SECONDS), notAfter: wall + DAY_SECONDS };
  const wishes = {
    name,
    spki,
    serial: freshSerial(crypto),
    ...period,
    extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriDevice],
  };
  return identityOf([issueCertificate(crypto, { name: commonName(name), spki, key }, wishes)], key);
}

function ownIdentity({ certificateFile, keyFile }: NonNullable<EnrolmentOrder['own']>, crypto: Crypto) {
  const chain = readCertificateFile(certificateFile);
  const key = openKeyStore(keyFile, crypto.counter);
  const id = deviceNames(chain[0])?.id;
  if (id === undefined || !equal(key.publicSpki, chain[0].spki)) {
    key.close();
    throw new Failure(
      'usage',
      'config',
      id === undefined
        ? `${certificateFile}: its subject has no common name that can be a device id`
        : `${shownKeyPlace(keyFile)} is not the key of the certificate in ${certificateFile}`,
    );
  }
  const ders = chain.map(({ der }) => der);
  return { identity: identityOf(ders, key), id, key };
}

function identityOf(chain: readonly Uint8Array[], signingKey: OwnSigningKey): LoginIdentity {
  const channelSuites = CHANNEL_SUITES.map((_, number) => number);
  return { chain, signingKey, cipherSuites: suitesFor(signingKey), channelSuites };
}

/** The last file of all. */
function writeConfig({ invitation, places, brokerAnchorsFile }: EnrolmentOrder, clockInDoubt: boolean): void {
  const { configFile, stateDirectory, certificateFile, keyFile, anchorsFile, verifierFile } = places;
  const said = { broker: invitation.broker, manager: invitation.manager, root: invitation.root ?? 'km1' };
  if (places.config !== null) {
    const text = changedConfig(textOf(readBounded(configFile, MAX_CONFIG_BYTES), configFile), said);
    if (text !== null) writeAtomically(configFile, encodeUtf8(text), 0o644);
    return;
  }
  const files = { stateDirectory, certificateFile, keyFile, anchorsFile, brokerAnchorsFile };
  const pinned = verifierFile !== null && existsSync(verifierFile) ? verifierFile : null;
  const values = { ...said, ...files, verifierFile: pinned, clockInDoubt: clockInDoubt && pinned !== null };
  writeAtomically(configFile, encodeUtf8(newConfig(exampleConfig('agent'), values, configFile)), 0o644);
}
