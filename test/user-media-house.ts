/**
 * Users' media for tests with real processes: made by the house's CA, put in and pulled out, unlocked; and what is found
 * of them in the memory of a device's processes.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { issueMedium } from '../cli/ca/user-medium.ts';
import { callControl, type JsonValue } from '../platform/control-socket.ts';
import { nodeCrypto } from '../platform/crypto-node.ts';
import { openPkcs12 } from '../platform/crypto-pkcs12.ts';
import { readMemory } from './process-memory.ts';
import type { House } from './real-house.ts';
import { searchFor, summaryOf } from './secret-search.ts';

/** Long enough to be looked for in memory. */
export const PIN = 'correct-horse-27182818';

export interface TestMedium {
  readonly user: string;
  readonly serial: string;
  readonly p12: Uint8Array;
  /** The private number of the key, 32 bytes. */
  readonly scalar: Uint8Array;
  /** Into a device's directory, which has to be empty. */
  insert(slot: string): void;
  pull(): void;
  /** The same once more, as a thief would make it. */
  copyTo(slot: string): void;
}

/** @param userId  on the medium; another one than in the certificate when given */
export async function makeMedium(house: House, place: string, user: string, userId = user): Promise<TestMedium> {
  const drawer = join(place, `drawer-${user}-${userId}`);
  const subject = {
    name: userId === user ? user : `${user}-${userId}`,
    kind: 'user',
    sans: [],
    days: 30,
    outDir: place,
  } as const;
  const world = { crypto: nodeCrypto(), now: Math.floor(Date.now() / 1000) };
  const { serial } = await issueMedium(house.at('ca'), subject, 'p256', { root: drawer, pin: PIN }, world);
  const folder = join(drawer, 'kagimori-user');
  const p12 = readFileSync(join(folder, 'user.p12'));
  const { privateKey } = await openPkcs12(p12, Buffer.from(PIN));
  const at = Buffer.from(privateKey).indexOf(Buffer.of(4, 32)) + 2;
  let slot: string | null = null;
  return {
    user,
    serial,
    p12,
    scalar: privateKey.slice(at, at + 32),
    insert(given) {
      mkdirSync(given, { recursive: true });
      slot = join(given, 'kagimori-user');
      renameSync(folder, slot);
    },
    pull() {
      if (slot !== null) renameSync(slot, folder);
      slot = null;
    },
    copyTo(given) {
      const to = join(given, 'kagimori-user');
      mkdirSync(to, { recursive: true });
      const from = slot ?? folder;
      for (const file of readdirSync(from)) copyFileSync(join(from, file), join(to, file));
    },
  };
}

export interface MediumSeen {
  readonly user: string | null;
  readonly state: string;
  readonly socket?: string;
  readonly process: number | null;
  readonly leaf?: string;
  readonly detail?: string;
}

export async function mediaOf(house: House, id: string): Promise<readonly MediumSeen[]> {
  return (await house.ask(id, 'user.media')) as unknown as readonly MediumSeen[];
}

const WITHIN_MS = 20_000;

/** The first medium, once it is so. */
export async function mediumWhen(house: House, id: string, state: string): Promise<MediumSeen> {
  const until = performance.now() + WITHIN_MS;
  for (;;) {
    const media = await mediaOf(house, id);
    const found = media.find((one) => one.state === state);
    if (found !== undefined) return found;
    if (performance.now() > until) throw new Error(`${id}: no medium is ${state}: ${JSON.stringify(media)}`);
    await pause(10);
  }
}

export async function someMedium(house: House, id: string): Promise<void> {
  const until = performance.now() + WITHIN_MS;
  while ((await mediaOf(house, id)).length === 0) {
    if (performance.now() > until) throw new Error(`${id} has no medium`);
    await pause(10);
  }
}

export async function noMedium(house: House, id: string): Promise<void> {
  const until = performance.now() + WITHIN_MS;
  while ((await mediaOf(house, id)).length > 0) {
    if (performance.now() > until) throw new Error(`${id} still has a medium`);
    await pause(10);
  }
}

/** As `kagimori user unlock` does it, without the command. */
export async function unlock(house: House, id: string, pin = PIN): Promise<MediumSeen> {
  const { socket } = await mediumWhen(house, id, 'locked');
  await callControl(socket!, 'unlock', { pin });
  return mediumWhen(house, id, 'unlocked');
}

export const registered = (house: House, id: string, { leaf = '' }: MediumSeen): Promise<JsonValue> =>
  house.ask(id, 'user.wait', { leaf });

export const lives = (pid: number): boolean =>
  existsSync(`/proc/${pid}/status`) && !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

/** @returns ms until the process was gone */
export async function gone(pid: number): Promise<number> {
  const began = performance.now();
  while (lives(pid)) {
    if (performance.now() - began > WITHIN_MS) throw new Error(`process ${pid} still lives`);
    await pause(5);
  }
  return performance.now() - began;
}

/** Of a process and all that it has started. */
export function familyOf(pid: number): number[] {
  const children = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((one) => parentOf(one) === pid && lives(one));
  return [pid, ...children.flatMap(familyOf)];
}

function parentOf(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return null; // it has just ended
  }
}

/** Numbers in OpenSSL stand with the least word first. */
export const secretsOf = ({ scalar, p12 }: TestMedium) => ({
  'key as in PKCS#8': scalar,
  'key as OpenSSL computes with it': scalar.slice().reverse(),
  'encrypted file': p12.subarray(-300, -268),
  PIN: Buffer.from(PIN),
});

/** @returns by process what was found, as names with their forms */
export function foundIn(pids: readonly number[], medium: TestMedium): string {
  const find = searchFor(secretsOf(medium));
  return pids
    .map((pid) => {
      const findings: ReturnType<typeof find> = [];
      readMemory(pid, (bytes) => findings.push(...find(bytes)));
      return summaryOf(findings);
    })
    .join('');
}
