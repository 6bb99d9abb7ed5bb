/**
 * Runs one test file in a process of its own and collects what became of every test in it.
 */
import { run } from 'node:test';

export interface TestResult {
  /** Names from the outermost suite to the test, joined by ` > `. */
  readonly name: string;
  /** Path from the project's root. */
  readonly file: string;
  readonly status: 'passed' | 'failed' | 'skipped';
  /** Whole milliseconds. */
  readonly ms: number;
  /** Why it failed or was skipped. */
  readonly detail?: string;
}

export interface FileResult {
  readonly file: string;
  readonly ms: number;
  readonly tests: readonly TestResult[];
  /** What the process wrote beside its results; shown only when something failed. */
  readonly output: string;
}

/** A process whose tests are all done is given this long to end by itself. */
const GRACE_MS = 30_000;
/** For the whole file: a test that blocks the event loop cannot be timed out from within. */
const fileLimitMs = () => (process.env.KAGIMORI_LONG ? 3_600_000 : 600_000);
const OUTPUT_LIMIT = 20_000;

interface Outcome {
  readonly name: string;
  readonly nesting: number;
  readonly skip?: string | boolean;
  readonly todo?: string | boolean;
  readonly details: {
    readonly duration_ms: number;
    readonly type?: string | undefined;
    readonly error?: Error & { readonly failureType?: string };
  };
}

/**
 * Runs the file; a process that does not end after its last test is killed and counts as a failure.
 * @param file       path from the project's root
 * @param timeoutMs  for each test that does not set its own
 */
export async function runFile(file: string, timeoutMs: number): Promise<FileResult> {
  const began = Date.now();
  const kill = new AbortController();
  const tests: TestResult[] = [];
  const names: string[] = [];
  const children: number[] = [];
  let output = '';
  let underWay = 0;
  let begun = false;
  let killed: string | null = null;
  let grace: NodeJS.Timeout | undefined;
  const end = (reason: string) => {
    killed = reason;
    kill.abort();
  };
  const watch = () => {
    clearTimeout(grace);
    if (!begun || underWay > 0) return;
    grace = setTimeout(() => {
      end(`the process did not end within ${GRACE_MS / 1000} s of its last test: something was left open`);
    }, GRACE_MS);
  };
  const limit = setTimeout(() => end(`the file took more than ${fileLimitMs() / 60_000} min`), fileLimitMs());
  const record = (name: string, status: TestResult['status'], ms: number, detail?: string) =>
    tests.push({ name, file, status, ms: Math.round(ms), ...(detail === undefined ? {} : { detail }) });
  const settle = (failed: boolean, outcome: Outcome) => {
    const { nesting, details } = outcome;
    const ownChildren = children[nesting] ?? 0;
    children[nesting] = 0;
    const name = [...names.slice(0, nesting), outcome.name].join(' > ');
    if (failed) {
      if (details.error?.failureType === 'subtestsFailed' && ownChildren > 0) return;
      record(name, 'failed', details.duration_ms, describeError(details.error));
    } else if (outcome.skip !== undefined || outcome.todo !== undefined) {
      record(name, 'skipped', details.duration_ms, String(outcome.skip ?? outcome.todo));
    } else if (details.type !== 'suite' && ownChildren === 0) {
      record(name, 'passed', details.duration_ms);
    }
  };

  const absolute = `${process.cwd()}/${file}`;
  const isProcess = (name: string) => name === absolute;
  for await (const { type, data } of run({
    files: [absolute],
    isolation: 'process',
    timeout: timeoutMs,
    signal: kill.signal,
  })) {
    switch (type) {
      case 'test:enqueue':
        if (isProcess(data.name)) break;
        begun = true;
        underWay++;
        break;
      case 'test:complete':
        if (!isProcess(data.name)) underWay--;
        break;
      case 'test:start':
        names[data.nesting] = data.name;
        children[data.nesting] = 0;
        if (data.nesting > 0) children[data.nesting - 1] = (children[data.nesting - 1] ?? 0) + 1;
        break;
      case 'test:pass':
        if (isProcess(data.name)) record('(file)', 'failed', 0, 'the file holds no test');
        else settle(false, data);
        break;
      case 'test:fail':
        if (!isProcess(data.name)) settle(true, data);
        else if (!tests.some((test) => test.status === 'failed')) {
          record('(file)', 'failed', Date.now() - began, killed ?? 'the process failed outside its tests');
        }
        break;
      case 'test:stdout':
      case 'test:stderr':
        if (output.length < OUTPUT_LIMIT) output += data.message;
        break;
    }
    watch();
  }
  clearTimeout(grace);
  clearTimeout(limit);
  if (tests.length === 0) record('(file)', 'failed', Date.now() - began, 'the process ended without a result');
  return { file, ms: Date.now() - began, tests, output };
}

function describeError(error: Error | undefined): string {
  if (error === undefined) return 'no reason given';
  const cause = error.cause instanceof Error ? error.cause : error;
  return cause.stack?.includes(cause.message) ? cause.stack : `${cause.message}\n${cause.stack ?? ''}`;
}
