/**
 * A card that was copied: the same certificate, the same key and all that the agent had stored, in a second machine while
 * the first one runs. How soon does the operator hear of it?
 */
import { spawn } from 'node:child_process';
import { cpSync } from 'node:fs';
import { basename } from 'node:path';
import { buildHouse, type House } from '../../test/real-house.ts';
import type { LogLine } from '../../test/real-process.ts';
import type { HandMadePlace } from './hand-made.ts';

export const POLICIES = ['refuse', 'replace', 'quarantine'] as const;
export type Policy = (typeof POLICIES)[number];

/** Milliseconds until the manager has logged `device.duplicate`. */
export interface Alarm {
  /** From the start of the second process. */
  readonly fromStart: number;
  /** From its link to the broker. */
  readonly fromLink: number;
}

/** Of this machine alone: another one has none of them. */
const NOT_COPIED = /^agent\.(?:sock|lock)/;

const epochNow = (): number => performance.timeOrigin + performance.now();
const timeOf = ({ time }: LogLine): number => Date.parse(String(time));

/** @param cards  how many are copied, one after the other: the operator is told of each once a minute at most */
export async function copiedCards(
  policy: Policy,
  cards: number,
  progress: (part: number) => void,
): Promise<readonly Alarm[]> {
  const ends: (() => Promise<void>)[] = [];
  try {
    const ids = Array.from({ length: cards }, (_, number) => `card-${number}`);
    const house = await buildHouse(
      {
        occupants: ids.map((id) => ({ id })),
        managerYaml: `duplicates: ${policy}\n`,
        logLevel: 'info',
      },
      (end) => ends.push(end),
    );
    const alarms: Alarm[] = [];
    for (const [number, id] of ids.entries()) {
      progress(number / cards);
      alarms.push(await copied(house, id, policy));
    }
    return alarms;
  } finally {
    for (const end of ends) await end();
  }
}

async function copied(house: House, id: string, policy: Policy): Promise<Alarm> {
  await house.admit(id);
  const copy = `copy-of-${id}`;
  house.settle({ id: copy }, { certificate: id, key: id });
  cpSync(house.at(id), house.at(copy), {
    recursive: true,
    filter: (path) => !NOT_COPIED.test(basename(path)),
  });
  const began = epochNow();
  const agent = await house.start(copy);
  const isIt = (line: LogLine): boolean => line.event === 'device.duplicate' && line.device === id;
  const alarm = await house.running('manager').logged(`device.duplicate ${id}`, isIt);
  if (alarm.policy !== policy) throw new Error(`the manager goes by ${String(alarm.policy)}, and not by ${policy}`);
  const link = await agent.logged('broker.up', ({ event }) => event === 'broker.up');
  await Promise.all([id, copy].map((one) => house.stop(one)));
  return { fromStart: timeOf(alarm) - began, fromLink: timeOf(alarm) - timeOf(link) };
}

const TAKEN_OVER_MS = 20_000;

/**
 * The nearest thing that Mosquitto has: a second client with the same certificate and the same client id. The first one is
 * put out, and a line in the log says so. With another client id nothing is noticed at all.
 * @returns ms from the start of the second client's process until that line
 */
export async function takenOverAtMosquitto(place: HandMadePlace, name: string): Promise<number> {
  await place.enrol(name);
  const login = place.login(place.at(`${name}.pem`), place.at(`${name}.key`));
  const subscribe = () => spawn('mosquitto_sub', [...login, '-i', name, '-t', 'nothing'], { stdio: 'ignore' });
  const clients = [subscribe()];
  try {
    await said(place, new RegExp(`Sending SUBACK to ${name}`));
    const began = performance.now();
    const noticed = said(place, new RegExp(`Client ${name} already connected`));
    clients.push(subscribe());
    return (await noticed) - began;
  } finally {
    for (const client of clients) client.kill('SIGKILL');
  }
}

/** @returns `performance.now()` when the broker wrote it */
function said({ broker }: HandMadePlace, words: RegExp): Promise<number> {
  const { stdout, stderr } = broker.child;
  return new Promise((resolve, reject) => {
    const end = (): void => {
      clearTimeout(late);
      for (const stream of [stdout, stderr]) stream?.off('data', look);
    };
    const look = (): void => {
      if (!words.test(broker.written())) return;
      end();
      resolve(performance.now());
    };
    const late = setTimeout(() => {
      end();
      reject(new Error(`Mosquitto did not write ${words}: ${broker.written().slice(-2000)}`));
    }, TAKEN_OVER_MS);
    for (const stream of [stdout, stderr]) stream?.on('data', look);
    look();
  });
}
