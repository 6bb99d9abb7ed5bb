/**
 * A user with an open session takes the medium out of one device and puts it into the next: real agents, real directories.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildHouse, type Ear, type House, type News } from '../../test/real-house.ts';
import type { LogLine } from '../../test/real-process.ts';
import { makeMedium, noMedium, registered, type TestMedium, unlock } from '../../test/user-media-house.ts';
import { pause } from '../fleet/storm-run.ts';

/** Milliseconds. */
export interface Handover {
  /** The medium is out: until the caller, and the device, hold its session for over. */
  readonly pulledToCallerTold: number;
  readonly pulledToDeviceOver: number;
  /** The same from the moment at which the device noticed: without the poll. */
  readonly noticedToCallerTold: number;
  /** The medium is in: until the device asks for the PIN. */
  readonly insertedToAsked: number;
  /** The PIN is known: until the key is. */
  readonly pinToKey: number;
  /** The agent has the user: until the caller's first message is at this device. */
  readonly keyToMessage: number;
  /** All of it, the medium in the next device at once and the PIN given at once. */
  readonly pulledToMessage: number;
  /** A new session with that device by its name, until its first message is there. */
  readonly byName: number;
}

const CALLER = 'lamp';
const DEVICES = ['tv', 'radio'] as const;
const USER = 'anna';
const POLL_MS = 400;

const epochNow = (): number => performance.timeOrigin + performance.now();

/** @param rounds  each of so many handovers, there and back in turn */
export async function handovers(
  rounds: number,
  each: number,
  progress: (part: number) => void,
): Promise<readonly (readonly Handover[])[]> {
  const place = mkdtempSync(join(tmpdir(), 'kagimori-handover-'));
  const ends: (() => Promise<void>)[] = [];
  try {
    const house = await buildHouse(
      {
        occupants: [
          { id: CALLER },
          ...DEVICES.map((id) => ({ id, yaml: `users: { media: ['${join(place, id)}'], mounts: false }\n` })),
        ],
        managerYaml: 'users: { onLeave: follow }\n',
        logLevel: 'info',
      },
      (end) => ends.push(end),
    );
    const medium = await makeMedium(house, place, USER);
    await Promise.all([CALLER, ...DEVICES].map((id) => house.admit(id)));
    const [caller, ...ears] = await Promise.all([CALLER, ...DEVICES].map((id) => house.hear(id)));
    const walk: Walk = { house, medium, caller: caller!, ears: new Map(DEVICES.map((id, i) => [id, ears[i]!])), place };
    medium.insert(join(place, DEVICES[0]));
    await registered(house, DEVICES[0], await unlock(house, DEVICES[0]));
    const measured: Handover[][] = [];
    let turn = 0;
    for (let round = 0; round < rounds; round++) {
      const done: Handover[] = [];
      for (let one = 0; one < each; one++, turn++) {
        progress(turn / (rounds * each));
        const [from, to] = turn % 2 === 0 ? DEVICES : ([DEVICES[1], DEVICES[0]] as const);
        // at another moment between two looks at the directory each time
        await pause((POLL_MS * one) / each);
        done.push(await handOver(walk, from, to));
      }
      measured.push(done);
    }
    return measured;
  } finally {
    for (const end of ends) await end();
    rmSync(place, { recursive: true, force: true });
  }
}

interface Walk {
  readonly house: House;
  readonly medium: TestMedium;
  readonly caller: Ear;
  readonly ears: ReadonlyMap<string, Ear>;
  readonly place: string;
}

async function handOver({ house, medium, caller, ears, place }: Walk, from: string, to: string): Promise<Handover> {
  const { sid, peer } = (await house.ask(CALLER, 'connect', { callee: `user:${USER}` })) as News;
  if (peer !== from) throw new Error(`user:${USER} is at ${String(peer)}, and not at ${from}`);
  await say(house, ears.get(from)!, String(sid), 'before');

  const pulled = epochNow();
  medium.pull();
  const callerTold = when(caller.until('the end', closed(sid)));
  const deviceOver = when(ears.get(from)!.until('the end', closed(sid)));
  const out = logTime(house, from, 'user.medium-removed', pulled);
  await noMedium(house, from);
  const inserted = epochNow();
  medium.insert(join(place, to));
  const asked = logTime(house, to, 'user.medium-locked', inserted);
  const key = logTime(house, to, 'user.medium-unlocked', inserted);
  const trying = await asked.then(epochNow);
  const seen = await unlock(house, to);
  const moved = await caller.until('the move', (news) => news.event === 'session.moved' && news.from === sid);
  await say(house, ears.get(to)!, String(moved.to), 'after');
  const arrived = epochNow();
  await registered(house, to, seen);
  await house.ask(CALLER, 'close', { sid: String(moved.to) });

  const calling = performance.now();
  const named = (await house.ask(CALLER, 'connect', { callee: to })) as News;
  await say(house, ears.get(to)!, String(named.sid), 'by name');
  const byName = performance.now() - calling;
  await house.ask(CALLER, 'close', { sid: String(named.sid) });
  return {
    pulledToCallerTold: (await callerTold) - pulled,
    pulledToDeviceOver: (await deviceOver) - pulled,
    noticedToCallerTold: Math.max(0, (await callerTold) - (await out)),
    insertedToAsked: (await asked) - inserted,
    pinToKey: (await key) - trying,
    keyToMessage: arrived - (await key),
    pulledToMessage: arrived - pulled,
    byName,
  };
}

const closed = (sid: unknown) => (news: News) => news.event === 'session.closed' && news.sid === sid;

/** A program at the caller says something, and the one at the other end has it. */
async function say(house: House, ear: Ear, sid: string, text: string): Promise<void> {
  await house.ask(CALLER, 'send', { to: sid, text });
  await ear.until(`${text} in ${sid}`, (news) => news.event === 'message' && news.sid === sid && news.text === text);
}

async function when(heard: Promise<unknown>): Promise<number> {
  await heard;
  return epochNow();
}

/** When a device logged it first since then, by the clock of this machine. */
async function logTime(house: House, device: string, event: string, since: number): Promise<number> {
  const time = (line: LogLine): number => Date.parse(String(line.time));
  const isIt = (line: LogLine): boolean => line.event === event && time(line) >= Math.floor(since);
  return time(await house.running(device).logged(event, isIt));
}
