/**
 * What the two devices say to each other: every suite, both ways, seen from the wire; the first records.
 * [P15] [P16] [patent 2134-2144]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { register } from '../../device-agent/registration.ts';
import type { Proposal } from '../../protocol/messages.ts';
import { readRecordHead } from '../../protocol/record-head.ts';
import { CIPHERS, type Cipher, resolveSuite, suiteName } from '../../protocol/suites.ts';
import {
  assertTalks,
  type Couple,
  connect,
  couple,
  heard,
  meddle,
  onTheWire,
  say,
  session,
  talking,
} from '../couple.ts';
import { proposal, suiteOf } from '../town.ts';

function* registrable(keyMode: 'key' | 'seed'): Generator<Proposal> {
  for (const [cipher, row] of Object.entries(CIPHERS) as [Cipher, (typeof CIPHERS)[Cipher]][])
    for (const keyBits of row.keyBits)
      for (const tagBits of row.tagBits)
        for (const hash of ['sha-256', 'sha-384', 'sha-512'] as const)
          yield proposal(cipher, keyBits, { tagBits, hash, keyMode });
}

/** Both devices register this one entry in place of what they had. */
function registerBoth({ town, caller, callee }: Couple, only: Proposal): void {
  for (const device of [caller, callee])
    device.run((state, world) => register(state, { addresses: [], proposals: [only] }, world));
  town.flush();
}

const SECRET_WORDS = 'the cellar door is open';

for (const [keyMode, tags] of [
  ['key', '[claim 3]'],
  ['seed', '[claim 4]'],
] as const) {
  test(`[P15] [P16] ${tags} [patent 2134-2144] by delivered ${keyMode}: every suite of the registry carries data both ways, unreadable unless it is integrity-only`, () => {
    const pair = couple();
    let suites = 0;
    for (const only of registrable(keyMode)) {
      registerBoth(pair, only);
      const from = pair.town.packets.length;
      pair.caller.call('tv', { allowUnencrypted: true });
      pair.town.flush();
      const { sid } = pair.caller.latest('sessionOpened')!;
      const name = suiteName(suiteOf(only));
      assert.deepEqual(
        [suiteName(session(pair.callee, sid).suite), session(pair.callee, sid).keyMode],
        [name, keyMode],
      );
      assertTalks(pair, sid);
      say(pair.caller, sid, SECRET_WORDS);
      pair.town.flush();
      assert.equal(heard(pair.callee).at(-1), SECRET_WORDS);
      const seen = onTheWire(pair.town.packets.slice(from), SECRET_WORDS);
      assert.equal(seen, !CIPHERS[suiteOf(only).cipher].encrypts, `${name}: plaintext on the wire`);
      const record = pair.town.packets.at(-1)!.payload;
      const overhead = record.length - SECRET_WORDS.length;
      const route = session(pair.caller, sid).route === null ? 0 : 1;
      assert.equal(overhead, 2 + route + resolveSuite(suiteOf(only))!.tagBytes, `${name}: bytes over the payload`);
      suites++;
    }
    assert.equal(suites, 78);
  });
}

test('[P16] no key, seed or nonce secret of a session is on the wire', () => {
  const pair = couple();
  const secrets: Uint8Array[] = [];
  const { random } = pair.town.managerCrypto;
  Object.assign(pair.town.managerCrypto, {
    random(length: number) {
      const drawn = random(length);
      secrets.push(drawn.slice());
      return drawn;
    },
  });
  const sid = connect(pair);
  const seed = secrets.at(-1)!;
  assert.equal(seed.length, 32, 'the last thing drawn is the seed');
  const { keys } = session(pair.caller, sid).records;
  for (const secret of [seed, keys.senderKey, keys.recipientKey])
    for (const { payload } of pair.town.packets) assert.equal(Buffer.from(payload).indexOf(secret), -1);
});

test('[patent 2142] the session is open for each side only once a record of the other has opened', () => {
  const pair = couple();
  meddle(pair, 'Hello', () => []);
  pair.caller.call('tv');
  pair.town.flush();
  const [sid] = pair.caller.state.sessions.keys();
  assert.deepEqual(
    [session(pair.caller, sid!).state.name, session(pair.callee, sid!).state.name],
    ['granted', 'granted'],
  );
  assert.equal(say(pair.caller, sid!, 'too early'), 'not-open');
  assert.equal(say(pair.callee, sid!, 'too early'), 'not-open');
  pair.town.advance(500);
  assertTalks(pair, sid!);
});

test('a Hello that gets no answer is said again after 0.5, 1 and 2 s, each with a new partial IV; then the session ends', () => {
  const pair = couple();
  const { topics } = pair.town.manager.settings;
  const hellos: [at: number, sequence: number][] = [];
  const start = pair.town.clock.now();
  pair.town.meddler = ({ topic, payload }) => {
    if (topic === topics.peer(pair.callee.id, pair.caller.id))
      hellos.push([pair.town.clock.now() - start, readRecordHead(payload).sequence]);
    return topic.includes('/p/') ? [] : 'pass';
  };
  pair.caller.call('tv');
  pair.town.advance(20_000);
  assert.deepEqual(hellos, [
    [0, 0],
    [500, 1],
    [1500, 2],
    [3500, 3],
  ]);
  for (const { state, latest } of [pair.caller, pair.callee]) {
    assert.equal(state.sessions.size, 0);
    assert.equal(latest('sessionClosed')!.reason, 'timeout');
  }
  assert.equal(pair.town.manager.sessions.size, 0);
});

test('a lost answer to the Hello: the caller asks again and the callee answers again', () => {
  const pair = couple();
  meddle(pair, 'Hello back', () => []);
  pair.caller.call('tv');
  pair.town.advance(500);
  assertTalks(pair, pair.caller.latest('sessionOpened')!.sid);
});

/** Holds the grant to the callee back, so that records of the caller come first. */
function grantHeldBack(pair: Couple): () => void {
  let held: (() => void) | null = null;
  meddle(pair, 'grant to the callee', ({ topic, payload }) => {
    held = () => pair.town.inject(topic, payload);
    return [];
  });
  pair.caller.call('tv');
  pair.town.flush();
  return () => {
    assert.ok(held, 'there was a grant to hold back');
    held();
    pair.town.flush();
  };
}

test('a first record before the grant is held, and opens the session when the grant comes', () => {
  const pair = couple();
  const release = grantHeldBack(pair);
  assert.equal(pair.callee.state.sessions.size, 0);
  assert.equal([...pair.callee.state.asked.values()][0]!.early.length, 1);
  release();
  assertTalks(pair, pair.caller.latest('sessionOpened')!.sid);
});

test('at most 4 records are held, for 2 s', () => {
  const pair = couple();
  const release = grantHeldBack(pair);
  const [asked] = pair.callee.state.asked.values();
  const topic = pair.town.manager.settings.topics.peer(pair.callee.id, pair.caller.id);
  for (let i = 0; i < 6; i++) pair.town.inject(topic, Uint8Array.of(0x21, 50 + i, ...new Uint8Array(20)));
  pair.town.flush();
  assert.equal(asked!.early.length, 4);
  pair.town.advance(1999);
  assert.equal(asked!.early.length, 4);
  pair.town.advance(1);
  assert.equal(asked!.early.length, 0);
  release();
  pair.town.advance(2000);
  assertTalks(pair, pair.caller.latest('sessionOpened')!.sid);
});

test('[5.6 replay of every message] a forged record among the held ones does not keep the good one out', () => {
  const pair = couple();
  const topic = pair.town.manager.settings.topics.peer(pair.callee.id, pair.caller.id);
  const inject = (payload: Uint8Array) => pair.town.inject(topic, payload);
  let seen = 0;
  const forged = Uint8Array.of(0x21, 9, ...new Uint8Array(20));
  let release: (() => void) | null = null;
  pair.town.meddler = (packet) => {
    if (packet.topic === topic && seen++ === 0) return [forged, packet.payload];
    if (packet.topic.endsWith('/d/tv') && packet.payload.length > 150) {
      release = () => pair.town.inject(packet.topic, packet.payload);
      return [];
    }
    return 'pass';
  };
  pair.caller.call('tv');
  pair.town.flush();
  assert.equal([...pair.callee.state.asked.values()][0]!.early.length, 2);
  assert.ok(release);
  (release as () => void)();
  pair.town.flush();
  assert.equal(pair.callee.latest('sessionOpened')?.role, 'callee', 'without waiting for a second Hello');
  inject(forged);
  pair.town.flush();
  assertTalks(pair, pair.callee.latest('sessionOpened')!.sid);
});

test('two sessions of one pair wait for their grants at once: each gets its own held record', () => {
  const pair = couple();
  const late: (() => void)[] = [];
  pair.town.meddler = ({ topic, payload }) => {
    if (!topic.endsWith('/d/tv') || payload.length < 150) return 'pass';
    late.push(() => pair.town.inject(topic, payload));
    return [];
  };
  pair.caller.call('tv');
  pair.caller.call('tv');
  pair.town.flush();
  assert.equal(late.length, 2);
  for (const release of late) release();
  pair.town.flush();
  const opened = pair.callee.news.filter(({ news }) => news === 'sessionOpened');
  assert.equal(opened.length, 2, 'without waiting for a second Hello');
});

test('[P16] long and empty payloads: up to the limit of the suite, one byte more is refused', () => {
  const pair = talking();
  const limit = 128 * 1024 - 7 - 16;
  assert.equal(say(pair.caller, pair.sid, 'x'.repeat(limit + 1)), 'too-large');
  assert.equal(say(pair.caller, pair.sid, 'x'.repeat(limit)), null);
  assert.equal(say(pair.caller, pair.sid, ''), null);
  pair.town.flush();
  assert.deepEqual(
    heard(pair.callee).map(({ length }) => length),
    [limit, 0],
  );
});

test('[patent 0136] neither side needs its channel while the session lasts', () => {
  const pair = talking();
  for (const { id } of [pair.caller, pair.callee]) pair.town.manager.channels.delete(id);
  assertTalks(pair, pair.sid);
});

test('what is said while the link is down is refused, and the session goes on with the next link', () => {
  const pair = talking();
  pair.caller.breakLink();
  pair.caller.feed({ type: 'unlinked' });
  assert.equal(say(pair.caller, pair.sid, 'into the void'), 'no-link');
  pair.town.flush();
  assertTalks(pair, pair.sid);
  assert.equal(pair.caller.latest('channelOpened')!.how, 'resume');
});
