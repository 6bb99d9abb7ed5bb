/**
 * A process of its own with some hundred devices that have no certificate yet: the real machines of enrolment and agent on
 * real links, with the order of links that `agent enrol --run` has. Nothing is written to a disk: a thousand devices have a
 * thousand disks, and here there is one.
 */
import { readFileSync } from 'node:fs';
import { brokerLink } from '../../cli/daemons/broker-link.ts';
import { runExchange } from '../../cli/enrolment/exchange-run.ts';
import type { EnrolmentSettings } from '../../device-agent/enrolment.ts';
import type { Enrolled } from '../../device-agent/enrolment-checks.ts';
import { readCertificateFile } from '../../platform/certificate-file.ts';
import { commonName, freshSerial, issueCertificate } from '../../platform/certificate-issuing.ts';
import { issueRequest } from '../../platform/certificate-request-issuing.ts';
import { certificateReader } from '../../platform/certificates.ts';
import { systemClock } from '../../platform/clock.ts';
import { generateSigningKey, nodeCrypto } from '../../platform/crypto-node.ts';
import { EXTENDED_KEY_USAGE } from '../../protocol/certificate.ts';
import { type Invitation, readInvitation } from '../../protocol/invitation.ts';
import { suitesFor } from '../../protocol/login.ts';
import { CHANNEL_SUITES } from '../../protocol/suites.ts';
import { topicsUnder } from '../../protocol/topics.ts';
import { fleetMember, fleetSettings, type Member } from '../fleet/member.ts';
import type { FromNewcomers, NewcomersReport, ToNewcomers } from './crowd-messages.ts';

interface Newcomer {
  readonly settings: EnrolmentSettings;
  /** PKCS #8, PEM in base64. */
  readonly key: string;
}

const DAY = 86_400;
const PATIENCE_MS = 120_000;

const crypto = nodeCrypto();
const clock = systemClock();
const reader = certificateReader();
const topics = topicsUnder();
const members: Member[] = [];
const enrolledAt: number[] = [];
const registeredAt: number[] = [];
const triedAgain: Record<string, number> = {};
const stopped = new AbortController();
let newcomers: readonly Newcomer[] = [];
let invitation: Invitation | null = null;
let agentSettings: ReturnType<typeof fleetSettings> | null = null;
let cpuBefore = process.cpuUsage();
let failed: string | null = null;

const now = (): number => performance.timeOrigin + performance.now();
const tell = (message: FromNewcomers): void => void process.send!(message);

process.on('message', (message: ToNewcomers) => {
  obey(message).then(
    () => {
      if (message.type === 'prepare' || message.type === 'go') tell({ type: 'done' });
    },
    (error: unknown) => tell({ type: 'failed', reason: String(error) }),
  );
});
process.on('disconnect', () => process.exit(1));

async function obey(message: ToNewcomers): Promise<void> {
  switch (message.type) {
    case 'prepare': {
      const written = readInvitation(crypto, readFileSync(message.invitationFile, 'utf8').trim());
      const [anchor] = readCertificateFile(message.anchorFile);
      invitation = written;
      agentSettings = { ...fleetSettings(anchor), manager: written.manager };
      newcomers = message.names.map((name) => newcomer(name, written));
      cpuBefore = process.cpuUsage();
      return;
    }
    case 'go':
      for (const one of newcomers) {
        comeIn(one).catch((error: unknown) => {
          failed ??= String(error);
        });
      }
      return;
    case 'report':
      if (failed !== null) throw new Error(failed);
      return tell({ type: 'report', report: reported() });
    case 'close':
      stopped.abort();
      await Promise.all(members.map((member) => member.close()));
      process.disconnect();
      return;
    default:
      message satisfies never;
  }
}

function newcomer(name: string, { manager, anchor, token }: Invitation): Newcomer {
  const { key, publicSpki: spki, privatePkcs8Pem } = generateSigningKey('p256');
  const wall = clock.wall();
  const period = { notBefore: wall - DAY, notAfter: wall + DAY };
  const use = { extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriDevice] };
  const own = issueCertificate(
    crypto,
    { name: commonName(name), spki, key },
    { name, spki, serial: freshSerial(crypto), ...period, ...use },
  );
  const settings: EnrolmentSettings = {
    manager,
    anchorHash: anchor,
    spki,
    name: name as EnrolmentSettings['name'],
    topics,
    reader,
    token: token ?? null,
    identity: {
      chain: [own],
      signingKey: key,
      cipherSuites: suitesFor(key),
      channelSuites: CHANNEL_SUITES.map((_, number) => number),
    },
    certificateRequest: issueRequest({ ...key, publicSpki: spki }, { name }),
  };
  return { settings, key: base64(privatePkcs8Pem) };
}

async function comeIn({ settings, key }: Newcomer): Promise<void> {
  const { broker } = invitation!;
  const ending = await runExchange(settings, {
    crypto,
    clock,
    openTransport: brokerLink({ url: broker }, null, crypto),
    patienceMs: PATIENCE_MS,
    signal: stopped.signal,
    tell(news) {
      if (news.news !== 'waiting' && news.news !== 'failed' && news.news !== 'linkDown') return;
      const what =
        news.news === 'waiting' ? news.reason : news.news === 'linkDown' ? 'link lost' : (news.why ?? 'no answer');
      triedAgain[what] = (triedAgain[what] ?? 0) + 1;
    },
  });
  if (ending.news !== 'enrolled') {
    const detail = 'why' in ending ? ending.why : 'reason' in ending ? ending.reason : '';
    throw new Error(`${settings.name}: ${ending.news} ${detail ?? ''}`);
  }
  enrolledAt.push(now());
  run(ending.enrolled, key);
}

function run({ id, chain }: Enrolled, key: string): void {
  const [certificate, ...issuers] = chain.map(base64) as [string, ...string[]];
  const nothing = (): void => {};
  const events = { linked: nothing, sent: nothing, heard: nothing };
  const papers = { name: id, certificate, issuers, key };
  const member = fleetMember(invitation!.broker, agentSettings!, papers, crypto, {
    ...events,
    news(_member, news) {
      if (news.news === 'registered') registeredAt.push(now());
      if (news.news === 'loginDenied') failed ??= `${id}: ${news.reason}`;
    },
  });
  members.push(member);
}

function reported(): NewcomersReport {
  const { user, system } = process.cpuUsage(cpuBefore);
  return { enrolledAt, registeredAt, triedAgain, cpuMs: (user + system) / 1000 };
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
