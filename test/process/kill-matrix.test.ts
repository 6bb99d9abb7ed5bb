/**
 * kill -9 of each party, of every pair of them, and of many at random, while two devices talk: the session goes on, by the
 * same id and suite, under the one approval, without public-key work, and no key meets a nonce twice.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { MAX_GENERATION } from '../../protocol/resumption.ts';
import { seededRandom } from '../../sim/seeded-random.ts';
import { BACK_MS, buildChaosHouse, CALLEE, CALLER, type ChaosHouse, countNonces } from '../chaos-house.ts';
import type { Party } from '../real-house.ts';

/** Who may be killed; each alone, and each with each. */
const MORTALS: readonly Party[] = ['broker', 'manager', 'verifier', CALLER, CALLEE];
const PAIRS = MORTALS.flatMap((one, at) => MORTALS.slice(at + 1).map((other) => [one, other]));

const SEED = Number(process.env.KAGIMORI_SEED ?? 20_070_802);
const LONG = process.env.KAGIMORI_LONG === '1';
const KILLS = LONG ? 200 : 2;
/** One return may take several, when who is to answer dies too. */
const SPARE_RESUMPTIONS = 3;
const LONGEST_LIFE_MS = 1_000;
const LONGEST_ABSENCE_MS = 1_500;

const ends: (() => Promise<void>)[] = [];
let chaos: ChaosHouse;
let sid: string;

before(async () => {
  chaos = await buildChaosHouse((end) => ends.push(end));
  sid = await chaos.open();
});
after(async () => {
  for (const end of ends.reverse()) await end();
});

/** Nobody who dies does public-key work for coming back: its count begins at 0, the others' stays. */
async function killAndReturn(parties: readonly Party[], absenceMs: number): Promise<number> {
  const before = await Promise.all([CALLER, CALLEE].map((id) => chaos.publicKeyOperations(id)));
  // a resumption chain ends after so many, and the next login is a full one: not for having died
  const worn = [CALLER, CALLEE].map((id) => chaos.resumptions(id) >= MAX_GENERATION - SPARE_RESUMPTIONS);
  const identity = await chaos.identity(sid);
  await chaos.kill9(parties);
  await new Promise((resolve) => setTimeout(resolve, absenceMs));
  await chaos.start(parties);
  const tookMs = await chaos.goesOn(sid);
  assert.deepEqual(await chaos.identity(sid), identity);
  await chaos.reconnected();
  for (const [at, id] of [CALLER, CALLEE].entries()) {
    if (worn[at]) continue;
    const wanted = parties.includes(id) ? 0 : before[at];
    assert.equal(await chaos.publicKeyOperations(id), wanted, `${id}\n${chaos.recently()}`);
  }
  return tookMs;
}

/** Every second pair, where there is no time for all. */
const pairs = LONG ? PAIRS : PAIRS.filter((_, turn) => turn % 2 === 0);

for (const parties of [...MORTALS.map((one) => [one]), ...pairs]) {
  test(`[B7] [B5] kill -9 of ${parties.join(' and ')}: the session goes on within ${BACK_MS / 1000} s`, async (t) => {
    t.diagnostic(`${Math.round(await killAndReturn(parties, 0))} ms after the start`);
  });
}

test(`[B7] [B5] ${KILLS} kills at random, of one or two parties, while messages are on their way`, {
  timeout: KILLS * 20_000,
}, async (t) => {
  const draw = seededRandom(SEED);
  const times: number[] = [];
  for (let kill = 0; kill < KILLS; kill++) {
    const left = [...MORTALS];
    const parties = Array.from({ length: 1 + draw.below(2) }, () => left.splice(draw.below(left.length), 1)[0]!);
    const [aliveMs, absenceMs] = [draw.below(LONGEST_LIFE_MS), draw.below(LONGEST_ABSENCE_MS)];
    await new Promise((resolve) => setTimeout(resolve, aliveMs));
    try {
      times.push(await killAndReturn(parties, absenceMs));
    } catch (error) {
      const where = `seed ${SEED}, kill ${kill}: ${parties.join(' and ')} after ${aliveMs} ms for ${absenceMs} ms`;
      throw new Error(where, { cause: error });
    }
  }
  times.sort((a, b) => a - b);
  t.diagnostic(
    `back after ${Math.round(times[times.length >> 1]!)} ms (median), ${Math.round(times.at(-1)!)} ms (longest)`,
  );
});

test('[B7] [5.6 nonce reuse after kill −9] over all lives of all processes no key has met a nonce twice', async () => {
  const { encryptions, records, repeated } = chaos.nonces();
  assert.ok(records > 100, `${records} records passed`);
  assert.ok(encryptions >= records, `${encryptions} encryptions were written down, ${records} records passed`);
  assert.deepEqual(repeated, []);
});

test('the count of nonces finds a pair that comes twice', () => {
  assert.deepEqual(countNonces('k1 n1\nk2 n1\nk1 n2\nk2 n1\n', 4), { encryptions: 4, records: 4, repeated: ['k2 n1'] });
});
