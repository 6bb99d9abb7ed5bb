/**
 * The rules of a running manager follow their file: a good one is in force within two seconds, a wrong one is refused whole
 * and the rules before it stay, and no session notices.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { renameSync, rmSync } from 'node:fs';
import { after, before, test } from 'node:test';
import type { JsonValue } from '../../platform/control-socket.ts';
import { buildHouse, type Ear, type House } from '../real-house.ts';
import { type Ended, type LogLine, type RealProcess, runCommand } from '../real-process.ts';

const BOTH = `proposals:
  - { cipher: aes-gcm, keyBits: { min: 128 }, hash: sha-256 }
  - { cipher: chacha20-poly1305, keyBits: 256, hash: sha-256 }
`;
/** What the rules are asked for in these tests: the one cipher they allow. */
const only = (cipher: string): string => `default: { require: { ciphers: [${cipher}] } }
tests:
  - name: it decides
    caller: { id: a, proposals: [{ cipher: ${cipher}, keyBits: 256, hash: sha-256 }] }
    callee: { id: b, proposals: [{ cipher: ${cipher}, keyBits: 256, hash: sha-256 }] }
    expect: { cipher: ${cipher} }
`;
const AES = only('aes-gcm');
const CHACHA = only('chacha20-poly1305');
/** Well formed, and its own test fails. */
const UNTRUE = CHACHA.replace('expect: { cipher: chacha20-poly1305 }', 'expect: { cipher: aes-gcm }');
/** From the last byte of the change to the log line. */
const TAKEN_UP_MS = 2_000;
/** Shorter than a file has to rest before it is read. */
const RESTED_MS = 200;

let house: House;
let manager: RealProcess;
let lamp: Ear;
/** A manager that is given a wrong file. */
let unruly: Promise<Ended>;
const ends: (() => Promise<void>)[] = [];

before(async () => {
  house = await buildHouse(
    {
      occupants: [
        { id: 'lamp', yaml: BOTH },
        { id: 'switch', yaml: BOTH },
      ],
      files: { 'rules.yaml': AES },
      managerYaml: 'rulesFile: rules.yaml\n',
    },
    (end) => ends.push(end),
  );
  manager = house.running('manager');
  house.write('wrong.yaml', 'rules:\n  - name: night\n    when: { time: { from: "25:00" } }\n');
  const other = house.read('manager.yaml').replace('rules.yaml', 'wrong.yaml');
  house.write('other.yaml', other.replace('dataDirectory: manager', 'dataDirectory: other'));
  unruly = runCommand(['manager', 'run', '--config', house.at('other.yaml')]);
  await Promise.all([house.admit('lamp'), house.admit('switch')]);
  lamp = await house.hear('lamp');
});
after(async () => {
  for (const end of ends) await end();
});

const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex');

interface RulesStatus {
  readonly file: string;
  readonly digest: string;
  readonly loadedAt: string;
  readonly count: number;
  readonly refused: { readonly problems: readonly string[] } | null;
}

async function rulesStatus(): Promise<RulesStatus> {
  const { rules } = (await house.ask('manager', 'status')) as { rules: JsonValue };
  return rules as unknown as RulesStatus;
}

/** The next such line after the change, and no later than promised. */
async function after2s(change: () => void, what: string, fits: (line: LogLine) => boolean): Promise<LogLine> {
  const before = manager.log.length;
  change();
  const began = performance.now();
  const line = await manager.logged(what, (one) => manager.log.indexOf(one) >= before && fits(one));
  const tookMs = performance.now() - began;
  assert.ok(tookMs < TAKEN_UP_MS, `${what}: ${tookMs} ms`);
  return line;
}

const inForce = (text: string) => (line: LogLine) => line.event === 'rules.in-force' && line.digest === digestOf(text);
const refused = (line: LogLine): boolean => line.event === 'rules.refused';

async function connect(): Promise<{ sid: string; cipher: string }> {
  const { sid } = (await house.ask('switch', 'connect', { callee: 'lamp' })) as { sid: string };
  await lamp.until('the session', (news) => news.event === 'session.open' && news.sid === sid);
  const { suite } = (await house.ask('manager', 'session.show', { sid })) as { suite: string };
  return { sid, cipher: suite.split(' ')[0]! };
}

async function carries(sid: string, text: string): Promise<void> {
  await house.ask('switch', 'send', { to: sid, text });
  await lamp.until(text, (news) => news.event === 'message' && news.sid === sid && news.text === text);
}

test('[P20] rules follow their file, replaced or written: good, wrong, good again; a wrong file changes nothing and sessions live on', async () => {
  const first = await connect();
  assert.match(first.cipher, /^aes-gcm/);
  const began = await rulesStatus();
  assert.equal(began.digest, digestOf(AES));
  assert.equal(began.refused, null);
  await manager.logged('the first rules', inForce(AES));

  const replace = (): void => {
    house.write('rules.new', CHACHA);
    renameSync(house.at('rules.new'), house.at('rules.yaml'));
  };
  await after2s(replace, 'the new rules, by a rename', inForce(CHACHA));
  const second = await connect();
  assert.match(second.cipher, /^chacha20-poly1305/);
  await carries(first.sid, 'on the suite of the rules before');

  const wrong = await after2s(() => house.write('rules.yaml', 'defualt: {}\n'), 'the refusal', refused);
  assert.match(String(wrong.problems), /rules\.yaml:1:1: defualt: unknown key \(did you mean default\?\)/);
  assert.equal(wrong.inForce, digestOf(CHACHA));
  const kept = await rulesStatus();
  assert.equal(kept.digest, digestOf(CHACHA));
  assert.match(kept.refused?.problems[0] ?? '', /did you mean default/);
  assert.match((await connect()).cipher, /^chacha20-poly1305/, 'the rules before the wrong file stay');

  await after2s(() => house.write('rules.yaml', AES), 'good again', inForce(AES));
  assert.equal((await rulesStatus()).refused, null);
  assert.match((await connect()).cipher, /^aes-gcm/);
  await carries(first.sid, 'still there');
  await carries(second.sid, 'still there too');
});

test('[P20] a file that is deleted is told, and its rules stay', async () => {
  const gone = await after2s(() => rmSync(house.at('rules.yaml')), 'the deletion', refused);
  assert.match(String(gone.problems), /no such file/);
  assert.equal((await rulesStatus()).digest, digestOf(AES));
});

test('[P20] a file that is written anew, piece by piece, is not read before it rests', async () => {
  const before = manager.log.length;
  const halves = [CHACHA.slice(0, 90), CHACHA.slice(0, 140), CHACHA];
  let longestGapMs = 0;
  let wroteAt = performance.now();
  for (const half of halves) {
    house.write('rules.yaml', half);
    longestGapMs = Math.max(longestGapMs, performance.now() - wroteAt);
    wroteAt = performance.now();
    if (half !== CHACHA) await new Promise((resolve) => setTimeout(resolve, 60));
  }
  await manager.logged('the whole file', (line) => manager.log.indexOf(line) >= before && inForce(CHACHA)(line));
  const between = manager.log.slice(before).filter(refused);
  // a machine that is held up writes so slowly that a half may rest
  if (longestGapMs < RESTED_MS) assert.deepEqual(between, [], 'no half of it was looked at');
  // a half that does rest is seen: the list above could have held one
  await after2s(() => house.write('rules.yaml', halves[1]!), 'a half that rests', refused);
});

test('[P20] `rules reload` and SIGHUP read at once; the command says what is wrong and ends with 2', async () => {
  house.write('rules.yaml', AES);
  const asked = await runCommand(['rules', 'reload', '--data', house.at('manager'), '--json']);
  assert.equal(asked.code, 0, asked.stderr);
  assert.equal(JSON.parse(asked.stdout).digest, digestOf(AES));
  assert.equal(JSON.parse(asked.stdout).count, 0);

  house.write('rules.yaml', UNTRUE);
  const wrong = await runCommand(['rules', 'reload', '--data', house.at('manager')]);
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /^kagimori: .*rules\.yaml:\d+:\d+: test it decides: expected cipher aes-gcm; it came to/m);
  assert.match(wrong.stderr, /the rules that were in force stay/);

  house.write('rules.yaml', CHACHA);
  await after2s(
    () => manager.child.kill('SIGHUP'),
    'the signal',
    (line) => inForce(CHACHA)(line) && line.cause === 'signal',
  );
});

test('[P20] a manager does not start with a wrong rules file: it names line and key and ends with 2', async () => {
  const ended = await unruly;
  assert.equal(ended.code, 2);
  assert.match(
    ended.stderr,
    /wrong\.yaml:3:27: rules\.0\.when\.time\.from: not of the right form, allowed: a time of day/,
  );
});
