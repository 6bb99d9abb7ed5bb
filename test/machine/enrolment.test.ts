/**
 * Enrolment at the manager, with the machine of the device at the other end: whose token counts, how often, and what
 * stands on the disk whenever the manager is killed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EnrolmentNews } from '../../device-agent/enrolment.ts';
import { allowHeld, refuseHeld } from '../../manager/enrolment-approval.ts';
import { loadEnrolment } from '../../manager/enrolment-records.ts';
import { newInvitation, withdrawInvitation } from '../../manager/invitations.ts';
import { listingOf } from '../../manager/state.ts';
import { generateSigningKey } from '../../platform/crypto-node.ts';
import { equal, toHex } from '../../protocol/bytes.ts';
import { readInvitation, writeInvitation } from '../../protocol/invitation.ts';
import { idOf, type Newcomer, type NewcomerWish, newcomer } from '../newcomer.ts';
import { searchFor } from '../secret-search.ts';
import { AT, certify, crypto, DEVICE_WISHES, parse } from '../test-authority.ts';
import { town } from '../town.ts';
import type { Town, TownWishes } from '../town-plan.ts';

const house = (wishes: TownWishes = {}): Town => town({ enrolment: {}, ...wishes });
const enrolled = ({ last }: Newcomer) => {
  const news = last();
  assert.equal(news?.news, 'enrolled', JSON.stringify(news));
  return (news as Extract<EnrolmentNews, { news: 'enrolled' }>).enrolled;
};
const refusal = ({ last }: Newcomer): string | undefined => {
  const news = last();
  return news?.news === 'refused' || news?.news === 'waiting' ? news.reason : news?.news;
};
const onDisk = ({ store }: Town) => loadEnrolment(store);

test('[P3] a device with a token gets a certificate over its key, and is in the registry with class and groups', () => {
  const place = house({ settings: { admit: 'listed' } });
  const { id, written } = place.invite('boiler', { class: 'appliance', groups: ['home'] });
  const device = newcomer(place, written).run();
  const { chain, anchors, verifiers, id: name } = enrolled(device);
  assert.equal(name, 'boiler');
  assert.ok(equal(parse(chain[0]!).spki, device.key.publicSpki));
  assert.ok(equal(anchors[0]!, place.root.certificate.der));
  assert.ok(equal(verifiers[0]!, place.verifierKey.certificate.der));
  assert.deepEqual(listingOf(place.manager, idOf('boiler')), { class: 'appliance', groups: ['home'], user: null });
  assert.equal(onDisk(place).invitations.get(id)?.left, 0);
  assert.equal(onDisk(place).enrolled.get(idOf('boiler'))?.class, 'appliance');

  const holder = { certificate: parse(chain[0]!), key: device.key, issuer: place.ca.issuer };
  const agent = place.add('boiler', { holder, chain });
  place.flush();
  assert.equal(agent.latest('channelOpened')?.how, 'edhoc');
});

test('a token is used once: the next key is refused, the same key gets the same certificate again', () => {
  const place = house();
  const { written } = place.invite('boiler');
  const first = newcomer(place, written).run();
  const { chain } = enrolled(first);
  assert.equal(refusal(newcomer(place, written).run()), 'bad-token');
  const again = newcomer(place, written, { key: first.key }).run();
  assert.ok(equal(enrolled(again).chain[0]!, chain[0]!));
  assert.equal(place.certifying.made.length, 1);
});

test('of two enrolments by one token in the same instant exactly one wins', () => {
  const place = house();
  const { written } = place.invite('boiler');
  const both = [newcomer(place, written), newcomer(place, written)];
  for (const one of both) one.begin();
  for (let moved = true; moved; ) {
    place.flush();
    moved = both.map((one) => one.take()).includes(true);
  }
  assert.deepEqual(both.map((one) => one.last()?.news).sort(), ['enrolled', 'refused']);
  assert.equal(place.certifying.made.length, 1);
});

test('of two names under one pattern with one use, in the same instant, exactly one wins', () => {
  const place = house();
  const { written } = place.invite('lamp-*');
  const both = ['lamp-1', 'lamp-2'].map((name) => newcomer(place, written, { name }));
  for (const one of both) one.begin();
  for (let moved = true; moved; ) {
    place.flush();
    moved = both.map((one) => one.take()).includes(true);
  }
  assert.deepEqual(both.map((one) => one.last()?.news).sort(), ['enrolled', 'refused']);
  assert.equal(place.certifying.made.length, 1);
});

test('an invitation for many: each name of the pattern once, others not at all, and no more than it says', () => {
  const place = house();
  const { id, written } = place.invite('lamp-*', { uses: 2 });
  assert.equal(refusal(newcomer(place, written, { name: 'door' }).run()), 'forbidden');
  assert.equal(refusal(newcomer(place, written, { name: 'lamp-*' }).run()), 'forbidden');
  enrolled(newcomer(place, written, { name: 'lamp-1' }).run());
  assert.equal(refusal(newcomer(place, written, { name: 'lamp-1' }).run()), 'name-taken');
  enrolled(newcomer(place, written, { name: 'lamp-2' }).run());
  assert.equal(refusal(newcomer(place, written, { name: 'lamp-3' }).run()), 'bad-token');
  assert.equal(onDisk(place).invitations.get(id)?.left, 0);
});

test('an invitation whose time is over, or that was withdrawn, lets nobody in', () => {
  const place = house();
  const old = place.invite('boiler', { ttlSeconds: 60 });
  place.advance(61_000);
  assert.equal(refusal(newcomer(place, old.written).run()), 'bad-token');
  const withdrawn = place.invite('boiler');
  place.runManager((state) => void withdrawInvitation(state, withdrawn.id, () => {}));
  place.flush();
  assert.equal(refusal(newcomer(place, withdrawn.written).run()), 'bad-token');
  assert.equal(onDisk(place).invitations.has(withdrawn.id), false);
  assert.equal(place.certifying.made.length, 0);
});

test('a token with one wrong bit in its secret is none, and tries that come too fast get no answer at all', () => {
  const place = house();
  const { written } = place.invite('boiler');
  const invitation = readInvitation(crypto, written);
  const token = invitation.token!.slice();
  token[23]! ^= 1;
  const wrong = writeInvitation(crypto, { ...invitation, token });
  const answers = Array.from({ length: 25 }, () => refusal(newcomer(place, wrong).run()));
  assert.equal(answers.filter((one) => one === 'bad-token').length, 20);
  assert.equal(place.managerLogs.filter((line) => line.includes('enrolment.wrong-token')).length, 1);
  enrolled(newcomer(place, written).run());
});

test('a request over another key than that of the login is refused', () => {
  const place = house();
  const { written } = place.invite('boiler');
  const thief = newcomer(place, written, { requestKey: generateSigningKey('p256') }).run();
  assert.equal(refusal(thief), 'not-certified');
  enrolled(newcomer(place, written).run());
});

test('the name of a living device is refused to another key, at the invitation and at the login', () => {
  const place = house();
  place.add('boiler');
  const wish = { name: 'boiler', class: null, groups: [], uses: 1, ttlSeconds: 60 };
  const made = newInvitation(place.manager, wish, place.world());
  assert.equal('code' in made && made.code, 'name-taken');
  const { written } = place.invite('b*');
  assert.equal(refusal(newcomer(place, written, { name: 'boiler' }).run()), 'name-taken');
});

test('a CA that refuses costs nothing: the token is as good as before', () => {
  const place = house();
  const { id, written } = place.invite('boiler');
  const device = newcomer(place, written);
  place.certifying.state = 'refusing';
  assert.equal(refusal(device.run()), 'not-certified');
  assert.equal(onDisk(place).invitations.get(id)?.left, 1);
  place.certifying.state = 'good';
  enrolled(newcomer(place, written).run());
});

test('a full disk certifies nobody; what the CA made is given out when it can be stored', () => {
  const place = house();
  const { id, written } = place.invite('boiler');
  const device = newcomer(place, written);
  place.diskBroken = true;
  assert.equal(device.run().last()?.news, 'failed');
  assert.equal(onDisk(place).enrolled.size, 0);
  assert.equal(place.manager.devices.size, 0);
  assert.equal(place.manager.enrolment.invitations.get(id)?.left, 1);
  place.diskBroken = false;
  enrolled(newcomer(place, written, { key: device.key }).run());
  assert.equal(place.certifying.made.length, 1);
});

test('who has to wait for a person is told so, and gets in when that person says yes', () => {
  const place = house({ enrolment: { approval: 'operator' } });
  const { written } = place.invite('boiler');
  const device = newcomer(place, written);
  assert.equal(refusal(device.run()), 'held');
  assert.equal(refusal(device.run()), 'held');
  const [[id, held] = []] = [...place.manager.enrolment.held];
  assert.equal(held?.applicant.key, toHex(crypto.hash('sha-256', device.key.publicSpki)));
  assert.equal(place.certifying.made.length, 0);
  place.runManager((state) => {
    assert.equal(allowHeld(state, id!, place.world()), null);
  });
  place.flush();
  place.restartManager(); // the yes is on disk
  enrolled(device.run());
  assert.equal(place.manager.enrolment.held.size, 0);
});

test('who was refused by a person is told so, and the token still serves another', () => {
  const place = house({ enrolment: { approval: 'operator' } });
  const { written } = place.invite('boiler');
  const stranger = newcomer(place, written);
  assert.equal(refusal(stranger.run()), 'held');
  const [id] = place.manager.enrolment.held.keys();
  place.runManager((state) => void refuseHeld(state, id!));
  assert.equal(refusal(stranger.run()), 'forbidden');
  assert.equal(refusal(newcomer(place, written).run()), 'held');
});

test('a device with a good certificate of another CA gets one of ours, under the name that it has', () => {
  const place = house();
  const maker = certify('boiler', DEVICE_WISHES, place.ca);
  const { written } = place.invite('unused');
  const { token: _, ...address } = readInvitation(crypto, written);
  const key = generateSigningKey('p256');
  const wish: NewcomerWish = {
    requestKey: key,
    identity: {
      chain: [maker.certificate.der, place.ca.certificate.der],
      signingKey: maker.key.key,
      cipherSuites: [2],
      channelSuites: [0, 1],
    },
  };
  const bare = writeInvitation(crypto, address);
  const { chain, id } = enrolled(newcomer(place, bare, wish).run());
  assert.equal(id, 'boiler');
  assert.ok(equal(parse(chain[0]!).spki, key.publicSpki));
  assert.ok(equal(enrolled(newcomer(place, bare, wish).run()).chain[0]!, chain[0]!)); // an answer that was lost
  place.revoke(maker);
  assert.equal(refusal(newcomer(place, bare, { ...wish, requestKey: generateSigningKey('p256') }).run()), 'revoked');
});

// Where a manager dies: before the CA answers, before the disk has it, before the device hears of it.
for (const [when, kill] of [
  [
    'while the CA works',
    (place: Town) => {
      place.certifying.state = 'silent';
    },
  ],
  [
    'while the disk works',
    (place: Town) => {
      place.diskFrozen = true;
    },
  ],
  [
    'before the answer',
    (place: Town) => {
      place.meddler = ({ from, payload }) =>
        from === 'manager' && place.store.get('enrolled', 'boiler') !== null && payload.length > 500 ? [] : 'pass';
    },
  ],
] as const) {
  test(`a manager that is killed ${when}: the device asks again and has one certificate`, () => {
    const place = house();
    const { id, written } = place.invite('boiler');
    const device = newcomer(place, written);
    kill(place);
    device.run();
    assert.notEqual(device.last()?.news, 'enrolled');
    place.certifying.state = 'good';
    place.meddler = () => 'pass';
    place.restartManager();
    enrolled(device.run());
    assert.equal(place.certifying.made.length, 1);
    assert.equal(onDisk(place).invitations.get(id)?.left, 0);
    assert.equal(refusal(newcomer(place, written).run()), 'bad-token');
  });
}

test('[B6] the secret of a token is in no log line and not in the store', () => {
  const place = house();
  const { written } = place.invite('boiler');
  const token = readInvitation(crypto, written).token!;
  const secrets = { secret: token.subarray(8) };
  enrolled(newcomer(place, written).run());
  newcomer(place, written).run();
  const records = [...place.store.entries('invitations'), ...place.store.entries('enrolled')];
  const kept = Buffer.concat([...records.map(([, value]) => value), Buffer.from(place.managerLogs.join('\n'))]);
  assert.deepEqual(searchFor(secrets)(kept), []);
  assert.ok(searchFor(secrets)(Buffer.concat([kept, token])).length > 0, 'the search would find it');
});

test('an invitation is forgotten a week after its end', () => {
  const place = house();
  const { id } = place.invite('boiler', { ttlSeconds: 60 });
  place.runManager((state) => {
    state.enrolment.invitations.set(id, { ...state.enrolment.invitations.get(id)!, until: AT - 8 * 86_400 });
  });
  place.advance(3_600_000);
  assert.equal(onDisk(place).invitations.size, 0);
});
