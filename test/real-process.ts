/**
 * The `kagimori` command as a process of its own, for tests: what it prints, what it logs, how it ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export const ROOT = join(import.meta.dirname, '..');
const COMMAND = join(ROOT, 'cli/kagimori.js');

export interface LogLine {
  readonly event: string;
  readonly level: string;
  readonly [field: string]: unknown;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RealProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves with the first whole line on stdout; rejects when there is none. */
  readonly firstLine: Promise<string>;
  /** What it logged so far, with `--log json`. */
  readonly log: readonly LogLine[];
  /** What it wrote on stderr so far, every byte of it. */
  written(): string;
  /** The first line that fits, also one that is there already. @param withinMs  20,000 when absent */
  logged(what: string, fits: (line: LogLine) => boolean, withinMs?: number): Promise<LogLine>;
}

const LIVING = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of LIVING) child.kill('SIGKILL');
});

const LOGGED_MS = 20_000;

/**
 * @param environment  on top of this process's own
 * @param through      program and arguments that stand before the command
 */
export function startCommand(
  args: readonly string[],
  cwd: string = ROOT,
  environment: NodeJS.ProcessEnv = {},
  through: readonly [string, ...string[]] = [process.execPath],
): RealProcess {
  const env = { ...process.env, ...environment };
  const [program, ...before] = through;
  const child = spawn(program, [...before, COMMAND, ...args], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  LIVING.add(child);
  const log: LogLine[] = [];
  const watchers = new Set<() => void>();
  const output = { stdout: '', stderr: '' };
  const first = Promise.withResolvers<string>();
  first.promise.catch(() => {}); // nobody need wait for it
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
    const end = output.stdout.indexOf('\n');
    if (end >= 0) first.resolve(output.stdout.slice(0, end));
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  createInterface({ input: child.stderr }).on('line', (line) => {
    if (!line.startsWith('{')) return;
    log.push(JSON.parse(line) as LogLine);
    for (const watch of [...watchers]) watch();
  });
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code, signal) => {
      LIVING.delete(child);
      first.reject(new Error(`${args.join(' ')}: ended with ${code ?? signal}: ${output.stderr}`));
      resolve({ code, signal, ...output });
    });
  });
  return {
    child,
    ended,
    firstLine: first.promise,
    log,
    written: () => output.stderr,
    logged: (what, fits, withinMs = LOGGED_MS) =>
      new Promise((resolve, reject) => {
        const end = (): void => {
          clearTimeout(late);
          watchers.delete(look);
        };
        const look = (): void => {
          const found = log.find(fits);
          if (found === undefined) return;
          end();
          resolve(found);
        };
        const late = setTimeout(() => {
          end();
          reject(new Error(`${args.join(' ')}: not logged in ${withinMs / 1000} s: ${what}\n${output.stderr}`));
        }, withinMs);
        watchers.add(look);
        look();
      }),
  };
}

const COMMAND_MS = 45_000;

/** Runs a command to its end; one that does not end is killed, and shows it in its signal. */
export async function runCommand(args: readonly string[], cwd?: string): Promise<Ended> {
  const { child, ended } = startCommand(args, cwd);
  const late = setTimeout(() => child.kill('SIGKILL'), COMMAND_MS);
  return ended.finally(() => clearTimeout(late));
}

export async function kill(running: RealProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<Ended> {
  running.child.kill(signal);
  return running.ended;
}
