/**
 * Hostile clients against a real house: while each goes on, two honest devices with an open session keep talking, every
 * message arrives and soon, and neither broker nor manager grows. With `--long` for 30 s each. @spec design §4, §5.6
 */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { callControl } from '../../platform/control-socket.ts';
import { buildHouse, type House } from '../real-house.ts';
import type { LogLine } from '../real-process.ts';
import { MESSAGES_OF_A_LINK } from './hostile-link.ts';
import type { AttackName, Deeds, Orders, Word } from './wall-attacker.ts';

const LONG = process.env.KAGIMORI_LONG === '1';
const MESSAGES = 100;
const SHORT_SECONDS = 1;
const SECONDS = LONG ? 30 : SHORT_SECONDS;
const MIB = 1024 * 1024;
const GROWTH_BYTES = 50 * MIB;
const ATTACKER = join(import.meta.dirname, 'wall-attacker.ts');
const OCCUPANTS = ['lamp', 'switch', 'turned-1', 'turned-2', 'late'].map((id) => ({ id }));

interface Attacker {
  stop(): Promise<Deeds>;
}

/** @returns once the attack is under way */
async function attack(t: TestContext, orders: Orders): Promise<Attacker> {
  const child = fork(ATTACKER, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  t.after(() => child.kill('SIGKILL'));
  const told = Promise.withResolvers<Deeds>();
  const began = Promise.withResolvers<void>();
  told.promise.catch(() => {});
  child.on('message', (word: Word) => ('began' in word ? began.resolve() : told.resolve(word.deeds)));
  child.on('exit', (code) => {
    began.reject(new Error(`the attacker ended with ${code}`));
    told.reject(new Error(`the attacker ended with ${code}`));
  });
  child.send(orders);
  await began.promise;
  return {
    stop() {
      child.send('stop');
      return told.promise;
    },
  };
}

/** @spec proc_pid_status(5) */
function residentBytes(house: House, party: 'broker' | 'manager'): number {
  const status = readFileSync(`/proc/${house.running(party).child.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

const PARTIES = ['broker', 'manager'] as const;

interface Endured {
  /** Of the honest pair's messages: how many arrived, and milliseconds of each, ascending. */
  readonly arrived: number;
  readonly latencies: readonly number[];
  /** Bytes by which the resident memory was larger at its largest than before. */
  readonly growth: Readonly<Record<(typeof PARTIES)[number], number>>;
  readonly deeds: Deeds;
  /** What the broker logged of it. */
  readonly told: readonly LogLine[];
}

/** A session between two honest devices, and how long each of a hundred messages takes from one to the other. */
async function pairOf(house: House): Promise<(seconds: number) => Promise<number[]>> {
  await Promise.all([house.admit('lamp'), house.admit('switch')]);
  const arrivals = new Map<string, number>();
  callControl(
    house.at('lamp', 'agent.sock'),
    'listen',
    {},
    {
      onEvent: (news) => void arrivals.set(String((news as { text?: string }).text), performance.now()),
    },
  ).catch(() => {}); // it ends with the agent
  await house.ask('switch', 'connect', { callee: 'lamp' });
  let round = 0;
  return async (seconds) => {
    round++;
    const sent = new Map<string, number>();
    const began = performance.now();
    for (let i = 0; i < MESSAGES; i++) {
      const text = `${round}.${i}`;
      sent.set(text, performance.now());
      await house.ask('switch', 'send', { to: 'lamp', text });
      await pause(Math.max(0, began + ((i + 1) * seconds * 1000) / MESSAGES - performance.now()));
    }
    for (let i = 0; i < 50 && [...sent.keys()].some((text) => !arrivals.has(text)); i++) await pause(20);
    return [...sent].flatMap(([text, at]) => (arrivals.has(text) ? [arrivals.get(text)! - at] : []));
  };
}

async function endure(
  t: TestContext,
  { house, talk }: Stage,
  name: AttackName,
  { seconds = SECONDS, count = 0, meanwhile = async () => {} }: Partial<Rehearsal> = {},
): Promise<Endured> {
  const { listen } = JSON.parse(await house.running('broker').firstLine).ready as { listen: string[] };
  const broker = house.running('broker');
  const logged = broker.log.length;
  const before = { broker: residentBytes(house, 'broker'), manager: residentBytes(house, 'manager') };
  const growth = { broker: 0, manager: 0 };
  const look = (): void => {
    for (const party of PARTIES) growth[party] = Math.max(growth[party], residentBytes(house, party) - before[party]);
  };
  const looking = setInterval(look, 100);
  try {
    const turned = ['turned-1', 'turned-2'].map((id) => house.at(`${id}.yaml`));
    const orders = { attack: name, port: Number(new URL(listen[0]!).port), turned, victim: 'lamp', count };
    const attacker = await attack(t, orders);
    const [latencies] = await Promise.all([talk(seconds), meanwhile()]);
    look();
    const deeds = await attacker.stop();
    const told = broker.log.slice(logged).filter(({ event }) => /^link\.(?:refused|slowed)/.test(event));
    latencies.sort((a, b) => a - b);
    const endured = { arrived: latencies.length, latencies, growth, deeds, told };
    t.diagnostic(summaryOf(endured));
    return endured;
  } finally {
    clearInterval(looking);
  }
}

interface Rehearsal {
  readonly seconds: number;
  readonly count: number;
  readonly meanwhile: () => Promise<void>;
}

function summaryOf({ arrived, latencies, growth, deeds }: Endured): string {
  const ms = (part: number): string => (latencies[Math.ceil(latencies.length * part) - 1] ?? Number.NaN).toFixed(1);
  const mib = (bytes: number): string => (bytes / MIB).toFixed(1);
  const memory = PARTIES.map((party) => `${party} +${mib(growth[party])} MiB`).join(', ');
  return `${arrived} of ${MESSAGES}, median ${ms(0.5)} ms, slowest ${ms(1)} ms, ${memory}; ${JSON.stringify(deeds)}`;
}

interface Attacked {
  readonly name: AttackName;
  readonly says: string;
  readonly rehearsal?: Partial<Rehearsal>;
  /** Limits of which the broker tells. */
  readonly keys: readonly string[];
}

const FLOOD_COUNT = 5000;
const ATTACKS: readonly Attacked[] = [
  {
    name: 'frozen',
    says: 'a device frozen while another sends to it',
    rehearsal: { seconds: LONG ? SECONDS : 3 },
    keys: ['backlogBytes', 'drainTimeoutMs'],
  },
  {
    name: 'flood',
    says: 'new links flooding',
    // its 16 links have 320 messages to bring through the turns of logins before the rest of it is felt; each is told of
    // once in ten seconds, by whichever of the two walls it runs into first
    rehearsal: { seconds: LONG ? SECONDS : 2 },
    keys: ['messagesBeforeLogin or loginMessagesPerSecond'],
  },
  { name: 'qos2', says: 'hoarding QoS 2', keys: [] },
  { name: 'connect-200-mib', says: 'CONNECTs of 200 MiB', keys: ['connectBytes'] },
  { name: 'idle-sockets', says: '2,000 idle sockets', rehearsal: { count: 2000 }, keys: ['newPerAddress'] },
  { name: 'device-flood-own', says: 'a device flooding its own topic', keys: ['toManagerPerSecond'] },
  { name: 'device-flood-peer', says: 'a device flooding its peer', keys: ['messagesPerSecond'] },
  { name: 'device-flood-manager', says: 'a device flooding the manager with orders', keys: [] },
];

/** Raised until they hold nobody back. */
const NO_WALLS = `limits:
  connectBytes: 268435455
  messagesBeforeLogin: 1000000000
  loginMessagesPerSecond: 1000000000
  inFlight: 1000000
  messagesPerSecond: 1000000000
  toManagerPerSecond: 1000000000
  bytesPerSecond: 1000000000000
  backlogBytes: 1000000000000
  drainTimeoutMs: 600000
`;
const TEETH: readonly { name: AttackName; says: string; harm: (endured: Endured) => boolean }[] = [
  { name: 'connect-200-mib', says: 'CONNECTs of 200 MiB fill the memory', harm: ({ growth }) => grown(growth.broker) },
  { name: 'frozen', says: 'a frozen device fills the memory', harm: ({ growth }) => grown(growth.broker) },
  {
    name: 'flood',
    says: 'a flood of new links delays everybody, or fills the memory',
    harm: ({ latencies, arrived, growth }) => arrived < MESSAGES || latencies.at(-1)! > 100 || grown(growth.broker),
  },
];
const grown = (bytes: number): boolean => bytes > GROWTH_BYTES;

const TAGS = '[5.6 handshake floods] [B1]';

/** One house for all attacks, one after the other: what one leaves behind is there for the next. */
interface Stage {
  readonly house: House;
  readonly talk: (seconds: number) => Promise<number[]>;
}
const ready = Promise.withResolvers<Stage>();
const endings: (() => Promise<void>)[] = [];
before(async () => {
  const house = await buildHouse({ occupants: OCCUPANTS }, (end) => endings.push(end));
  const talk = await pairOf(house);
  await talk(0.5); // everything is warm
  ready.resolve({ house, talk });
});
after(async () => {
  for (const end of endings) await end();
});

/**
 * The promise is one of time, on a machine that may have other work: where a message took longer, the pair shows how
 * long it takes without an attack, and four times its slowest is allowed; the best of three rounds counts, for a wall
 * that fails does so each time. What does not arrive, or grows, is never forgiven.
 */
async function endureWithin(
  t: TestContext,
  stage: Stage,
  slowestMs: number,
  seconds: number,
  round: () => Promise<Endured>,
  rounds = 3,
): Promise<Endured> {
  const endured = await round();
  assert.equal(endured.arrived, MESSAGES);
  for (const party of PARTIES) {
    assert.ok(endured.growth[party] < GROWTH_BYTES, `${party} grew by ${endured.growth[party] / MIB} MiB`);
  }
  const slowest = endured.latencies.at(-1)!;
  if (slowest < slowestMs) return endured;
  const alone = Math.max(...(await stage.talk(seconds)));
  t.diagnostic(`slowest ${slowest.toFixed(1)} ms; without an attack ${alone.toFixed(1)} ms`);
  if (slowest < 4 * alone) return endured;
  assert.ok(rounds > 1, `the slowest took ${slowest} ms, and ${alone} ms without an attack`);
  const again = await endureWithin(t, stage, slowestMs, seconds, round, rounds - 1);
  return { ...again, told: [...endured.told, ...again.told] }; // what was told just now is not told again at once
}

const limits = { timeout: LONG ? 600_000 : 120_000 };
for (const { name, says, rehearsal = {}, keys } of ATTACKS) {
  test(`${TAGS} an honest pair goes on beside ${says}`, limits, async (t) => {
    const stage = await ready.promise;
    const { told } = await endureWithin(t, stage, 100, SECONDS, () => endure(t, stage, name, rehearsal));
    for (const key of keys) {
      const line = told.find((one) => key.split(' or ').some((name) => one.key === `limits.${name}`));
      assert.ok(line !== undefined, `the log names limits.${key}: ${JSON.stringify(told)}`);
      assert.equal(typeof line.limit, 'number');
      assert.match(String(line.address), /^127\.0\.0\./);
    }
  });
}

test(
  `${TAGS} an honest pair goes on, and a device logs in, beside 5,000 garbage message_1 a second`,
  limits,
  async (t) => {
    const stage = await ready.promise;
    const seconds = LONG ? SECONDS : 5;
    const logins: number[] = [];
    const logIn = async (): Promise<void> => {
      const began = performance.now();
      const late = await stage.house.start('late');
      const registered = ({ event }: LogLine): boolean => event === 'registered';
      const wait = () => late.logged('registered', registered);
      await wait().catch(wait);
      logins.push(performance.now() - began);
      await stage.house.stop('late');
    };
    const { deeds, told } = await endureWithin(t, stage, 250, seconds, () =>
      endure(t, stage, 'message-1', { seconds, count: FLOOD_COUNT, meanwhile: logIn }),
    );
    t.diagnostic(`logins beside it, with the start of the process: ${logins.map((ms) => ms.toFixed(0)).join(', ')} ms`);
    // A link that was not let in would have said as much as the others.
    const tried = deeds.messages! + MESSAGES_OF_A_LINK * (deeds['refused links'] ?? 0);
    assert.ok(tried > FLOOD_COUNT * seconds, `it tried ${tried} in ${seconds} s`);
    assert.ok(told.some(({ key }) => key === 'limits.loginMessagesPerSecond'));
  },
);

if (LONG) {
  for (const { name, says, harm } of TEETH) {
    test(`[B1] without the walls ${says}: the attack is one`, limits, async (t) => {
      const house = await buildHouse({ occupants: OCCUPANTS, brokerYaml: NO_WALLS }, (end) => t.after(end));
      const talk = await pairOf(house);
      await talk(SHORT_SECONDS);
      const endured = await endure(t, { house, talk }, name, { seconds: 5 });
      assert.ok(harm(endured), summaryOf(endured));
    });
  }
}
