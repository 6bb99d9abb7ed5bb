/**
 * A house whose manager certifies new devices: broker, verifier and manager as processes of their own, with the CA's
 * directory behind the manager.
 */
import { mkdirSync } from 'node:fs';
import { freePorts } from '../../test/mosquitto.ts';
import { buildHouse, type House, type Occupant } from '../../test/real-house.ts';
import { kill, type RealProcess, runCommand, startCommand } from '../../test/real-process.ts';
import { type ThreadTimes, threadsOf } from './cpu-time.ts';

export interface NewcomerHouse {
  readonly house: House;
  readonly url: string;
  /** Threads of the manager that came with its first certificate: the CA's. */
  readonly authority: ReadonlySet<number>;
  end(): Promise<void>;
}

export interface NewcomerWishes {
  readonly occupants?: readonly Occupant[];
  readonly brokerYaml?: string;
  readonly managerYaml?: string;
}

const WARM_UP = 'warm-up';
const REGISTERED = / registered /;
const PATIENCE_MS = 60_000;

/** One device is enrolled already: the first certificate of a manager costs the start of a thread. */
export async function openNewcomerHouse(wishes: NewcomerWishes = {}): Promise<NewcomerHouse> {
  const [port] = (await freePorts(1)) as [number];
  const url = `mqtt://127.0.0.1:${port}`;
  const ends: (() => Promise<void>)[] = [];
  const end = async (): Promise<void> => {
    for (const one of ends.splice(0).reverse()) await one();
  };
  try {
    const enrolment = `{ caDirectory: ca, brokerUrl: '${url}', trustAnchorFiles: [ca/root.pem] }`;
    const house = await buildHouse(
      {
        occupants: wishes.occupants ?? [],
        listen: `  - { kind: tcp, host: 127.0.0.1, port: ${port} }`,
        brokerYaml: wishes.brokerYaml ?? '',
        managerYaml: `enrolment: ${enrolment}\n${wishes.managerYaml ?? ''}`,
        logLevel: 'info',
      },
      (one) => ends.push(one),
    );
    const manager = managerPid(house);
    const before = threadsOf(manager);
    const device = await enrolAndRun(house, WARM_UP, await invite(house, WARM_UP));
    await kill(device.process);
    const authority = new Set([...threadsOf(manager).keys()].filter((thread) => !before.has(thread)));
    if (authority.size === 0)
      throw new Error('the CA has no thread of its own: its CPU cannot be told from the manager');
    return { house, url, authority, end };
  } catch (error) {
    await end();
    throw error;
  }
}

export const managerPid = (house: House): number => house.running('manager').child.pid!;
export const managerThreads = (house: House): ThreadTimes => threadsOf(managerPid(house));

/** The operator's command. @returns the file with the invitation */
export async function invite(house: House, name: string, uses = 1): Promise<string> {
  const file = house.at(`${name.replace('*', 'any')}.invitation`);
  const many = uses > 1 ? ['--uses', String(uses)] : [];
  const args = ['device', 'invite', '--name', name, ...many, '--out', file, '--data', house.at('manager')];
  const { code, stderr } = await runCommand(args);
  if (code !== 0) throw new Error(stderr);
  return file;
}

/** Milliseconds of `performance.now()` at which the device's process said it. */
export interface Said {
  readonly started: number;
  /** It has read the invitation. */
  readonly asking: number;
  /** Key made, link up, the manager proven. */
  readonly proven: number;
  /** All files are there. */
  readonly enrolled: number;
  readonly registered: number;
}

/** `agent enrol --file … --run` in a folder of its own, until it is registered. */
export async function enrolAndRun(
  house: House,
  name: string,
  invitation: string,
): Promise<{ readonly said: Said; readonly process: RealProcess }> {
  const folder = house.at(`at-${name}`);
  mkdirSync(folder);
  const started = performance.now();
  const process = startCommand(['agent', 'enrol', '--file', invitation, '--run'], folder);
  const { stdout, stderr } = process.child;
  const when = (stream: typeof stdout, word: RegExp): Promise<number> =>
    new Promise((resolve, reject) => {
      let text = '';
      const late = setTimeout(() => reject(new Error(`${name}: not said: ${word}: ${text}`)), PATIENCE_MS);
      stream?.on('data', (part: string) => {
        text += part;
        if (!word.test(text)) return;
        clearTimeout(late);
        resolve(performance.now());
      });
      void process.ended.then(({ code, stderr: why }) => {
        clearTimeout(late);
        reject(new Error(`${name} ended with ${code}: ${why}`));
      });
    });
  try {
    const [asking, proven, enrolled, registered] = await Promise.all([
      when(stderr, /^asking /),
      when(stderr, /waiting for its answer/),
      when(stdout, /^enrolled /),
      when(stderr, REGISTERED),
    ]);
    return { said: { started, asking, proven, enrolled, registered }, process };
  } catch (error) {
    await kill(process);
    throw error;
  }
}
