/**
 * The program that is asked about a caller: its answer counts when it is one, and whatever else it does is no answer. [P14]
 */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { hookAsker } from '../../cli/daemons/approval-hook.ts';
import type { ApprovalPolicy } from '../../device-agent/approval.ts';
import type { AskAnswer, AskQuestion } from '../../device-agent/askers.ts';
import type { Log } from '../../platform/log.ts';

const folder = mkdtempSync(join(tmpdir(), 'km-hook-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const QUESTION: AskQuestion = {
  sid: '0011223344556677',
  from: 'doorbell',
  class: 'camera',
  groups: ['home'],
  user: null,
  purpose: 'video',
  name: 'tv',
  suite: 'aes-gcm-128',
  lifetimeSeconds: 60,
  secondsLeft: 30,
};

let scripts = 0;
function program(body: string, mode = 0o755): string {
  const path = join(folder, `hook-${scripts++}`);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, mode);
  return path;
}

interface Seen {
  readonly answers: AskAnswer[];
  readonly faults: string[];
}

function desk(command: string, timeoutSeconds = 5, atOnce = 2) {
  const seen: Seen = { answers: [], faults: [] };
  const log: Log = {
    debug: () => {},
    info: () => {},
    error: () => {},
    warn: (_event, fields) => void seen.faults.push(String(fields?.fault)),
  };
  const hook = { command, args: ['one'], timeoutSeconds, atOnce };
  const policy: ApprovalPolicy = { rules: [], otherwise: 'ask', askTimeoutSeconds: 30, busy: false, hook };
  return { seen, asker: hookAsker(() => policy, log) };
}

const until = async (what: string, holds: () => boolean): Promise<void> => {
  const end = Date.now() + 8000;
  while (!holds()) {
    assert.ok(Date.now() < end, `${what} did not come`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};

async function outcome(command: string, timeoutSeconds?: number): Promise<string> {
  const { seen, asker } = desk(command, timeoutSeconds);
  asker.ask(QUESTION, (answer) => void seen.answers.push(answer));
  await until('an outcome', () => seen.answers.length + seen.faults.length > 0);
  return [...seen.answers.map((one) => JSON.stringify(one)), ...seen.faults].join(' ');
}

test('[P14] it reads one JSON document, finds a clean environment and its arguments, and its answer counts', async () => {
  const into = join(folder, 'seen');
  const path = program(`cat > ${into}; env | sort > ${into}.env; echo "$1" > ${into}.args
echo '{"decision":"allow","rememberSeconds":60}'`);
  process.env.KAGIMORI_SECRET_OF_TEST = 'not for programs';
  assert.equal(await outcome(path), '{"decision":"allow","rememberSeconds":60}');
  delete process.env.KAGIMORI_SECRET_OF_TEST;
  assert.deepEqual(JSON.parse(readFileSync(into, 'utf8')), { version: 1, ...QUESTION });
  assert.doesNotMatch(readFileSync(`${into}.env`, 'utf8'), /SECRET|HOME|npm/);
  assert.equal(readFileSync(`${into}.args`, 'utf8'), 'one\n');
  assert.equal(await outcome(program(`echo '{"decision":"refuse"}'`)), '{"decision":"refuse"}');
});

test('[P14] whatever is no answer is none: exit code, garbage, too much, too late, not there, open to everybody', async () => {
  const rows: [path: string, fault: string][] = [
    [program(`echo '{"decision":"allow"}'; exit 3`), 'failed'],
    [program('echo yes'), 'malformed'],
    [program(`echo '{"decision":"allow","also":1}'`), 'malformed'],
    [program(`echo '{"decision":"allow"}'; echo '{"decision":"allow"}'`), 'malformed'],
    [program(':'), 'malformed'],
    [program('head -c 100000 /dev/zero'), 'too-much'],
    [program('kill -9 $$'), 'failed'],
    [join(folder, 'nowhere'), 'not-safe'],
    [program(`echo '{"decision":"allow"}'`, 0o757), 'not-safe'],
    [program(`echo '{"decision":"allow"}'`, 0o644), 'not-safe'],
    [folder, 'not-safe'],
  ];
  for (const [path, fault] of rows) assert.equal(await outcome(path), fault, readable(path));
  assert.equal(await outcome(program('sleep 60'), 0.2), 'timeout');
});
const readable = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return path;
  }
};

test('[P14] it and what it has started are killed when its time is over, or somebody else has answered', async () => {
  for (const how of ['late', 'stopped'] as const) {
    const mark = join(folder, `mark-${how}`);
    const path = program(`(echo $$ > ${mark}; sleep 60) & echo $$ > ${mark}.top; wait`);
    const { seen, asker } = desk(path, how === 'late' ? 0.5 : 60);
    const stop = asker.ask(QUESTION, (answer) => void seen.answers.push(answer));
    await until('its start', () => existsSync(mark) && existsSync(`${mark}.top`));
    const pid = Number(readFileSync(`${mark}.top`, 'utf8'));
    if (how === 'stopped') stop();
    await until('its end', () => !isAlive(pid) && !groupIsAlive(pid));
    assert.deepEqual(seen.answers, []);
  }
});
const signal = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};
const isAlive = (pid: number): boolean => signal(pid);
const groupIsAlive = (pid: number): boolean => signal(-pid);

test('[P14] no more than so many run at once; those that wait have their turn', async () => {
  const count = join(folder, 'count');
  const path = program(`echo + >> ${count}; sleep 0.3; echo '{"decision":"ask"}'; echo - >> ${count}`);
  const { asker } = desk(path, 5, 2);
  for (let i = 0; i < 5; i++) asker.ask(QUESTION, () => assert.fail('`ask` is no answer'));
  await until('all of them', () => existsSync(count) && readFileSync(count, 'utf8').split('-').length === 6);
  let [running, most] = [0, 0];
  for (const mark of readFileSync(count, 'utf8').trim().split('\n')) {
    running += mark === '+' ? 1 : -1;
    most = Math.max(most, running);
  }
  assert.equal(most, 2);
});
