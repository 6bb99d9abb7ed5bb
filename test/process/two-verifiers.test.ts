/**
 * Two verifiers behind one manager, between real processes: one may die, both may be away for a while, and their keys are
 * replaced without a gap.
 */
import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { fleetMember, fleetSettings, type Member } from '../../bench/fleet/member.ts';
import type { News } from '../../device-agent/effects.ts';
import { endSession } from '../../device-agent/sessions.ts';
import { readCertificateFile, readPinnedKeys } from '../../platform/certificate-file.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { buildHouse, type House, MANAGER, type Occupant, type Wanted } from '../real-house.ts';
import {
  assertInTime,
  certifyUnderRoot,
  hearWithTimes,
  loggedSince,
  PROPOSALS,
  pause,
  revokeByCommand,
  talk,
  timeOf,
  untilSome,
  wayOut,
} from '../revocation-house.ts';

const LONG = process.env.KAGIMORI_LONG === '1';
/** The least that a verifier may be set to. */
const MAX_AGE_S = 10;
const SLACK_MS = 2_000;
/** What a manager needs to know that nobody is there. */
const SILENCE_MS = 3_000;
/** So long each state of the keys is lived in. */
const STAGE_MS = LONG ? 8_000 : 700;
const TRY_EVERY_MS = 50;

const PINS = 'pinned.pem';
const FRESH = `managerVerdict: fresh\nverifierCertificateFile: ${PINS}\n`;
/** The whole house has one address. */
const ROOM = 'limits: { newPerAddress: 1000, newPerSecondPerAddress: 1000 }\n';

suite('two verifiers', { concurrency: true }, () => {
  test('[P4] [B7] one is killed: logins, connects and revocation go on without a gap; both: nothing new, what stands goes on; one back: all is well', async (t) => {
    const house = await twoVerifiers(t, [lives('lamp'), lives('switch'), lives('thief')]);
    const manager = house.running('manager');
    const lamp = await hearWithTimes(house, 'lamp');
    const talks = [await talk(t, house, { victim: 'thief', peer: 'lamp', ear: lamp })];
    const user = await startUser(t, house);
    await pause(STAGE_MS);

    await house.stop('verifier');
    await pause(STAGE_MS + SILENCE_MS); // longer than a silence would be noticed after
    const revocation = await revokeByCommand(house, 'thief');
    assertInTime(t, 'with one of two verifiers', await wayOut(house, 'thief', revocation, talks));
    const { logins, connects, faults } = user.stop();
    t.diagnostic(`while one was killed: ${logins} logins and ${connects} connects, ${faults.length} faults`);
    assert.deepEqual(faults, []);
    assert.ok(logins >= 5 && connects >= 5, `${logins} logins, ${connects} connects`);
    assert.ok(!manager.log.some(({ event }) => event === 'verifier.silent' || event === 'verifier.away'));

    const kept = (await house.ask('switch', 'connect', { callee: 'lamp' })) as { sid: string };
    const killedAt = Date.now();
    await house.stop('verifier.second');
    const silent = await loggedSince(house, 'manager', killedAt, 'verifier.silent');
    assert.equal(silent.level, 'error');
    assert.match(String(silent.remedy), /kagimori verifier run/);
    const silentMs = timeOf(silent) - killedAt;
    t.diagnostic(`both gone: said after ${silentMs} ms`);
    assert.ok(silentMs <= SILENCE_MS + SLACK_MS, `${silentMs} ms`);
    await assert.rejects(house.ask('switch', 'connect', { callee: 'lamp' }), { code: 'verifier-away' });
    await house.ask('switch', 'send', { to: kept.sid, text: 'still there' });
    await lamp.until('what was said in the session', ({ text }) => text === 'still there');
    const { revocation: shown } = (await house.ask('manager', 'status')) as { revocation: { heard: boolean } };
    assert.equal(shown.heard, false);

    const backAt = Date.now();
    await house.start('verifier');
    await loggedSince(house, 'manager', backAt, 'verifier.speaks');
    await untilSome('nobody is in doubt', async () => {
      const status = (await house.ask('manager', 'status')) as { revocation: { inDoubt: number } };
      return status.revocation.inDoubt === 0 ? true : null;
    });
    await house.ask('switch', 'connect', { callee: 'lamp' });
    t.diagnostic(`one is back: connected after ${Date.now() - backAt} ms, the start of its process included`);
    await house.ask('switch', 'send', { to: kept.sid, text: 'there all the time' });
    await lamp.until('the session', ({ text }) => text === 'there all the time');
  });

  const long = LONG ? test : () => {}; // of one verifier: test/process/partition.test.ts
  long(
    `[P4] [B7] both are away for longer than their verdicts hold (${MAX_AGE_S} s): live channels end then, and come back with a verifier`,
    async (t: TestContext) => {
      const house = await twoVerifiers(t, [lives('lamp'), lives('switch')], `verdictMaxAgeSeconds: ${MAX_AGE_S}\n`);
      await house.ask('switch', 'connect', { callee: 'lamp' });
      const awayAt = Date.now();
      await Promise.all(['verifier', 'verifier.second'].map((one) => house.stop(one)));
      for (const device of ['lamp', 'switch']) {
        const line = await loggedSince(house, 'manager', awayAt, 'device.evicted', (one) => one.device === device);
        assert.equal(line.reason, 'verifier-away');
        const afterMs = timeOf(line) - awayAt;
        t.diagnostic(`${device}: its channel ended after ${afterMs} ms`);
        assert.ok(afterMs <= MAX_AGE_S * 1000 + SLACK_MS, `${afterMs} ms`);
        assert.ok(afterMs >= MAX_AGE_S * 200 - SLACK_MS, `${afterMs} ms`);
      }
      const backAt = Date.now();
      await house.start('verifier.second');
      for (const device of ['lamp', 'switch'])
        await loggedSince(house, 'manager', backAt, 'channel.opened', (one) => one.device === device);
      await house.ask('switch', 'connect', { callee: 'lamp' });
      t.diagnostic(`back and connected ${Date.now() - backAt} ms after the start of a verifier began`);
    },
  );

  test('[P4] the key of a verifier is replaced while devices log in and connect all the time: not one of them fails', async (t) => {
    const house = await oneVerifier(t, [{ ...lives('lamp'), yaml: PROPOSALS + FRESH }]);
    const user = await startUser(t, house);
    await pause(STAGE_MS);
    const old = house.read('certificates/verifier.chain.pem');
    const fresh = house.read('certificates/next-verifier.chain.pem');
    house.write(PINS, old + fresh);
    for (const party of ['manager', 'lamp']) {
      const running = house.running(party);
      await running.logged('both keys', ({ event, keys }) => event === 'verifier-keys.in-force' && keys === 2);
    }
    await pause(STAGE_MS);
    house.write('certificates/verifier.key.pem', house.read('certificates/next-verifier.key.pem'));
    house.write('certificates/verifier.chain.pem', fresh);
    await house.running('verifier').logged('the new key', ({ event }) => event === 'verifier.renewed');
    await pause(STAGE_MS);
    const dropped = Date.now();
    house.write(PINS, fresh);
    for (const party of ['manager', 'lamp'])
      await loggedSince(house, party, dropped, 'verifier-keys.in-force', ({ keys }) => keys === 1);
    await pause(STAGE_MS);
    const { logins, connects, faults } = user.stop();
    t.diagnostic(`over the change: ${logins} logins and ${connects} connects, ${faults.length} faults`);
    assert.deepEqual(faults, []);
    assert.ok(logins >= 5 && connects >= 5, `${logins} logins, ${connects} connects`);
    const { log } = house.running('manager');
    const complaints = /^verifier\.(?:silent|away|answer-refused|event-refused)$/;
    assert.deepEqual(
      log.filter(({ event }) => complaints.test(event)),
      [],
    );
    // and that was a check: who pins the old key alone lets nobody in
    const back = Date.now();
    house.write(PINS, old);
    await loggedSince(house, 'manager', back, 'verifier-keys.in-force');
    await loggedSince(house, 'manager', back, 'verifier.event-refused');
    await loggedSince(house, 'manager', back, 'verifier.silent');
  });
});

const lives = (id: string): Occupant => ({ id, yaml: PROPOSALS });

const HIDDEN = ['guest', 'caller', 'callee'] as const;

async function build(t: TestContext, occupants: readonly Occupant[], verifierYaml: string): Promise<House> {
  const more: readonly Wanted[] = [
    { name: 'next-verifier', kind: 'verifier', sans: [] },
    ...HIDDEN.map((name) => ({ name, kind: 'device', sans: [] }) as const),
  ];
  let directory = '';
  const house = await buildHouse(
    {
      occupants,
      verifierYaml,
      managerYaml: 'limits: { questionTimeoutSeconds: 1 }\n',
      brokerYaml: ROOM,
      logLevel: 'info',
      certify: (into, wanted) => {
        directory = into;
        certifyUnderRoot(into, [...wanted, ...more]);
      },
      between: async (url) => url,
    },
    (end) => t.after(end),
  );
  assert.equal(house.directory, directory);
  house.write(PINS, house.read('certificates/verifier.chain.pem'));
  const manager = house
    .read('manager.yaml')
    .replace(/^verifierCertificateFile: .*$/m, `verifierCertificateFile: ${PINS}`);
  house.write('manager.yaml', manager);
  return house;
}

async function oneVerifier(t: TestContext, occupants: readonly Occupant[]): Promise<House> {
  const house = await build(t, occupants, '');
  await restartManager(house);
  await Promise.all(occupants.map(({ id }) => house.admit(id)));
  return house;
}

/** Each has a key of its own; both are pinned. */
async function twoVerifiers(t: TestContext, occupants: readonly Occupant[], verifierYaml = ''): Promise<House> {
  const house = await build(t, occupants, verifierYaml);
  house.write(PINS, house.read(PINS) + house.read('certificates/next-verifier.chain.pem'));
  const yaml = house.read('verifier.yaml').replaceAll('certificates/verifier', 'certificates/next-verifier');
  house.write('verifier.second.yaml', yaml);
  await house.start('verifier.second');
  await restartManager(house);
  await Promise.all(occupants.map(({ id }) => house.admit(id)));
  return house;
}

async function restartManager(house: House): Promise<void> {
  await house.stop('manager');
  const manager = await house.start('manager');
  await manager.logged('a verifier', ({ event }) => event === 'verifier.heard');
}

// ── Somebody who logs in and connects all the time ──────────────────────────────────────────────────────────────────

interface User {
  stop(): { readonly logins: number; readonly connects: number; readonly faults: readonly string[] };
}

/** One device logs in anew again and again, and two others open and end sessions; a fresh verdict is demanded each time. */
async function startUser(t: TestContext, house: House): Promise<User> {
  const crypto = nodeCrypto();
  const url = /url: '([^']+)'/.exec(house.read('manager.yaml'))![1]!;
  let [logins, connects] = [0, 0];
  const faults: string[] = [];
  const members = new Set<Member>();
  const enter = (name: (typeof HIDDEN)[number], news: (member: Member, news: News) => void): Member => {
    const settings = {
      ...fleetSettings(readCertificateFile(house.at('ca/root.pem'))[0]),
      manager: MANAGER,
      managerVerdict: 'fresh',
      verifierKeys: readPinnedKeys(house.at(PINS), crypto),
    } as const;
    const [leaf] = readCertificateFile(house.at(`certificates/${name}.chain.pem`));
    const base64 = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString('base64');
    const key = base64(house.read(`certificates/${name}.key.pem`));
    const papers = { name, certificate: base64(leaf.der), key };
    const nothing = (): void => {};
    const member = fleetMember(url, settings, papers, crypto, { linked: nothing, sent: nothing, heard: nothing, news });
    members.add(member);
    return member;
  };
  let over = false;
  const logIn = async (): Promise<void> => {
    while (!over) {
      const { promise, resolve } = Promise.withResolvers<string>();
      const guest = enter('guest', (_member, news) => {
        if (news.news === 'registered') resolve('in');
        if (news.news === 'loginDenied') resolve(news.reason);
      });
      const outcome = await Promise.race([promise, pause(SLACK_MS).then(() => 'no answer')]);
      if (outcome === 'in') logins++;
      else if (!over) faults.push(`login: ${outcome}`);
      await guest.close();
      members.delete(guest);
      await pause(TRY_EVERY_MS);
    }
  };
  const inside = new Set<Member>();
  let calling = false;
  const note = (member: Member, news: News): void => {
    if (news.news === 'registered') inside.add(member);
    if (news.news === 'callFailed' && !over) faults.push(`connect: ${news.reason}`);
    if (news.news === 'sessionOpened' && news.role === 'caller') {
      connects++;
      member.wish((state, world) => endSession(state, news.sid, 'done', world));
    }
    if (news.news === 'callFailed' || (news.news === 'sessionClosed' && member.id === 'caller')) calling = false;
  };
  const [caller] = [enter('caller', note), enter('callee', note)];
  await untilSome('caller and callee are in', () => (inside.size === 2 ? true : null));
  const timer = setInterval(() => {
    if (calling) return;
    calling = true;
    caller.call('callee');
  }, TRY_EVERY_MS);
  const loggingIn = logIn();
  const end = (): void => {
    over = true;
    clearInterval(timer);
  };
  t.after(async () => {
    end();
    await loggingIn;
    await Promise.all([...members].map((member) => member.close()));
  });
  return {
    stop() {
      end();
      return { logins, connects, faults };
    },
  };
}
