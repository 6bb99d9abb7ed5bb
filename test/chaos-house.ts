/**
 * A house in which parties are killed while two devices talk without a pause: who dies is started again, the session has
 * to go on, and no key may ever have met a nonce twice, whatever was forgotten by dying.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeMemory } from '../device-agent/memory.ts';
import { MAX_GENERATION } from '../protocol/resumption.ts';
import { type Tap, tapBroker } from './mqtt-tap.ts';
import { buildHouse, type Ear, type House, type Party } from './real-house.ts';

export const CALLER = 'switch';
export const CALLEE = 'lamp';
const DEVICES: readonly Party[] = [CALLER, CALLEE];

/** Within this a session goes on after the last party is back. (B7) */
export const BACK_MS = 10_000;
const AGAIN_MS = 100;
/** A link is tried again within half a minute at the latest. */
const RECONNECTED_MS = 40_000;
const RECENT_LINES = 15;
const CHATTER_EVERY_MS = 40;
const PROPOSALS = 'proposals: [{ cipher: aes-gcm, keyBits: 128, keyMode: seed }]\n';

/** What of a session outlives every restart. */
export interface SessionIdentity {
  readonly sid: string;
  readonly suite: string;
  readonly keyMode: string;
  /** How often somebody said yes to it. */
  readonly approvals: number;
}

export interface ChaosHouse {
  readonly house: House;
  kill9(parties: readonly Party[]): Promise<void>;
  start(parties: readonly Party[]): Promise<void>;
  /** Opens a session, over which both devices then talk all the time. @returns its id */
  open(): Promise<string>;
  identity(sid: string): Promise<SessionIdentity>;
  /** Resolves when a new message has arrived each way. @returns milliseconds that took @throws AssertionError after 10 s */
  goesOn(sid: string): Promise<number>;
  /** Resolves when both devices have a channel to the manager again, which a session does not need. */
  reconnected(): Promise<void>;
  publicKeyOperations(id: Party): Promise<number>;
  /** The newest lines of the devices' and the manager's logs, without those of level debug, for a failure. */
  recently(): string;
  /** How often its channel has been resumed since the last full login; MAX_GENERATION when it cannot be any more. */
  resumptions(id: Party): number;
  nonces(): NonceReport;
}

export interface NonceReport {
  /** Encryptions in all processes, over all their lives. */
  readonly encryptions: number;
  /** Different records on the wire: each was encrypted by somebody who wrote it down. */
  readonly records: number;
  /** `key nonce` that was used more than once. */
  readonly repeated: readonly string[];
}

/** @param after  hands over what to do when the tests are over, also when the house could not be built */
export async function buildChaosHouse(after: (end: () => Promise<void>) => void): Promise<ChaosHouse> {
  let tap: Tap | null = null;
  const recorder = join(import.meta.dirname, 'cipher-recorder.ts');
  const house = await buildHouse(
    {
      occupants: DEVICES.map((id) => ({ id, yaml: PROPOSALS })),
      between: async (url) => {
        const opened = await tapBroker(url);
        tap = opened;
        after(async () => opened.close());
        return opened.url;
      },
      environment: (_party, at) => ({
        NODE_OPTIONS: `--import=${recorder}`,
        KAGIMORI_CIPHER_RECORD: at('nonces'),
      }),
    },
    after,
  );
  const ears = new Map<Party, Ear>();
  const hear = async (id: Party): Promise<void> => void ears.set(id, await house.hear(id));
  await Promise.all(DEVICES.map((id) => house.admit(id)));
  await Promise.all(DEVICES.map(hear));

  let count = 0;
  let chatter: NodeJS.Timeout | null = null;
  after(async () => {
    if (chatter !== null) clearInterval(chatter);
  });
  /** Messages are lost while somebody is away: only those that arrive count. */
  const say = async (from: Party, to: string): Promise<string> => {
    const text = `${from} ${++count}`;
    await house.ask(from, 'send', { to, text }).catch(() => {});
    return text;
  };
  const arrives = async (from: Party, to: Party, sid: string, deadline: number): Promise<void> => {
    const after = count;
    const isNew = (text: unknown): boolean => {
      const [sender, number] = String(text).split(' ');
      return sender === from && Number(number) > after;
    };
    for (;;) {
      await say(from, sid);
      if (ears.get(to)?.heard.some((news) => news.event === 'message' && news.sid === sid && isNew(news.text))) return;
      if (performance.now() > deadline) assert.fail(`${sid}: nothing from ${from} arrived at ${to} in ${BACK_MS} ms`);
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  };

  return {
    house,
    async kill9(parties) {
      await Promise.all(parties.map((party) => house.stop(party)));
    },
    async start(parties) {
      await Promise.all(parties.map((party) => house.start(party)));
      await Promise.all(parties.filter((party) => DEVICES.includes(party)).map(hear));
    },
    async open() {
      const { sid } = (await house.ask(CALLER, 'connect', { callee: CALLEE })) as { sid: string };
      await ears.get(CALLEE)!.until('the session', (news) => news.event === 'session.open' && news.sid === sid);
      chatter ??= setInterval(() => {
        for (const id of DEVICES) void say(id, sid);
      }, CHATTER_EVERY_MS);
      return sid;
    },
    async identity(sid) {
      const sessions = (await house.ask('manager', 'session.list')) as { sid: string; state: string }[];
      assert.ok(
        sessions.some((one) => one.sid === sid && one.state === 'granted'),
        `the manager knows ${sid}`,
      );
      const [ours, theirs] = await Promise.all(DEVICES.map((id) => sessionAt(house, id, sid)));
      assert.deepEqual([ours!.suite, ours!.keyMode, ours!.epoch], [theirs!.suite, theirs!.keyMode, theirs!.epoch]);
      const said = house.ran.flatMap(({ log }) =>
        log.filter((line) => line.event === 'ask.approved' && line.sid === sid),
      );
      return { sid, suite: ours!.suite, keyMode: ours!.keyMode, approvals: said.length };
    },
    async goesOn(sid) {
      const began = performance.now();
      const deadline = began + BACK_MS;
      await Promise.all([arrives(CALLER, CALLEE, sid, deadline), arrives(CALLEE, CALLER, sid, deadline)]);
      return performance.now() - began;
    },
    async reconnected() {
      const deadline = performance.now() + RECONNECTED_MS;
      for (const id of DEVICES) {
        while (((await house.ask(id, 'status')) as { channel: unknown }).channel === null) {
          assert.ok(performance.now() < deadline, `${id} has no channel after ${RECONNECTED_MS} ms`);
          await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
        }
      }
    },
    recently() {
      const lines = [...DEVICES, 'manager'].flatMap((party) => {
        const shown = house.running(party).log.filter(({ level }) => level !== 'debug');
        return shown.slice(-RECENT_LINES).map((line) => `${party}: ${JSON.stringify(line)}`);
      });
      return lines.join('\n');
    },
    async publicKeyOperations(id) {
      const { publicKeyOperations } = (await house.ask(id, 'status')) as { publicKeyOperations: { all: number } };
      return publicKeyOperations.all;
    },
    resumptions: (id) => decodeMemory(readFileSync(house.at(id, 'channel.cbor'))).secret?.generation ?? MAX_GENERATION,
    nonces: () => countNonces(readFileSync(house.at('nonces'), 'utf8'), recordsIn(tap!)),
  };
}

interface ShownSession {
  readonly sid: string;
  readonly suite: string;
  readonly keyMode: string;
  readonly epoch: number;
}

async function sessionAt(house: House, id: Party, sid: string): Promise<ShownSession> {
  const { sessions } = (await house.ask(id, 'status')) as unknown as { sessions: readonly ShownSession[] };
  const found = sessions.find((one) => one.sid === sid);
  assert.ok(found !== undefined, `${id} has no session ${sid}: ${JSON.stringify(sessions)}`);
  return found;
}

/** Records of channels and sessions; what QoS 1 repeats, and what the broker passes on, is one. */
function recordsIn(tap: Tap): number {
  const distinct = new Set<string>();
  for (const { topic, payload } of tap.published()) {
    if (/^km1\/[mdp]\//.test(topic) && payload[0]! <= 0x7f) distinct.add(Buffer.from(payload).toString('latin1'));
  }
  return distinct.size;
}

/** @param recorded  lines of cipher-recorder.ts, of all processes */
export function countNonces(recorded: string, records: number): NonceReport {
  const seen = new Set<string>();
  const repeated: string[] = [];
  const lines = recorded.split('\n').filter(Boolean);
  for (const line of lines) {
    if (seen.has(line)) repeated.push(line);
    seen.add(line);
  }
  return { encryptions: lines.length, records, repeated };
}
