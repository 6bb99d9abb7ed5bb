/**
 * `kagimori demo`: broker, verifier, manager and three devices, each a process of its own with its own certificate; five
 * scenes from login to close, told as they happen.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../platform/clock.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { writeAtomically } from '../../platform/files.ts';
import { LockHeld, lockProcess, type ProcessLock } from '../../platform/process-lock.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';
import { Failure } from '../failure.ts';
import { addressEverybody, furnish, type Household, RESIDENTS } from './household.ts';
import { type Narrator, narrator } from './narration.ts';
import { channelsOf, type Report, type SessionReport } from './report.ts';
import { type Ear, listenTo, play, SCENES } from './scenes.ts';
import { type LogLine, type Stack, startStack } from './stack.ts';

export interface DemoOptions {
  readonly once: boolean;
  readonly json: boolean;
  /** 0: any free one. */
  readonly port: number;
  readonly state?: string;
}

const LOG_SETTLES_MS = 60;
const MARK = 'kagimori-demo';
/** A Unix socket's path may not be longer; the longest name below the directory is `/fridge/agent.sock`. */
const MAX_DIRECTORY_LENGTH = 75;

/** @throws Failure and what the parts throw */
export async function runDemo(options: DemoOptions): Promise<void> {
  const told = narrator(options.json ? () => {} : (line) => void process.stdout.write(`${line}\n`));
  const { directory, leave } = prepareGround(options);
  const interrupted = firstSignal();
  const stack = startStack(directory);
  try {
    const played = playAll(directory, options, stack, told);
    const report = await Promise.race([played, stack.accident, interrupted]);
    if (report === 'interrupted') throw new Failure('refused', 'interrupted', 'interrupted before it was over');
    if (!report.ok) throw new Failure('refused', 'demo-failed', 'a message was not delivered');
    if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`);
    if (options.once) return;
    sayNext(told, directory);
    await Promise.race([interrupted, stack.accident]);
    told.say('\nending …');
  } finally {
    await stack.close();
    leave();
  }
}

async function playAll(directory: string, options: DemoOptions, stack: Stack, told: Narrator): Promise<Report> {
  told.say('Kagimori 鍵守: one login to the manager, then any number of peers without public-key work.');
  told.heading('The household');
  const household = await moveIn(directory, options, stack, told);
  const ear = await logEverybodyIn(household, stack, told);
  const sessions: SessionReport[] = [];
  for (const [number, scene] of SCENES.entries()) {
    told.heading(`${number + 1}. ${scene.title}`);
    const from = stack.log.length;
    const began = performance.now();
    const session = await play(scene, stack, ear);
    const opened = openedAfter(stack.log.slice(from), scene.caller) ?? performance.now() - began;
    await sleep(LOG_SETTLES_MS);
    told.traffic(stack.log.slice(from));
    told.session(session, opened);
    await tellWhy(session, scene.by, stack, told);
    sessions.push(session);
  }
  const channels = [];
  for (const { id } of RESIDENTS) channels.push(...channelsOf(id, await stack.ask(id, 'status', {})));
  const ok = sessions.every((session) => session.outcome === 'refused' || session.delivered);
  const devices = RESIDENTS.map((resident) => ({ id: resident.id, class: resident.class }));
  summarise(told, channels.length, sessions);
  return { ok, node: process.version, devices, channels, sessions };
}

/** Why this suite, or none, in the words of `rules explain`. */
async function tellWhy({ caller, outcome, reason }: SessionReport, callee: string, stack: Stack, told: Narrator) {
  if (outcome === 'refused' && reason !== 'no-common-suite') return;
  const explained = (await stack.ask('manager', 'rules.explain', { caller, callee })) as {
    match: { because: readonly string[] } | null;
  };
  const [why] = explained.match?.because ?? [];
  if (why !== undefined) told.note(`why: ${why}`);
}

async function moveIn(directory: string, { port }: DemoOptions, stack: Stack, told: Narrator): Promise<Household> {
  const crypto = nodeCrypto();
  const household = furnish(directory, port, { crypto, now: systemClock().wall() });
  told.note(
    `a certificate authority and ${RESIDENTS.length + 2} certificates (P-256, one intermediate) in ${shown(directory)}`,
  );
  const ready = (await stack.start('broker', 'broker', household.configOf('broker'))) as { listen: string[] };
  const url = ready.listen[0]!;
  addressEverybody(household, url);
  told.note(`broker    ${url}, sees sealed records and topics only`);
  await stack.start('verifier', 'verifier', household.configOf('verifier'));
  told.note('verifier  checks certificates against the CA and its revocation list, signs its verdicts');
  await stack.start('manager', 'manager', household.configOf('manager'));
  told.note('manager   keeps registrations, finds suites, asks for approval, makes keys');
  return household;
}

async function logEverybodyIn(household: Household, stack: Stack, told: Narrator): Promise<Ear> {
  for (const { id, class: kind } of RESIDENTS) {
    told.heading(`${id} (${kind}) logs in and registers`);
    const from = stack.log.length;
    await stack.start(id, 'agent', household.configOf(id));
    await untilRegistered(id, stack);
    await sleep(LOG_SETTLES_MS);
    told.traffic(stack.log.slice(from));
    const [opening] = channelsOf(id, await stack.ask(id, 'status', {}));
    if (opening !== undefined)
      told.note(
        `${opening.publicKeyOps} public-key operations on the device, ${opening.bytes} B; never again for any peer`,
      );
  }
  return listenTo(
    stack,
    RESIDENTS.map(({ id }) => id),
  );
}

const LOGIN_TRIES = 200;
const LOGIN_POLL_MS = 50;

async function untilRegistered(id: string, stack: Stack): Promise<void> {
  for (let attempt = 0; attempt < LOGIN_TRIES; attempt++) {
    const status = (await stack.ask(id, 'status', {})) as {
      registration: { version: number | null };
      denied: string | null;
    };
    if (status.registration.version !== null) return;
    if (status.denied !== null) throw new Failure('refused', 'login-denied', `${id} was not let in: ${status.denied}`);
    await sleep(LOGIN_POLL_MS);
  }
  throw new Failure('timeout', 'not-registered', `${id} is not registered after 10 s`);
}

/** From the caller's Connect to its open session, by the clocks of the logs. */
function openedAfter(lines: readonly LogLine[], caller: string): number | null {
  const asked = lines.find(
    ({ process, event, kinds }) =>
      process === 'manager' && event === 'message.received' && String(kinds).includes('Connect'),
  );
  const open = lines.find(({ process, event }) => process === caller && event === 'session.open');
  return asked === undefined || open === undefined ? null : open.time - asked.time;
}

function summarise(told: Narrator, channels: number, sessions: readonly SessionReport[]): void {
  const open = sessions.filter(({ outcome }) => outcome === 'open').length;
  const operations = sessions.reduce((sum, { publicKeyOps }) => sum + publicKeyOps.caller + publicKeyOps.callee, 0);
  told.heading('Altogether');
  told.say(
    `   ${channels} channels opened, ${open} sessions open and closed, ${sessions.length - open} refused; public-key operations for sessions: ${operations}`,
  );
}

function sayNext(told: Narrator, directory: string): void {
  const at = (id: string): string => shown(join(directory, id));
  told.heading('Everything stays up. In another terminal:');
  told.say(`   npx kagimori agent listen --state ${at('phone')}`);
  told.say(`   npx kagimori agent connect phone --state ${at('router')}`);
  told.say(`   npx kagimori agent send phone "hello" --state ${at('router')}`);
  told.say(`   npx kagimori session list --data ${at('manager')}`);
  told.say(`   npx kagimori rules explain router phone --data ${at('manager')}`);
  told.say(`   npx kagimori device show fridge --data ${at('manager')}`);
  told.say('\nCtrl-C ends it.');
}

const shown = (path: string): string => {
  const short = relative(process.cwd(), path);
  return short.startsWith('..') ? path : short;
};

/** Where a demonstration keeps its files. */
interface Ground {
  readonly directory: string;
  leave(): void;
}

/** @throws Failure for a directory that holds something else */
function prepareGround({ once, state }: DemoOptions): Ground {
  if (once && state === undefined) {
    const directory = mkdtempSync(join(tmpdir(), 'kagimori-demo-'));
    return { directory, leave: () => rmSync(directory, { recursive: true, force: true }) };
  }
  const near = resolve(state ?? join('.kagimori', 'demo'));
  const tooLong = encodeUtf8(near).length > MAX_DIRECTORY_LENGTH;
  if (tooLong && state !== undefined) {
    throw new Failure(
      'usage',
      'path-too-long',
      `${state}: at most ${MAX_DIRECTORY_LENGTH} bytes, because of the control sockets in it: choose a shorter one`,
    );
  }
  return lockedAndEmpty(tooLong ? join(tmpdir(), `kagimori-demo-${process.getuid?.() ?? 0}`) : near);
}

/** What an earlier demonstration left is removed; anything else is left alone. */
function lockedAndEmpty(path: string): Ground {
  mkdirSync(dirname(path), { recursive: true });
  const lock = lockFor(path);
  const foreign = existsSync(path) && readdirSync(path).length > 0 && !existsSync(join(path, MARK));
  if (foreign) {
    lock.release();
    throw new Failure('usage', 'not-empty', `${path} holds something else: choose another --state, or empty it`);
  }
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { mode: 0o700 });
  writeAtomically(
    join(path, MARK),
    encodeUtf8('made by `kagimori demo`; it removes this folder at its next start\n'),
    0o600,
  );
  return { directory: path, leave: () => lock.release() };
}

function lockFor(path: string): ProcessLock {
  try {
    return lockProcess(`${path}.lock`);
  } catch (error) {
    if (!(error instanceof LockHeld)) throw error;
    throw new Failure(
      'refused',
      'already-running',
      `a demonstration runs in ${path} (process ${error.pid}): end it first, or choose another --state`,
    );
  }
}

function firstSignal(): Promise<'interrupted'> {
  return new Promise((resolve) => {
    let seen = false;
    const take = (): void => {
      if (seen) process.exit(1);
      seen = true;
      resolve('interrupted');
    };
    process.on('SIGINT', take);
    process.on('SIGTERM', take);
  });
}
