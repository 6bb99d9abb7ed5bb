/**
 * Verifiers that start anew, disagree, change their key, or tell of very much at once, as a manager hears them. [P4] [B6]
 * @spec design §5.1
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hearsVerifier } from '../../manager/revocation-watch.ts';
import { toHex } from '../../protocol/bytes.ts';
import { certificateMark, keyMark } from '../../protocol/revocation-mark.ts';
import { connect, couple, end, refusal, talking } from '../couple.ts';
import { ca, certify, crypto, DEVICE_WISHES, type Holder } from '../test-authority.ts';
import { town } from '../town.ts';
import type { Town } from '../town-plan.ts';
import { assertOut, closings, forward, logged, questionsAbout } from './revocation-house.ts';
import { isIn } from './town-packets.ts';

const serialOf = ({ certificate }: Holder): string => certificateMark(crypto, certificate.issuer, certificate.serial);
const keyOf = ({ certificate }: Holder): string => keyMark(crypto, certificate.spki);
const doubts = (t: Town): number => logged(t, 'revocation.judging-anew').length;
const heard = (t: Town): boolean => hearsVerifier(t.manager.revocation, t.clock.now());

// ── New processes ───────────────────────────────────────────────────────────────────────────────────────────────────

test('[P4] a new process of the verifier in the same state raises no doubt; in another it does, and what it knew from the start takes effect', () => {
  const pair = talking();
  const { town: t, callee: tv } = pair;
  const from = t.packets.length;
  t.verifiers[0]!.restart();
  forward(t, 3000);
  assert.equal(t.manager.revocation.sources.size, 2);
  assert.deepEqual([doubts(t), questionsAbout(t, from).length], [0, 0]);
  t.verifiers[0]!.restart(tv.holder);
  forward(t, 3000);
  assert.equal(doubts(t), 1);
  assertOut(t, tv);
  assert.deepEqual(closings(pair.caller), ['revoked by manager']);
});

test('[P4] [B7] a manager that starts in the state that it was settled in doubts nobody; in another everybody', () => {
  const pair = talking();
  const { town: t, caller: router, callee: tv } = pair;
  forward(t, 2000);
  let from = t.packets.length;
  t.restartManager();
  forward(t, 3000);
  assert.equal(doubts(t), 0);
  assert.ok(questionsAbout(t, from).length <= 2, 'at most about those who came before the first event');
  assert.ok(isIn(t, router) && isIn(t, tv));
  from = t.packets.length;
  t.verifiers[0]!.bent = () => [];
  t.verifiers[0]!.revoke(tv.holder);
  t.verifiers[0]!.bent = null;
  t.restartManager();
  forward(t, 5000);
  assert.equal(doubts(t), 1);
  assert.ok(questionsAbout(t, from).length >= 2);
  assertOut(t, tv);
  assert.ok(isIn(t, router));
});

test('[B6] the disk refuses the eviction: it is made again until it is there, and a restart meanwhile brings nobody back', () => {
  const t = town();
  const tv = t.add('tv');
  forward(t, 2000);
  t.diskBroken = true;
  t.revoke(tv.holder);
  forward(t, 1000);
  assert.ok(!t.manager.channels.has(tv.id));
  assert.notEqual(t.store.get('resumption', tv.id), null, 'as before');
  tv.restart();
  forward(t, 7000);
  assert.ok(!t.manager.channels.has(tv.id));
  t.diskBroken = false;
  t.restartManager();
  tv.restart();
  forward(t, 5000);
  assertOut(t, tv);

  const other = town();
  const lamp = other.add('lamp');
  other.diskBroken = true;
  other.revoke(lamp.holder);
  other.diskBroken = false;
  forward(other, 10_000);
  assertOut(other, lamp);
});

test('[B6] the state is not noted as settled before the evictions that belong to it are on disk', () => {
  const t = town();
  const tv = t.add('tv');
  forward(t, 2000);
  const settled = (): Uint8Array | null => t.store.get('revocation', 'state');
  const before = settled();
  assert.notEqual(before, null);
  let commits = 0;
  Object.defineProperty(t, 'diskBroken', { get: () => commits++ === 0 }); // it refuses the first, the eviction
  t.revoke(tv.holder);
  assert.ok(commits > 0);
  assert.deepEqual(settled(), before);
  forward(t, 10_000);
  assert.notDeepEqual(settled(), before);
  assertOut(t, tv);
});

test('[B6] a login with a renewed certificate that the disk refuses leaves the one before in its place, marks and all', () => {
  const t = town();
  const tv = t.add('tv');
  t.diskBroken = true;
  const renewed = t.add('tv', { holder: certify('tv', { ...DEVICE_WISHES, key: tv.holder.key }, t.ca) });
  assert.ok(!isIn(t, renewed) && isIn(t, tv));
  t.diskBroken = false;
  renewed.feed({ type: 'unlinked' });
  t.revoke(tv.holder);
  assertOut(t, tv);
});

test('more processes than are kept: the one that was used last goes last, and nothing breaks', () => {
  const t = town();
  const tv = t.add('tv');
  for (let i = 0; i < 20; i++) {
    t.verifiers[0]!.restart();
    forward(t, 1000);
  }
  assert.equal(t.manager.revocation.sources.size, 16);
  assert.ok(isIn(t, tv) && heard(t));
  t.revoke(tv.holder);
  assertOut(t, tv);
});

// ── Two verifiers, several keys ─────────────────────────────────────────────────────────────────────────────────────

test('[P4] two verifiers that hear of a revocation one after the other: out with the first event, no doubt, settled when they agree', () => {
  const t = town({ verifiers: 2 });
  const [tv, lamp] = ['tv', 'lamp'].map((name) => t.add(name));
  const [first, second] = t.verifiers;
  forward(t, 2000);
  const settled = t.manager.revocation.settled;
  assert.notEqual(settled, null);
  first!.revoke(tv!.holder);
  t.flush();
  assertOut(t, tv!);
  forward(t, 5000);
  assert.equal(t.manager.revocation.settled, settled);
  second!.revoke(tv!.holder);
  forward(t, 2000);
  assert.notEqual(t.manager.revocation.settled, settled);
  assert.deepEqual([doubts(t), isIn(t, lamp!)], [0, true]);
});

test('[P4] one of two verifiers is away: events and verdicts of the other do; two answers to one question do no harm', () => {
  const t = town({ verifiers: 2 });
  const tv = t.add('tv');
  assert.ok(isIn(t, tv));
  assert.deepEqual(
    t.verifiers.map(({ asked }) => asked > 0),
    [true, true],
  );
  for (const [away, there] of [
    [0, 1],
    [1, 0],
  ] as const) {
    t.verifiers[away]!.away = true;
    t.verifiers[there]!.away = false;
    forward(t, 10_000);
    assert.ok(heard(t));
    const name = `lamp-${there}`;
    assert.ok(isIn(t, t.add(name)), 'it answers');
    connect({ town: t, caller: tv, callee: t.add(`radio-${there}`) });
  }
});

test('[P4] the verifier changes its key: old, both, new; whoever signs with one that is not pinned is not heard', () => {
  const pair = couple({ town: { verifiers: 2 } });
  const { town: t } = pair;
  const [old, next] = t.verifiers.map(({ holder }) => crypto.publicKey(holder.certificate.spki)!);
  const [before, after] = t.verifiers;
  t.manager.verifierKeys = [old!];
  after!.away = true;
  forward(t, 5000);
  assert.ok(heard(t));
  t.manager.verifierKeys = [old!, next!];
  after!.away = false;
  before!.away = true;
  forward(t, 5000);
  assert.ok(heard(t));
  connect(pair);
  assert.ok(isIn(t, t.add('lamp')));
  t.manager.verifierKeys = [next!];
  after!.away = true;
  before!.away = false;
  forward(t, 5000);
  assert.ok(!heard(t));
  const late = t.add('late');
  t.advance(6000);
  assert.ok(!isIn(t, late), 'nor are its verdicts taken');
});

// ── Many ────────────────────────────────────────────────────────────────────────────────────────────────────────────

test('[B6] 100,000 marks at once: the device among them is out, the others talk on, no doubt is raised', () => {
  const pair = talking();
  const { town: t, callee: tv } = pair;
  const lamp = t.add('lamp');
  const bystander = connect({ town: t, caller: pair.caller, callee: lamp });
  const others = Array.from({ length: 100_000 }, (_, i) => {
    const mark = new Uint8Array(32);
    new DataView(mark.buffer).setUint32(0, i);
    return toHex(mark);
  });
  t.verifiers[0]!.revokeMarks(...others.slice(0, 60_000), serialOf(tv.holder), ...others.slice(60_000));
  t.flush();
  assertOut(t, tv);
  assert.deepEqual([...pair.caller.state.sessions.keys()], [bystander]);
  assert.equal(doubts(t), 0);
  assert.ok(t.manager.revocation.fresh.size <= 200_000);
  forward(t, 62_000);
  assert.equal(t.manager.revocation.fresh.size, 0, 'and is forgotten after a minute');
});

test('[B6] 2,000 devices below one intermediate: they are put out in turns, and none does anything while it waits for its own', () => {
  const t = town();
  const branch = ca(t.root, 'Branch CA');
  const tv = t.add('tv', { issuer: branch });
  const router = t.add('router');
  const sid = connect({ town: t, caller: router, callee: tv });
  // as many records as a fleet has, the real one last
  const record = t.manager.devices.get(tv.id)!;
  t.manager.devices.delete(tv.id);
  const fleet = Array.from({ length: 2000 }, (_, i) => `device-${i}` as typeof tv.id);
  for (const id of [...fleet, tv.id]) {
    t.manager.devices.set(id, record);
    for (const bearers of t.manager.revocation.bearers.values()) {
      if (!bearers.has(tv.id)) continue;
      bearers.add(id);
    }
  }
  for (const bearers of t.manager.revocation.bearers.values()) if (bearers.delete(tv.id)) bearers.add(tv.id);
  const steps: number[] = [];
  t.verifiers[0]!.revokeMarks(serialOf(branch), keyOf(branch));
  t.flush();
  assert.ok(t.manager.revocation.condemned.size > 1000 && t.manager.revocation.condemned.has(tv.id));
  tv.call('router');
  t.flush();
  assert.equal(t.manager.sessions.size, 1, 'no connect of one that waits');
  end(tv, sid);
  t.flush();
  assert.equal(t.manager.sessions.get(sid)?.flow.state, 'granted', 'nor is anything heard that it says');
  router.call('tv');
  t.flush();
  assert.equal(refusal(router), 'verifier-away');
  while (t.manager.revocation.condemned.size > 0 && steps.length < 10) {
    steps.push(t.manager.revocation.condemned.size);
    t.advance(1);
  }
  assert.ok(steps.length >= 3 && steps.length < 10, steps.join());
  assert.equal(t.manager.sessions.size, 0);
  assert.deepEqual(closings(router), ['revoked by manager']);
});

// ── The manager itself ──────────────────────────────────────────────────────────────────────────────────────────────

test('[P5] the manager’s own certificate is revoked: the verdict that it staples is gone, it asks, and says so', () => {
  const t = town();
  const own = t.manager.reader.readCertificate(t.manager.identity.chain[0]!)!;
  assert.equal(t.manager.ownVerdicts.size, 1);
  t.verifiers[0]!.revokeMarks(certificateMark(crypto, own.issuer, own.serial));
  t.flush();
  assert.equal(t.manager.ownVerdicts.size, 0, 'a verifier that still calls it good is not believed for a minute');
  assert.equal(logged(t, 'manager.certificate-refused').length, 1);
  const demanding = t.add('tv', { settings: { managerVerdict: 'cached' } });
  t.advance(2000);
  assert.ok(!isIn(t, demanding));
});
