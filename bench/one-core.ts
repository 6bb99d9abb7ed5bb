/**
 * Processes that are to be compared run on one core, one after the other.
 */
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';

/** The last one: the first has the interrupts. */
const CORE = String(availableParallelism() - 1);
const hasTaskset = spawnSync('taskset', ['-c', CORE, 'true']).status === 0;

/** Command and arguments so that the process runs on that core; as they are where there is no taskset. */
export function onOneCore(command: string, args: readonly string[]): readonly [string, string[]] {
  return hasTaskset ? ['taskset', ['-c', CORE, command, ...args]] : [command, [...args]];
}

/** Moves a process that runs already, with all its threads. */
export function toOneCore(pid: number): void {
  if (hasTaskset) spawnSync('taskset', ['-a', '-c', '-p', CORE, String(pid)]);
}
