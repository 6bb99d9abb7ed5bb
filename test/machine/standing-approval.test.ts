/**
 * Standing approvals: the grant rides with the ask, for the callers, lifetimes and nonces that the callee gave out.
 * [P14] @spec design §5.4
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withdrawStanding } from '../../device-agent/standing.ts';
import { fromHex } from '../../protocol/bytes.ts';
import type { DeviceId } from '../../protocol/units.ts';
import {
  assertTalks,
  type Couple,
  couple,
  ending,
  GCM_128,
  grantFor,
  managerSays,
  refusal,
  session,
} from '../couple.ts';

const ROUTER = 'router' as DeviceId;

/** `tv` approves 600 s of `router` beforehand; whoever else asks is treated as `otherwise` says. */
const standing = (otherwise: 'allow' | 'refuse', busy = false): Couple =>
  couple({
    callee: {
      settings: {
        standing: [{ caller: ROUTER, lifetimeSeconds: 600 }],
        approval: { rules: [], otherwise, askTimeoutSeconds: 30, busy },
      },
    },
  });

/** @returns messages that the callee sent and received until the session was open */
function call(pair: Couple, lifetimeSeconds = 600): string {
  const before = pair.caller.latest('sessionOpened')?.sid;
  pair.caller.call('tv', { lifetimeSeconds });
  pair.town.flush();
  const sid = pair.caller.latest('sessionOpened')?.sid;
  if (sid === undefined || sid === before) return refusal(pair.caller) ?? ending(pair.caller);
  assertTalks(pair, sid);
  const { sent, received } = session(pair.callee, sid).cost;
  return `${sent} sent, ${received} received`;
}

const RODE = '1 sent, 2 received';
const ASKED = '2 sent, 3 received';

test('[P14] the grant rides with the ask: one message to the callee, none from it, before the first records', () => {
  assert.equal(call(standing('refuse')), RODE);
});

test('[P14] when the nonces are used up it is asked as usual, and its answer brings fresh ones', () => {
  const pair = standing('allow');
  const seen = Array.from({ length: 7 }, () => call(pair));
  assert.deepEqual(seen, [RODE, RODE, RODE, RODE, ASKED, RODE, RODE]);
});

test('[P14] no nonce is used twice', () => {
  const pair = standing('allow');
  const nonces = new Set(pair.callee.state.standing.get(ROUTER)!.nonces);
  for (let i = 0; i < 12; i++) {
    call(pair);
    const held = [...pair.callee.state.standing.get(ROUTER)!.nonces];
    assert.equal(held.length, 4);
    for (const nonce of held) nonces.add(nonce);
  }
  assert.equal(nonces.size, 4 + [...pair.callee.state.sessions.values()].filter(({ cost }) => cost.sent === 1).length);
});

test('[P14] a longer lifetime and another caller are asked as usual', () => {
  const pair = standing('refuse');
  assert.equal(call(pair, 601), 'refused-by-policy');
  const phone = pair.town.add('phone');
  phone.call('tv', { lifetimeSeconds: 60 });
  pair.town.flush();
  assert.equal(refusal(phone), 'refused-by-policy');
});

test('[P14] withdrawn by one message: from then on it is asked as usual, also on later channels', () => {
  const pair = standing('refuse');
  assert.equal(call(pair), RODE);
  pair.callee.run((state, world) => {
    withdrawStanding(state, ROUTER, world);
  });
  pair.town.flush();
  assert.equal(call(pair), 'refused-by-policy');
  pair.callee.breakLink();
  pair.town.flush();
  assert.equal(call(pair), 'refused-by-policy');
});

test('[P14] it outlives a broken link and a restart of the manager', () => {
  const pair = standing('refuse');
  pair.callee.breakLink();
  pair.town.flush();
  assert.equal(call(pair), RODE);
  pair.town.restartManager();
  pair.town.advance(1000);
  assert.equal(call(pair), RODE);
});

/** A lying manager lets a grant ride that takes this nonce for an approval. */
function ride(pair: Couple, nonceB: Uint8Array, sidByte: number): void {
  const sid = new Uint8Array(8).fill(sidByte);
  const nonceA = new Uint8Array(16).fill(sidByte);
  const ask = { sid, from: ROUTER, name: 'tv', nonceA, suite: GCM_128, keyMode: 'seed', lifetime: 600 } as const;
  const grant = grantFor(pair, 'callee', { sid, nonceA, nonceB, lifetime: 600 });
  managerSays(pair.town, pair.callee.id, [{ kind: 'Ask', ...ask }, grant]);
}
const anyNonce = (pair: Couple) => fromHex([...pair.callee.state.standing.get(ROUTER)!.nonces][0]!);

test('[5.6 key reinstallation by a repeated grant] a nonce given out beforehand installs one session', () => {
  const pair = standing('allow');
  const nonce = anyNonce(pair);
  ride(pair, nonce, 1);
  assert.equal(pair.callee.state.sessions.size, 1);
  ride(pair, nonce, 2);
  assert.equal(pair.callee.state.sessions.size, 1);
  assert.ok(pair.callee.logs.some((line) => line.includes('ask.refused') && line.includes('withdrawn')));
});

test('[5.6 key reinstallation by a repeated grant] a nonce of the process before, or of nobody, installs nothing', () => {
  const pair = standing('allow');
  const old = anyNonce(pair);
  pair.callee.restart();
  pair.town.flush();
  ride(pair, old, 1);
  ride(pair, new Uint8Array(16), 2);
  assert.equal(pair.callee.state.sessions.size, 0);
  assert.equal(call(pair), RODE, 'the new process gave out nonces of its own');
});

test('[P14] a callee that is busy refuses all the same: the caller learns it, nothing is left', () => {
  const pair = standing('allow', true);
  assert.equal(call(pair), 'busy by manager');
  for (const { state } of [pair.caller, pair.callee]) assert.deepEqual([state.sessions.size, state.asked.size], [0, 0]);
  assert.equal(pair.town.manager.sessions.size, 0);
});
