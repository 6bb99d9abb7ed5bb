/**
 * One process at a time: a lock that dies with its process, also by kill -9, and is not fooled by a recycled pid.
 *
 * Node has no flock. The lock is a row of files `<path>.1`, `<path>.2`, …, each created whole and only once (link(2)).
 * The owner is the live process named in the one with the highest number; who finds it dead claims the next number,
 * and of several claimants link(2) lets one win. The highest file is never removed, so no number is given out twice.
 * Holds among processes that see each other in /proc: not across containers that share a directory.
 */
import { linkSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { encodeUtf8 } from '../protocol/bytes.ts';
import { errnoOf, FileFault, writeAtomically, writeDurably } from './files.ts';

export interface ProcessLock {
  /** Leaves the lock to the next process. */
  release(): void;
}

/** The lock belongs to another live process, or to this one already. */
export class LockHeld extends Error {
  readonly pid: number;
  constructor(pid: number) {
    super(`held by process ${pid}`);
    this.name = 'LockHeld';
    this.pid = pid;
  }
}

/**
 * Takes the lock, or says who has it; never waits.
 * @throws LockHeld; Node's own errors when the directory cannot be written
 */
export function lockProcess(path: string): ProcessLock {
  const fresh = `${path}.new.${process.pid}`;
  for (;;) {
    const highest = numbers(path).at(-1) ?? 0;
    const holder = highest === 0 ? null : liveHolder(`${path}.${highest}`);
    if (holder !== null) throw new LockHeld(holder);
    const own = highest + 1;
    writeDurably(fresh, encodeUtf8(identityOf(process.pid) ?? `${process.pid} ? ?`), 0o600);
    try {
      linkSync(fresh, `${path}.${own}`);
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') continue;
      throw error;
    } finally {
      rmSync(fresh, { force: true });
    }
    const all = numbers(path);
    // Our number was read from a row that others have moved on from: theirs counts.
    if (all.at(-1) !== own) {
      rmSync(`${path}.${own}`, { force: true });
      continue;
    }
    for (const older of all) if (older < own) rmSync(`${path}.${older}`, { force: true });
    return { release: () => release(`${path}.${own}`) };
  }
}

/** @returns the living process that has the lock; null when none has, or the directory cannot be read */
export function lockHolder(path: string): number | null {
  try {
    const highest = numbers(path).at(-1);
    return highest === undefined ? null : liveHolder(`${path}.${highest}`);
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return null;
  }
}

/** Replaces the file, never removes it: see above. Where it cannot be written, the end of the process releases it. */
function release(path: string): void {
  try {
    writeAtomically(path, encodeUtf8('released'), 0o600);
  } catch (error) {
    if (!(error instanceof FileFault)) throw error;
  }
}

function numbers(path: string): number[] {
  const prefix = `${basename(path)}.`;
  return readdirSync(dirname(path))
    .filter((name) => name.startsWith(prefix) && /^[1-9][0-9]{0,14}$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => a - b);
}

/** @returns the pid in the lock file when that very process still runs, else null */
function liveHolder(path: string): number | null {
  let identity: string;
  try {
    identity = readFileSync(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
  const pid = Number(/^([1-9][0-9]*) /.exec(identity)?.[1] ?? 0);
  if (pid === 0) return null;
  const now = identityOf(pid);
  return now === identity ? pid : null;
}

/** @returns `pid start boot`, which no other process ever has; null when no such process runs */
function identityOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // proc(5): the name in parentheses may hold anything; field 3 is the state, field 22 the start in ticks since boot.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return null;
    return `${pid} ${fields[19]} ${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()}`;
  } catch {
    return identityWithoutProc(pid);
  }
}

function identityWithoutProc(pid: number): string | null {
  if (process.platform === 'linux') return null;
  try {
    process.kill(pid, 0);
    return `${pid} ? ?`;
  } catch (error) {
    return errnoOf(error) === 'EPERM' ? `${pid} ? ?` : null;
  }
}
