/**
 * Resident memory of broker and manager for each connected device, beside a bare Aedes with as many clients.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { type Figure, figure, type Report } from './figures.ts';
import type { BareWish } from './fleet/bare-clients.ts';
import { type Fleet, startFleet } from './fleet/fleet.ts';
import { requireOpenFiles } from './fleet/open-files.ts';
import { papersFor } from './fleet/papers.ts';
import { residentBytes, startServices } from './fleet/services.ts';
import { pause, untilRegistered } from './fleet/storm-run.ts';
import type { Progress } from './progress.ts';

interface Scale {
  readonly few: number;
  readonly many: number;
  readonly processes: number;
  /** Time after the last login in which what it left behind is collected. */
  readonly restMs: number;
}
const FULL: Scale = { few: 1000, many: 10_000, processes: 3, restMs: 15_000 };
const QUICK: Scale = { few: 100, many: 400, processes: 1, restMs: 2000 };

const LOOK_EVERY_MS = 250;

/** Bytes with few and with many connected. */
type Pair = readonly [few: number, many: number];

export async function benchMemory(quick: boolean, { at }: Progress): Promise<Report> {
  const scale = quick ? QUICK : FULL;
  requireOpenFiles(scale.many);
  const bare = await bareAedes(scale, (part) => at(part * 0.2, 'bare Aedes'));
  const ours = await kagimori(scale, (part, doing) => at(0.2 + part * 0.8, doing));
  const { few, many } = scale;
  const perDevice = ([a, b]: Pair): number => (b - a) / (many - few) / 1024;
  const yardstick = { name: 'bare Aedes', rounds: [perDevice(bare)] };
  const slope = (name: string, pair: Pair): Figure => figure(name, 'KiB', [perDevice(pair)], yardstick);
  const size = (name: string, [a, b]: Pair): Figure[] =>
    [a, b].map((bytes, i) => figure(`${name} with ${i === 0 ? few : many}`, 'MiB', [bytes / 2 ** 20]));
  return {
    sections: [
      {
        title: `Resident memory for each connected device, from ${few} to ${many}`,
        how: [
          'The services are processes of their own, the devices real agents with an open channel and a registration, on',
          'MQTT over TCP. Bare Aedes: clients with as many subscriptions, no policy. The smallest resident set (VmRSS) of',
          `${scale.restMs / 1000} s at rest; nothing was collected by force.`,
          ...(quick ? ['With so few devices the slope is mostly that of young processes that grow warm.'] : []),
        ],
        figures: [
          figure('bare Aedes', 'KiB', yardstick.rounds),
          slope('broker', ours.broker),
          slope('manager', ours.manager),
        ],
      },
      {
        title: 'Whole processes',
        how: [],
        figures: [
          ...size('bare Aedes', bare),
          ...size('broker', ours.broker),
          ...size('manager', ours.manager),
          ...size('verifier', ours.verifier),
        ],
      },
    ],
    ledgers: [],
  };
}

async function kagimori({ few, many, processes, restMs }: Scale, at: Progress['at']) {
  const papers = papersFor(many, (part) => at(part * 0.1, 'issuing certificates'));
  const services = await startServices(papers);
  const fleets: Fleet[] = [];
  const look = async () => {
    const [broker, manager, verifier] = [leastOf(), leastOf(), leastOf()];
    for (let ms = 0; ms < restMs; ms += LOOK_EVERY_MS) {
      await pause(LOOK_EVERY_MS);
      broker.seen(services.residentBytes('broker'));
      manager.seen(services.residentBytes('manager'));
      verifier.seen(services.residentBytes('verifier'));
    }
    return { broker: broker.least(), manager: manager.least(), verifier: verifier.least() };
  };
  const grow = async (from: number, to: number, crews: number): Promise<void> => {
    const fleet = await startFleet({ url: services.url, papers, from, devices: to - from, processes: crews });
    fleets.push(fleet);
    await untilRegistered(fleet, to - from, (part) =>
      at(0.1 + (0.9 * (from + part * (to - from))) / many, 'logging in'),
    );
  };
  try {
    await grow(0, few, 1);
    const a = await look();
    await grow(few, many, processes);
    const b = await look();
    return {
      broker: [a.broker, b.broker] as const,
      manager: [a.manager, b.manager] as const,
      verifier: [a.verifier, b.verifier] as const,
    };
  } finally {
    await Promise.all(fleets.map((fleet) => fleet.close()));
    await services.close();
  }
}

async function bareAedes({ few, many, restMs }: Scale, at: (part: number) => void): Promise<Pair> {
  const [broker, clients] = ['bare-aedes.ts', 'bare-clients.ts'].map((file) =>
    fork(join(import.meta.dirname, 'fleet', file), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }),
  ) as [ChildProcess, ChildProcess];
  try {
    const port = await said(broker);
    const look = async (count: number): Promise<number> => {
      clients.send({ port, count } satisfies BareWish);
      await said(clients);
      const least = leastOf();
      for (let ms = 0; ms < restMs; ms += LOOK_EVERY_MS) {
        await pause(LOOK_EVERY_MS);
        least.seen(residentBytes(broker.pid!));
      }
      return least.least();
    };
    const first = await look(few);
    at(0.5);
    return [first, await look(many - few)];
  } finally {
    await Promise.all([broker, clients].map(end));
  }
}

/** @returns the next number that the process tells @throws Error when it ends */
const said = (child: ChildProcess): Promise<number> =>
  new Promise((resolve, reject) => {
    const gone = (code: number | null): void => reject(new Error(`${child.spawnfile} ended with ${code}`));
    child.once('exit', gone);
    child.once('message', (number: number) => {
      child.off('exit', gone);
      resolve(number);
    });
  });

const end = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });

function leastOf() {
  let least = Number.POSITIVE_INFINITY;
  return {
    seen: (bytes: number): void => {
      least = Math.min(least, bytes);
    },
    least: () => least,
  };
}
