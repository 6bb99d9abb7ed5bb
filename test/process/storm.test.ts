/**
 * Hundreds of live devices, real agents over real MQTT, whose broker and manager are killed with -9 and started again:
 * everybody is back by resumption, nothing is lost, nobody is let in faster than the pace. The 10,000 of design §6 are
 * measured by `npm run bench -- storm`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startFleet } from '../../bench/fleet/fleet.ts';
import { papersFor } from '../../bench/fleet/papers.ts';
import { startServices } from '../../bench/fleet/services.ts';
import { runStorm, type Storm, untilConnected, untilRegistered } from '../../bench/fleet/storm-run.ts';
import { requireNothingLost } from '../../bench/storm.ts';

const LONG = process.env.KAGIMORI_LONG !== undefined;
const DEVICES = LONG ? 2000 : 300;
const PAIRS = LONG ? 200 : 30;
/** Low, so that turns are given out. */
const PER_SECOND = LONG ? 200 : 75;
const STORMS = LONG
  ? ([['broker'], ['manager'], ['broker', 'manager']] as const)
  : ([['broker'], ['manager']] as const);
/** The promise for ten thousand; a busy machine may use it up with fewer. */
const BACK_MS = 60_000;
const TEST_MS = LONG ? 900_000 : 300_000;

test(`[B7] [B5] ${DEVICES} live devices after kill -9: all back by resumption at the pace, no session, registration or message lost`, {
  timeout: TEST_MS,
}, async (context) => {
  const papers = papersFor(DEVICES, () => {});
  const services = await startServices(papers, {
    managerYaml: `limits: { resumptionsPerSecond: ${PER_SECOND}, loginsPerSecond: 1000 }\n`,
  });
  context.after(() => services.close());
  const fleet = await startFleet({ url: services.url, papers, devices: DEVICES, processes: 1 });
  context.after(() => fleet.close());
  await untilRegistered(fleet, DEVICES, () => {});
  const sessions = await untilConnected(fleet, PAIRS);
  const storms: Storm[] = [];
  for (const victims of STORMS) {
    const storm = await runStorm({ services, fleet, probe: null }, victims, BACK_MS, () => {});
    requireNothingLost(victims.join(' and '), storm, DEVICES, sessions);
    assert.ok(storm.mostInASecond <= 1.1 * PER_SECOND + 1, `${storm.mostInASecond} were let in in one second`);
    assert.ok(storm.answerMs.length > 0 && Math.max(...storm.answerMs) < 5000, 'the manager answers meanwhile');
    storms.push(storm);
  }
  const [storm] = storms as [Storm];
  assert.equal(storm.backMs.length, DEVICES);
  for (const [what, count] of [
    ['a message', { messages: storm.count.messages - 1 }],
    ['an end of a session', { sessions: storm.count.sessions - 1 }],
    ['a device', { inside: storm.count.inside - 1 }],
    ['a full login', { returns: [...storm.count.returns.slice(1), { at: 0, how: 'edhoc' }] }],
    ['a public-key operation', { publicKeyOperations: 1 }],
  ] as const) {
    const worse: Storm = { ...storm, count: { ...storm.count, ...count } };
    assert.throws(() => requireNothingLost('broker', worse, DEVICES, sessions), Error, `${what} would be noticed`);
  }
});
