/**
 * Everything that passes the broker, and everything that is logged, searched for plaintexts, keys and secrets.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { decodeMemory } from '../../device-agent/memory.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { type Channel, openChannel, openMessages } from '../../protocol/channel.ts';
import { decodeFrame } from '../../protocol/frame.ts';
import type { MessageOf } from '../../protocol/messages.ts';
import { type ResumptionSecret, readResumed } from '../../protocol/resumption.ts';
import { type Published, type Tap, tapBroker } from '../mqtt-tap.ts';
import { buildHouse, type Ear, type House, MANAGER } from '../real-house.ts';
import { searchFor } from '../secret-search.ts';

const SEED = '{ cipher: aes-gcm, keyBits: 128, keyMode: seed }';
const KEY = '{ cipher: chacha20-poly1305, keyBits: 256, keyMode: key }';
const OPEN = '{ cipher: hmac, keyBits: 256, keyMode: key }';
const proposals = (...all: readonly string[]): string => `proposals: [${all.join(', ')}]\n`;

/** Each caller can do one thing; the lamp can do all. */
const OCCUPANTS = [
  { id: 'lamp', yaml: proposals(SEED, KEY, OPEN) },
  { id: 'switch', yaml: proposals(SEED) },
  { id: 'clock', yaml: proposals(KEY) },
  { id: 'horn', yaml: proposals(OPEN) },
] as const;

const WORDS = {
  switch: ['seed-there: the safe is behind the picture', 'seed-back: and its number is 3141592653'],
  clock: ['key-there: it is a quarter past midnight', 'key-back: so late already?'],
  horn: ['open-there: anybody may read this', 'open-back: and this as well'],
} as const;

const mosquittoAbsent: string | false =
  spawnSync('mosquitto_sub', ['--help']).error === undefined
    ? false
    : 'mosquitto absent: mosquitto_sub is not installed';

// ── Searching ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** In whatever form, whole or a piece of it. */
function found(value: Uint8Array, where: readonly Buffer[]): boolean {
  const find = searchFor({ value });
  return where.some((bytes) => find(bytes).length > 0);
}

/** A private key as it stands in PKCS #8: the octet string of 32 bytes. */
function scalarOf(path: string): Uint8Array {
  const der = Buffer.from(readFileSync(path, 'utf8').replace(/-----[^-]+-----/g, ''), 'base64');
  const at = der.indexOf(Buffer.of(0x04, 0x20)) + 2;
  assert.ok(at > 1, `${path} holds a key of 32 bytes`);
  return der.subarray(at, at + 32);
}

// ── What the devices held, from a copy of the lamp's memory and the capture ──────────────────────────────────────────

const secretOf = (house: House, id: string): ResumptionSecret =>
  decodeMemory(readFileSync(house.at(id, 'channel.cbor'))).secret!;

interface Held {
  readonly channel: Channel;
  readonly grants: readonly MessageOf<'Grant'>[];
}

/** Resumes like the lamp did, which only who had its secret can, and reads on with it. */
function readAsLamp(secret: ResumptionSecret, published: readonly Published[]): Held {
  const crypto = nodeCrypto();
  const bodiesOf = (kind: 'resume' | 'resumed'): Uint8Array[] =>
    published.flatMap(({ payload }) => {
      const frame = payload[0]! >= 0xd0 && payload.length > 1 ? decodeFrame(payload) : null;
      return frame !== null && frame.kind === kind ? [frame.body] : [];
    });
  const [request] = bodiesOf('resume');
  const [answer] = bodiesOf('resumed');
  assert.ok(request !== undefined && answer !== undefined, 'the capture holds the resumption');
  const resumed = readResumed(crypto, { secret, starter: 'device', request }, answer);
  const channel = openChannel(crypto, {
    ...resumed,
    suite: secret.suite,
    authenticateOnly: false,
    role: 'initiator',
    generation: secret.generation + 1,
  });
  const records = new Set(
    published
      .filter(({ topic, payload }) => topic === 'km1/d/lamp' && payload[0]! <= 0x7f)
      .map(({ payload }) => Buffer.from(payload).toString('latin1')),
  );
  const messages = [...records].flatMap((record) => openMessages(crypto, channel, Buffer.from(record, 'latin1')));
  return { channel, grants: messages.filter((message) => message.kind === 'Grant') };
}

// ── The run ─────────────────────────────────────────────────────────────────────────────────────────────────────────

async function talk(house: House, lamp: Ear, caller: keyof typeof WORDS): Promise<string> {
  const ear = await house.hear(caller);
  const allowUnencrypted = caller === 'horn';
  const { sid, encrypted } = (await house.ask(caller, 'connect', { callee: 'lamp', allowUnencrypted })) as {
    sid: string;
    encrypted: boolean;
  };
  assert.equal(encrypted, !allowUnencrypted);
  await lamp.until('the session', (news) => news.event === 'session.open' && news.sid === sid);
  const [there, back] = WORDS[caller];
  await house.ask(caller, 'send', { to: sid, text: there });
  await lamp.until(there, ({ text }) => text === there);
  await house.ask('lamp', 'send', { to: sid, text: back });
  await ear.until(back, ({ text }) => text === back);
  await house.ask(caller, 'close', { sid });
  return sid;
}

test('[P16] [B1] [5.6 link takeover, wildcards, wills, retained messages] all traffic of the broker: the open plaintext is in it, no other, and no key', {
  skip: mosquittoAbsent,
}, async (t) => {
  let tap: Tap | null = null;
  t.after(() => tap?.close());
  const between = async (url: string): Promise<string> => {
    tap = await tapBroker(url);
    return tap.url;
  };
  const house = await buildHouse({ occupants: OCCUPANTS, between }, (end) => t.after(end));
  const published = (): Published[] => tap!.published();
  const { hostname, port } = new URL(tap!.url);
  // of the form of a link's id, so that it gets as far as its subscriptions
  const snooping = ['-h', hostname, '-p', port, '-i', 'snooper-on-the-fence', '-t', '#', '-t', '$SYS/#', '-v'];
  const snooper = spawn('mosquitto_sub', snooping, { stdio: ['ignore', 'pipe', 'ignore'] });
  t.after(() => snooper.kill('SIGKILL'));
  let snooped = '';
  snooper.stdout.on('data', (chunk: Buffer) => {
    snooped += chunk.toString('latin1');
  });
  await Promise.all(OCCUPANTS.map(({ id }) => house.admit(id)));
  const first = secretOf(house, 'lamp');
  await house.stop('lamp');
  await house.admit('lamp');
  const lamp = await house.hear('lamp');
  for (const caller of ['switch', 'clock', 'horn'] as const) await talk(house, lamp, caller);

  const { channel, grants } = readAsLamp(first, published());
  assert.deepEqual(
    grants.map(({ keyMode, suite }) => `${suite.cipher} ${keyMode}`),
    ['aes-gcm seed', 'chacha20-poly1305 key', 'hmac key'],
  );
  const { senderKey, recipientKey } = channel.records.keys;
  const secrets: Readonly<Record<string, Uint8Array>> = {
    'resumption secret of the login': first.secret,
    'resumption secret after it': secretOf(house, 'lamp').secret,
    'channel key, device': senderKey,
    'channel key, manager': recipientKey,
    'seed of a session': grants[0]!.secret,
    'keys of a session': grants[1]!.secret,
    "caller's key of a session": grants[1]!.secret.subarray(0, 32),
    "callee's key of a session": grants[1]!.secret.subarray(32, 64),
    "lamp's private key": scalarOf(house.at('certificates', 'lamp.key.pem')),
    "manager's private key": scalarOf(house.at('certificates', `${MANAGER}.key.pem`)),
    'key of the registry': readFileSync(house.at('manager', 'store.key')),
    'key of the sealed secrets': readFileSync(house.at('manager', 'sealing.key')),
  };
  for (const [name, secret] of Object.entries(secrets)) assert.ok(secret.length >= 16, name);

  const traffic = tap!.legs();
  for (const text of WORDS.horn) assert.ok(found(Buffer.from(text), traffic), `the search finds "${text}"`);
  for (const text of [...WORDS.switch, ...WORDS.clock])
    assert.ok(!found(Buffer.from(text), traffic), `"${text}" is on the wire`);
  for (const [name, secret] of Object.entries(secrets)) assert.ok(!found(secret, traffic), `${name} is on the wire`);

  const broker = house.running('broker');
  const refused = await broker.logged(
    'the snooper refused',
    ({ event, reason }) => event === 'link.refused' && reason === 'foreign-filter',
  );
  assert.equal(refused.level, 'warn');
  snooper.kill('SIGKILL');
  assert.equal(snooped, '', 'the snooper got nothing');

  const logs = house.ran.map((one) => Buffer.from(one.written()));
  assert.ok(found(Buffer.from('session.open'), logs), 'the search finds what is logged');
  for (const service of ['manager', 'verifier']) {
    const token = readFileSync(house.at(`${service}.token`), 'utf8').trim();
    assert.ok(found(Buffer.from(token), traffic), `the search finds the ${service}'s token in its CONNECT`);
    assert.ok(!found(Buffer.from(token), logs), `the ${service}'s token is logged`);
  }
  for (const text of Object.values(WORDS).flat()) assert.ok(!found(Buffer.from(text), logs), `"${text}" is logged`);
  for (const [name, secret] of Object.entries(secrets)) assert.ok(!found(secret, logs), `${name} is logged`);
});

test('the search finds a value raw, in hex and in base64 at any place of a longer text', () => {
  const value = nodeCrypto().random(32);
  for (const shift of [0, 1, 2, 3]) {
    const long = Buffer.concat([nodeCrypto().random(shift), value, nodeCrypto().random(5)]);
    for (const form of ['hex', 'base64', 'base64url'] as const)
      assert.ok(found(value, [Buffer.from(`x ${long.toString(form)} y`)]), `${form} ${shift}`);
    assert.ok(found(value, [long]));
  }
  assert.ok(!found(value, [Buffer.from(nodeCrypto().random(200))]));
});
