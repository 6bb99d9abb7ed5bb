/**
 * Programs outside of the fleet at the broker: which devices' questions they see, and where alone they may answer.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Integrator } from '../../broker/integrators.ts';
import { DEFAULT_LIMITS } from '../../broker/limits.ts';
import {
  arriving,
  type BrokerState,
  brokerState,
  connecting,
  controlRequest,
  disconnected,
  forwarding,
  publishing,
  subscribing,
} from '../../broker/policy.ts';
import { approvalTopic, parseApprovalTopic } from '../../protocol/approval-topics.ts';
import { topicsUnder } from '../../protocol/topics.ts';
import { type DeviceId, LinkId, Millis } from '../../protocol/units.ts';

const NOW = Millis(0);
const HOME = '192.0.2.1';
const DOOR = 'door' as DeviceId;
const TV = 'Küche/tv' as DeviceId;
const [LINK, PANEL, MANAGER] = ['a', 'panel', 'manager'].map((name) => LinkId(name.padEnd(20, '0'))) as [
  LinkId,
  LinkId,
  LinkId,
];
const token = new Uint8Array(32).fill(7);
const guest = { username: null, passwordSha256: null, clean: true, will: false, address: HOME };

function house(devices: readonly string[] | null): BrokerState {
  const integrator: Integrator = { name: 'panel', tokenSha256: token, devices: devices ?? [], links: new Set() };
  const tokens = { manager: new Uint8Array(32).fill(1), verifier: null };
  const integrators = new Map(devices === null ? [] : [['panel', integrator]]);
  const state = brokerState(topicsUnder(), tokens, DEFAULT_LIMITS, integrators);
  const enter = (clientId: LinkId, who: object): string => {
    arriving(state, HOME, NOW);
    return connecting(state, { ...guest, clientId, ...who }, NOW).verdict;
  };
  enter(MANAGER, { username: 'manager', passwordSha256: tokens.manager });
  enter(LINK, {});
  controlRequest(state, { kind: 'Promote', link: LINK, device: DOOR });
  assert.equal(enter(PANEL, { username: 'panel', passwordSha256: token }), devices === null ? 'refuse' : 'accept');
  return state;
}

const say = (state: BrokerState, link: LinkId, topic: string, bytes = 100): string => {
  const decision = publishing(state, link, topic, bytes, false, 1);
  return decision.verdict === 'allow' ? 'allow' : `${decision.verdict} ${decision.reason}`;
};

test('[P14] [B1] a device asks on its own topics, hears its own answers, and nothing of this is there without integrators', () => {
  const state = house(['*']);
  for (const what of ['ask', 'settled'] as const) {
    assert.equal(say(state, LINK, approvalTopic(DOOR, what)), 'allow');
    assert.equal(say(state, LINK, approvalTopic(TV, what)), 'drop foreign-topic', 'of another device');
  }
  assert.equal(say(state, LINK, approvalTopic(DOOR, 'answer')), 'drop foreign-topic', 'no device answers itself');
  assert.equal(say(state, LINK, approvalTopic(DOOR, 'ask'), 2049), 'close too-large');
  assert.ok(forwarding(state, LINK, approvalTopic(DOOR, 'answer')));
  assert.ok(!forwarding(state, LINK, approvalTopic(TV, 'answer')));
  assert.ok(!forwarding(state, LINK, approvalTopic(DOOR, 'ask')));
  const none = house(null);
  assert.equal(say(none, LINK, approvalTopic(DOOR, 'ask')), 'drop foreign-topic');
  assert.ok(!forwarding(none, LINK, approvalTopic(DOOR, 'answer')));
});

test('[P14] [B1] an integrator answers its own devices and reads what they ask, and nothing else at all', () => {
  const state = house(['do*']);
  assert.equal(say(state, PANEL, approvalTopic(DOOR, 'answer')), 'allow');
  const refused = [
    approvalTopic(TV, 'answer'),
    approvalTopic(DOOR, 'ask'),
    'km1/m/door',
    'km1/p/door/tv',
    'kagimori/x',
  ];
  for (const topic of refused) assert.equal(say(state, PANEL, topic), 'drop foreign-topic', topic);
  assert.equal(say(state, PANEL, 'kagimori/approval/+/answer'), 'close spelling');
  for (const filter of ['kagimori/approval/+/ask', 'kagimori/approval/+/settled', approvalTopic(DOOR, 'ask')]) {
    assert.equal(subscribing(state, PANEL, filter).verdict, 'allow', filter);
  }
  for (const filter of ['#', 'kagimori/#', 'kagimori/approval/+/answer', approvalTopic(TV, 'ask'), 'km1/m/+']) {
    assert.notEqual(subscribing(state, PANEL, filter).verdict, 'allow', filter);
  }
  assert.ok(forwarding(state, PANEL, approvalTopic(DOOR, 'ask')));
  assert.ok(!forwarding(state, PANEL, approvalTopic(TV, 'ask')), 'the wildcard brings no other device');
  for (const topic of ['km1/m/door', approvalTopic(DOOR, 'answer')]) assert.ok(!forwarding(state, PANEL, topic), topic);
});

test('[P14] [5.6 link takeover] an integrator is nobody’s link: not told of to the manager, not made a device, not dropped by it', () => {
  const state = house(['*']);
  const [report] = controlRequest(state, { kind: 'Attach' });
  assert.ok(report?.kind === 'report' && report.report.kind === 'Links');
  assert.deepEqual(
    report.report.bindings.map(({ link }) => link),
    [LINK],
  );
  assert.deepEqual(controlRequest(state, { kind: 'Drop', link: PANEL }), []);
  const [gone] = controlRequest(state, { kind: 'Promote', link: PANEL, device: TV });
  assert.ok(gone?.kind === 'report' && gone.report.kind === 'Gone');
  assert.equal(state.links.get(PANEL)?.device, null);
  assert.deepEqual(disconnected(state, PANEL), []);
});

test('[P14] [B1] a wrong token, the name of a service, and too many links of one integrator are refused', () => {
  const state = house(['*']);
  const enter = (number: number, who: object) => {
    const address = `198.51.100.${number}`;
    arriving(state, address, NOW);
    return connecting(state, { ...guest, address, clientId: `x${number}`.padEnd(20, '-'), ...who }, NOW);
  };
  const wrong = { username: 'panel', passwordSha256: new Uint8Array(32).fill(8) };
  assert.deepEqual(enter(0, wrong), { verdict: 'refuse', reason: 'credentials' });
  assert.deepEqual(enter(0, { username: 'panel' }), { verdict: 'refuse', reason: 'credentials' });
  const right = { username: 'panel', passwordSha256: token };
  for (let number = 1; number < 16; number++) assert.equal(enter(number, right).verdict, 'accept');
  assert.deepEqual(enter(16, right), { verdict: 'refuse', reason: 'too-many-links' });
  disconnected(state, PANEL);
  assert.equal(enter(17, right).verdict, 'accept', 'one has gone');
});

test('[P14] [B1] topics for approvals have one spelling for each device', () => {
  for (const device of [DOOR, TV]) {
    assert.deepEqual(parseApprovalTopic(approvalTopic(device, 'ask')), { device, what: 'ask' });
  }
  const others = [
    'kagimori/approval/door',
    'kagimori/approval/door/ask/x',
    'kagimori/approval/%64oor/ask',
    'x/approval/door/ask',
  ];
  for (const topic of others) assert.equal(parseApprovalTopic(topic), null, topic);
});
