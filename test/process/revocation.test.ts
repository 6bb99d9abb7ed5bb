/**
 * `kagimori ca revoke` of a device that talks, between real processes: everything ends in five seconds, whoever is killed,
 * cut off or not running at that moment.
 */
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { suite, type TestContext, test } from 'node:test';
import { requireAllOver } from '../../bench/revocation/live-round.ts';
import { buildHouse, type House } from '../real-house.ts';
import { runCommand } from '../real-process.ts';
import {
  assertInTime,
  assertStaysOut,
  certifyUnderRoot,
  fromNow,
  hearWithTimes,
  IN_TIME_MS,
  loggedSince,
  PROPOSALS,
  revokeByCommand,
  type Span,
  type Talk,
  type TimedEar,
  talk,
  timeOf,
  untilSome,
  wayOut,
} from '../revocation-house.ts';
import { type Valve, valveTo } from '../valve.ts';

const LONG = process.env.KAGIMORI_LONG === '1';
const ASKS = 'approval: { otherwise: ask }\n';
const THIEF_ASKS_BELL = 'approval: { rules: [{ from: bell, decision: ask }] }\n';
/** The device comes again after its link was cut, and waits up to a second for it. */
const DENIED_MS = IN_TIME_MS + 5_000;

suite('revoked by kagimori ca revoke', { concurrency: true }, () => {
  test('[P4] [B6] a device that talks to three peers and is about to talk to two more is out in 5 s, and stays out', async (t) => {
    const ids = ['thief', 'lamp', 'horn', 'clock', 'door', 'bell'];
    const own: Readonly<Record<string, string>> = { thief: THIEF_ASKS_BELL, door: ASKS };
    const occupants = ids.map((id) => ({ id, yaml: PROPOSALS + (own[id] ?? '') }));
    const house = await buildHouse({ occupants, logLevel: 'info', certify: certifyUnderRoot }, (end) => t.after(end));
    await Promise.all(ids.map((id) => house.admit(id)));
    const [lamp, horn, clock, door, bell, thief] = (await Promise.all(
      ['lamp', 'horn', 'clock', 'door', 'bell', 'thief'].map((id) => hearWithTimes(house, id)),
    )) as [TimedEar, TimedEar, TimedEar, TimedEar, TimedEar, TimedEar];
    const talks = await Promise.all([
      talk(t, house, { victim: 'thief', peer: 'lamp', ear: lamp }),
      talk(t, house, { victim: 'thief', peer: 'horn', ear: horn }),
      talk(t, house, { victim: 'thief', peer: 'clock', ear: clock, caller: 'clock' }),
    ]);
    // two connects that wait for a yes, one at each end
    const asks = [
      house.ask('thief', 'connect', { callee: 'door' }).then(() => null, refusedAt),
      house.ask('bell', 'connect', { callee: 'thief' }).then(() => null, refusedAt),
    ];
    await Promise.all([door, thief].map((ear) => ear.until('the question', ({ event }) => event === 'ask')));
    copyFileSync(house.at('thief/channel.cbor'), house.at('stolen-memory'));

    const revocation = await revokeByCommand(house, 'thief');
    const { began, ended } = revocation;
    const out = await wayOut(house, 'thief', revocation, talks);
    assertInTime(t, 'after the end of the command', out);
    for (const [which, refused] of (await Promise.all(asks)).entries()) {
      assert.ok(refused !== null, 'nobody said yes');
      const ms = refused.at - ended;
      t.diagnostic(`connect ${which === 0 ? 'of the revoked' : 'to the revoked'}: ${refused.code} after ${ms} ms`);
      assert.ok(ms <= IN_TIME_MS, `${ms} ms`);
      assert.equal(refused.code, 'revoked');
    }
    const withdrawn = await untilSome('nobody is asked any more', async () => {
      const { asked } = (await house.ask('door', 'status')) as { asked: object[] };
      return asked.length === 0 ? Date.now() : null;
    });
    assert.ok(withdrawn - ended <= IN_TIME_MS, `${withdrawn - ended} ms`);

    const denied = await loggedSince(house, 'thief', began, 'login.denied');
    assert.equal(denied.reason, 'revoked');
    t.diagnostic(`its next login was denied after ${timeOf(denied) - ended} ms`);
    assert.ok(timeOf(denied) - ended <= DENIED_MS, `${timeOf(denied) - ended} ms`);
    await assertStaysOut(house, 'thief', ended);
    // what it kept of its channel is of no use any more, nor is what somebody copied before
    await house.stop('thief');
    copyFileSync(house.at('stolen-memory'), house.at('thief/channel.cbor'));
    const again = await house.start('thief');
    await again.logged('the refusal', ({ event, reason }) => event === 'login.denied' && reason === 'revoked');
    await assertStaysOut(house, 'thief', ended);
    assert.ok(!again.log.some(({ event }) => event === 'channel.opened' || event === 'registered'), again.written());
    await assert.rejects(house.ask('bell', 'connect', { callee: 'thief' }), ({ code }: { code: string }) =>
      /^(?:unreachable|revoked|not-registered)$/.test(code),
    );

    // the others are not disturbed; the same name comes in with another certificate
    await house.ask('lamp', 'connect', { callee: 'horn' });
    assert.deepEqual(
      bell.heard.filter(({ news }) => news.event === 'channel.closed'),
      [],
    );
    await house.stop('thief');
    const files = ['--dir', house.at('ca'), '--out', house.at('certificates')];
    const issued = await runCommand(['ca', 'issue', 'thief', ...files]);
    assert.equal(issued.code, 0, issued.stderr);
    await house.admit('thief');
    await house.ask('lamp', 'connect', { callee: 'thief' });
  });

  test('[P4] [B6] [B7] killed, not running or cut off at that moment: the revoked are out, and their peers are told, as soon as they can be', async (t) => {
    const [house, valves] = await houseWithValves(t);
    const [lamp, horn] = await Promise.all([hearWithTimes(house, 'lamp'), hearWithTimes(house, 'horn')]);
    const talks: Talk[] = [];
    for (const victim of VICTIMS) talks.push(await talk(t, house, { victim, peer: 'lamp', ear: lamp }));
    const hornTalk = await talk(t, house, { victim: 'six', peer: 'horn', ear: horn });

    const revokedAt = new Map<string, number>();
    const revoke = async (victim: string): Promise<Span> => {
      const span = await revokeByCommand(house, victim);
      revokedAt.set(victim, span.ended);
      return span;
    };

    let since: Span;
    if (LONG) {
      // the manager dies as soon as the verifier knows, and comes back
      since = await revoke('one');
      await loggedSince(house, 'verifier', since.began, 'file.adopted');
      await house.stop('manager');
      await house.start('manager');
      since = fromNow();
      assertInTime(t, 'manager killed right after', await wayOut(house, 'one', since, talks, NOT_HEARD), SINCE_START);

      await Promise.all([house.stop('verifier'), house.stop('manager')]);
      await revoke('four');
      await house.start('manager');
      await house.start('verifier');
      since = fromNow();
      assertInTime(t, 'while both were down', await wayOut(house, 'four', since, talks, NOT_HEARD), SINCE_START);
    }

    await house.stop('manager');
    await revoke('two');
    await house.start('manager');
    since = fromNow();
    assertInTime(t, 'while the manager was down', await wayOut(house, 'two', since, talks, NOT_HEARD), SINCE_START);

    await house.stop('verifier');
    await revoke('three');
    const starting = Date.now();
    await house.start('verifier');
    since = { began: starting, ended: Date.now() };
    assertInTime(t, 'while the verifier was down', await wayOut(house, 'three', since, talks), SINCE_START);

    // the verifier knows, and what it says of it is lost
    valves.verifier.cut();
    await house.running('verifier').logged('the cut', ({ event }) => event === 'broker.down');
    since = await revoke('five');
    await loggedSince(house, 'verifier', since.began, 'file.adopted');
    valves.verifier.open();
    const up = timeOf(await loggedSince(house, 'verifier', since.ended, 'broker.up'));
    since = { began: up, ended: up };
    assertInTime(t, "while the verifier's link was cut", await wayOut(house, 'five', since, talks), ' since its link');

    // a peer without a link learns at its next contact
    valves.horn.cut();
    await house.running('horn').logged('the cut', ({ event }) => event === 'broker.down');
    since = await revoke('six');
    assertInTime(t, 'a peer is cut off', await wayOut(house, 'six', since, talks));
    assert.ok(!horn.heard.some(({ news }) => news.event === 'session.closed'), 'nobody can have told it');
    valves.horn.open();
    const back = timeOf(await loggedSince(house, 'horn', since.ended, 'broker.up'));
    const told = await horn.until('the end', ({ event, sid }) => event === 'session.closed' && sid === hornTalk.sid);
    assert.equal(told.news.reason, 'revoked');
    t.diagnostic(`the peer that was cut off learnt it ${told.at - back} ms after its link was up`);
    assert.ok(told.at - back <= IN_TIME_MS, `${told.at - back} ms`);

    for (const [victim, at] of revokedAt) await assertStaysOut(house, victim, at);
    await untilSome('nobody is in doubt', async () => {
      const { revocation } = (await house.ask('manager', 'status')) as { revocation: { inDoubt: number } };
      return revocation.inDoubt === 0 ? true : null;
    });
    await house.ask('lamp', 'connect', { callee: 'horn' });
  });
});

test('what would not hold is noticed: a step that took too long, a session that goes on or takes records after its end', (t) => {
  const well = { linkCut: 1, marked: 2, told: 3, lastRecord: -4 };
  assertInTime(t, 'well', well);
  for (const step of Object.keys(well))
    assert.throws(() => assertInTime(t, 'late', { ...well, [step]: IN_TIME_MS + 1 }), assert.AssertionError, step);
  const over = { sid: '00', from: 'thief', accepted: 5, lastAt: 10, endedAt: 11, reason: 'revoked' };
  const report = { unlinkedAt: [], sent: 5 };
  requireAllOver({ ...report, sessions: [over] }, 1);
  for (const bad of [{ endedAt: null }, { reason: 'done' }, { accepted: 0 }, { lastAt: 12 }])
    assert.throws(() => requireAllOver({ ...report, sessions: [{ ...over, ...bad }] }, 1), Error);
  assert.throws(() => requireAllOver({ ...report, sessions: [] }, 1), Error);
});

const SINCE_START = ' since who was down was there again';
/** A manager that has just come has no channel by which it could cut a link; and the talk pauses with it. */
const NOT_HEARD = { linkCut: false, talking: false } as const;
const VICTIMS = ['two', 'three', 'five', 'six', ...(LONG ? ['one', 'four'] : [])];

const refusedAt = ({ code }: { code: string }) => ({ code, at: Date.now() });

/** The verifier and the horn have a stretch of network of their own. */
async function houseWithValves(t: TestContext): Promise<[House, Readonly<Record<'verifier' | 'horn', Valve>>]> {
  let broker = '';
  const occupants = [...VICTIMS, 'lamp', 'horn'].map((id) => ({ id, yaml: PROPOSALS }));
  const between = async (url: string): Promise<string> => {
    broker = url;
    return url;
  };
  const house = await buildHouse({ occupants, logLevel: 'info', certify: certifyUnderRoot, between }, (end) =>
    t.after(end),
  );
  const valves = { verifier: await valveTo(broker), horn: await valveTo(broker) };
  for (const [party, valve] of Object.entries(valves)) {
    t.after(() => valve.close());
    house.write(`${party}.yaml`, house.read(`${party}.yaml`).replace(broker, valve.url));
  }
  await house.stop('verifier');
  await house.start('verifier');
  await Promise.all(occupants.map(({ id }) => house.admit(id)));
  return [house, valves];
}
