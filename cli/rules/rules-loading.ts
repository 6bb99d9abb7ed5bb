/**
 * Reads and checks a rules file in a thread of its own, for a process that must go on meanwhile: a legal file of 256 KiB can
 * ask for minutes of work in its tests. What comes back is plain data; the rules are made of it here.
 */
import { Worker } from 'node:worker_threads';
import type { Rules } from '../../manager/rules.ts';
import type { Listing } from '../../manager/state.ts';
import { EXIT_CODES, type Exit } from '../exit-codes.ts';
import { Failure, type Shown } from '../failure.ts';
import type { WrittenRules } from './rules-file.ts';
import { rulesOf } from './rules-file.ts';

/** What the thread is given. */
export interface LoadingTask {
  readonly path: string;
  /** What the operator says of the devices; null: unknown here. */
  readonly listings: readonly Listing[] | null;
  /** The first so many are answered. */
  readonly maxWarnings: number;
}

/** What it answers. */
export type LoadingAnswer =
  | {
      readonly written: Pick<WrittenRules, 'rules' | 'default'>;
      readonly digest: string;
      readonly tests: number;
      /** The first of them, and how many there are beside. */
      readonly warnings: readonly string[];
      readonly moreWarnings: number;
    }
  | { readonly failure: Pick<Shown, 'exitCode' | 'code' | 'lines'> };

export interface CheckedRules {
  readonly rules: Rules;
  /** All of them passed. */
  readonly tests: number;
  readonly warnings: readonly string[];
  readonly moreWarnings: number;
}

export interface LoadingOptions {
  readonly limitMs?: number;
  /** Ends it. */
  readonly signal?: AbortSignal;
}

/** A usual file takes a fraction of a second, on a small board too. */
const LIMIT_MS = 10_000;
const LIMIT_MB = 256;

/** @throws Failure when the file cannot be used, its own tests fail, or checking it takes too long or too much memory */
export async function loadRules(task: LoadingTask, options: LoadingOptions = {}): Promise<CheckedRules> {
  const answer = await askThread(task, options);
  if ('failure' in answer) {
    const { exitCode, code, lines } = answer.failure;
    throw new Failure(exitOf(exitCode), code, lines);
  }
  const { written, digest, ...rest } = answer;
  return { rules: rulesOf(written, digest), ...rest };
}

function askThread(task: LoadingTask, { limitMs = LIMIT_MS, signal }: LoadingOptions): Promise<LoadingAnswer> {
  const thread = new Worker(new URL('./rules-thread.ts', import.meta.url), {
    workerData: task,
    // nothing of the process's own settings: no debugger, no loader of a test
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: LIMIT_MB },
  });
  return new Promise<LoadingAnswer>((resolve, reject) => {
    const tooLong = (): void => {
      const limit = `checking it takes more than ${limitMs / 1000} s`;
      reject(new Failure('usage', 'too-costly', `${task.path}: ${limit}: ${REMEDY}`));
    };
    const late = setTimeout(tooLong, limitMs);
    const leave = (): void => reject(new Failure('refused', 'ended', `${task.path}: not read to the end`));
    signal?.addEventListener('abort', leave, { once: true });
    thread.once('message', (answer: LoadingAnswer) => resolve(answer));
    thread.once('error', (error: Error & { readonly code?: string }) => {
      if (error.code !== 'ERR_WORKER_OUT_OF_MEMORY') return reject(error);
      const limit = `checking it takes more than ${LIMIT_MB} MB of memory`;
      reject(new Failure('usage', 'too-costly', `${task.path}: ${limit}: ${REMEDY}`));
    });
    thread.once('exit', () => {
      clearTimeout(late);
      signal?.removeEventListener('abort', leave);
      leave(); // unless it answered
    });
    if (signal?.aborted === true) leave();
  }).finally(() => thread.terminate());
}

const REMEDY = 'give it fewer tests, with fewer proposals each';

/** The same code stands once in the table. */
const exitOf = (code: number): Exit =>
  (Object.keys(EXIT_CODES) as Exit[]).find((exit) => EXIT_CODES[exit].code === code) ?? 'refused';
