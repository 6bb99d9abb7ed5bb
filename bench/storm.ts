/**
 * The reconnect storm: a fleet of live agents, whose broker, manager, or both are killed with -9 and started again. How
 * soon is everybody back, at what price, and does a user notice?
 */
import { availableParallelism, loadavg } from 'node:os';
import { DEFAULT_PACE } from '../manager/admission.ts';
import { type Figure, figure, type Ledger, type Report, type Section } from './figures.ts';
import { type Fleet, startFleet } from './fleet/fleet.ts';
import { requireOpenFiles } from './fleet/open-files.ts';
import { papersFor } from './fleet/papers.ts';
import { startProbe } from './fleet/probe.ts';
import { type Service, startServices } from './fleet/services.ts';
import { quantile, runStorm, type Storm, untilConnected, untilRegistered } from './fleet/storm-run.ts';
import type { Progress } from './progress.ts';

interface Scale {
  readonly devices: number;
  readonly pairs: number;
  readonly processes: number;
  readonly embeddedToo: boolean;
}
const FULL: Scale = { devices: 10_000, pairs: 300, processes: 4, embeddedToo: true };
const QUICK: Scale = { devices: 300, pairs: 30, processes: 1, embeddedToo: false };

const AIM_S = 60;
const PATIENCE_MS = 180_000;
const PROBE_DEVICES = 2;

const STORMS: readonly { readonly name: string; readonly victims: readonly Service[] }[] = [
  { name: 'broker', victims: ['broker'] },
  { name: 'manager', victims: ['manager'] },
  { name: 'broker and manager', victims: ['broker', 'manager'] },
];
const EMBEDDED = [{ name: 'manager with the broker in it', victims: ['manager'] }] as const;

interface Named {
  readonly name: string;
  readonly storm: Storm;
  /** Of the machine, at the end of the storm. */
  readonly load: number;
}

/** @throws Error when something was lost, or a device came back by a full login: then the figures mean nothing */
export async function benchStorm(quick: boolean, { at }: Progress): Promise<Report> {
  const scale = quick ? QUICK : FULL;
  const storms = [...(await stormsOf(scale, false, STORMS, (part, doing) => at(part * (quick ? 1 : 0.7), doing)))];
  if (scale.embeddedToo) {
    storms.push(...(await stormsOf(scale, true, EMBEDDED, (part, doing) => at(0.7 + part * 0.3, doing))));
  }
  return {
    sections: storms.map((one) => section(one, scale)),
    ledgers: [curve(storms), prices(storms, scale)],
  };
}

async function stormsOf(
  { devices, pairs, processes }: Scale,
  embedded: boolean,
  planned: typeof STORMS,
  at: Progress['at'],
): Promise<readonly Named[]> {
  requireOpenFiles(devices);
  const papers = papersFor(devices + PROBE_DEVICES, (part) => at(part * 0.1, 'issuing certificates'));
  const services = await startServices(papers, { embedded });
  let fleet: Fleet | null = null;
  let closeProbe = async (): Promise<void> => {};
  try {
    fleet = await startFleet({ url: services.url, papers, devices, processes });
    await untilRegistered(fleet, devices, (part) => at(0.1 + part * 0.5, `logging ${devices} devices in`));
    const sessions = await untilConnected(fleet, pairs);
    const probe = await startProbe(services.url, papers, [devices, devices + 1]);
    closeProbe = probe.close;
    const done: Named[] = [];
    for (const [turn, { name, victims }] of planned.entries()) {
      const told = (back: number): void =>
        at(0.6 + (0.4 * (turn + back / devices)) / planned.length, `${name} killed: ${back} of ${devices} are back`);
      const storm = await runStorm({ services, fleet, probe }, victims, PATIENCE_MS, told);
      requireNothingLost(name, storm, devices, sessions);
      done.push({ name, storm, load: Math.round(10 * loadavg()[0]!) / 10 });
    }
    return done;
  } finally {
    await closeProbe();
    await fleet?.close();
    await services.close();
  }
}

/** @throws Error */
export function requireNothingLost(name: string, { count, status }: Storm, devices: number, sessions: number): void {
  const faults: readonly (readonly [number, string])[] = [
    [count.returns.filter(({ how }) => how !== 'resume').length, 'devices logged in anew'],
    [count.loginsSent, 'full logins were begun'],
    [count.publicKeyOperations, 'public-key operations were done on devices'],
    ...Object.entries(count.sessionsLost).map(
      ([why, ends]) => [ends, `ends of sessions were closed (${why})`] as const,
    ),
    [devices - count.inside, 'devices have no channel at the end'],
    [sessions - count.sessions, 'ends of sessions are not open'],
    [sessions - count.messages, 'messages in sessions did not arrive'],
    [Math.max(0, devices - Number(status.registered)), 'registrations are gone'],
    [Math.max(0, devices - Number(status.channels)), 'channels are missing at the manager'],
  ];
  const lost = faults.filter(([number]) => number !== 0).map(([number, what]) => `${number} ${what}`);
  if (lost.length > 0) throw new Error(`after the restart of ${name}: ${lost.join('; ')}`);
}

const SHARES = [0.5, 0.9, 0.99, 1] as const;

function section({ name, storm, load }: Named, { devices, processes }: Scale): Section {
  const { backMs, awayMs, probeMs, answerMs } = storm;
  const sorted = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);
  const back: Figure[] = SHARES.map((share) =>
    figure(
      `${100 * share} % of ${devices} devices back`,
      's',
      [quantile(backMs, share) / 1000],
      null,
      share === 1 ? { most: AIM_S } : null,
    ),
  );
  const felt =
    probeMs.length === 0 ? [] : [figure('a new session meanwhile, 99 %', 'ms', [quantile(sorted(probeMs), 0.99)])];
  return {
    title: `kill -9 and a new start: ${name}`,
    how: [
      `${processes} processes of the fleet on the same ${availableParallelism()} cores; load of the machine ${load}.`,
      `Counted from the moment at which the services were there again, ${(awayMs / 1000).toFixed(1)} s after the kill.`,
    ],
    figures: [
      ...back,
      ...felt,
      figure('answer of the manager meanwhile, longest', 'ms', [Math.max(0, ...answerMs)]),
      figure('let in, most in a second', 'devices', [storm.mostInASecond], null, { most: MOST_IN_A_SECOND }),
    ],
  };
}

/** What was left unused of a tenth of a second may be used at once. */
const MOST_IN_A_SECOND = DEFAULT_PACE.resumptionsPerSecond * 1.1;

const TIMES_S = [1, 2, 3, 5, 8, 13, 20, 30, 45, 60];

function curve(storms: readonly Named[]): Ledger {
  const share = (backMs: readonly number[], seconds: number): string => {
    const part = backMs.filter((ms) => ms <= seconds * 1000).length / backMs.length;
    return `${(100 * part).toFixed(1)} %`;
  };
  return {
    title: 'The curve: devices whose channel is open again, by seconds since the services were there',
    columns: ['', ...TIMES_S.map((seconds) => `${seconds} s`)],
    rows: storms.map(({ name, storm }) => [name, ...TIMES_S.map((seconds) => share(storm.backMs, seconds))]),
    notes: ['All by resumption, no public-key operation on any device, every session carried a message both ways.'],
  };
}

function prices(storms: readonly Named[], { devices }: Scale): Ledger {
  const most = (bySecond: Readonly<Record<number, number>>): number => Math.max(0, ...Object.values(bySecond));
  const each = (value: number): string => (value / devices).toFixed(2);
  return {
    title: 'What it took',
    columns: [
      '',
      'links/s, most',
      'D1 a device',
      'told to come again',
      'broker',
      'manager',
      'fleet',
      'ends of sessions',
      'calls',
      'failed',
    ],
    rows: storms.map(({ name, storm }) => [
      name,
      most(storm.count.linksBySecond),
      each(storm.count.resumesSent),
      storm.count.busyHeard,
      `${each(storm.cpuMs.broker * 1000)} µs`,
      `${each(storm.cpuMs.manager * 1000)} µs`,
      `${each(storm.cpuMs.fleet * 1000)} µs`,
      storm.count.sessions,
      storm.probeMs.length,
      storm.probeFailures,
    ]),
    notes: [
      'CPU a device, from the kill until all were back, the start of the process and its reading of the registry included.',
      'Calls: new sessions of two further devices meanwhile, whose own channels are gone and come back like all others.',
    ],
  };
}
