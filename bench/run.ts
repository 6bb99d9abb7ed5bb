/**
 * Runs benchmarks: `npm run bench`, `npm run bench -- session`, `-- --quick` (at most 3 minutes), `-- --json`.
 * A quick run shows where things stand and judges no aim. Results are kept as data in bench/results/<name>.json, quick ones
 * in <name>.quick.json.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { environment } from './environment.ts';
import type { Report } from './figures.ts';
import { withoutAims } from './figures.ts';
import { benchHalves } from './halves.ts';
import { benchIdentity } from './identity.ts';
import { benchLogin } from './login.ts';
import { benchMemory } from './memory.ts';
import { type Progress, progress } from './progress.ts';
import { benchRecord } from './record.ts';
import { reportTable } from './report-table.ts';
import { benchRevocation } from './revocation.ts';
import { benchSession } from './session.ts';
import { benchStorm } from './storm.ts';
import { benchSuites } from './suites.ts';
import { benchVerifier } from './verifier.ts';

export type Benchmark = (quick: boolean, progress: Progress) => Promise<Report>;

const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  session: benchSession,
  login: benchLogin,
  record: benchRecord,
  halves: benchHalves,
  suites: benchSuites,
  storm: benchStorm,
  revocation: benchRevocation,
  identity: benchIdentity,
  memory: benchMemory,
  verifier: benchVerifier,
};
const RESULTS = join(import.meta.dirname, 'results');

const USAGE = `Usage: npm run bench -- [name...] [--quick] [--json]

Benchmarks: ${Object.keys(BENCHMARKS).join(', ')}; all of them, one after the other, when none is named.
Results replace those in bench/results/.

  --quick  less of each, at most 3 minutes; judges no aim; kept apart, as <name>.quick.json
  --json   one JSON object instead of tables
`;

const { values, positionals } = wished();
if (values.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const unknown = positionals.find((name) => !Object.hasOwn(BENCHMARKS, name));
if (unknown !== undefined) refuse(`no benchmark ${unknown}: there are ${Object.keys(BENCHMARKS).join(', ')}`);

const all: Record<string, unknown> = {};
for (const name of positionals.length > 0 ? positionals : Object.keys(BENCHMARKS)) {
  const where = environment();
  const shown = progress(name);
  const measured = await BENCHMARKS[name]!(values.quick, shown);
  const report = values.quick ? withoutAims(measured) : measured;
  shown.done();
  const result = { name, quick: values.quick, environment: where, ...report };
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(join(RESULTS, `${name}${values.quick ? '.quick' : ''}.json`), `${JSON.stringify(result, null, 2)}\n`);
  all[name] = result;
  if (!values.json) process.stdout.write(reportTable(name, where, report));
}
if (values.json) process.stdout.write(`${JSON.stringify(all)}\n`);

function wished() {
  const flag = { type: 'boolean', default: false } as const;
  try {
    return parseArgs({ allowPositionals: true, options: { quick: flag, json: flag, help: { ...flag, short: 'h' } } });
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}

function refuse(why: string): never {
  process.stderr.write(`${why}: add --help to see what can stand there\n`);
  process.exit(2);
}
