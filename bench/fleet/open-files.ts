/**
 * A connection is an open file. Node raises its own limit to the hard one, which only the system's administrator can move.
 */
import { readFileSync } from 'node:fs';

/** Beside the connections: libraries, the store, pipes. */
const SPARE = 500;

/** @throws Error that says what to do when a process may not have so many connections */
export function requireOpenFiles(connections: number): void {
  const line = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
  const hard = line?.[1] === 'unlimited' ? Number.POSITIVE_INFINITY : Number(line?.[1]);
  if (hard >= connections + SPARE) return;
  throw new Error(
    `${connections} connections need ${connections + SPARE} open files in one process, and ${hard} are allowed: ` +
      `raise the hard limit (as root: ulimit -Hn ${2 * connections}, or LimitNOFILE= and limits.conf)`,
  );
}
