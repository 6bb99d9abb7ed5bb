/**
 * The processes of the demonstration: started, watched, talked to over their control sockets, ended.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { callControl, type JsonValue } from '../../platform/control-socket.ts';
import { Failure } from '../failure.ts';

/** One line of a process's log. */
export interface LogLine {
  readonly process: string;
  readonly level: string;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface Stack {
  /** Starts one process and waits until it is ready. @returns what it says of itself @throws Failure */
  start(name: string, kind: 'broker' | 'verifier' | 'manager' | 'agent', config: string): Promise<JsonValue>;
  /** @throws ControlError */
  ask(name: string, command: string, args: JsonValue, onEvent?: (event: JsonValue) => void): Promise<JsonValue>;
  /** Everything that was logged so far. */
  readonly log: readonly LogLine[];
  /** Rejects when a process ends by itself. */
  readonly accident: Promise<never>;
  close(): Promise<void>;
}

const READY_MS = 20_000;
const KILL_AFTER_MS = 3_000;
const CALL_MS = 90_000;

/** @param directory  where the control sockets lie, each in the folder of its process */
export function startStack(directory: string): Stack {
  const children = new Map<string, ChildProcess>();
  const log: LogLine[] = [];
  let closing = false;
  let crash: (failure: Failure) => void = () => {};
  const accident = new Promise<never>((_, reject) => {
    crash = reject;
  });
  accident.catch(() => {}); // also when nobody waits for it at that moment

  const start = (name: string, kind: string, config: string): Promise<JsonValue> =>
    new Promise((resolve, reject) => {
      const main = join(import.meta.dirname, '../main.ts');
      const args = [main, kind, 'run', '--config', config, '--json', '--log', 'json', '--log-level', 'debug'];
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
      children.set(name, child);
      const said: string[] = [];
      const slow = setTimeout(
        () => reject(new Failure('timeout', 'not-ready', `${name} is not ready after 20 s`)),
        READY_MS,
      );
      createInterface({ input: child.stdout }).on('line', (line) => {
        const { ready } = JSON.parse(line) as { ready?: JsonValue };
        if (ready === undefined) return; // its failure, which stands on stderr too
        clearTimeout(slow);
        resolve(ready);
      });
      createInterface({ input: child.stderr }).on('line', (line) => {
        const entry = parseLine(name, line);
        if (entry !== null) log.push(entry);
        else said.push(line);
      });
      child.on('close', (code, signal) => {
        clearTimeout(slow);
        children.delete(name);
        if (closing) return;
        const why = said.at(-1) ?? (signal === null ? `exit code ${code}` : `signal ${signal}`);
        const failure = new Failure('refused', 'process-ended', `${name} ended: ${why.replace(/^kagimori: /, '')}`);
        reject(failure);
        crash(failure);
      });
    });

  return {
    log,
    accident,
    start,
    ask: (name, command, args, onEvent) => {
      const socket = join(directory, name, name === 'manager' ? 'manager.sock' : 'agent.sock');
      return callControl(socket, command, args, { timeoutMs: CALL_MS, ...(onEvent === undefined ? {} : { onEvent }) });
    },
    async close() {
      closing = true;
      // devices first, the broker last: nobody has to complain that somebody is gone
      const order = [...children].reverse();
      for (const [, child] of order) await ended(child);
    },
  };
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    const hard = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
    child.on('close', () => {
      clearTimeout(hard);
      resolve();
    });
    child.kill('SIGTERM');
  });
}

function parseLine(process: string, line: string): LogLine | null {
  if (!line.startsWith('{')) return null;
  try {
    const { time, level, event, ...fields } = JSON.parse(line) as Record<string, unknown>;
    return { ...fields, process, level: String(level), event: String(event), time: Date.parse(String(time)) };
  } catch {
    return null;
  }
}
