/**
 * What every `run` does: configuration, log, start, ready, and an end in order on the first signal.
 */
import type { JsonValue } from '../platform/control-socket.ts';
import { forbidCoreDumps } from '../platform/core-dumps.ts';
import { createLog, type Log, type LogLevel } from '../platform/log.ts';
import { keepYoungHeapSmall } from '../platform/young-heap.ts';
import { type Kind, requireConfig } from './config-place.ts';
import { createOutput } from './output.ts';

export interface RunOptions {
  readonly config?: string;
  readonly log: 'text' | 'json';
  readonly logLevel: LogLevel;
  readonly json?: boolean;
}

export interface Running {
  /** What listens where; stands in the first line. */
  readonly ready: { readonly [key: string]: JsonValue };
  close(): Promise<void>;
}

const CLOSE_TIMEOUT_MS = 1_800;

/**
 * Runs until a signal comes; ends the process.
 * @param start  reads the configuration at that path and starts the service; null: the signal came while it waited
 */
export async function runDaemon(
  kind: Kind,
  options: RunOptions,
  start: (configPath: string, log: Log, signalled: Promise<NodeJS.Signals>) => Promise<Running | null>,
): Promise<void> {
  const log = createLog({ name: `kagimori-${kind}`, level: options.logLevel, json: options.log === 'json' });
  const signalled = firstSignal();
  keepYoungHeapSmall();
  const possible = forbidCoreDumps(); // before any key is read
  if (possible !== null) log.warn('core-dumps.possible', { reason: possible, remedy: 'start this under ulimit -c 0' });
  const running = await start(requireConfig(kind, options.config), log, signalled);
  if (running === null) {
    log.info(`${kind}.stopped`);
    process.exit(0);
  }
  const { ready, close } = running;
  log.info(`${kind}.ready`, ready);
  if (options.json === true) createOutput(true).item({ ready }, '');
  const signal = await signalled;
  log.info(`${kind}.stopping`, { signal });
  const inTime = await Promise.race([close().then(() => true), after(CLOSE_TIMEOUT_MS)]);
  if (inTime) log.info(`${kind}.stopped`);
  else log.warn(`${kind}.stopped`, { unfinished: true });
  process.exit(0);
}

/** Resolves with the first signal; the second ends the process at once. */
function firstSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let seen = false;
    const receive = (signal: NodeJS.Signals): void => {
      if (seen) process.exit(1);
      seen = true;
      resolve(signal);
    };
    process.on('SIGINT', receive);
    process.on('SIGTERM', receive);
  });
}

function after(milliseconds: number): Promise<false> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(false), milliseconds);
  });
}
