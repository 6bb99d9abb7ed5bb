/**
 * The whole exchange with the portable crypto half on one side and the node half on the other: login, resumption,
 * connect, data, end. And every record suite, sealed by one half and opened by the other.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { register } from '../../device-agent/registration.ts';
import { type GeneratedSigningKey, generateSigningKey, nodeCrypto } from '../../platform/crypto-node.ts';
import { portableCrypto } from '../../platform/crypto-portable.ts';
import { newPortableSigningKey } from '../../platform/crypto-portable-keys.ts';
import { EMPTY, encodeUtf8 } from '../../protocol/bytes.ts';
import type { Crypto, KeyAlgorithm, PublicKeyCounter } from '../../protocol/crypto.ts';
import { CIPHER_SUITES } from '../../protocol/edhoc/cipher-suites.ts';
import { deriveContext } from '../../protocol/key-schedule.ts';
import {
  FIRST_ID,
  makeRecordContext,
  openRecord,
  type RecordContext,
  SECOND_ID,
  sealRecord,
} from '../../protocol/record.ts';
import { CHANNEL_SUITES, suiteName } from '../../protocol/suites.ts';
import { assertTalks, connect, couple, end, ending, session } from '../couple.ts';
import { EVERY_SUITE } from '../every-suite.ts';
import { proposal } from '../town.ts';
import { isIn } from './town-packets.ts';

type HalfName = 'node' | 'portable';
type Algorithm = 'p256' | 'ed25519';

const create = (half: HalfName, counter?: PublicKeyCounter): Crypto =>
  half === 'node' ? nodeCrypto(counter) : portableCrypto(counter);

/** A key that signs by the half's own means. */
function newKey(half: HalfName, algorithm: Algorithm): GeneratedSigningKey {
  if (half === 'node') return generateSigningKey(algorithm);
  const { key, pkcs8 } = newPortableSigningKey(algorithm, { generate: 0, agree: 0, sign: 0, verify: 0 });
  return { key, publicSpki: key.publicSpki, privatePkcs8Pem: pkcs8 };
}

interface Layout {
  readonly manager: HalfName;
  readonly router: HalfName;
  readonly tv: HalfName;
}

const LAYOUTS: readonly Layout[] = [
  { manager: 'node', router: 'portable', tv: 'portable' },
  { manager: 'portable', router: 'node', tv: 'node' },
  { manager: 'portable', router: 'portable', tv: 'node' },
];

/** `router` and `tv` in their town; the verifier goes with the manager. */
function mixed({ manager, router, tv }: Layout, algorithm: Algorithm, more: Parameters<typeof couple>[0] = {}) {
  const halves = new Map<string, HalfName>([
    ['manager', manager],
    ['verifier', manager],
    ['router', router],
    ['tv', tv],
  ]);
  return couple({
    town: {
      algorithm,
      newCrypto: (party, counter) => create(halves.get(party)!, counter),
      managerCertificate: { key: newKey(manager, algorithm) },
      ...more.town,
    },
    caller: { certificate: { key: newKey(router, algorithm) }, ...more.caller },
    callee: { certificate: { key: newKey(tv, algorithm) }, ...more.callee },
  });
}

for (const layout of LAYOUTS) {
  const sides = `manager ${layout.manager}, caller ${layout.router}, callee ${layout.tv}`;

  for (const algorithm of ['p256', 'ed25519'] as const) {
    test(`[P6] [P7] [P16] [P17] [B5] the whole exchange, ${algorithm}: ${sides}`, () => {
      const pair = mixed(layout, algorithm);
      const { town, caller, callee } = pair;
      assert.deepEqual([caller.crypto.name, callee.crypto.name], [layout.router, layout.tv]);
      assert.equal(town.managerCrypto.name, layout.manager);
      assert.ok(isIn(town, caller) && isIn(town, callee));
      for (const device of [caller, callee]) {
        assert.deepEqual({ ...device.counter }, { generate: 1, agree: 1, sign: 1, verify: 3 });
      }
      const before = [caller.operations(), callee.operations()];
      caller.restart();
      town.restartManager();
      town.advance(12_000);
      assert.equal(caller.state.channel?.opening.opened, 'resume');
      assert.equal(callee.state.channel?.opening.opened, 'resume');
      const sid = connect(pair);
      assertTalks(pair, sid);
      end(caller, sid);
      town.flush();
      assert.deepEqual([ending(caller), ending(callee)], ['done by caller', 'done by caller']);
      assert.equal(town.manager.sessions.size, 0);
      assert.deepEqual([caller.operations(), callee.operations()], before, 'resumption and session: none');
    });
  }

  for (const suite of CIPHER_SUITES) {
    test(`[P1] login with EDHOC suite ${suite.id}: ${sides}`, () => {
      const only = { cipherSuites: [suite.id] };
      const algorithm: KeyAlgorithm = suite.key;
      assert.ok(algorithm === 'p256' || algorithm === 'ed25519');
      const { town, caller } = mixed(layout, algorithm, { town: { managerSuites: [suite.id] }, caller: only });
      assert.ok(isIn(town, caller), JSON.stringify(caller.news));
    });
  }

  test(`[P1] [P8] a channel by each channel suite, and one that authenticates only: ${sides}`, () => {
    for (const number of CHANNEL_SUITES.keys()) {
      const { town, caller } = mixed(layout, 'p256', { town: { managerChannelSuites: [number] } });
      assert.ok(isIn(town, caller));
      assert.equal(caller.state.channel?.channel.suite, CHANNEL_SUITES[number]);
    }
    const settings = { authenticateOnly: true };
    const { town, caller } = mixed(layout, 'p256', { town: { settings }, caller: { settings } });
    assert.ok(isIn(town, caller));
    assert.equal(caller.state.channel?.channel.authenticateOnly, true);
  });

  test(`[P15] [P16] a session by every suite of the registry, key given or derived: ${sides}`, () => {
    const pair = mixed(layout, 'p256');
    const { town, caller, callee } = pair;
    let sessions = 0;
    for (const { suite } of EVERY_SUITE) {
      const { cipher, keyBits, hash, tagBits } = suite;
      for (const keyMode of ['key', 'seed'] as const) {
        const proposals = [proposal(cipher, keyBits, { keyMode, hash, tagBits })];
        for (const device of [caller, callee])
          device.run((state, world) => register(state, { addresses: [], proposals }, world));
        town.flush();
        caller.call('tv', { allowUnencrypted: true });
        town.flush();
        const sid = caller.latest('sessionOpened')?.sid;
        assert.ok(sid, suiteName(suite));
        const held = session(callee, sid);
        assert.deepEqual([suiteName(held.suite), held.keyMode], [suiteName(suite), keyMode]);
        assertTalks(pair, sid);
        end(caller, sid);
        town.flush();
        sessions++;
      }
    }
    assert.equal(sessions, 2 * 78);
  });
}

// ── Records ─────────────────────────────────────────────────────────────────────────────────────────────────────────

test('[P8] [P16] every suite of the registry, sealed by one half, is opened by the other, byte for byte the same', () => {
  const halves = [nodeCrypto(), portableCrypto()] as const;
  const masterSecret = halves[0].random(32);
  const transcript = halves[0].random(32);
  let suites = 0;
  for (const algorithm of EVERY_SUITE) {
    suites++;
    const side = (crypto: Crypto, senderId: Uint8Array, recipientId: Uint8Array): RecordContext => {
      const ids = { algorithm, senderId, recipientId };
      const keys = deriveContext(crypto, { ...ids, masterSecret, masterSalt: EMPTY, idContext: transcript });
      return makeRecordContext({ ...ids, keys, epochBit: 0, route: null, transcript });
    };
    for (const [ours, theirs] of [halves, [...halves].reverse() as [Crypto, Crypto]]) {
      const sender = side(ours, FIRST_ID, SECOND_ID);
      const twin = side(theirs, FIRST_ID, SECOND_ID);
      const receiver = side(theirs, SECOND_ID, FIRST_ID);
      for (const length of [0, 1, 64, 1000]) {
        const plaintext = ours.random(length);
        const record = sealRecord(ours, sender, 'data', plaintext);
        assert.deepEqual(sealRecord(theirs, twin, 'data', plaintext), record, suiteName(algorithm.suite));
        assert.deepEqual(openRecord(theirs, receiver, record).plaintext, plaintext);
      }
      const altered = sealRecord(ours, sender, 'data', encodeUtf8('altered on its way'));
      altered[altered.length - 1]! ^= 1;
      assert.throws(() => openRecord(theirs, receiver, altered));
    }
  }
  assert.equal(suites, 3 * (3 + 4 + 1 + 9 + 9));
});
