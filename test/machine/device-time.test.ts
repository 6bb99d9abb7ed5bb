/**
 * Devices whose clock cannot be right: the verifier tells the time, in a verdict that is bound to the login (design §5.2).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviceWorld } from '../../device-agent/device-time.ts';
import { decodeMemory } from '../../device-agent/memory.ts';
import { Question } from '../../protocol/verifier-messages.ts';
import { AT, DAY } from '../test-authority.ts';
import { town } from '../town.ts';
import type { Town, TownDevice } from '../town-plan.ts';
import { E1, isIn, packetsOf } from './town-packets.ts';

const TO_1970 = -AT + 100;
const TO_2038 = 2_145_916_800 - AT;
const FAR = [
  ['1970', TO_1970],
  ['2038', TO_2038],
] as const;

const questionsAbout = (t: Town, purpose: Question['purpose'], asker = 'km1/v/q/~manager'): number =>
  t.packets.filter(({ topic, payload }) => topic === asker && Question.decode(payload).purpose === purpose).length;

const said = (device: TownDevice, event: string): string[] => device.logs.filter((line) => line.includes(` ${event} `));
const differs = (t: Town, device: TownDevice): number => Math.abs(device.world().wall - t.clock.wall());

for (const [year, skewSeconds] of FAR) {
  test(`[P3] a device whose clock stands at ${year} at boot logs in, registers, connects, and keeps its time`, () => {
    const t = town();
    const lamp = t.add('lamp');
    const phone = t.add('phone', { skewSeconds });
    t.advance(3_000);
    assert.ok(isIn(t, phone));
    assert.ok(differs(t, phone) <= 1);
    phone.call('lamp');
    t.advance(2_000);
    assert.ok(phone.latest('sessionOpened') !== undefined && lamp.latest('sessionOpened') !== undefined);
    t.advance(DAY * 1000);
    assert.ok(differs(t, phone) <= 1, 'it goes on by the clock that never jumps');
    assert.equal(said(phone, 'clock.wrong').length, 1, 'told once');
    assert.match(said(phone, 'clock.wrong')[0]!, /"remedy":/);
  });

  test(`a device that is restarted at ${year} is back, and its secret has the right end`, () => {
    const t = town();
    const phone = t.add('phone');
    phone.skewSeconds = skewSeconds;
    phone.restart();
    t.advance(5_000);
    assert.ok(isIn(t, phone));
    const until = phone.state.secret?.until ?? 0;
    assert.ok(until > t.clock.wall() && until <= t.clock.wall() + 7 * DAY);
    phone.breakLink();
    t.advance(5_000);
    assert.equal(phone.state.openings.at(-1)?.opened, 'resume', 'by the time that it heard the secret holds');
  });
}

test('the right time costs nothing: no verdict is asked for where the clock can be right', () => {
  const t = town();
  const before = questionsAbout(t, 'manager');
  const phone = t.add('phone', { skewSeconds: 3000 });
  assert.ok(isIn(t, phone));
  assert.equal(questionsAbout(t, 'manager'), before);
  assert.equal(phone.state.openings[0]?.cost.sent, 3);
});

test('the clock is believed again as soon as it agrees within a minute, and not before', () => {
  const t = town();
  const phone = t.add('phone', { skewSeconds: TO_1970 });
  t.advance(2_000);
  for (const skew of [-DAY, -61, 62]) {
    phone.skewSeconds = skew;
    t.advance(1_000);
    assert.ok(phone.state.time.heard !== null && differs(t, phone) <= 1, `${skew} s`);
  }
  phone.skewSeconds = 30;
  t.advance(3_600_000);
  assert.equal(phone.state.time.heard, null);
  assert.equal(phone.world().wall, t.clock.wall() + 30);
  assert.equal(said(phone, 'clock.right').length, 1);
});

test('no moment before the last verdict is believed, also after a restart: what a certificate then was good for is over', () => {
  const t = town({ managerCertificate: { notBefore: AT - 300 * DAY, notAfter: AT + 300 * DAY } });
  const certificate = { notBefore: AT - 300 * DAY, notAfter: AT + 300 * DAY };
  const phone = t.add('phone', { settings: { managerVerdict: 'cached' }, certificate });
  assert.ok(isIn(t, phone));
  const bound = decodeMemory(phone.memory!).time;
  assert.ok(Math.abs(bound - AT) <= 1, 'the time of the verdict is on its disk');
  phone.skewSeconds = -200 * DAY; // within the periods of all certificates
  phone.state.secret = null;
  phone.restart();
  t.advance(5_000);
  assert.ok(isIn(t, phone) && differs(t, phone) <= 1);
  assert.equal(phone.state.openings.length, 1);
  assert.equal(phone.state.openings[0]?.opened, 'edhoc', 'under a clock that is known to be wrong no secret is used');
});

test('without a pinned verifier key the log says what is wrong and what to do; with the clock all comes back', () => {
  for (const [year, skewSeconds] of FAR) {
    const t = town();
    const phone = t.add('phone', { skewSeconds, settings: { verifierKeys: [] } });
    t.advance(3_000);
    assert.ok(!isIn(t, phone));
    assert.match(
      phone.logs.join('\n'),
      new RegExp(`check this device's clock, or name verifierCertificateFile.*: ${year}-`),
    );
    phone.skewSeconds = 0;
    t.advance(120_000);
    assert.ok(isIn(t, phone));
  }
});

test('without a pinned verifier key a secret is used at 1970: the manager, whose clock is right, knows when it ends', () => {
  const t = town();
  const phone = t.add('phone', { settings: { verifierKeys: [] } });
  phone.skewSeconds = TO_1970;
  phone.restart();
  t.advance(5_000);
  assert.ok(isIn(t, phone));
  assert.equal(phone.state.openings[0]?.opened, 'resume');
});

test('a manager whose certificate ran out is refused whatever the clock of the device says', () => {
  for (const skewSeconds of [0, -30 * DAY, TO_1970, TO_2038]) {
    const t = town({ managerCertificate: { notBefore: AT - 60 * DAY, notAfter: AT - DAY } });
    const phone = t.add('phone', { skewSeconds, settings: { managerVerdict: 'cached' } });
    t.advance(5_000);
    assert.ok(!isIn(t, phone), `${skewSeconds} s`);
  }
});

test("the time of a verdict that is bound to another login is nobody's time", () => {
  const t = town();
  let old: Uint8Array | null = null;
  // what the verifier said about the first login is said again of every other one
  t.meddler = ({ from, topic, payload }) => {
    if (from !== 'verifier' || !topic.startsWith('km1/v/a/')) return 'pass';
    old ??= payload;
    return [old, payload];
  };
  const phone = t.add('phone', { skewSeconds: TO_1970 });
  t.advance(5_000);
  const { heard } = phone.state.time;
  t.advance(60_000);
  phone.skewSeconds = TO_2038;
  phone.restart();
  t.advance(5_000);
  assert.ok(heard !== null && isIn(t, phone) && differs(t, phone) <= 1);
});

test('while the verifier is away the device is not let in, and comes in by itself when it is back or the clock is set', () => {
  for (const mend of ['verifier', 'clock'] as const) {
    const t = town();
    t.verifierAway = true;
    const phone = t.add('phone', { skewSeconds: TO_2038 });
    t.advance(30_000);
    assert.ok(!isIn(t, phone));
    assert.match(phone.logs.join('\n'), /verdict on the manager is missing; .*expired.*check this device's clock/);
    if (mend === 'clock') phone.skewSeconds = 0;
    t.advance(30_000);
    assert.equal(phone.state.time.doubt === null, mend === 'clock');
    t.verifierAway = false;
    t.advance(120_000);
    assert.ok(isIn(t, phone) && differs(t, phone) <= 1);
  }
});

test('a manager that opens the channel to a device whose clock stands wrong makes it log in itself', () => {
  const t = town();
  const [lamp, phone] = [t.add('lamp', { settings: { closeWhenIdle: 1000 as never } }), t.add('phone')];
  t.advance(10_000);
  assert.equal(lamp.state.channel, null);
  lamp.skewSeconds = TO_1970;
  phone.call('lamp');
  t.advance(5_000);
  assert.ok(phone.latest('sessionOpened') !== undefined);
  assert.equal(lamp.state.openings.at(-1)?.by, 'device');
  assert.ok(differs(t, lamp) <= 1);
});

test('one login more at most: who shows certificates that ran out does not make a device ask for ever', () => {
  const t = town({ managerCertificate: { notAfter: AT - 10 } });
  t.add('phone');
  const offers = packetsOf(t, E1).length;
  assert.ok(offers <= 2, `${offers} messages at once`);
});

test('the world of a device may be asked for twice', () => {
  const t = town();
  const phone = t.add('phone', { skewSeconds: TO_1970 });
  assert.deepEqual(deviceWorld(phone.state, phone.world()), phone.world());
});
