/**
 * Enrolment as a way around what was decided otherwise: quarantine, reset, revocation, what a person looked at.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { receiveCertified } from '../../manager/certifying.ts';
import { evict } from '../../manager/channels.ts';
import { allowHeld, refuseHeld } from '../../manager/enrolment-approval.ts';
import { loadEnrolment } from '../../manager/enrolment-records.ts';
import { listingOf } from '../../manager/state.ts';
import { voidDevice } from '../../manager/voiding.ts';
import { generateSigningKey } from '../../platform/crypto-node.ts';
import { equal } from '../../protocol/bytes.ts';
import { readInvitation, writeInvitation } from '../../protocol/invitation.ts';
import { idOf, type Newcomer, type NewcomerWish, newcomer } from '../newcomer.ts';
import { AT, certify, crypto, DAY, DEVICE_WISHES, type Holder, parse } from '../test-authority.ts';
import { town } from '../town.ts';
import type { Town, TownWishes } from '../town-plan.ts';
import { isIn } from './town-packets.ts';

const BOILER = idOf('boiler');
const house = (wishes: TownWishes = {}): Town => town({ enrolment: {}, ...wishes });
const outcome = ({ last }: Newcomer): string | undefined => {
  const news = last();
  return news?.news === 'refused' || news?.news === 'waiting' ? news.reason : news?.news;
};

/** Shows this certificate in place of a token. */
function byCertificate(place: Town, holder: Holder, wish: Partial<NewcomerWish> = {}): Newcomer {
  const { token: _, ...address } = readInvitation(crypto, place.invite('unused').written);
  return newcomer(place, writeInvitation(crypto, address), {
    name: 'boiler',
    requestKey: holder.key,
    identity: {
      chain: [holder.certificate.der, place.ca.certificate.der],
      signingKey: holder.key.key,
      cipherSuites: [2],
      channelSuites: [0, 1],
    },
    ...wish,
  });
}

/** `boiler`, which was in with a certificate that nobody enrolled, and is off. */
function visited(wishes: TownWishes = {}): { readonly place: Town; readonly holder: Holder } {
  const place = house(wishes);
  const device = place.add('boiler');
  assert.ok(isIn(place, device));
  device.stop();
  place.flush();
  return { place, holder: device.holder };
}

test('[B6] no enrolment leads out of quarantine, by a certificate or by a token', () => {
  const { place, holder } = visited();
  place.runManager((state) => evict(state, BOILER, 'duplicate', place.world()));
  place.flush();
  assert.equal(outcome(byCertificate(place, holder).run()), 'duplicate');
  const { written } = place.invite('b*');
  assert.equal(outcome(newcomer(place, written, { name: 'boiler', key: holder.key }).run()), 'duplicate');
  assert.notEqual(place.manager.devices.get(BOILER)?.quarantinedAt, undefined);
  assert.equal(place.certifying.made.length, 0);
});

test('[B6] who is put into quarantine while the CA works is not let out by its certificate', () => {
  const { place, holder } = visited();
  place.certifying.state = 'silent';
  byCertificate(place, holder).run();
  const [number] = [...place.manager.certifying.keys()];
  place.runManager((state) => evict(state, BOILER, 'duplicate', place.world()));
  place.flush();
  place.certifying.state = 'good';
  const wish = { device: BOILER, spki: holder.key.publicSpki, renews: false };
  const certified = place.certifying.answer(wish, place.world())!;
  place.runManager((state) => receiveCertified(state, number!, certified, place.world()));
  place.flush();
  assert.notEqual(place.manager.devices.get(BOILER)?.quarantinedAt, undefined);
  place.restartManager();
  assert.notEqual(place.manager.devices.get(BOILER)?.quarantinedAt, undefined, 'on disk, too');
});

test('[B6] the machine that is in is not made a stranger by a copy that enrols with its key', () => {
  const place = house();
  const device = place.add('boiler');
  const before = place.manager.devices.get(BOILER)!.leaf;
  assert.equal(outcome(byCertificate(place, device.holder).run()), 'duplicate');
  assert.ok(equal(place.manager.devices.get(BOILER)!.leaf, before));
  assert.ok(isIn(place, device));
});

test('[B6] while a reset is being written its device gets no certificate over a fresh key', () => {
  const { place, holder } = visited();
  place.diskFrozen = true;
  place.runManager((state) => {
    assert.ok(voidDevice(state, BOILER, null, () => {}, place.world()));
  });
  assert.equal(outcome(byCertificate(place, holder, { requestKey: generateSigningKey('p256') }).run()), 'busy');
  assert.equal(place.certifying.made.length, 0);
});

test('[B6] a device that is reset while the CA works does not come back with what the CA made', () => {
  const { place, holder } = visited();
  place.certifying.state = 'silent';
  const device = byCertificate(place, holder).run();
  const [number] = [...place.manager.certifying.keys()];
  place.runManager((state) => {
    assert.ok(voidDevice(state, BOILER, null, () => {}, place.world()));
  });
  place.flush();
  place.certifying.state = 'good';
  const wish = { device: BOILER, spki: holder.key.publicSpki, renews: false };
  const certified = place.certifying.answer(wish, place.world())!;
  place.runManager((state) => receiveCertified(state, number!, certified, place.world()));
  place.flush();
  device.take();
  assert.notEqual(outcome(device), 'enrolled');
  assert.equal(place.manager.devices.has(BOILER), false);
  assert.equal(loadEnrolment(place.store).enrolled.has(BOILER), false);
});

test('[P4] a certificate that is revoked while the CA works gets no other in its place', () => {
  const place = house();
  const factory = certify('tv', DEVICE_WISHES, place.ca);
  place.certifying.state = 'silent';
  const key = generateSigningKey('p256');
  const device = byCertificate(place, factory, { name: 'tv', requestKey: key }).run();
  const [number] = [...place.manager.certifying.keys()];
  place.revoke(factory);
  place.advance(1000);
  place.certifying.state = 'good';
  const wish = { device: idOf('tv'), spki: key.publicSpki, renews: false };
  const certified = place.certifying.answer(wish, place.world())!;
  place.runManager((state) => receiveCertified(state, number!, certified, place.world()));
  place.flush();
  device.take();
  assert.equal(outcome(device), 'revoked');
  assert.equal(place.manager.devices.has(idOf('tv')), false);
});

test('what a person looked at is what the yes counts for: another name does not come in its place behind the id', () => {
  const place = house({ enrolment: { approval: 'operator' } });
  const { written } = place.invite('*');
  const key = generateSigningKey('p256');
  assert.equal(outcome(newcomer(place, written, { name: 'lamp', key }).run()), 'held');
  const [id] = place.manager.enrolment.held.keys();
  assert.equal(outcome(newcomer(place, written, { name: 'vault', key }).run()), 'forbidden');
  assert.equal(place.manager.enrolment.held.get(id!)?.applicant.device, 'lamp');
  place.runManager((state) => void refuseHeld(state, id!));
  assert.equal(outcome(newcomer(place, written, { name: 'vault', key }).run()), 'held', 'after a no it may ask anew');
  place.runManager((state) => {
    assert.equal(allowHeld(state, id!, place.world()), null);
  });
  place.flush();
  assert.ok(place.manager.devices.has(idOf('vault')) && !place.manager.devices.has(idOf('lamp')));
});

test('under a pattern nobody takes a name that looks like that of somebody else', () => {
  const place = house();
  const { written } = place.invite('*', { uses: 20 });
  for (const name of [
    'phone\u200b',
    'ph\u00adone',
    '\u202eenohp',
    'phone ',
    ' phone',
    'tv\u00a0',
    'phone\ufe0f',
    'the  tv',
  ])
    assert.equal(outcome(newcomer(place, written, { name }).run()), 'forbidden', JSON.stringify(name));
  for (const name of ['phone', 'Küche tv']) assert.equal(outcome(newcomer(place, written, { name }).run()), 'enrolled');
});

test('one invitation in wrong hands fills the list of those who wait for itself alone', () => {
  const place = house({ enrolment: { approval: 'operator' } });
  const [stolen, other] = [place.invite('boiler'), place.invite('lamp')];
  const answers = Array.from({ length: 20 }, () => outcome(newcomer(place, stolen.written).run()));
  assert.deepEqual([answers.indexOf('too-many'), answers.lastIndexOf('held')], [17, 16]);
  assert.equal(outcome(newcomer(place, other.written).run()), 'held');
  const factory = certify('tv', DEVICE_WISHES, place.ca);
  const keys = Array.from({ length: 20 }, () => generateSigningKey('p256'));
  const byFactory = keys.map((requestKey) => outcome(byCertificate(place, factory, { name: 'tv', requestKey }).run()));
  assert.deepEqual([byFactory.indexOf('too-many'), byFactory.lastIndexOf('held')], [16, 15]);
});

test('a certificate that ran out is renewed over its own key alone: it enrols no other', () => {
  const place = house({ enrolment: { renewExpiredDays: 365 } });
  const old = certify('boiler', { ...DEVICE_WISHES, notBefore: AT - 160 * DAY, notAfter: AT - DAY }, place.ca);
  assert.equal(outcome(byCertificate(place, old, { requestKey: generateSigningKey('p256') }).run()), 'expired');
  assert.equal(place.certifying.made.length, 0);
});

test('[B6] who was heard to be revoked is not renewed, though no list says so after the end of the certificate', () => {
  for (const revoked of [false, true]) {
    const place = house({ enrolment: { renewExpiredDays: 365 } });
    const device = place.add('boiler', { certificate: { notBefore: AT - 80 * DAY, notAfter: AT + 1800 } });
    device.stop();
    place.flush();
    if (revoked) place.runManager((state) => evict(state, BOILER, 'revoked', place.world()));
    place.advance(3_600_000);
    const again = place.add('boiler', { holder: device.holder, renews: true });
    place.advance(10_000);
    assert.equal(isIn(place, again), !revoked);
    assert.equal(place.certifying.made.length, revoked ? 0 : 1);
  }
});

test('class and welcome are of the key that was enrolled: who comes under its name with another has neither', () => {
  for (const admit of ['listed', 'certified'] as const) {
    const place = house({ settings: { admit } });
    const { written } = place.invite('boiler', { class: 'vault' });
    const first = newcomer(place, written).run();
    assert.equal(outcome(first), 'enrolled');
    place.revoke({ ...place.ca, certificate: parse(place.certifying.made[0]!.der) });
    place.runManager((state) => evict(state, BOILER, 'revoked', place.world()));
    place.flush();
    const other = place.add('boiler');
    place.advance(1000);
    assert.equal(isIn(place, other), admit === 'certified', admit);
    if (admit === 'certified') assert.equal(listingOf(place.manager, BOILER).class, null);
  }
});
