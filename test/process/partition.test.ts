/**
 * A manager and a verifier that are cut off from each other while the fleet lives on: no new login without a fresh
 * verdict, channels and sessions go on until their verdict's age is over, and soon after the cut is mended all is well.
 */
import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { buildHouse, type House } from '../real-house.ts';
import type { LogLine, RealProcess } from '../real-process.ts';
import { type Valve, valveTo } from '../valve.ts';

const LONG = process.env.KAGIMORI_LONG === '1';
/** The least that a verifier may be set to, in the short run. */
const MAX_AGE_S = LONG ? 30 : 10;
const CUT_MS = LONG ? 60_000 : 13_000;
/** A question is given up after this; the rest is what timers and a busy machine take. */
const QUESTION_S = 1;
const SLACK_MS = 1_500;
const BACK_MS = 5_000;
/** Between two attempts of a device that was refused for a minute. */
const RETRY_MS = 70_000;

const PROPOSALS = 'proposals: [{ cipher: aes-gcm, keyBits: 128, keyMode: seed }]\n';
const IDS = ['lamp', 'switch', 'horn'] as const;

interface Cut {
  readonly name: string;
  /** Between manager and verifier nothing passes from now on. */
  begin(house: House, valve: Valve): void;
  end(house: House, valve: Valve): void;
}

const CUTS: readonly Cut[] = [
  {
    name: 'the network between them swallows everything',
    begin: (_house, valve) => valve.shut(),
    end: (_house, valve) => valve.open(),
  },
  {
    name: 'the verifier is stopped',
    begin: (house) => void house.running('verifier').child.kill('SIGSTOP'),
    end: (house) => void house.running('verifier').child.kill('SIGCONT'),
  },
];

const timeOf = (line: LogLine): number => Date.parse(String(line.time));
const registered = async (house: House): Promise<string[]> =>
  ((await house.ask('manager', 'device.list')) as { id: string }[]).map(({ id }) => id);
const after = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function houseWithValve(t: TestContext): Promise<{ house: House; valve: Valve }> {
  let broker = '';
  const house = await buildHouse(
    {
      occupants: IDS.map((id) => ({ id, yaml: PROPOSALS })),
      verifierYaml: `verdictMaxAgeSeconds: ${MAX_AGE_S}\n`,
      managerYaml: `limits: { questionTimeoutSeconds: ${QUESTION_S} }\n`,
      between: async (url) => {
        broker = url;
        return url;
      },
    },
    (end) => t.after(end),
  );
  const valve = await valveTo(broker);
  t.after(() => valve.close());
  await house.stop('verifier');
  house.write('verifier.yaml', house.read('verifier.yaml').replace(broker, valve.url));
  const verifier = await house.start('verifier');
  await verifier.logged('the broker', ({ event }) => event === 'broker.up');
  return { house, valve };
}

/** @returns the log line, and how long after `since` it was written */
async function loggedSince(running: RealProcess, since: number, event: string, device?: string, withinMs?: number) {
  const fits = (line: LogLine): boolean =>
    line.event === event && timeOf(line) >= since && (device === undefined || line.device === device);
  const line = await running.logged(`${event} ${device ?? ''}`, fits, withinMs);
  return { line, afterMs: timeOf(line) - since };
}

suite('[P4] manager and verifier cut off from each other', { concurrency: true }, () => {
  for (const { name, begin, end } of CUTS) {
    test(`${name}: no login, live channels until their verdict's age is over, back in 5 s`, {
      timeout: CUT_MS + 120_000,
    }, async (t) => {
      const { house, valve } = await houseWithValve(t);
      const manager = house.running('manager');
      await Promise.all([house.admit('lamp'), house.admit('switch')]);
      const [lamp, button] = await Promise.all([house.hear('lamp'), house.hear('switch')]);
      const { sid } = (await house.ask('switch', 'connect', { callee: 'lamp' })) as { sid: string };

      const cutAt = Date.now();
      begin(house, valve);
      // a device that was never here, and needs a verdict; two whose verdict still holds
      const horn = await house.start('horn');
      const refused = await horn.logged('the refusal', ({ event }) => event === 'login.denied');
      assert.equal(refused.reason, 'verifier-away');
      assert.deepEqual(await registered(house), ['lamp', 'switch']);
      await house.ask('switch', 'send', { to: sid, text: 'still there' });
      await lamp.until('the message', ({ text }) => text === 'still there');
      const away = await loggedSince(manager, cutAt, 'verifier.away');
      assert.equal(away.line.level, 'error');

      for (const id of ['lamp', 'switch']) {
        const { line, afterMs } = await loggedSince(manager, cutAt, 'device.evicted', id, RETRY_MS);
        assert.equal(line.reason, 'verifier-away');
        // it was judged anew at the latest when a fifth of the age was left
        assert.ok(
          afterMs >= MAX_AGE_S * 200 - SLACK_MS && afterMs <= MAX_AGE_S * 1000 + SLACK_MS,
          `${id}: ${afterMs} ms`,
        );
        t.diagnostic(`${id} was evicted ${afterMs} ms after the cut`);
      }
      await manager.logged('the end of the session', ({ event, sid: of }) => event === 'session.over' && of === sid);
      await after(Math.max(0, cutAt + CUT_MS - Date.now()));
      assert.deepEqual(await registered(house), ['lamp', 'switch'], 'nobody came in meanwhile');

      const healedAt = Date.now();
      end(house, valve);
      const back = await loggedSince(manager, healedAt, 'verifier.back');
      assert.ok(back.afterMs <= BACK_MS, `${back.afterMs} ms`);
      // who comes now is let in, and who was refused for a minute
      await house.stop('horn');
      const askedAt = Date.now();
      const again = await house.start('horn');
      // its own word: the manager may still finish what the process before began
      await again.logged('its registration', ({ event }) => event === 'registered');
      const first = await loggedSince(manager, askedAt, 'channel.opened', 'horn');
      assert.ok(first.afterMs <= BACK_MS, `${first.afterMs} ms`);
      const others = await Promise.all(
        ['lamp', 'switch'].map((id) => loggedSince(manager, healedAt, 'channel.opened', id, RETRY_MS)),
      );
      t.diagnostic(
        `the verifier is back after ${back.afterMs} ms, a device that starts is in ${first.afterMs} ms later`,
      );
      for (const { afterMs } of others) assert.ok(afterMs <= BACK_MS, `${afterMs} ms`);
      t.diagnostic(`the others come by themselves after ${others.map(({ afterMs }) => afterMs).join(' and ')} ms`);
      // those who were out hear now that it is over
      for (const ear of [lamp, button]) {
        await ear.until('the end', ({ event, sid: of }) => event === 'session.closed' && of === sid);
      }
      await house.ask('switch', 'connect', { callee: 'horn' });
    });
  }
});
