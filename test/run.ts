/**
 * What `npm test` runs: type check, lint, every test file in a process of its own, then the traceability check.
 *
 *   node test/run.ts [--long] [--write-docs] [part of a file name …]
 *
 * With names, only the test files that contain one of them run, without the checks around. The last line is always
 * `N passed, N failed`, with `, N skipped` when there are some. `.test-results/results.json` holds every result.
 */
import { execFile } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type FileResult, runFile, type TestResult } from './run-file.ts';
import { checkTraceability } from './traceability-check.ts';

const TIMEOUT_MS = 120_000;
const MAX_SAID = 64 * 1024 * 1024;
const RESULTS = '.test-results/results.json';
/** These hold promises of seconds and milliseconds: they run one after the other, with nothing beside them. */
const ALONE: ReadonlySet<string> = new Set(
  ['broker-walls', 'exchange', 'kill-matrix', 'storm'].map((name) => `test/process/${name}.test.ts`),
);

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));
process.exitCode = await main();

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { long: { type: 'boolean', default: false }, 'write-docs': { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  if (values.long) process.env.KAGIMORI_LONG = '1';
  // hundreds of processes of the same program: each would strip the types of its files and compile them anew
  const compiled = mkdtempSync(join(tmpdir(), 'kagimori-compiled-'));
  process.on('exit', () => rmSync(compiled, { recursive: true, force: true }));
  process.env.NODE_COMPILE_CACHE = compiled;
  const whole = positionals.length === 0;
  const files = globSync('test/**/*.test.ts')
    .filter((file) => whole || positionals.some((part) => file.includes(part)))
    .sort();
  if (files.length === 0) {
    console.error(`no test file under test/ contains ${positionals.join(' or ')}`);
    return 2;
  }

  const results: TestResult[] = [];
  const failures: string[] = [];
  const add = (result: TestResult, output = '') => {
    results.push(result);
    if (result.status === 'failed') {
      failures.push(
        `✗ ${result.file}\n  ${result.name}\n${indent(result.detail ?? '')}${output && `\n${indent(output)}`}`,
      );
    }
  };
  const tools = whole
    ? [runTool('type check', 'tsc', ['-p', '.', '--noEmit']), runTool('lint', 'biome', ['ci', '--colors=off', '.'])]
    : [];
  const collect = (result: FileResult) => {
    printFile(result);
    // The output of the process belongs to the file, not to one test: it goes with the first failure.
    let output = result.output;
    for (const test of result.tests) {
      add(test, test.status === 'failed' ? output : '');
      if (test.status === 'failed') output = '';
    }
  };
  const together = files.filter((file) => !ALONE.has(file));
  const alone = files.filter((file) => ALONE.has(file));
  // most of them wait for processes most of their time
  await runAll(together, availableParallelism() + 1, collect);
  for (const tool of tools) add(await tool);
  await runAll(alone, 1, collect);
  results.sort((a, b) => files.indexOf(a.file) - files.indexOf(b.file));

  if (whole) add(traceabilityResult(results, values['write-docs']));
  mkdirSync(dirname(RESULTS), { recursive: true });
  const report = { node: process.version, long: values.long, filters: positionals, tests: results };
  writeFileSync(RESULTS, `${JSON.stringify(report, null, 2)}\n`);
  return summarize(results, failures);
}

async function runAll(files: readonly string[], width: number, collect: (result: FileResult) => void): Promise<void> {
  const waiting = [...files];
  const worker = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      collect(await runFile(file, TIMEOUT_MS));
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
}

async function runTool(name: string, tool: string, args: readonly string[]): Promise<TestResult> {
  const began = Date.now();
  const { ok, said } = await new Promise<{ ok: boolean; said: string }>((resolve) => {
    execFile(`node_modules/.bin/${tool}`, args, { maxBuffer: MAX_SAID }, (error, stdout, stderr) =>
      resolve({ ok: error === null, said: `${stdout}${stderr}`.trim() || (error?.message ?? '') }),
    );
  });
  const ms = Date.now() - began;
  const base = { name, file: `(${tool})`, ms };
  printLine(ok, name, 0, ms);
  return ok ? { ...base, status: 'passed' } : { ...base, status: 'failed', detail: said };
}

function traceabilityResult(results: readonly TestResult[], write: boolean): TestResult {
  const began = Date.now();
  const complaints = checkTraceability(results, write);
  const ms = Date.now() - began;
  const base = { name: 'every requirement due now has code and a passed test', file: 'test/traceability.ts', ms };
  printLine(complaints.length === 0, 'traceability', 0, ms);
  if (complaints.length === 0) return { ...base, status: 'passed' };
  return { ...base, status: 'failed', detail: complaints.join('\n') };
}

function printFile({ file, tests, ms }: FileResult): void {
  const skipped = tests.filter((test) => test.status === 'skipped').length;
  const ok = tests.every((test) => test.status !== 'failed');
  printLine(ok, file, tests.length, ms, skipped > 0 ? `, ${skipped} skipped` : '');
}

function printLine(ok: boolean, name: string, count: number, ms: number, note = ''): void {
  const tests = count > 0 ? `${String(count).padStart(4)} tests` : '          ';
  console.log(`${ok ? 'ok  ' : 'FAIL'}  ${name.padEnd(48)} ${tests} ${(ms / 1000).toFixed(1).padStart(6)} s${note}`);
}

function summarize(results: readonly TestResult[], failures: readonly string[]): number {
  const count = (status: TestResult['status']) => results.filter((result) => result.status === status).length;
  const skips = results.filter((result) => result.status === 'skipped');
  if (skips.length > 0) {
    console.log('\nskipped:');
    for (const skip of skips) console.log(`- ${skip.file}: ${skip.name} (${skip.detail})`);
  }
  if (failures.length > 0) console.log(`\n${failures.join('\n\n')}`);
  const failed = count('failed');
  console.log(`\n${count('passed')} passed, ${failed} failed${skips.length > 0 ? `, ${skips.length} skipped` : ''}`);
  return failed === 0 ? 0 : 1;
}

function indent(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n');
}
