/**
 * The broker's policy as tables: who may connect, write, read; what the manager's orders cause. @spec design §5.1, §5.6
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_LIMITS } from '../../broker/limits.ts';
import {
  arriving,
  type BrokerState,
  brokerState,
  connecting,
  controlRequest,
  disconnected,
  forwarding,
  leaving,
  publishing,
  subscribing,
} from '../../broker/policy.ts';
import { brokerReports } from '../../protocol/messages.ts';
import { topicsUnder } from '../../protocol/topics.ts';
import { type DeviceId, LinkId, Millis } from '../../protocol/units.ts';

const TAG = '[B1] [5.6 link takeover, wildcards, wills, retained messages]';
const NOW = Millis(0);
const HOME = '192.0.2.1';
const tokens = { manager: new Uint8Array(32).fill(1), verifier: new Uint8Array(32).fill(2) };
const A = 'router-1' as DeviceId;
const B = 'Küche/tv' as DeviceId;
const [NEW, LINK_A, LINK_B, MANAGER, VERIFIER] = ['new', 'a', 'b', 'manager', 'verifier'].map((name) =>
  LinkId(name.padEnd(20, '0')),
) as [LinkId, LinkId, LinkId, LinkId, LinkId];
const guest = { username: null, passwordSha256: null, clean: true, will: false, address: HOME };

/** One new link, devices A and B logged in, manager and verifier. */
function house(limits = DEFAULT_LIMITS): BrokerState {
  const state = brokerState(topicsUnder(), tokens, limits);
  for (const clientId of [NEW, LINK_A, LINK_B]) {
    arriving(state, HOME, NOW);
    connecting(state, { ...guest, clientId }, NOW);
  }
  arriving(state, HOME, NOW);
  connecting(state, { ...guest, clientId: MANAGER, username: 'manager', passwordSha256: tokens.manager }, NOW);
  arriving(state, HOME, NOW);
  connecting(state, { ...guest, clientId: VERIFIER, username: 'verifier', passwordSha256: tokens.verifier }, NOW);
  controlRequest(state, { kind: 'Promote', link: LINK_A, device: A });
  controlRequest(state, { kind: 'Promote', link: LINK_B, device: B });
  return state;
}

const spell = (result: { verdict: string; reason?: string }) =>
  result.reason === undefined ? result.verdict : `${result.verdict} ${result.reason}`;

test(`${TAG} who may connect`, () => {
  const clientId = 'z'.repeat(24);
  const rows: [what: string, attempt: object, outcome: string][] = [
    ['a random client id', {}, 'accept'],
    ['16 characters', { clientId: 'z'.repeat(16) }, 'accept'],
    ['15 characters', { clientId: 'z'.repeat(15) }, 'refuse client-id'],
    ['33 characters', { clientId: 'z'.repeat(33) }, 'refuse client-id'],
    ['no client id', { clientId: '' }, 'refuse client-id'],
    ['a wildcard in the client id', { clientId: `${clientId.slice(1)}+` }, 'refuse client-id'],
    ['a newline after the client id', { clientId: `${clientId.slice(1)}\n` }, 'refuse client-id'],
    ['a living client id', { clientId: LINK_A }, 'refuse client-id-taken'],
    ['a lasting session', { clean: false }, 'refuse not-clean'],
    ['a will', { will: true }, 'refuse will'],
    ['a password alone', { passwordSha256: tokens.manager }, 'refuse credentials'],
    ['an unknown user', { username: 'root', passwordSha256: tokens.manager }, 'refuse credentials'],
    ['an empty user', { username: '', passwordSha256: tokens.manager }, 'refuse credentials'],
    ['a wrong token', { username: 'verifier', passwordSha256: tokens.manager }, 'refuse credentials'],
    ['no token', { username: 'verifier' }, 'refuse credentials'],
    ['a second verifier', { username: 'verifier', passwordSha256: tokens.verifier }, 'accept'],
    ['a second manager', { username: 'manager', passwordSha256: tokens.manager }, 'refuse manager-present'],
  ];
  for (const [what, attempt, outcome] of rows) {
    assert.equal(spell(connecting(house(), { ...guest, clientId, ...attempt }, NOW)), outcome, what);
  }
});

test('[B1] a service without a configured token cannot come over the network, and can inside the process', () => {
  const state = brokerState(topicsUnder(), { manager: null, verifier: null });
  const attempt = { ...guest, clientId: MANAGER, username: 'manager', passwordSha256: tokens.manager };
  assert.equal(spell(connecting(state, attempt, NOW)), 'refuse credentials');
  assert.equal(spell(connecting(state, { ...attempt, passwordSha256: null, address: null }, NOW)), 'accept');
});

test('[B1] when the manager is gone the next one may come', () => {
  const state = house();
  disconnected(state, MANAGER);
  const attempt = { ...guest, clientId: 'y'.repeat(20), username: 'manager', passwordSha256: tokens.manager };
  assert.equal(spell(connecting(state, attempt, NOW)), 'accept');
});

const SPELLED_B = 'K%C3%BCche%2Ftv';

test(`${TAG} who may publish what`, () => {
  const rows: [
    who: LinkId,
    topic: string,
    outcome: string,
    more?: { length?: number; retain?: boolean; qos?: number },
  ][] = [
    [NEW, `km1/m/~${NEW}`, 'allow', { length: 8192 }],
    [NEW, `km1/m/~${NEW}`, 'close too-large', { length: 8193 }],
    [NEW, `km1/m/~${NEW}`, 'close retained', { retain: true }],
    [NEW, `km1/m/~${NEW}`, 'close qos', { qos: 2 }],
    [NEW, `km1/m/~${LINK_A}`, 'close foreign-topic'],
    [NEW, `km1/d/~${NEW}`, 'close foreign-topic'],
    [NEW, 'km1/m/router-1', 'close foreign-topic'],
    [NEW, 'km1/p/router-1/new', 'drop no-session'], // a record may cross the promotion of its sender's link
    [NEW, 'km1/v/q/router-1', 'close foreign-topic'],
    [NEW, 'km1/c/q', 'close foreign-topic'],
    [NEW, 'kagimori/state', 'close foreign-topic'],
    [NEW, '$SYS/x', 'close spelling'],
    [LINK_A, 'km1/m/router-1', 'allow', { length: 16 * 1024 }],
    [LINK_A, 'km1/m/router-1', 'close too-large', { length: 16 * 1024 + 1 }],
    [LINK_A, `km1/m/~${LINK_A}`, 'allow'],
    [LINK_A, 'km1/v/q/router-1', 'allow'],
    [LINK_A, 'km1/v/q/~manager', 'drop foreign-topic'],
    [LINK_A, `km1/m/${SPELLED_B}`, 'drop foreign-topic'],
    [LINK_A, `km1/m/~${LINK_B}`, 'drop foreign-topic'],
    [LINK_A, 'km1/d/router-1', 'drop foreign-topic'],
    [LINK_A, 'km1/c/q', 'drop foreign-topic'],
    [LINK_A, 'km1/c/a', 'drop foreign-topic'],
    [LINK_A, 'km1/v/e', 'drop foreign-topic'],
    [LINK_A, 'kagimori/state', 'drop foreign-topic'],
    [LINK_A, `km1/p/${SPELLED_B}/router-1`, 'drop no-session'],
    [LINK_A, `km1/p/router-1/${SPELLED_B}`, 'drop foreign-topic'],
    [LINK_A, 'km1/m/router-1', 'close retained', { retain: true }],
    [LINK_A, 'km1/m/router-1\0', 'close spelling'],
    [LINK_A, 'km1/m/router-1\u0085', 'close spelling'],
    [LINK_A, 'km1/m/\uFFFD', 'close spelling'],
    [LINK_A, 'km1/m/+', 'close spelling'],
    [LINK_A, '#', 'close spelling'],
    [LINK_A, '$share/x/km1/m/router-1', 'close spelling'],
    [LINK_B, `km1/m/${SPELLED_B}`, 'allow'],
    [LINK_B, 'km1/m/Küche/tv', 'drop foreign-topic'],
    [LINK_B, 'km1/m/K%c3%bcche%2ftv', 'drop foreign-topic'],
    [MANAGER, 'km1/d/router-1', 'allow', { length: 128 * 1024 }],
    [MANAGER, `km1/d/~${NEW}`, 'allow'],
    [MANAGER, 'km1/d/nobody-here', 'allow'],
    [MANAGER, 'km1/d/%61', 'drop foreign-topic'],
    [MANAGER, 'km1/v/q/~manager', 'allow'],
    [MANAGER, 'km1/c/q', 'allow'],
    [MANAGER, 'km1/c/a', 'drop foreign-topic'],
    [MANAGER, 'km1/m/router-1', 'drop foreign-topic'],
    [MANAGER, `km1/p/${SPELLED_B}/router-1`, 'drop foreign-topic'],
    [MANAGER, 'km1/v/e', 'drop foreign-topic'],
    [MANAGER, 'km1/d/router-1', 'close retained', { retain: true }],
    [VERIFIER, 'km1/v/a/~manager', 'allow'],
    [VERIFIER, 'km1/v/a/router-1', 'allow'],
    [VERIFIER, 'km1/v/e', 'allow'],
    [VERIFIER, 'km1/d/router-1', 'drop foreign-topic'],
    [VERIFIER, 'km1/c/q', 'drop foreign-topic'],
    [LinkId('n'.repeat(20)), 'km1/m/router-1', 'close unknown-link'],
  ];
  for (const [who, topic, outcome, { length = 1, retain = false, qos = 1 } = {}] of rows) {
    assert.equal(spell(publishing(house(), who, topic, length, retain, qos)), outcome, `${who} ${topic}`);
  }
});

test(`${TAG} who may subscribe to what`, () => {
  const rows: [who: LinkId, filter: string, outcome: string][] = [
    [NEW, `km1/d/~${NEW}`, 'allow'],
    [NEW, `km1/d/~${LINK_A}`, 'close foreign-filter'],
    [NEW, 'km1/d/router-1', 'close foreign-filter'],
    [NEW, '#', 'close foreign-filter'],
    [LINK_A, 'km1/d/router-1', 'allow'],
    [LINK_A, 'km1/p/router-1/+', 'allow'],
    [LINK_A, 'km1/v/a/router-1', 'allow'],
    [LINK_A, `km1/d/~${LINK_A}`, 'allow'],
    [LINK_A, `km1/d/${SPELLED_B}`, 'drop foreign-filter'],
    [LINK_A, 'km1/c/a', 'drop foreign-filter'],
    [LINK_A, 'km1/v/e', 'drop foreign-filter'],
    [LINK_A, `km1/p/${SPELLED_B}/+`, 'close foreign-filter'],
    [LINK_A, 'km1/p/+/router-1', 'close foreign-filter'],
    [LINK_A, 'km1/p/router-1/#', 'close foreign-filter'],
    [LINK_A, 'km1/d/+', 'close foreign-filter'],
    [LINK_A, '$SYS/#', 'close foreign-filter'],
    [LINK_A, '$share/g/km1/d/router-1', 'close foreign-filter'],
    [MANAGER, 'km1/m/+', 'allow'],
    [MANAGER, 'km1/v/a/~manager', 'allow'],
    [MANAGER, 'km1/v/e', 'allow'],
    [MANAGER, 'km1/c/a', 'allow'],
    [MANAGER, 'km1/p/+/+', 'close foreign-filter'],
    [MANAGER, 'km1/#', 'close foreign-filter'],
    [VERIFIER, 'km1/v/q/+', 'allow'],
    [VERIFIER, 'km1/m/+', 'close foreign-filter'],
  ];
  for (const [who, filter, outcome] of rows) {
    assert.equal(spell(subscribing(house(), who, filter)), outcome, `${who} ${filter}`);
  }
});

test('[B1] a device publishes to a peer, and the peer reads it, only while the manager lists the pair', () => {
  const state = house();
  const topic = state.topics.peer(B, A);
  const back = state.topics.peer(A, B);
  const outcome = () => [
    spell(publishing(state, LINK_A, topic, 1, false, 0)),
    spell(publishing(state, LINK_B, back, 1, false, 0)),
    forwarding(state, LINK_B, topic),
    forwarding(state, LINK_A, back),
  ];
  assert.deepEqual(outcome(), ['drop no-session', 'drop no-session', false, false]);
  controlRequest(state, { kind: 'Allow', pairs: [{ a: A, b: B }] });
  assert.deepEqual(outcome(), ['allow', 'allow', true, true]);
  assert.equal(spell(publishing(state, LINK_B, topic, 1, false, 0)), 'drop foreign-topic', "under the other's name");
  assert.equal(forwarding(state, LINK_A, topic), false, 'the sender does not read it');
  assert.equal(forwarding(state, NEW, topic), false);
  assert.equal(forwarding(state, MANAGER, topic), false);
  assert.equal(spell(publishing(state, LINK_A, topic, 129 * 1024, false, 0)), 'close too-large');
  disconnected(state, MANAGER);
  assert.deepEqual(outcome(), ['allow', 'allow', true, true], 'sessions go on without the manager');
  controlRequest(state, { kind: 'Forbid', pairs: [{ a: B, b: A }] });
  assert.deepEqual(outcome(), ['drop no-session', 'drop no-session', false, false]);
});

test('[B1] a pair of a device with itself is never forwarded', () => {
  const state = house();
  controlRequest(state, { kind: 'Allow', pairs: [{ a: A, b: A }] });
  assert.equal(spell(publishing(state, LINK_A, state.topics.peer(A, A), 1, false, 0)), 'drop no-session');
});

test('[B1] a manager that attaches finds no pair and is told all living links, at most 100 at a time and below 16 KiB', () => {
  const state = house({ ...DEFAULT_LIMITS, newPerAddress: 1000, newPerSecondPerAddress: 1000 });
  controlRequest(state, { kind: 'Allow', pairs: [{ a: A, b: B }] });
  for (let i = 0; i < 248; i++) {
    arriving(state, HOME, NOW);
    const clientId = `${i}`.padStart(32, 'z');
    connecting(state, { ...guest, clientId }, NOW);
    const device = `${i}`.padStart(64, 'd') as DeviceId;
    controlRequest(state, { kind: 'Promote', link: LinkId(clientId), device });
  }
  const reports = controlRequest(state, { kind: 'Attach' }).map((effect) => {
    assert.ok(effect.kind === 'report' && effect.report.kind === 'Links');
    assert.ok(brokerReports.encode(effect.report).length <= 16 * 1024);
    return effect.report;
  });
  assert.deepEqual(
    reports.map(({ bindings, last }) => [bindings.length, last]),
    [
      [100, false],
      [100, false],
      [51, true],
    ],
  );
  assert.deepEqual(reports[0]?.bindings.slice(0, 2), [{ link: NEW }, { link: LINK_A, device: A }]);
  assert.equal(spell(publishing(state, LINK_A, state.topics.peer(B, A), 1, false, 0)), 'drop no-session');
});

test('[B1] with no link at all, one empty report ends the answer', () => {
  const state = brokerState(topicsUnder(), tokens);
  assert.deepEqual(controlRequest(state, { kind: 'Attach' }), [
    { kind: 'report', report: { kind: 'Links', bindings: [], last: true } },
  ]);
});

test(`${TAG} a newer login of a device takes its authority from the older link at once`, () => {
  const state = house();
  const effects = controlRequest(state, { kind: 'Promote', link: NEW, device: A });
  assert.deepEqual(effects, [
    { kind: 'close', link: LINK_A, reason: 'newer-link' },
    { kind: 'subscribe', link: NEW, filters: ['km1/d/router-1', 'km1/p/router-1/+', 'km1/v/a/router-1'] },
    { kind: 'promoted', link: NEW, device: A },
  ]);
  assert.equal(spell(publishing(state, LINK_A, 'km1/m/router-1', 1, false, 1)), 'close unknown-link');
  assert.equal(forwarding(state, LINK_A, 'km1/d/router-1'), false);
  assert.equal(forwarding(state, NEW, 'km1/d/router-1'), true);
  assert.deepEqual(disconnected(state, LINK_A), [
    { kind: 'report', report: { kind: 'Gone', link: LINK_A, device: A } },
  ]);
  assert.equal(state.devices.get(A), NEW, 'the newer link stays the device');
  assert.deepEqual(controlRequest(state, { kind: 'Promote', link: NEW, device: A }), [], 'a repeat changes nothing');
});

test('[B1] a promotion of a link that is gone is answered with Gone, of a service with nothing gained', () => {
  const state = house();
  disconnected(state, NEW);
  const gone = (link: LinkId) => [{ kind: 'report', report: { kind: 'Gone', link, device: 'x' } }];
  assert.deepEqual(controlRequest(state, { kind: 'Promote', link: NEW, device: 'x' as DeviceId }), gone(NEW));
  assert.deepEqual(controlRequest(state, { kind: 'Promote', link: VERIFIER, device: 'x' as DeviceId }), gone(VERIFIER));
  assert.deepEqual(controlRequest(state, { kind: 'Drop', link: VERIFIER }), []);
});

test('[B1] a link that is one device never becomes another: it is closed', () => {
  const state = house();
  const effects = controlRequest(state, { kind: 'Promote', link: LINK_A, device: 'x' as DeviceId });
  assert.deepEqual(effects, [{ kind: 'close', link: LINK_A, reason: 'dropped' }]);
});

test('[B1] a dropped link has no authority from that moment', () => {
  const state = house();
  assert.deepEqual(controlRequest(state, { kind: 'Drop', link: LINK_A }), [
    { kind: 'close', link: LINK_A, reason: 'dropped' },
  ]);
  assert.equal(spell(publishing(state, LINK_A, 'km1/m/router-1', 1, false, 1)), 'close unknown-link');
  assert.equal(spell(subscribing(state, LINK_A, 'km1/d/router-1')), 'close unknown-link');
  assert.equal(forwarding(state, LINK_A, 'km1/d/router-1'), false);
});

test('[B1] new links are capped per address and altogether; login, end and service free the place', () => {
  const state = brokerState(topicsUnder(), tokens, { ...DEFAULT_LIMITS, newPerAddress: 2, newAltogether: 3 });
  assert.equal(spell(arriving(state, HOME, NOW)), 'accept');
  assert.equal(spell(arriving(state, HOME, NOW)), 'accept');
  assert.equal(spell(arriving(state, HOME, NOW)), 'refuse too-many-new-links');
  assert.equal(spell(arriving(state, '192.0.2.2', NOW)), 'accept');
  assert.equal(spell(arriving(state, '192.0.2.3', NOW)), 'refuse too-many-new-links');
  connecting(state, { ...guest, clientId: LINK_A }, NOW);
  controlRequest(state, { kind: 'Promote', link: LINK_A, device: A });
  assert.equal(spell(arriving(state, HOME, NOW)), 'accept', 'after a login');
  connecting(state, { ...guest, clientId: NEW }, NOW);
  disconnected(state, NEW);
  assert.equal(spell(arriving(state, HOME, NOW)), 'accept', 'after the end of a new link');
  connecting(state, { ...guest, clientId: MANAGER, username: 'manager', passwordSha256: tokens.manager }, NOW);
  assert.equal(spell(arriving(state, HOME, NOW)), 'accept', 'after the manager came');
  leaving(state, HOME);
  leaving(state, HOME);
  disconnected(state, LINK_A);
  leaving(state, '192.0.2.2');
  assert.deepEqual([state.newAltogether, state.newByAddress.size], [0, 0], 'nothing is counted twice');
  assert.deepEqual([...state.links.keys(), ...state.devices.keys(), ...state.inboxes], [MANAGER], 'nothing is left');
});

test('[B1] before its login a link may say little', () => {
  const state = house({ ...DEFAULT_LIMITS, messagesBeforeLogin: 3 });
  const say = () => spell(publishing(state, NEW, `km1/m/~${NEW}`, 1, false, 1));
  assert.deepEqual([say(), say(), say(), say()], ['allow', 'allow', 'allow', 'close too-many-messages']);
});
