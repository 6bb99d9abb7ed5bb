/**
 * Users with real media, real processes: put in, unlocked, called, pulled out at every moment; and whatever is left of
 * them, looked for in memory.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { revokeCertificate } from '../../cli/ca/authority.ts';
import { ControlError, callControl } from '../../platform/control-socket.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { buildHouse, type House } from '../real-house.ts';
import { runCommand } from '../real-process.ts';
import {
  familyOf,
  foundIn,
  gone,
  lives,
  makeMedium,
  mediumWhen,
  noMedium,
  PIN,
  registered,
  someMedium,
  type TestMedium,
  unlock,
} from '../user-media-house.ts';

const LONG = process.env.KAGIMORI_LONG === '1';
/** What the issue promises. */
const NOTICED_MS = 2_000;
const FOLLOWED_MS = 5_000;

const place = mkdtempSync(join(tmpdir(), 'kagimori-media-'));
const slot = (id: string): string => join(place, id);
const usersYaml = (id: string): string =>
  `users: { media: ['${slot(id)}'], mounts: ['${place}/mounts/*'], pinTimeoutSeconds: 60 }\n`;
const ends: (() => Promise<void>)[] = [];
let house: House;
let anna: TestMedium;

before(async () => {
  house = await buildHouse(
    {
      occupants: [{ id: 'lamp' }, { id: 'tv', yaml: usersYaml('tv') }, { id: 'radio', yaml: usersYaml('radio') }],
      managerYaml: 'users: { onLeave: follow }\n',
    },
    (end) => ends.push(end),
  );
  anna = await makeMedium(house, place, 'anna');
  await Promise.all(['lamp', 'tv', 'radio'].map((id) => house.admit(id)));
});
after(async () => {
  for (const end of ends) await end();
  rmSync(place, { recursive: true, force: true });
});

const agentOf = (id: string): number => house.running(id).child.pid!;
const code = (wanted: string) => (error: unknown) =>
  error instanceof ControlError && error.code === wanted ? true : assert.fail(`${wanted}: ${error}`);

/** The medium out again, whatever the test came to. */
function takeOut(t: TestContext, ...media: readonly TestMedium[]): void {
  t.after(async () => {
    for (const one of media) one.pull();
    for (const id of ['tv', 'radio']) {
      rmSync(slot(id), { recursive: true, force: true });
      await noMedium(house, id);
    }
  });
}

async function here(id: string, medium = anna): Promise<number> {
  medium.insert(slot(id));
  const seen = await unlock(house, id);
  await registered(house, id, seen);
  return seen.process!;
}

const PID =
  '[P21] a medium that is pulled leaves nothing of its user: neither session, nor registration, nor a byte of key or PIN';
test(PID, async (t) => {
  takeOut(t, anna);
  const began = performance.now();
  anna.insert(slot('tv'));
  await someMedium(house, 'tv');
  assert.ok(performance.now() - began < NOTICED_MS, `noticed after ${Math.round(performance.now() - began)} ms`);
  writeFileSync(join(place, 'pin'), `${PIN}\n`, { mode: 0o600 });
  await mediumWhen(house, 'tv', 'locked');
  const cli = await runCommand(['user', 'unlock', '--state', house.at('tv'), '--pin-file', join(place, 'pin')]);
  assert.equal(cli.stderr, '');
  assert.equal(cli.stdout, 'anna is at this device\n');
  const keyProcess = (await mediumWhen(house, 'tv', 'unlocked')).process!;
  const { sid, peer } = (await house.ask('lamp', 'connect', { callee: 'user:anna' })) as { sid: string; peer: string };
  assert.equal(peer, 'tv');
  const ear = await house.hear('lamp');

  assert.deepEqual(familyOf(agentOf('tv')).sort(), [agentOf('tv'), keyProcess].sort());
  const live = foundIn([keyProcess], anna);
  assert.match(live, /key as /, 'the search finds the live key where it is');
  assert.match(live, /PIN/);
  assert.equal(foundIn([agentOf('tv')], anna), '', 'the agent never has any of it');
  t.diagnostic(`found live: ${live}`);

  const pulled = performance.now();
  anna.pull();
  await ear.until('the end', (news) => news.event === 'session.closed' && news.sid === sid);
  assert.ok(performance.now() - pulled < NOTICED_MS, `noticed after ${Math.round(performance.now() - pulled)} ms`);
  await gone(keyProcess);
  assert.deepEqual(familyOf(agentOf('tv')), [agentOf('tv')]);
  assert.equal(foundIn([agentOf('tv')], anna), '');
  await assert.rejects(house.ask('radio', 'connect', { callee: 'user:anna' }), code('user-nowhere'));
  for (const one of house.ran) assert.ok(!one.written().includes(PIN), 'no log says the PIN');
});

test('[P21] a real mount point is noticed within 2 s, coming and going, while nothing keeps it busy', async (t) => {
  const mount = join(place, 'mounts', 'stick');
  mkdirSync(mount, { recursive: true });
  if (spawnSync('mount', ['-t', 'tmpfs', 'none', mount]).status !== 0) return t.skip('may not mount');
  t.after(() => spawnSync('umount', ['-l', mount]));
  const began = performance.now();
  anna.copyTo(mount);
  await someMedium(house, 'tv');
  assert.ok(performance.now() - began < NOTICED_MS);
  const { process: keyProcess } = await mediumWhen(house, 'tv', 'locked');
  await mediumWhen(house, 'radio', 'locked');
  await registered(house, 'tv', await unlock(house, 'tv'));
  const pulled = performance.now();
  assert.equal(spawnSync('umount', [mount]).status, 0, 'not busy');
  await gone(keyProcess!);
  await noMedium(house, 'tv');
  assert.ok(performance.now() - pulled < NOTICED_MS);
  await noMedium(house, 'radio');
});

if (LONG) {
  test('[P21] pulled in the middle: of the PIN, of its trial, of the signature, of the registration', async (t) => {
    takeOut(t, anna);
    const moments: Readonly<Record<string, () => Promise<number>>> = {
      PIN: async () => {
        anna.insert(slot('tv'));
        return (await mediumWhen(house, 'tv', 'locked')).process!;
      },
      trial: async () => {
        anna.insert(slot('tv'));
        const { socket, process: keyProcess } = await mediumWhen(house, 'tv', 'locked');
        const trying = callControl(socket!, 'unlock', { pin: PIN });
        trying.catch(() => {});
        await mediumWhen(house, 'tv', 'unlocking');
        process.kill(keyProcess!, 'SIGSTOP'); // as long as it takes
        anna.pull();
        await assert.rejects(trying, code('closed'));
        return keyProcess!;
      },
      signature: async () => {
        const keyProcess = await here('tv');
        process.kill(keyProcess, 'SIGSTOP');
        await house.ask('tv', 'close', { channel: true });
        await house.ask('tv', 'register'); // a new channel: everybody signs anew
        const { users } = (await house.ask('tv', 'status')) as { users: { state: string }[] };
        assert.equal(users[0]?.state, 'signing');
        return keyProcess;
      },
      registration: async () => {
        house.running('manager').child.kill('SIGSTOP');
        anna.insert(slot('tv'));
        const { process: keyProcess } = await unlock(house, 'tv');
        return keyProcess!;
      },
    };
    for (const [moment, come] of Object.entries(moments)) {
      const keyProcess = await come();
      anna.pull();
      await gone(keyProcess);
      await noMedium(house, 'tv');
      house.running('manager').child.kill('SIGCONT');
      const { users } = (await house.ask('tv', 'status')) as { users: unknown[] };
      assert.deepEqual(users, [], moment);
      await house.ask('tv', 'register'); // whatever was on its way has been answered
      await assert.rejects(house.ask('lamp', 'connect', { callee: 'user:anna' }), code('user-nowhere'), moment);
      assert.deepEqual(familyOf(agentOf('tv')), [agentOf('tv')], moment);
      if (LONG) assert.equal(foundIn([agentOf('tv')], anna), '', moment);
    }
  });
}

test('[P21] kill -9 of the agent between any two steps: the key ends with it, and comes again with its PIN alone', async (t) => {
  takeOut(t, anna);
  const steps: Readonly<Record<string, () => Promise<number>>> = {
    locked: async () => (await mediumWhen(house, 'tv', 'locked')).process!,
    unlocking: async () => {
      const { socket, process: keyProcess } = await mediumWhen(house, 'tv', 'locked');
      callControl(socket!, 'unlock', { pin: PIN }).catch(() => {});
      await mediumWhen(house, 'tv', 'unlocking');
      return keyProcess!;
    },
    unlocked: async () => (await unlock(house, 'tv')).process!,
    here: async () => {
      const seen = await unlock(house, 'tv');
      await registered(house, 'tv', seen);
      return seen.process!;
    },
    pulled: async () => {
      const seen = await unlock(house, 'tv');
      await registered(house, 'tv', seen);
      anna.pull();
      return seen.process!;
    },
  };
  anna.insert(slot('tv'));
  for (const [step, come] of Object.entries(steps)) {
    if (!LONG && step !== 'unlocking' && step !== 'pulled') continue;
    const keyProcess = await come();
    await house.stop('tv', 'SIGKILL');
    const took = await gone(keyProcess);
    assert.ok(took < 1000, `${step}: gone after ${Math.round(took)} ms`);
    await house.admit('tv');
  }
  await noMedium(house, 'tv');
  anna.insert(slot('tv'));
  await registered(house, 'tv', await unlock(house, 'tv'));
});

if (LONG) {
  test('[P21] without setpriv(1) the key process ends by itself when the agent is killed', async (t) => {
    takeOut(t, anna);
    await house.stop('tv', 'SIGTERM');
    const without = join(place, 'no-commands');
    mkdirSync(without, { recursive: true });
    const saved = process.env.PATH;
    process.env.PATH = without;
    try {
      await house.admit('tv');
    } finally {
      process.env.PATH = saved;
    }
    const keyProcess = await here('tv');
    await house.stop('tv', 'SIGKILL');
    assert.ok((await gone(keyProcess)) < 1000);
    anna.pull();
    await house.admit('tv');
  });
}

test('[P21] three wrong PINs: refused with what is left, then until the medium is put in again', async (t) => {
  takeOut(t, anna);
  anna.insert(slot('tv'));
  const { process: keyProcess } = await mediumWhen(house, 'tv', 'locked');
  writeFileSync(join(place, 'wrong'), '0000\n', { mode: 0o600 });
  const cli = await runCommand(['user', 'unlock', '--state', house.at('tv'), '--pin-file', join(place, 'wrong')]);
  assert.equal(cli.code, 1);
  assert.equal(cli.stderr, 'kagimori: the PIN is wrong: 2 tries left\n');
  await assert.rejects(unlock(house, 'tv', '0000'), code('user.pin-wrong'));
  await assert.rejects(unlock(house, 'tv', '0000'), /take the medium out/);
  await gone(keyProcess!);
  assert.equal((await mediumWhen(house, 'tv', 'refused')).detail, 'three wrong PINs');
  anna.pull();
  await noMedium(house, 'tv');
  assert.equal(lives(await here('tv')), true);
});

if (LONG) {
  test('[P21] refused with the reason: a revoked user, somebody else’s certificate, one medium in two devices', async (t) => {
    const berta = await makeMedium(house, place, 'berta');
    const thief = await makeMedium(house, place, 'carla');
    takeOut(t, anna, berta, thief);
    revokeCertificate(house.at('ca'), berta.serial, { crypto: nodeCrypto(), now: Math.floor(Date.now() / 1000) });
    await house.running('verifier').logged('the new list', ({ event }) => event === 'file.adopted');
    berta.insert(slot('tv'));
    const refusal = unlock(house, 'tv').then((seen) => registered(house, 'tv', seen));
    await assert.rejects(refusal, code('revoked'));
    berta.pull();
    await noMedium(house, 'tv');

    thief.copyTo(slot('tv'));
    writeFileSync(join(slot('tv'), 'kagimori-user', 'user-id'), 'anna\n');
    await assert.rejects(unlock(house, 'tv'), /not the certificate of anna/);
    rmSync(slot('tv'), { recursive: true, force: true });
    await noMedium(house, 'tv');

    await here('tv');
    anna.copyTo(slot('radio'));
    const second = unlock(house, 'radio').then((seen) => registered(house, 'radio', seen));
    await assert.rejects(second, code('user-elsewhere'));
  });
}

test('[P21] a session goes with its user to the next device within 5 s', async (t) => {
  takeOut(t, anna);
  await here('tv');
  const { sid } = (await house.ask('lamp', 'connect', { callee: 'user:anna' })) as { sid: string };
  const ear = await house.hear('lamp');
  anna.pull();
  await noMedium(house, 'tv');
  anna.insert(slot('radio'));
  const seen = await unlock(house, 'radio');
  const began = performance.now();
  const moved = await ear.until('the move', (news) => news.event === 'session.moved' && news.from === sid);
  const took = performance.now() - began;
  assert.ok(took < FOLLOWED_MS, `${Math.round(took)} ms`);
  t.diagnostic(`from the unlocked medium to the open session: ${Math.round(took)} ms`);
  await registered(house, 'radio', seen);
  const { sessions } = (await house.ask('radio', 'status')) as { sessions: { sid: string; peer: string }[] };
  assert.deepEqual(
    sessions.map((one) => [one.sid, one.peer]),
    [[moved.to, 'lamp']],
  );
  await house.ask('lamp', 'close', { sid: String(moved.to) });
});

test('[P21] a caller who waits is put through when the user comes; one who does not is told at once', async (t) => {
  takeOut(t, anna);
  await assert.rejects(house.ask('lamp', 'connect', { callee: 'user:anna' }), code('user-nowhere'));
  const waiting = house.ask('lamp', 'connect', { callee: 'user:anna', waitSeconds: 60 });
  await pause(300);
  await here('tv');
  assert.equal(((await waiting) as { peer: string }).peer, 'tv');
});
