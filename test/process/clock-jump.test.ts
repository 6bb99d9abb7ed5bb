/**
 * Wall clocks that jump by an hour or a year while everybody runs, under libfaketime: what lives goes on, since lifetimes
 * count on the monotonic clock; what needs the right time is refused and says why; with the clock all comes back.
 */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { falseClock, falseClockLibrary, setClock } from '../false-clock.ts';
import { buildHouse, type Ear, type House, type Party } from '../real-house.ts';
import type { LogLine } from '../real-process.ts';

const PROPOSALS = 'proposals: [{ cipher: aes-gcm, keyBits: 128, keyMode: seed }]\n';
/** Half of the smallest jump: a verdict of the other time is too old then, or too young. */
const VERIFIER = 'verdictMaxAgeSeconds: 1800\n';
const QUICK = 'limits: { questionTimeoutSeconds: 1 }\n';

/** Whose clock jumps; `devices`: the callee's and the newcomer's. */
type Whose = 'manager' | 'verifier' | 'devices';

interface Row {
  readonly jump: '+1h' | '-1h' | '+1y' | '-1y';
  /** A device without a channel that logs in meanwhile: it is let in, or this stands in its log. */
  readonly newcomer: 'let in' | RegExp;
  /** And this in the manager's: what was refused, and what to look at. */
  readonly manager?: { readonly refused: RegExp };
}

const AWAY = /^verifier-away: the verifier is away, or its clock and the manager's are apart/;
const STALE = { refused: /^badVerdict: stale: |^stale: / };
const FUTURE = { refused: /^badVerdict: from the future: |^from the future: / };

/** In every row: a live session and a live channel go on; the two devices open new sessions once the clocks agree. */
const TABLE: Readonly<Record<Whose, readonly Row[]>> = {
  manager: [
    { jump: '+1h', newcomer: AWAY, manager: STALE },
    { jump: '-1h', newcomer: AWAY, manager: FUTURE },
    { jump: '+1y', newcomer: AWAY, manager: STALE },
    { jump: '-1y', newcomer: AWAY, manager: FUTURE },
  ],
  verifier: [
    { jump: '+1h', newcomer: AWAY, manager: FUTURE },
    { jump: '-1h', newcomer: AWAY, manager: STALE },
    { jump: '+1y', newcomer: AWAY, manager: FUTURE },
    { jump: '-1y', newcomer: AWAY, manager: STALE },
  ],
  devices: [
    { jump: '+1h', newcomer: 'let in' },
    // certificates are issued an hour back
    { jump: '-1h', newcomer: 'let in' },
    { jump: '+1y', newcomer: /expired.*clock/ },
    { jump: '-1y', newcomer: /not-yet-valid.*clock/ },
  ],
};

const CLOCK_OF: Readonly<Record<string, Whose>> = {
  manager: 'manager',
  verifier: 'verifier',
  lamp: 'devices',
  horn: 'devices',
};

interface Scene {
  readonly house: House;
  readonly ears: ReadonlyMap<string, Ear>;
  readonly sid: string;
}

async function sceneFor(t: TestContext): Promise<Scene> {
  const clockOf = (party: Party, at: House['at']): NodeJS.ProcessEnv =>
    CLOCK_OF[party] === undefined ? {} : falseClock(at(`${CLOCK_OF[party]}.clock`));
  const house = await buildHouse(
    {
      occupants: ['lamp', 'switch', 'horn'].map((id) => ({ id, yaml: PROPOSALS })),
      verifierYaml: VERIFIER,
      managerYaml: QUICK,
      environment: clockOf,
    },
    (end) => t.after(end),
  );
  await Promise.all([house.admit('lamp'), house.admit('switch')]);
  const ears = new Map<string, Ear>();
  for (const id of ['lamp', 'switch']) ears.set(id, await house.hear(id));
  const { sid } = (await house.ask('switch', 'connect', { callee: 'lamp' })) as { sid: string };
  await ears.get('lamp')!.until('the session', (news) => news.event === 'session.open' && news.sid === sid);
  return { house, ears, sid };
}

/** Messages both ways, and a registration on the live channel. */
async function livesOn({ house, ears, sid }: Scene, when: string): Promise<void> {
  for (const [from, to] of [
    ['switch', 'lamp'],
    ['lamp', 'switch'],
  ] as const) {
    const text = `from ${from}, ${when}`;
    await house.ask(from, 'send', { to: sid, text });
    await ears.get(to)!.until(text, (news) => news.sid === sid && news.text === text);
    await house.ask(from, 'register');
  }
}

/** Not while the manager believes no verifier: nobody would know of a revocation. */
async function opensAnother({ house }: Scene): Promise<void> {
  for (let tries = 0; ; tries++) {
    const status = (await house.ask('manager', 'status')) as { revocation: { heard: boolean } };
    if (status.revocation.heard) break;
    assert.ok(tries < 100, 'the verifier is not heard');
    await delay(50);
  }
  const { sid } = (await house.ask('switch', 'connect', { callee: 'lamp' })) as { sid: string };
  await house.ask('switch', 'close', { sid });
}

const saidBy = ({ event, reason, why, remedy }: LogLine): string => `${reason ?? why ?? event}: ${remedy ?? ''}`;

async function oneRow(scene: Scene, whose: Whose, { jump, newcomer, manager }: Row): Promise<void> {
  const { house } = scene;
  const running = house.running('manager');
  const logged = running.log.length;
  const clock = house.at(`${whose}.clock`);
  // nothing of the newcomer is known to itself
  await house.stop('horn');
  rmSync(house.at('horn'), { recursive: true, force: true });
  // nor to the manager, which would believe the verdict that it holds
  await house.ask('manager', 'device.remove', { id: 'horn' }).catch(() => null);
  setClock(clock, jump);
  await livesOn(scene, jump);
  if (whose === 'devices') await opensAnother(scene);
  const horn = await house.start('horn');
  const first = await horn.logged('what became of its login', ({ event }) =>
    ['registered', 'login.denied', 'login.failed'].includes(event),
  );
  if (newcomer === 'let in') assert.equal(first.event, 'registered', saidBy(first));
  else assert.match(saidBy(first), newcomer);
  if (manager !== undefined) {
    const away = running.log.slice(logged).find(({ event }) => event === 'verifier.away');
    assert.match(String(away?.refused), manager.refused);
    assert.match(String(away?.remedy), /clocks of manager and verifier/);
  }
  setClock(clock, '+0');
  await horn.logged('its registration, by itself', ({ event }) => event === 'registered');
  await livesOn(scene, `${jump} and back`);
  await opensAnother(scene);
}

const skip = falseClockLibrary === null ? 'libfaketime absent: apt-get install faketime' : false;

suite('clocks that jump', { concurrency: true, skip }, () => {
  for (const [whose, rows] of Object.entries(TABLE) as [Whose, readonly Row[]][]) {
    const jumps = rows.map(({ jump }) => jump).join(', ');
    test(`of the ${whose}, by ${jumps}: what lives goes on, a login that needs the time says so, all comes back`, async (t) => {
      const scene = await sceneFor(t);
      await livesOn(scene, 'before');
      await opensAnother(scene);
      for (const row of rows) {
        await t.test(row.jump, () => oneRow(scene, whose, row));
      }
    });
  }
});
