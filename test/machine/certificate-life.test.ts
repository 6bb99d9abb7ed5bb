/**
 * Certificates that are renewed by themselves: at two thirds of their life, over the same key, and nobody notices.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sendData } from '../../device-agent/sessions.ts';
import type { CertificateWish, Certified } from '../../manager/effects.ts';
import type { Settings } from '../../manager/state.ts';
import { freshSerial, issueCertificate } from '../../platform/certificate-issuing.ts';
import { issueRequest } from '../../platform/certificate-request-issuing.ts';
import { encodeUtf8, equal, toHex } from '../../protocol/bytes.ts';
import { AT, crypto, DAY, DEVICE_WISHES, type Holder, parse } from '../test-authority.ts';
import { town } from '../town.ts';
import type { DeviceWishes, Town, TownDevice } from '../town-plan.ts';
import { isIn } from './town-packets.ts';

const DAY_MS = DAY * 1000;
const LIFE_DAYS = 90;
const LONG = process.env.KAGIMORI_LONG === '1';
/** Verdicts that hold for a week: nothing of this is about them. */
const RARE = { verdictMaxAge: 604_800 };

const certifying = (more: Partial<NonNullable<Settings['enrolment']>> = {}) => ({
  settings: {
    enrolment: {
      brokerUrl: 'mqtt://127.0.0.1',
      anchors: [],
      verifiers: [],
      approval: 'automatic',
      renewExpiredDays: 0,
      ...more,
    } as const,
  },
});

/** A town whose CA certifies for 90 days, and counts. */
function renewingTown(more: Partial<NonNullable<Settings['enrolment']>> = {}): {
  readonly t: Town;
  readonly wishes: CertificateWish[];
} {
  const t = town({ ...certifying(more), ...RARE });
  const wishes: CertificateWish[] = [];
  t.certify = (wish) => {
    wishes.push(wish);
    return issued(t, wish);
  };
  return { t, wishes };
}

function issued(
  t: Town,
  { device, spki, alternativeNames }: CertificateWish,
  days = LIFE_DAYS,
  by: Holder = t.ca,
): Certified {
  const leaf = issueCertificate(crypto, by.issuer, {
    ...(DEVICE_WISHES as object),
    ...(alternativeNames === undefined ? {} : { alternativeNames }),
    name: device,
    spki,
    serial: freshSerial(crypto),
    notBefore: t.clock.wall() - 3600,
    notAfter: t.clock.wall() + days * DAY,
  });
  return { chain: [leaf, by.certificate.der] };
}

const short: DeviceWishes = { renews: true, certificate: { notBefore: AT - DAY, notAfter: AT + LIFE_DAYS * DAY } };
const endOf = (device: TownDevice): number => parse(device.chain[0]!).notAfter;
const atManager = (t: Town, device: TownDevice): Uint8Array | undefined => t.manager.devices.get(device.id)?.leaf;
const said = (device: TownDevice, event: string): string[] => device.logs.filter((line) => line.includes(` ${event} `));

function inStep(t: Town, device: TownDevice): void {
  const hash = crypto.hash('sha-256', device.chain[0]!);
  assert.ok(isIn(t, device));
  assert.deepEqual(toHex(device.state.leafHash), toHex(hash), 'the device knows that it is known by it');
  assert.deepEqual(toHex(atManager(t, device)!), toHex(hash), 'the manager knows it by what it has on its disk');
}

test('[P3] [P4] a certificate is renewed at two thirds of its life, spread by 5 %, again and again; nothing before', () => {
  const { t, wishes } = renewingTown();
  const devices = Array.from({ length: LONG ? 8 : 2 }, (_, n) => t.add(`lamp-${n}`, short));
  const twoThirds = Math.floor(((LIFE_DAYS + 1) * 2) / 3) - 2;
  t.advance(twoThirds * DAY_MS);
  assert.equal(wishes.length, 0);
  t.advance(8 * DAY_MS);
  assert.equal(wishes.length, devices.length);
  assert.ok(wishes.every(({ renews }) => renews));
  for (const device of devices) {
    inStep(t, device);
    assert.ok(endOf(device) > AT + LIFE_DAYS * DAY);
  }
  assert.ok(new Set(devices.map(endOf)).size > 1, 'not all of them at once');
  t.advance(1.5 * LIFE_DAYS * DAY_MS);
  for (const device of devices) inStep(t, device);
  assert.equal(wishes.length, 3 * devices.length);
});

test('[B7] sessions, registrations and standing approvals outlive a renewal; grants after it carry the new leaf', () => {
  const { t } = renewingTown();
  const lamp = t.add('lamp', short);
  const phone = t.add('phone');
  const before = atManager(t, lamp)!;
  t.advance(59 * DAY_MS);
  phone.call('lamp', { lifetimeSeconds: 86_400 });
  t.advance(1_000);
  const version = lamp.state.registration.acknowledged?.version;
  let meanwhile = 0;
  while (equal(atManager(t, lamp)!, before) && meanwhile < 30) {
    const [old] = [...phone.state.sessions.keys()];
    if (old === undefined) phone.call('lamp', { lifetimeSeconds: 86_400 });
    t.advance(3_600_000);
    meanwhile += 1 / 24;
  }
  inStep(t, lamp);
  const [sid] = [...phone.state.sessions.keys()];
  assert.ok(sid !== undefined && lamp.state.sessions.has(sid));
  assert.equal(lamp.state.registration.acknowledged?.version, version);
  for (const [from, to] of [
    [phone, lamp],
    [lamp, phone],
  ] as const) {
    from.run((state, world) => assert.equal(sendData(state, sid, encodeUtf8('still here'), world), null));
    t.advance(100);
    assert.equal(to.latest('received')?.sid, sid);
  }
  phone.call('lamp');
  t.advance(2_000);
  assert.equal([...phone.state.sessions.values()].filter(({ state }) => state.name === 'open').length, 2);
});

test('the channel that is open serves until the renewal is through: the CA may take its time', () => {
  const { t } = renewingTown();
  const lamp = t.add('lamp', short);
  const phone = t.add('phone');
  t.certify = () => null;
  t.advance(66 * DAY_MS);
  lamp.state.life.notBefore = t.clock.now();
  lamp.feed({ type: 'certificateNotStored', number: 0, reason: '' });
  const asking = (): boolean => lamp.state.joining !== null;
  for (let n = 0; n < 4000 && !asking(); n++) t.advance(1_000);
  assert.ok(asking() && isIn(t, lamp), 'it waits for the CA, and is in');
  phone.call('lamp');
  t.flush();
  assert.ok(phone.latest('sessionOpened') !== undefined);
});

if (LONG) {
  test('a CA that refuses, is silent or certifies another key costs nobody his login; it is asked again within the hour', () => {
    const other = (t: Town) => (wish: CertificateWish) => issued(t, { ...wish, spki: t.root.key.publicSpki });
    const answers: readonly (readonly [string, (t: Town) => Town['certify']])[] = [
      ['refuses', () => () => ({ refused: 'no more' })],
      ['is silent', () => () => null],
      ['certifies another key', other],
      ['another name', (t) => (wish) => issued(t, { ...wish, device: 'tv' as never })],
      ['for a shorter time', (t) => (wish) => issued(t, wish, 10)],
      ['under another root', (t) => (wish) => issued(t, wish, 90, elsewhere())],
    ];
    for (const [what, answer] of answers) {
      const { t, wishes } = renewingTown();
      const good = t.certify;
      const lamp = t.add('lamp', { ...short, certificate: { notBefore: AT - 59 * DAY, notAfter: AT + 31 * DAY } });
      const before = lamp.chain;
      t.certify = (wish) => {
        wishes.push(wish);
        return answer(t)(wish);
      };
      t.advance(6 * DAY_MS);
      const asked = wishes.length;
      assert.ok(asked > 1 && asked <= 24 * 6, `${what}: ${asked} times`);
      assert.equal(lamp.chain, before, what);
      assert.ok(isIn(t, lamp), what);
      assert.ok(lamp.state.life.fault !== null || what === 'is silent', what);
      t.certify = good;
      t.advance(2 * 3_600_000 + 60_000);
      assert.notEqual(lamp.chain, before, what);
      inStep(t, lamp);
    }
  });
}

function elsewhere(): Holder {
  return town().ca;
}

test('a manager without a CA is asked once a day', () => {
  const t = town(RARE);
  const lamp = t.add('lamp', short);
  t.advance(70 * DAY_MS);
  assert.ok(isIn(t, lamp));
  const asked = said(lamp, 'certificate.not-renewed').length;
  assert.ok(asked >= 3 && asked <= 12, `${asked}`);
  assert.match(said(lamp, 'certificate.not-renewed')[0]!, /not-certified/);
});

test('renewal that is off asks nobody, and warns at 7 days and at 1, each once; what ran out is an error', () => {
  const { t, wishes } = renewingTown();
  const lamp = t.add('lamp', { certificate: { notBefore: AT, notAfter: AT + LIFE_DAYS * DAY - 3600 } });
  t.advance(82 * DAY_MS);
  assert.deepEqual([wishes.length, said(lamp, 'certificate.ends').length], [0, 0]);
  t.advance(1.5 * DAY_MS);
  assert.equal(said(lamp, 'certificate.ends').length, 1);
  assert.match(said(lamp, 'certificate.ends')[0]!, /^warn .*"within":"7 d","remedy":"renewal is off/);
  t.advance(5.5 * DAY_MS);
  assert.equal(said(lamp, 'certificate.ends').length, 2);
  assert.match(said(lamp, 'certificate.ends')[1]!, /"within":"1 d"/);
  t.advance(DAY_MS);
  assert.equal(said(lamp, 'certificate.ends').length, 2);
  assert.equal(said(lamp, 'certificate.ended').length, 1);
});

test('a certificate of a year warns 30 days before too; the manager tells its operator, each of the days once', () => {
  const t = town({ ...RARE, managerCertificate: { notAfter: AT + 900 * DAY } });
  const lamp = t.add('lamp', { certificate: { notBefore: AT, notAfter: AT + 365 * DAY } });
  const hers = (): number => t.managerLogs.filter((line) => line.includes('device.certificate-ends')).length;
  t.advance(334 * DAY_MS);
  assert.deepEqual([said(lamp, 'certificate.ends').length, hers()], [0, 0]);
  t.advance(9 * DAY_MS); // each week brings a full login
  assert.deepEqual([said(lamp, 'certificate.ends').length, hers()], [1, 1]);
});

test('[P4] a login that asks too early, over another key, or with a request of somebody else gets its channel and nothing else', () => {
  const { t, wishes } = renewingTown();
  const requests = {
    'too early': (holder: Holder) =>
      issueRequest({ ...holder.key.key, publicSpki: holder.key.publicSpki }, { name: 'lamp' }),
    'another key': () => issueRequest({ ...t.ca.key.key, publicSpki: t.ca.key.publicSpki }, { name: 'lamp' }),
    'not signed by it': (holder: Holder) =>
      issueRequest({ ...t.ca.key.key, publicSpki: holder.key.publicSpki }, { name: 'lamp' }),
    garbage: () => encodeUtf8('not a request'),
  };
  for (const [what, request] of Object.entries(requests)) {
    const late = what === 'too early' ? 0 : 80;
    const lamp: TownDevice = t.add(`lamp-${what.replaceAll(' ', '-')}`, {
      certificate: { notBefore: AT - late * DAY, notAfter: AT + 30 * DAY },
      settings: { renewal: { writeRequest: () => request(lamp.holder) } },
      start: false,
    });
    lamp.state.life.renewAt = 0 as never; // a device that does not keep to the rule
    t.flush();
    assert.ok(isIn(t, lamp), what);
    assert.equal(wishes.length, 0, what);
  }
  assert.equal(t.managerLogs.filter((line) => line.includes('renewal.refused')).length, 4);
});

test('[B6] a device that is revoked gets no certificate, whether it is in its time or has run out', () => {
  for (const days of [-1, 60]) {
    const { t, wishes } = renewingTown({ renewExpiredDays: 365 });
    const lamp = t.add('lamp', {
      renews: true,
      certificate: { notBefore: AT - 100 * DAY, notAfter: AT + days * DAY },
      start: false,
    });
    t.revoke(lamp.holder);
    t.advance(600_000);
    assert.ok(!isIn(t, lamp));
    assert.equal(wishes.length, 0);
    assert.ok(lamp.news.some((one) => one.news === 'loginDenied' && one.reason === 'revoked'));
  }
});

test('an answer that is lost, and a device that asks again and again, get the same certificate: the CA is asked once an hour at most', () => {
  const { t, wishes } = renewingTown();
  const lamp = t.add('lamp', {
    ...short,
    certificate: { notBefore: AT - 80 * DAY, notAfter: AT + 10 * DAY },
    start: false,
  });
  const before = lamp.chain;
  lamp.diskFrozen = true;
  t.flush();
  for (let n = 0; n < 5; n++) {
    lamp.restart();
    lamp.diskFrozen = true;
    t.advance(10_000);
  }
  assert.equal(lamp.chain, before);
  assert.equal(wishes.length, 1);
  lamp.restart();
  t.advance(10_000);
  assert.equal(wishes.length, 1);
  inStep(t, lamp);
  assert.notEqual(lamp.chain, before);
});

test('months in a drawer: a certificate that ran out is renewed where the operator allows it, and only so long', () => {
  for (const [allowed, renewed] of [
    [0, false],
    [30, false],
    [200, true],
  ] as const) {
    const { t } = renewingTown({ renewExpiredDays: allowed });
    const lamp = t.add('lamp', {
      ...short,
      certificate: { notBefore: AT - 160 * DAY, notAfter: AT - 70 * DAY },
      start: false,
    });
    t.advance(10_000);
    assert.equal(isIn(t, lamp), renewed, `${allowed} days`);
    if (renewed) {
      inStep(t, lamp);
      assert.ok(endOf(lamp) > t.clock.wall());
      continue;
    }
    assert.equal(lamp.latest('loginDenied')?.reason, 'expired');
    assert.match(said(lamp, 'login.denied')[0]!, /enrol anew \(kagimori agent enrol\), or the operator allows/);
  }
});

test('[P4] only the end of the leaf is overlooked: what else is wrong with an old certificate counts', () => {
  const rows: readonly (readonly [string, (t: Town) => DeviceWishes])[] = [
    ['an issuer that is not known', () => ({ chain: [elsewhere().certificate.der] })],
    ['a manager', () => ({ certificate: { extendedKeyUsage: ['1.3.6.1.4.1.63479.1.2'] } })],
  ];
  for (const [what, wish] of rows) {
    const { t, wishes } = renewingTown({ renewExpiredDays: 365 });
    const old = { notBefore: AT - 160 * DAY, notAfter: AT - 70 * DAY };
    const { certificate, ...more } = wish(t);
    const lamp = t.add('lamp', { ...short, ...more, certificate: { ...old, ...certificate }, start: false });
    t.advance(10_000);
    assert.ok(!isIn(t, lamp) && wishes.length === 0, what);
  }
});

test('a file that an operator puts in the place is shown at once; one of another key, name or root is refused', () => {
  const t = town();
  const lamp = t.add('lamp', { certificate: { notBefore: AT - DAY, notAfter: AT + 20 * DAY } });
  const mine = { device: lamp.id, spki: lamp.holder.key.publicSpki, renews: true };
  const chainOf = (certified: Certified): readonly Uint8Array[] => ('chain' in certified ? certified.chain : []);
  const wrong = [
    issued(t, { ...mine, spki: t.ca.key.publicSpki }),
    issued(t, { ...mine, device: 'tv' as never }),
    issued(t, mine, 90, elsewhere()),
  ].map(chainOf);
  for (const chain of wrong) {
    lamp.feed({ type: 'certificateReplaced', chain });
    t.flush();
    assert.equal(lamp.state.identity.chain, lamp.chain);
  }
  assert.equal(said(lamp, 'certificate.refused').length, wrong.length);
  lamp.chain = chainOf(issued(t, mine));
  lamp.feed({ type: 'certificateReplaced', chain: lamp.chain });
  t.flush();
  inStep(t, lamp);
  assert.equal(lamp.state.openings.length, 2);
});

test('a device whose clock cannot be right renews by the time of the verifier', () => {
  for (const skewSeconds of [-AT, 2_145_916_800 - AT]) {
    const { t, wishes } = renewingTown();
    const lamp = t.add('lamp', { ...short, skewSeconds });
    t.advance(50 * DAY_MS);
    assert.equal(wishes.length, 0);
    t.advance(20 * DAY_MS);
    assert.equal(wishes.length, 1);
    inStep(t, lamp);
  }
});

test('kill -9 between any two steps of a renewal leaves a certificate that is good, and the device comes back by itself', () => {
  const certificate = { notBefore: AT - 80 * DAY, notAfter: AT + 10 * DAY };
  const steps = (): { t: Town; lamp: TownDevice; phone: TownDevice } => {
    const { t } = renewingTown();
    const phone = t.add('phone');
    const lamp = t.add('lamp', { ...short, certificate, start: false });
    return { t, lamp, phone };
  };
  const whole = steps();
  const from = whole.t.packets.length;
  whole.t.advance(3_000);
  const packets = whole.t.packets.length - from;
  assert.ok(packets > 8);
  const dead: string[] = [];
  for (let at = 0; at <= packets; at += LONG ? 1 : 2) {
    for (const victim of LONG ? (['lamp', 'manager'] as const) : [at % 4 === 0 ? 'lamp' : 'manager']) {
      const { t, lamp, phone } = steps();
      let seen = 0;
      t.meddler = () => {
        if (seen++ === at) {
          // from here on nothing of it reaches its disk or the network
          if (victim === 'lamp') lamp.diskFrozen = true;
          else t.diskFrozen = true;
        }
        return seen > at ? [] : 'pass';
      };
      t.advance(3_000);
      t.meddler = () => 'pass';
      if (victim === 'lamp') lamp.restart();
      else t.restartManager();
      t.advance(100_000);
      phone.call('lamp');
      t.advance(5_000);
      const good = isIn(t, lamp) && endOf(lamp) > AT + 20 * DAY && phone.latest('sessionOpened') !== undefined;
      if (!good) dead.push(`${victim} at ${at}`);
      else inStep(t, lamp);
    }
  }
  assert.deepEqual(dead, []);
});

test('of a restart between the file and the login the resumption of the old certificate is not used', () => {
  const { t } = renewingTown();
  const lamp = t.add('lamp', short);
  assert.ok(lamp.state.secret !== null);
  const certified = issued(t, { device: lamp.id, spki: lamp.holder.key.publicSpki, renews: true });
  if ('chain' in certified) lamp.chain = certified.chain;
  lamp.restart();
  t.advance(5_000);
  inStep(t, lamp);
  assert.equal(lamp.state.openings[0]?.opened, 'edhoc');
});

test('the names of the device in a renewal are those of its certificate, whatever its request says', () => {
  const { t, wishes } = renewingTown();
  const lamp: TownDevice = t.add('lamp', {
    certificate: {
      notBefore: AT - 80 * DAY,
      notAfter: AT + 10 * DAY,
      alternativeNames: [
        { type: 'dns', value: 'lamp.example' },
        { type: 'mac', value: '00:11:22:33:44:55' },
      ],
    },
    settings: {
      renewal: {
        writeRequest: () =>
          issueRequest(
            { ...lamp.holder.key.key, publicSpki: lamp.holder.key.publicSpki },
            { name: 'tv', alternativeNames: [{ type: 'dns', value: 'tv.example' }] },
          ),
      },
    },
    start: false,
  });
  t.advance(3_000);
  assert.deepEqual(
    wishes.map(({ device }) => device),
    ['lamp'],
  );
  inStep(t, lamp);
  const names = t.manager.devices.get(lamp.id)?.names;
  assert.deepEqual(names, ['id:lamp', 'fqdn:lamp.example', 'mac:001122334455']);
});

test('a clock at 2038 asks for a renewal that is not due; that the manager gives none is no fault once the time is known', () => {
  const { t, wishes } = renewingTown();
  const lamp = t.add('lamp', { ...short, skewSeconds: 2_145_916_800 - AT });
  t.advance(120_000);
  inStep(t, lamp);
  assert.equal(lamp.state.life.fault, null);
  assert.deepEqual(said(lamp, 'certificate.not-renewed'), []);
  assert.equal(wishes.length, 0);
});
