/**
 * Runs a program of the operator's for one answer: no shell, a clean environment, bounded output and time, and nothing of it
 * is left afterwards.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, type Stats, statSync } from 'node:fs';
import { dirname, isAbsolute } from 'node:path';

export interface ProgramCall {
  /** An absolute path. */
  readonly command: string;
  readonly args: readonly string[];
  /** Goes to its standard input, which then ends. */
  readonly input: string;
  readonly timeoutMs: number;
  readonly maxOutputBytes: number;
}

/** What came of it: its standard output, or why there is none that counts. */
export type ProgramOutcome =
  | { readonly output: Uint8Array }
  | {
      readonly fault: 'not-safe' | 'not-started' | 'failed' | 'timeout' | 'too-much' | 'stopped';
      readonly detail: string;
    };

/** All that it finds in its environment. */
const ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin', LANG: 'C.UTF-8' };
/** What it has written is read for so long after its end: somebody else may hold the pipe. */
const DRAIN_MS = 200;

/** @param stop  kills it */
export function runProgram(call: ProgramCall, stop: AbortSignal): Promise<ProgramOutcome> {
  const { command, args, input, timeoutMs, maxOutputBytes } = call;
  const fault = programFault(command);
  if (fault !== null) return Promise.resolve({ fault: 'not-safe', detail: fault });
  if (stop.aborted) return Promise.resolve({ fault: 'stopped', detail: 'before it began' });
  return new Promise((resolve) => {
    // a group of its own, so that what it starts is killed with it
    const child = spawn(command, args, {
      cwd: '/',
      env: ENVIRONMENT,
      shell: false,
      detached: true,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    let drain: NodeJS.Timeout | undefined;
    let isOver = false;
    const end = (outcome: ProgramOutcome): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      clearTimeout(drain);
      stop.removeEventListener('abort', stopped);
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) killGroup(child.pid);
      child.stdin.destroy();
      child.stdout.destroy();
      resolve(outcome);
    };
    const stopped = (): void => end({ fault: 'stopped', detail: 'nobody waits for it any more' });
    const timer = setTimeout(() => end({ fault: 'timeout', detail: `no end within ${timeoutMs} ms` }), timeoutMs);
    stop.addEventListener('abort', stopped);
    child.on('error', (error) => end({ fault: 'not-started', detail: error.message }));
    child.stdout.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxOutputBytes) end({ fault: 'too-much', detail: `more than ${maxOutputBytes} bytes of output` });
      else chunks.push(chunk);
    });
    child.stdout.on('error', () => {});
    child.stdin.on('error', () => {}); // it need not read what it is told
    child.stdin.end(input);
    const ended = (code: number | null, signal: NodeJS.Signals | null): void =>
      end(
        code === 0
          ? { output: Buffer.concat(chunks) }
          : { fault: 'failed', detail: code === null ? `killed by ${signal}` : `exit code ${code}` },
      );
    child.on('exit', (code, signal) => {
      if (child.pid !== undefined) killGroup(child.pid);
      drain = setTimeout(() => ended(code, signal), DRAIN_MS);
    });
    child.on('close', ended);
  });
}

/** @returns why nobody should run it, or null */
export function programFault(path: string): string | null {
  if (!isAbsolute(path)) return `${path}: no absolute path`;
  const program = statOf(path);
  if (program === null) return `${path}: not there`;
  if (!program.isFile()) return `${path}: no regular file`;
  for (const [where, stats] of [
    [path, program],
    [dirname(path), statOf(dirname(path))],
  ] as const) {
    // a sticky directory lets nobody replace the files of others
    const isSticky = stats?.isDirectory() === true && (stats.mode & 0o1000) !== 0;
    if (stats === null || ((stats.mode & 0o002) !== 0 && !isSticky))
      return `${where}: everybody may write it; run \`chmod o-w ${where}\``;
  }
  try {
    accessSync(path, constants.X_OK);
    return null;
  } catch {
    return `${path}: may not be run; run \`chmod u+x ${path}\``;
  }
}

const statOf = (path: string): Stats | null => {
  try {
    return statSync(path);
  } catch {
    return null;
  }
};

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // all of it has ended
  }
}
