/**
 * Core dumps of this process: forbidden, since they hold every key of it. Node has no setrlimit; prlimit(1) of util-linux
 * sets the limit of a living process, this one. @spec core(5), prlimit(2)
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const TIMEOUT_MS = 5_000;
const PATTERN = '/proc/sys/kernel/core_pattern';
const LIMITS = '/proc/self/limits';

/** Takes the limit down for good, in this process and its children. @returns why a core can still be written, or null */
export function forbidCoreDumps(): string | null {
  const pattern = coreReceiver();
  if (pattern === null) return `${process.platform} has no ${PATTERN}`;
  const limit = coreLimit();
  if (limit === 0 || limit === 1) return null;
  // A program that is handed the core gets it whatever the limit is, unless it is exactly 1; a file ends at the limit.
  const wanted = pattern === 'file' ? 0 : 1;
  const args = ['--pid', String(process.pid), `--core=${wanted}:${wanted}`];
  const { error, status, stderr } = spawnSync('prlimit', args, { encoding: 'utf8', timeout: TIMEOUT_MS });
  if (error !== undefined) return 'prlimit is not installed';
  return status === 0 ? null : stderr.trim();
}

/** @returns bytes, Infinity without a limit; null where the system does not tell */
export function coreLimit(limits: string | null = readOrNull(LIMITS)): number | null {
  // soft and hard: the process itself may go up to the hard one
  const hard = /^Max core file size +\S+ +(\S+)/m.exec(limits ?? '')?.[1];
  if (hard === undefined) return null;
  return hard === 'unlimited' ? Number.POSITIVE_INFINITY : Number(hard);
}

/** What the kernel does with a core: into a file, or to a program; null where it is none that we know. */
export function coreReceiver(): 'file' | 'program' | null {
  const pattern = readOrNull(PATTERN);
  if (pattern === null) return null;
  return /^[|@]/.test(pattern) ? 'program' : 'file';
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
