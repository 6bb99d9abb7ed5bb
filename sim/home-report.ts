/**
 * What a run of `home` comes to: one object for programs, one page for people.
 */

import { MICROS_PER_SECOND } from './event-queue.ts';
import { type Percentiles, percentiles } from './figures.ts';
import type { HomeRun, PhaseName } from './home.ts';

export interface HomeReport {
  readonly scenario: 'home';
  readonly seed: number | string;
  readonly crypto: 'real' | 'model';
  readonly devices: number;
  readonly classes: Readonly<Record<string, number>>;
  readonly registered: number;
  readonly connects: {
    readonly asked: number;
    readonly opened: number;
    /** By reason. */
    readonly failed: Readonly<Record<string, number>>;
  };
  readonly data: { readonly sent: number; readonly received: number };
  readonly ended: { readonly throughManager: number; readonly toPeer: number };
  readonly phases: Readonly<Record<PhaseName, Percentiles>>;
  /** Means over all devices, both ways, payloads alone. */
  readonly perDevice: { readonly messages: number; readonly bytes: number };
  readonly publicKeyOperations: {
    /** Of all devices, for their channels. */
    readonly logins: number;
    /** Of all devices, for their sessions. */
    readonly sessions: number;
    readonly perSession: number;
    /** For neither: exchanges that came to nothing. */
    readonly elsewhere: number;
  };
  /** Messages on the network, those of the services included. */
  readonly messages: number;
  readonly virtualSeconds: number;
  readonly wallSeconds: number;
  readonly traceHash: string;
}

export function homeReport(run: HomeRun, wallSeconds: number): HomeReport {
  const { world, households, calls, phases, registered, data, ended, sessions } = run;
  const devices = [...world.devices.values()];
  const classes: Record<string, number> = {};
  for (const { className } of households.residents) classes[className] = (classes[className] ?? 0) + 1;
  const failed: Record<string, number> = {};
  for (const call of calls) if (call.failed !== null) failed[call.failed] = (failed[call.failed] ?? 0) + 1;
  const traffic = devices.map(({ id }) => world.traffic.get(id)!);
  const mean = (total: number): number => round(total / devices.length);
  const operations = sum(devices.map((device) => device.operations()));
  const logins = sum(devices.flatMap(({ state }) => state.openings.map(({ cost }) => cost.publicKeyOps)));
  const ofSessions = sum(sessions.map(({ cost }) => cost.publicKeyOps));
  return {
    scenario: 'home',
    seed: world.seed,
    crypto: world.plan.crypto,
    devices: devices.length,
    classes,
    registered,
    connects: { asked: calls.length, opened: calls.filter(({ openedAt }) => openedAt !== null).length, failed },
    data,
    ended,
    phases: {
      link: rounded(phases.link),
      login: rounded(phases.login),
      connect: rounded(phases.connect),
      message: rounded(phases.message),
      end: rounded(phases.end),
    },
    perDevice: {
      messages: mean(sum(traffic.map((one) => one.sentMessages + one.receivedMessages))),
      bytes: mean(sum(traffic.map((one) => one.sentBytes + one.receivedBytes))),
    },
    publicKeyOperations: {
      logins,
      sessions: ofSessions,
      perSession: sessions.length === 0 ? 0 : ofSessions / sessions.length,
      elsewhere: operations - logins - ofSessions,
    },
    messages: world.trace.count(),
    virtualSeconds: round(world.now() / MICROS_PER_SECOND),
    wallSeconds: round(wallSeconds),
    traceHash: world.trace.hash(),
  };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);
/** To a microsecond, and to a byte in a thousand. */
const round = (value: number): number => Math.round(value * 1000) / 1000;

function rounded(times: readonly number[]): Percentiles {
  const { count, p50, p90, p99, max } = percentiles(times);
  const short = (value: number | null): number | null => (value === null ? null : round(value));
  return { count, p50: short(p50), p90: short(p90), p99: short(p99), max: short(max) };
}

const PHASES: Readonly<Record<PhaseName, string>> = {
  link: 'link up',
  login: 'login and registration',
  connect: 'connect',
  message: 'message to the peer',
  end: 'end',
};

/** The same for people. */
export function homeReportText(report: HomeReport): string {
  const { connects, data, ended, perDevice, publicKeyOperations: operations } = report;
  const classes = Object.entries(report.classes).map(([name, count]) => `${count} ${name}`);
  const failed = Object.entries(connects.failed).map(([reason, count]) => `${count} ${reason}`);
  const rows: readonly (readonly [string, string])[] = [
    ['home', `seed ${report.seed}, ${report.devices} devices: ${classes.join(', ')}`],
    ['crypto', report.crypto === 'real' ? 'real' : 'model (a stand-in of equal sizes)'],
    ['registered', `${report.registered} of ${report.devices}`],
    ['connects', `${connects.opened} of ${connects.asked}${failed.length > 0 ? `; failed: ${failed.join(', ')}` : ''}`],
    ['data', `${data.received} of ${data.sent} messages arrived`],
    ['ended', `${ended.throughManager} through the manager, ${ended.toPeer} peer to peer`],
    ['a device', `${perDevice.messages.toFixed(1)} messages, ${Math.round(perDevice.bytes)} bytes`],
    [
      'public-key operations',
      `${operations.logins} in logins, ${operations.perSession} in a session, ${operations.elsewhere} elsewhere`,
    ],
    ['messages', `${report.messages} in ${report.virtualSeconds} s of virtual time, ${report.wallSeconds} s here`],
    ['traceHash', report.traceHash],
  ];
  const width = Math.max(...rows.map(([label]) => label.length));
  const cells = (values: readonly (string | number)[]): string =>
    values.map((one) => String(one).padStart(10)).join('');
  const phaseWidth = Math.max(...Object.values(PHASES).map((label) => label.length));
  const ms = (value: number | null): string => (value === null ? '–' : value.toFixed(1));
  return [
    ...rows.map(([label, text]) => `${label.padEnd(width)}  ${text}`),
    '',
    `${'ms of virtual time'.padEnd(phaseWidth)}${cells(['count', 'p50', 'p90', 'p99', 'max'])}`,
    ...Object.entries(report.phases).map(
      ([name, { count, p50, p90, p99, max }]) =>
        `${PHASES[name as PhaseName].padEnd(phaseWidth)}${cells([count, ms(p50), ms(p90), ms(p99), ms(max)])}`,
    ),
  ].join('\n');
}
