/**
 * Enrolment with both real machines: the device's and the manager's, with the verifier beside.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createEnrolment,
  type EnrolmentEvent,
  type EnrolmentNews,
  type EnrolmentState,
  stepEnrolment,
} from '../../device-agent/enrolment.ts';
import { allowHeld } from '../../manager/enrolment-approval.ts';
import { newInvitation } from '../../manager/invitations.ts';
import { commit } from '../../manager/outbox.ts';
import { commonName, freshSerial, issueCertificate } from '../../platform/certificate-issuing.ts';
import { issueRequest } from '../../platform/certificate-request-issuing.ts';
import { type GeneratedSigningKey, generateSigningKey } from '../../platform/crypto-node.ts';
import { type Invitation, readInvitation } from '../../protocol/invitation.ts';
import { suitesFor } from '../../protocol/login.ts';
import { topicsUnder } from '../../protocol/topics.ts';
import type { DeviceId } from '../../protocol/units.ts';
import { AT, crypto, DAY, DEVICE_WISHES, reader } from '../test-authority.ts';
import { town } from '../town.ts';
import type { Stranger, Town } from '../town-plan.ts';

const topics = topicsUnder();

/** A town whose manager enrols. */
function enrollingTown(approval: 'automatic' | 'operator' = 'automatic'): Town {
  const anchors: Uint8Array[] = [];
  const verifiers: Uint8Array[] = [];
  const brokerUrl = 'mqtt://home';
  const t = town({ settings: { enrolment: { brokerUrl, anchors, verifiers, approval, renewExpiredDays: 0 } } });
  anchors.push(t.root.certificate.der);
  verifiers.push(t.verifierKey.certificate.der);
  t.certify = ({ device: name, spki }) => {
    const period = { notBefore: t.clock.wall() - 3600, notAfter: t.clock.wall() + 90 * DAY };
    const wishes = { ...(DEVICE_WISHES as object), name, spki, serial: freshSerial(crypto), ...period };
    return { chain: [issueCertificate(crypto, t.ca.issuer, wishes), t.ca.certificate.der] };
  };
  t.flush();
  return t;
}

function invite(t: Town, name: string): Invitation {
  const made: string[] = [];
  t.runManager((state) => {
    const wish = { name, class: null, groups: [], uses: 1, ttlSeconds: 3600 };
    const invitation = newInvitation(state, wish, t.world());
    if ('code' in invitation) throw new Error(invitation.detail);
    commit(state, [invitation.change], { next: 'told', done: () => invitation.adopt() });
    made.push(invitation.written);
  });
  t.flush();
  return readInvitation(crypto, made[0] ?? '');
}

function device({ manager, anchor, token, name }: Invitation, generated: GeneratedSigningKey): EnrolmentState {
  const { key, publicSpki: spki } = generated;
  const wishes = { name: 'new', spki, serial: freshSerial(crypto), notBefore: 0, notAfter: AT + DAY };
  const chain = [issueCertificate(crypto, { name: commonName('new'), spki, key }, wishes)];
  return createEnrolment({
    topics,
    reader,
    manager,
    anchorHash: anchor.slice(),
    spki,
    name: (name ?? null) as DeviceId | null,
    token: token?.slice() ?? null,
    identity: { chain, signingKey: key, cipherSuites: suitesFor(key), channelSuites: [0, 1] },
    certificateRequest: issueRequest({ ...key, publicSpki: spki }, { name: name ?? 'new' }),
  });
}

/** One link, until nobody has anything to say. */
function attempt(t: Town, state: EnrolmentState): EnrolmentNews | undefined {
  const stranger: Stranger = t.stranger();
  const { link } = stranger;
  if (link === null) throw new Error('the broker lets nobody in');
  const news: EnrolmentNews[] = [];
  let read = 0;
  const events: EnrolmentEvent[] = [{ type: 'linked', link }];
  for (let event = events.shift(); event !== undefined; event = events.shift()) {
    for (const effect of stepEnrolment(state, event, { ...t.world(), crypto })) {
      if (effect.type === 'publish') stranger.publish(effect.payload, effect.topic);
      if (effect.type === 'tell') news.push(effect.news);
    }
    t.flush();
    for (const { topic, payload } of stranger.received.slice(read)) events.push({ type: 'received', topic, payload });
    read = stranger.received.length;
  }
  stepEnrolment(state, { type: 'unlinked' }, { ...t.world(), crypto });
  return news.at(-1);
}

test('[P2] [P4] an invitation of the manager ends in a certificate; the verifier vouches for the manager on the way', () => {
  const t = enrollingTown();
  const invitation = invite(t, 'boiler');
  assert.equal(invitation.name, 'boiler');
  const key = generateSigningKey('p256');
  const last = attempt(t, device(invitation, key));
  assert.ok(last?.news === 'enrolled', JSON.stringify(last));
  assert.equal(last.enrolled.id, 'boiler');
  assert.equal(last.enrolled.time, t.clock.wall(), 'the verdict was bound to this exchange, and checked');
  assert.ok(t.manager.devices.has('boiler' as DeviceId));
  // killed before it stored anything: the same key gets the same certificate
  const again = attempt(t, device(invitation, key));
  assert.ok(again?.news === 'enrolled');
  assert.deepEqual(again.enrolled.chain, last.enrolled.chain);
  const other = attempt(t, device(invitation, generateSigningKey('p256')));
  assert.deepEqual(other, { news: 'refused', reason: 'bad-token' });
});

test('a device whose clock stands at 1970 enrols: the verifier of the town says what time it is', () => {
  const t = enrollingTown();
  const state = device(invite(t, 'clockless'), generateSigningKey('p256'));
  const wrong = { ...t, world: () => ({ ...t.world(), wall: 0 as ReturnType<Town['world']>['wall'] }) };
  const last = attempt(wrong, state);
  assert.ok(last?.news === 'enrolled', JSON.stringify(last));
  assert.deepEqual([last.enrolled.time, last.enrolled.clockInDoubt], [t.clock.wall(), true]);
});

test('a held device asks again with the same key, and is let in after the yes', () => {
  const t = enrollingTown('operator');
  const state = device(invite(t, 'lock'), generateSigningKey('p256'));
  for (let round = 0; round < 3; round++) {
    assert.deepEqual(attempt(t, state), { news: 'waiting', reason: 'held' });
    t.advance(5000);
  }
  const [id = ''] = t.manager.enrolment.held.keys();
  assert.equal(t.manager.enrolment.held.size, 1);
  t.runManager((manager) => assert.equal(allowHeld(manager, id, t.world()), null));
  assert.equal(attempt(t, state)?.news, 'enrolled');
});

test('with the anchor of another manager in the invitation the token stays where it is', () => {
  const t = enrollingTown();
  const invitation = invite(t, 'boiler');
  const state = device({ ...invitation, anchor: crypto.random(32) }, generateSigningKey('p256'));
  const last = attempt(t, state);
  assert.ok(last?.news === 'untrusted');
  assert.equal(last.tokenSent, false);
  assert.equal(attempt(t, device(invitation, generateSigningKey('p256')))?.news, 'enrolled', 'it is not spent');
});
