/**
 * Many new devices with one invitation, all of them at the same moment.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { readCertificateFile } from '../../platform/certificate-file.ts';
import type { JsonValue } from '../../platform/control-socket.ts';
import { type House, MANAGER } from '../../test/real-house.ts';
import { fleetSettings } from '../fleet/member.ts';
import { requireOpenFiles } from '../fleet/open-files.ts';
import type { DevicePapers } from '../fleet/papers.ts';
import { probeBetween } from '../fleet/probe.ts';
import { askAllTheTime, pause } from '../fleet/storm-run.ts';
import { cpuMs, spentBetween } from './cpu-time.ts';
import type { NewcomersReport } from './crowd-messages.ts';
import type { HandMadePlace } from './hand-made.ts';
import { invite, managerPid, managerThreads, openNewcomerHouse } from './newcomer-house.ts';
import { gatherNewcomers } from './newcomers.ts';

export interface MassWishes {
  readonly devices: number;
  /** Full logins that the manager lets in in a second; null: its default. */
  readonly loginsPerSecond: number | null;
}

export const CROWD_PARTIES = ['manager', 'its CA thread', 'broker', 'verifier', 'the devices'] as const;
export type CrowdParty = (typeof CROWD_PARTIES)[number];

/** Milliseconds, in order, since all of them were told to go. */
export interface MassEnrolment {
  readonly enrolledMs: readonly number[];
  readonly registeredMs: readonly number[];
  /** For each enrolment, its first login and registration included. */
  readonly cpuMs: Readonly<Record<CrowdParty, number>>;
  /** New sessions of two further devices: before it began, and meanwhile. */
  readonly probeBefore: readonly number[];
  readonly probeMeanwhile: readonly number[];
  readonly probeFailures: number;
  /** Answers of the manager on its control socket meanwhile. */
  readonly answerMs: readonly number[];
  readonly triedAgain: Readonly<Record<string, number>>;
}

/** All come from one address here: what is counted by address is lifted, and room is made for that many logins at once. */
export const BROKER_LIMITS =
  'newPerAddress: 100000, newPerSecondPerAddress: 100000, loginMessagesPerSecond: 2000, managerBehind: 1000';

const COUPLE = ['probe-caller', 'probe-callee'] as const;
const PROCESSES = 2;
const QUIET_MS = 3_000;
const LOOK_MS = 100;
const PATIENCE_MS = 180_000;

/** @throws Error when not all come in, or the invitation was used for more */
export async function massEnrolment(
  { devices, loginsPerSecond }: MassWishes,
  progress: (part: number) => void,
): Promise<MassEnrolment> {
  // a device has the link of its enrolment and, at once, the one of its agent
  requireOpenFiles(2 * devices);
  const { house, url, authority, end } = await openNewcomerHouse({
    occupants: COUPLE.map((id) => ({ id })),
    brokerYaml: `limits: { ${BROKER_LIMITS} }\n`,
    managerYaml: loginsPerSecond === null ? '' : `limits: { loginsPerSecond: ${loginsPerSecond} }\n`,
  });
  const crowd = Array.from({ length: PROCESSES }, () => gatherNewcomers());
  const closers: (() => Promise<void>)[] = [end, ...crowd.map(({ close }) => close)];
  try {
    const anchorFile = house.at('ca/root.pem');
    const settings = { ...fleetSettings(readCertificateFile(anchorFile)[0]), manager: MANAGER };
    const probe = await probeBetween(url, settings, [papersOf(house, COUPLE[0]), papersOf(house, COUPLE[1])]);
    closers.push(() => probe.close());
    const invitationFile = await invite(house, 'new-*', devices);
    const share = Math.ceil(devices / PROCESSES);
    await Promise.all(
      crowd.map(({ say }, turn) => {
        const count = Math.min(share, devices - turn * share);
        const names = Array.from({ length: count }, (_, i) => `new-${String(turn * share + i).padStart(5, '0')}`);
        return say({ type: 'prepare', invitationFile, anchorFile, names });
      }),
    );
    probe.mark();
    await pause(QUIET_MS);
    const probeBefore = [...probe.latencies];
    const pids = { broker: house.running('broker').child.pid!, verifier: house.running('verifier').child.pid! };
    const before = { threads: managerThreads(house), broker: cpuMs(pids.broker), verifier: cpuMs(pids.verifier) };
    probe.mark();
    const answers = askAllTheTime({ status: () => statusOf(house) });
    closers.push(async () => void (await answers.stop()));
    const began = performance.timeOrigin + performance.now();
    await Promise.all(crowd.map(({ say }) => say({ type: 'go' })));
    const reports = await untilRegistered(crowd, devices, progress);
    const answerMs = await answers.stop();
    const [probeMeanwhile, probeFailures] = [[...probe.latencies], probe.failures];
    const spent = spentBetween(managerPid(house), before.threads, managerThreads(house), authority);
    await requireUsedUp(house, devices);
    const since = (times: (report: NewcomersReport) => readonly number[]): number[] =>
      reports
        .flatMap(times)
        .map((at) => at - began)
        .sort((a, b) => a - b);
    const each = (ms: number): number => ms / devices;
    return {
      enrolledMs: since(({ enrolledAt }) => enrolledAt),
      registeredMs: since(({ registeredAt }) => registeredAt),
      cpuMs: {
        manager: each(spent.main + spent.others),
        'its CA thread': each(spent.apart),
        broker: each(cpuMs(pids.broker) - before.broker),
        verifier: each(cpuMs(pids.verifier) - before.verifier),
        'the devices': each(reports.reduce((sum, report) => sum + report.cpuMs, 0)),
      },
      probeBefore,
      probeMeanwhile,
      probeFailures,
      answerMs,
      triedAgain: reports.map(({ triedAgain }) => triedAgain).reduce(added),
    };
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

async function untilRegistered(
  crowd: readonly { report(): Promise<NewcomersReport> }[],
  devices: number,
  progress: (part: number) => void,
): Promise<readonly NewcomersReport[]> {
  const began = performance.now();
  for (;;) {
    const reports = await Promise.all(crowd.map(({ report }) => report()));
    const count = (times: (report: NewcomersReport) => readonly number[]): number => reports.flatMap(times).length;
    const registered = count(({ registeredAt }) => registeredAt);
    if (registered >= devices) return reports;
    if (performance.now() - began > PATIENCE_MS) {
      const enrolled = count(({ enrolledAt }) => enrolledAt);
      const again = JSON.stringify(reports.map(({ triedAgain }) => triedAgain));
      throw new Error(
        `after ${PATIENCE_MS / 1000} s ${enrolled} of ${devices} are enrolled, ${registered} registered; tried again: ${again}`,
      );
    }
    progress(registered / devices);
    await pause(LOOK_MS);
  }
}

async function requireUsedUp(house: House, devices: number): Promise<void> {
  const invitations = (await house.ask('manager', 'invitation.list')) as readonly Row[];
  const found = invitations.find(({ name }) => name === 'new-*');
  if (found?.left !== 0) throw new Error(`the invitation for ${devices} devices: ${JSON.stringify(found)}`);
}

type Row = { readonly [key: string]: JsonValue };

const statusOf = async (house: House): Promise<Row> => (await house.ask('manager', 'status')) as Row;

/** As a member of a fleet bears them. */
function papersOf(house: House, name: string): DevicePapers {
  const [leaf, ...issuers] = readCertificateFile(house.at(`certificates/${name}.chain.pem`)).map(({ der }) =>
    Buffer.from(der).toString('base64'),
  ) as [string, ...string[]];
  const key = readFileSync(house.at(`certificates/${name}.key.pem`)).toString('base64');
  return { name, certificate: leaf, issuers, key };
}

type Counts = Readonly<Record<string, number>>;

function added(a: Counts, b: Counts): Record<string, number> {
  const both: Record<string, number> = { ...a };
  for (const [key, count] of Object.entries(b)) both[key] = (both[key] ?? 0) + count;
  return both;
}

/** A script that does it by hand, on as many cores as there are. @returns ms of each since the start, in order */
export async function massByHand(place: HandMadePlace, devices: number): Promise<readonly number[]> {
  const began = performance.now();
  const done: number[] = [];
  let begun = 0;
  const work = async (): Promise<void> => {
    while (begun < devices) {
      await place.enrol(`mass-${begun++}`);
      done.push(performance.now() - began);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return done;
}
