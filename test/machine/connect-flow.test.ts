/**
 * The connect flow of the manager as a table: every state meets every event. [patent 2100-2166]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startFlow, stepFlow } from '../../manager/connect-flow.ts';
import { DEFAULT_FLOW_LIMITS, type Flow, type FlowEffect, type FlowEvent } from '../../manager/flow.ts';
import type { Party, Terms } from '../../manager/terms.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import type { ChannelMessage } from '../../protocol/messages.ts';
import { type DeviceId, EpochSeconds, Millis } from '../../protocol/units.ts';
import type { World } from '../../protocol/world.ts';

const crypto = nodeCrypto();
const world: World = { now: Millis(1000), wall: EpochSeconds(1_800_000_000), crypto };
const A = 'router' as DeviceId;
const B = 'tv' as DeviceId;
const party = (id: DeviceId): Party => ({
  id,
  leaf: new Uint8Array(32),
  registration: new Uint8Array(32),
  version: 1,
  addresses: [`udp://${id}.example:1`],
  instance: new Uint8Array(8).fill(4),
  consent: new Uint8Array(24).fill(5),
});
const TERMS: Terms = {
  sid: new Uint8Array(8).fill(1),
  caller: party(A),
  callee: party(B),
  name: 'tv.home.example',
  about: { class: null, groups: [], user: null, purpose: null },
  call: new Uint8Array(16).fill(2),
  nonceA: new Uint8Array(16).fill(2),
  suite: { cipher: 'aes-gcm', keyBits: 128, hash: 'sha-256', tagBits: 128 },
  keyMode: 'seed',
  rule: 'default',
  user: null,
  decision: null,
  lifetimeSeconds: 60,
  route: 0,
};
const nonceB = new Uint8Array(16).fill(3);
const CONSENT = new Uint8Array(24).fill(6);
const UNTIL = Millis(61_000);
const ready = (id: DeviceId, fill: number) => ({ party: party(id), nonce: new Uint8Array(16).fill(fill), epoch: 3 });

/** `Ask>tv`, `Denied timeout>router`, `forward`, `stop`, `store`, `grants`, `open tv`, `forget`, `wake 61000`, `audit x`. */
function spell(effect: FlowEffect): string {
  switch (effect.type) {
    case 'send':
      return effect.messages.map((message) => `${spellMessage(message)}>${effect.to}`).join(' ');
    case 'deliver':
      return effect.ask === null ? 'grants' : 'ask with grants';
    case 'openChannel':
      return `open ${effect.to}`;
    case 'forward':
      return effect.allowed ? 'forward' : 'stop';
    case 'wakeAt':
      return effect.at === null ? 'sleep' : `wake ${effect.at}`;
    case 'audit':
      return effect.event;
    default:
      return effect.type;
  }
}
const spellMessage = (message: ChannelMessage) =>
  'reason' in message ? `${message.kind} ${message.reason}` : message.kind;

function outcome(flow: Flow, event: FlowEvent): string {
  const [next, effects] = stepFlow(flow, event, DEFAULT_FLOW_LIMITS, world);
  const waiting = next.state === 'ending' ? ` for ${next.waitingFor.join(' ')}` : '';
  const up = next.state === 'granted' ? ` up ${next.up.length}` : '';
  const same = next === flow ? 'same' : `${next.state}${waiting}${up}`;
  return [same, ...effects.map(spell)].join(', ');
}

const OTHER_SUITE = { cipher: 'chacha20-poly1305', keyBits: 256, hash: 'sha-256', tagBits: 128 } as const;
const EVENTS = {
  'callee opened': { type: 'channelOpened', device: B },
  'caller opened': { type: 'channelOpened', device: A },
  'callee failed': { type: 'channelFailed', device: B, reason: 'unreachable' },
  'caller failed': { type: 'channelFailed', device: A, reason: 'unreachable' },
  approved: { type: 'approved', nonceB, consent: CONSENT, instance: null },
  refused: { type: 'refused', reason: 'busy' },
  stored: { type: 'stored', epoch: 3 },
  'stored, of before': { type: 'stored', epoch: 2 },
  'store failed': { type: 'storeFailed' },
  'callee up': { type: 'cameUp', device: B },
  'caller up': { type: 'cameUp', device: A },
  'end by caller': { type: 'endAsked', by: A, reason: 'done' },
  'end by callee': { type: 'endAsked', by: B, reason: 'done' },
  'end by manager': { type: 'endAsked', by: null, reason: 'shutdown' },
  'callee confirms': { type: 'endConfirmed', by: B },
  'caller confirms': { type: 'endConfirmed', by: A },
  'callee lost': { type: 'lost', device: B, reason: 'restarted' },
  'caller lost': { type: 'lost', device: A, reason: 'restarted' },
  "callee's keys lost": { type: 'keysLost', device: B },
  "caller's keys lost": { type: 'keysLost', device: A },
  'callee renews': { type: 'renewed', ready: ready(B, 7) },
  'caller renews': { type: 'renewed', ready: ready(A, 8) },
  'caller only authenticates': { type: 'channelFailed', device: A, reason: 'authenticate-only' },
  'suite retires': { type: 'move', to: { suite: OTHER_SUITE, keyMode: 'seed', rule: 'other', decision: null } },
  deadline: { type: 'deadline' },
} as const satisfies Record<string, FlowEvent>;
type EventName = keyof typeof EVENTS;

const FLOWS = {
  openingCallee: { state: 'openingCallee', terms: TERMS },
  asking: { state: 'asking', terms: TERMS },
  storing: { state: 'storing', terms: TERMS, nonceB, rideAlong: false },
  granted: { state: 'granted', terms: TERMS, epoch: 0, at: world.now, until: UNTIL, up: [] },
  'granted, caller up': { state: 'granted', terms: TERMS, epoch: 0, at: world.now, until: UNTIL, up: [A] },
  renewing: { state: 'renewing', terms: TERMS, epoch: 1, until: UNTIL, ready: [], repeats: 0, from: null },
  'renewing, callee ready': {
    state: 'renewing',
    terms: TERMS,
    epoch: 1,
    until: UNTIL,
    ready: [ready(B, 7)],
    repeats: 0,
    from: null,
  },
  'renewing, over time': {
    state: 'renewing',
    terms: TERMS,
    epoch: 1,
    until: world.now,
    ready: [],
    repeats: 0,
    from: null,
  },
  storingRenewal: { state: 'storingRenewal', terms: TERMS, epoch: 3, until: UNTIL, nonceB, from: null },
  'ending by caller': { state: 'ending', terms: TERMS, by: A, reason: 'done', waitingFor: [B] },
  'ending by manager': { state: 'ending', terms: TERMS, by: null, reason: 'shutdown', waitingFor: [A, B] },
  'ending as revoked': { state: 'ending', terms: TERMS, by: null, reason: 'revoked', waitingFor: [B], reminders: 1 },
  'ending as revoked, at last': {
    state: 'ending',
    terms: TERMS,
    by: null,
    reason: 'revoked',
    waitingFor: [B],
    reminders: 4,
  },
  over: { state: 'over', terms: TERMS, reason: 'done' },
} as const satisfies Record<string, Flow>;
type FlowName = keyof typeof FLOWS;

const OVER = 'forget, sleep, session.over';
const ASKED = 'asking, Ask>tv, wake 46000';
const DENIED = (reason: string) => `over, Denied ${reason}>router, ${OVER}`;
const WITHDRAWN = (reason: string) => `over, End ${reason}>tv, ${OVER}`;
const ENDED = (to: string, reason: string) => `ending for ${to}, stop, End ${reason}>${to}, wake 6000`;
const RENEWS = (asked: string) => `renewing, Renew>${asked}, wake 6000, session.renewing`;
const ENDOK = `over, EndOk>router, ${OVER}`;

/** What is not listed leaves the flow as it is, without effects. */
const TABLE: Record<FlowName, Partial<Record<EventName, string>>> = {
  openingCallee: {
    'callee opened': ASKED,
    'callee failed': DENIED('unreachable'),
    'callee lost': DENIED('unreachable'),
    'caller lost': `over, ${OVER}`,
    "callee's keys lost": DENIED('unreachable'),
    "caller's keys lost": `over, ${OVER}`,
    'end by caller': `over, ${OVER}`,
    'end by callee': `over, ${OVER}`,
    'end by manager': `over, ${OVER}`,
    deadline: DENIED('unreachable'),
  },
  asking: {
    'callee opened': ASKED,
    approved: 'storing, store',
    refused: DENIED('busy'),
    'callee lost': DENIED('unreachable'),
    'caller lost': WITHDRAWN('restarted'),
    "callee's keys lost": DENIED('unreachable'),
    "caller's keys lost": WITHDRAWN('restarted'),
    'end by caller': WITHDRAWN('done'),
    'end by callee': DENIED('done'),
    'end by manager': WITHDRAWN('shutdown'),
    deadline: `over, Denied timeout>router, ${OVER}, End timeout>tv`,
  },
  storing: {
    stored: 'granted up 0, forward, grants, wake 61000, session.granted',
    'stored, of before': 'granted up 0, forward, grants, wake 61000, session.granted',
    "callee's keys lost": DENIED('restarted'),
    "caller's keys lost": ENDED('tv', 'restarted'),
    'store failed': `ending for tv, Denied internal-error>router, stop, End internal-error>tv, wake 6000`,
    'callee lost': DENIED('restarted'),
    'caller lost': ENDED('tv', 'restarted'),
    'end by caller': ENDED('tv', 'done'),
    'end by callee': DENIED('done'),
    'end by manager': `ending for tv, Denied shutdown>router, stop, End shutdown>tv, wake 6000`,
  },
  granted: {
    'suite retires': 'renewing, Renew>router, Renew>tv, wake 6000, session.moving',
    refused: ENDED('router', 'busy'),
    'callee up': 'granted up 1',
    'caller up': 'granted up 1',
    'end by caller': ENDED('tv', 'done'),
    'end by callee': ENDED('router', 'done'),
    'end by manager': 'ending for router tv, stop, End shutdown>router, End shutdown>tv, wake 6000',
    'callee lost': ENDED('router', 'restarted'),
    'caller lost': ENDED('tv', 'restarted'),
    "callee's keys lost": RENEWS('router'),
    "caller's keys lost": RENEWS('tv'),
    deadline: `over, stop, ${OVER}`,
  },
  'granted, caller up': {
    'suite retires': 'renewing, Renew>router, Renew>tv, wake 6000, session.moving',
    refused: ENDED('router', 'busy'),
    'callee up': 'granted up 2, session.open',
    'end by caller': ENDED('tv', 'done'),
    'end by callee': ENDED('router', 'done'),
    'end by manager': 'ending for router tv, stop, End shutdown>router, End shutdown>tv, wake 6000',
    'callee lost': ENDED('router', 'restarted'),
    'caller lost': ENDED('tv', 'restarted'),
    "callee's keys lost": RENEWS('router'),
    "caller's keys lost": RENEWS('tv'),
    deadline: `over, stop, ${OVER}`,
  },
  renewing: {
    'callee opened': 'same, Renew>tv, wake 6000',
    'caller opened': 'same, Renew>router, wake 6000',
    'callee renews': 'renewing',
    'caller renews': 'renewing',
    "callee's keys lost": RENEWS('router'),
    "caller's keys lost": RENEWS('tv'),
    'caller only authenticates': ENDED('tv', 'authenticate-only'),
    'callee lost': ENDED('router', 'restarted'),
    'caller lost': ENDED('tv', 'restarted'),
    'end by caller': ENDED('tv', 'done'),
    'end by callee': ENDED('router', 'done'),
    'end by manager': 'ending for router tv, stop, End shutdown>router, End shutdown>tv, wake 6000',
    deadline: 'renewing, Renew>router, Renew>tv, wake 6000',
  },
  'renewing, callee ready': {
    'caller opened': 'same, Renew>router, wake 6000',
    'callee renews': 'renewing',
    'caller renews': 'storingRenewal, store',
    "callee's keys lost": RENEWS('router'),
    "caller's keys lost": 'renewing, wake 6000, session.renewing',
    'caller only authenticates': ENDED('tv', 'authenticate-only'),
    'callee lost': ENDED('router', 'restarted'),
    'caller lost': ENDED('tv', 'restarted'),
    'end by caller': ENDED('tv', 'done'),
    'end by callee': ENDED('router', 'done'),
    'end by manager': 'ending for router tv, stop, End shutdown>router, End shutdown>tv, wake 6000',
    deadline: 'renewing, Renew>router, wake 6000',
  },
  'renewing, over time': {
    'callee opened': 'same, Renew>tv, wake 1000',
    'caller opened': 'same, Renew>router, wake 1000',
    'callee renews': 'renewing',
    'caller renews': 'renewing',
    "callee's keys lost": 'renewing, Renew>router, wake 1000, session.renewing',
    "caller's keys lost": 'renewing, Renew>tv, wake 1000, session.renewing',
    'caller only authenticates': ENDED('tv', 'authenticate-only'),
    'callee lost': ENDED('router', 'restarted'),
    'caller lost': ENDED('tv', 'restarted'),
    'end by caller': ENDED('tv', 'done'),
    'end by callee': ENDED('router', 'done'),
    'end by manager': 'ending for router tv, stop, End shutdown>router, End shutdown>tv, wake 6000',
    deadline: `over, End expired>router, End expired>tv, stop, ${OVER}`,
  },
  storingRenewal: {
    stored: 'granted up 0, forward, grants, wake 61000, session.renewed',
    'store failed': 'renewing, wake 6000',
    "callee's keys lost": RENEWS('router'),
    "caller's keys lost": RENEWS('tv'),
    'callee lost': ENDED('router', 'restarted'),
    'caller lost': ENDED('tv', 'restarted'),
    'end by caller': ENDED('tv', 'done'),
    'end by callee': ENDED('router', 'done'),
    'end by manager': 'ending for router tv, stop, End shutdown>router, End shutdown>tv, wake 6000',
    deadline: 'same, wake 61000',
  },
  'ending by caller': {
    "callee's keys lost": ENDOK,
    "caller's keys lost": 'ending for tv',
    'caller only authenticates': 'ending for tv',
    'callee opened': 'same, End done>tv',
    'callee failed': ENDOK,
    'callee confirms': ENDOK,
    'callee lost': ENDOK,
    'end by callee': ENDOK,
    'caller failed': 'ending for tv',
    'caller confirms': 'ending for tv',
    'caller lost': 'ending for tv',
    'end by caller': 'ending for tv',
    deadline: ENDOK,
  },
  'ending by manager': {
    "callee's keys lost": 'ending for router',
    "caller's keys lost": 'ending for tv',
    'caller only authenticates': 'ending for tv',
    'callee opened': 'same, End shutdown>tv',
    'caller opened': 'same, End shutdown>router',
    'callee failed': 'ending for router',
    'caller failed': 'ending for tv',
    'callee confirms': 'ending for router',
    'caller confirms': 'ending for tv',
    'callee lost': 'ending for router',
    'caller lost': 'ending for tv',
    'end by callee': 'ending for router',
    'end by caller': 'ending for tv',
    deadline: `over, ${OVER}`,
  },
  'ending as revoked': {
    "callee's keys lost": `over, ${OVER}`,
    'callee opened': 'same, End revoked>tv',
    'callee failed': `over, ${OVER}`,
    'callee confirms': `over, ${OVER}`,
    'callee lost': `over, ${OVER}`,
    'end by callee': `over, ${OVER}`,
    "caller's keys lost": 'ending for tv',
    'caller only authenticates': 'ending for tv',
    'caller failed': 'ending for tv',
    'caller confirms': 'ending for tv',
    'caller lost': 'ending for tv',
    'end by caller': 'ending for tv',
    // told again, for the first word may be lost
    deadline: 'ending for tv, End revoked>tv, wake 11000',
  },
  'ending as revoked, at last': {
    "callee's keys lost": `over, ${OVER}`,
    'callee opened': 'same, End revoked>tv',
    'callee failed': `over, ${OVER}`,
    'callee confirms': `over, ${OVER}`,
    'callee lost': `over, ${OVER}`,
    'end by callee': `over, ${OVER}`,
    "caller's keys lost": 'ending for tv',
    'caller only authenticates': 'ending for tv',
    'caller failed': 'ending for tv',
    'caller confirms': 'ending for tv',
    'caller lost': 'ending for tv',
    'end by caller': 'ending for tv',
    deadline: `over, ${OVER}`,
  },
  over: {},
};

for (const name of Object.keys(FLOWS) as FlowName[]) {
  test(`[patent 2104-2166] ${name}: every event has its row`, () => {
    for (const event of Object.keys(EVENTS) as EventName[]) {
      assert.equal(outcome(FLOWS[name], EVENTS[event]), TABLE[name][event] ?? 'same', `${name} × ${event}`);
    }
  });
}

test('[patent 2112-2114] it starts with the channel, with the question, or with the store when it was approved beforehand', () => {
  const start = (hasChannel: boolean, standing: Uint8Array | null) => {
    const [flow, effects] = startFlow(TERMS, hasChannel, standing, DEFAULT_FLOW_LIMITS, world);
    return [flow.state, ...effects.map(spell)].join(', ');
  };
  assert.equal(start(false, null), 'openingCallee, open tv, wake 11000');
  assert.equal(start(true, null), ASKED);
  assert.equal(start(true, nonceB), 'storing, store');
});

test('an approval beforehand lets the grant ride with the ask', () => {
  const storing: Flow = { state: 'storing', terms: TERMS, nonceB, rideAlong: true };
  assert.match(outcome(storing, EVENTS.stored), /^granted up 0, forward, ask with grants/);
});

test('[patent 2114] the callee is told who asks under which name for what; nothing of a key', () => {
  const about = { class: 'router', groups: ['ground floor'], user: 'ann', purpose: 'video' };
  const [, effects] = startFlow({ ...TERMS, about }, true, null, DEFAULT_FLOW_LIMITS, world);
  const { sid, name, nonceA, suite, keyMode } = TERMS;
  const { leaf } = TERMS.caller;
  const ask = { kind: 'Ask', sid, from: A, name, nonceA, suite, keyMode, lifetime: 60, ...about, leaf };
  assert.deepEqual(effects[0], { type: 'send', to: B, messages: [ask] });
});

test('[patent 2134-2138] [claim 3] [claim 4] the two grants hold one secret, each the other as the peer', () => {
  for (const keyMode of ['key', 'seed'] as const) {
    const storing: Flow = { ...FLOWS.storing, terms: { ...TERMS, keyMode } };
    const [, effects] = stepFlow(storing, { type: 'stored', epoch: 0 }, DEFAULT_FLOW_LIMITS, world);
    const deliver = effects.find((effect) => effect.type === 'deliver');
    assert.ok(deliver);
    const { caller, callee, secret } = deliver.grants;
    assert.equal(secret.length, keyMode === 'seed' ? 32 : 2 * 16 + 12);
    assert.ok(caller.secret === secret && callee.secret === secret, 'one buffer, so that one wipe erases it');
    assert.deepEqual([caller.peer, caller.role, callee.peer, callee.role], [B, 'caller', A, 'callee']);
    assert.deepEqual([caller.addresses, callee.addresses], [['udp://tv.example:1'], ['udp://router.example:1']]);
    assert.deepEqual([caller.nonceA, caller.nonceB, caller.lifetime, caller.epoch], [TERMS.nonceA, nonceB, 60, 0]);
  }
});

test('[B7] a new grant has a fresh secret, both new nonces, the higher epoch and what is left of the lifetime', () => {
  let flow: Flow = FLOWS['renewing, callee ready'];
  [flow] = stepFlow(flow, EVENTS['caller renews'], DEFAULT_FLOW_LIMITS, world);
  const [granted, effects] = stepFlow(flow, EVENTS.stored, DEFAULT_FLOW_LIMITS, world);
  const deliver = effects.find((effect) => effect.type === 'deliver');
  assert.ok(deliver);
  const { sid, epoch, nonceA, lifetime, suite } = deliver.grants.caller;
  assert.deepEqual([sid, epoch, lifetime, suite], [TERMS.sid, 3, 60, TERMS.suite]);
  assert.deepEqual([nonceA, deliver.grants.caller.nonceB], [ready(A, 8).nonce, ready(B, 7).nonce]);
  assert.equal(granted.state === 'granted' && granted.until, UNTIL, 'its end stays where it was');
});

test('[patent 2134] no random byte is drawn before the callee has approved and the session is stored', () => {
  const drawn: number[] = [];
  const counting: World = {
    ...world,
    crypto: {
      ...crypto,
      random(length) {
        drawn.push(length);
        return crypto.random(length);
      },
    },
  };
  let [flow] = startFlow(TERMS, false, null, DEFAULT_FLOW_LIMITS, counting);
  for (const event of ['callee opened', 'approved'] as const) {
    [flow] = stepFlow(flow, EVENTS[event], DEFAULT_FLOW_LIMITS, counting);
  }
  assert.deepEqual([flow.state, drawn], ['storing', []]);
  stepFlow(flow, EVENTS.stored, DEFAULT_FLOW_LIMITS, counting);
  assert.deepEqual(drawn, [32]);
});

test('[5.6 key reinstallation by a repeated grant] a device may name the lowest epoch that it takes; one that leaves none for the next grant ends the session', () => {
  const answer = (epoch: number) => {
    const [next] = stepFlow(
      FLOWS['renewing, callee ready'],
      { type: 'renewed', ready: { ...ready(A, 8), epoch } },
      DEFAULT_FLOW_LIMITS,
      world,
    );
    return next.state === 'storingRenewal' ? next.epoch : next.state;
  };
  assert.deepEqual([1, 9, 0xffff_fffe, 0xffff_ffff].map(answer), [3, 9, 0xffff_fffe, 'ending']);
});

test('[B7] whoever takes his time gets a grant for what is left, and so it is asked', () => {
  const later = { ...world, now: Millis(world.now + 20_000) };
  const [flow, effects] = stepFlow(FLOWS['renewing, callee ready'], { type: 'deadline' }, DEFAULT_FLOW_LIMITS, later);
  const asked = effects.flatMap((effect) => (effect.type === 'send' ? effect.messages : []));
  assert.deepEqual(
    asked.map((message) => message.kind === 'Renew' && message.lifetime),
    [40],
  );
  const [next] = stepFlow(flow, { type: 'renewed', ready: ready(A, 8) }, DEFAULT_FLOW_LIMITS, later);
  assert.equal(next.terms.lifetimeSeconds, 40);
});

test('[B4] a move asks both for a nonce, and its grant has the other suite and an epoch of the other bit', () => {
  let [flow, effects] = stepFlow(FLOWS.granted, EVENTS['suite retires'], DEFAULT_FLOW_LIMITS, world);
  const asked = effects.flatMap((effect) => (effect.type === 'send' ? effect.messages : []));
  assert.deepEqual(
    asked.map((one) => one.kind === 'Renew' && [one.suite, one.handover]),
    [
      [OTHER_SUITE, true],
      [OTHER_SUITE, true],
    ],
  );
  for (const device of [A, B]) {
    const event: FlowEvent = { type: 'renewed', ready: { ...ready(device, 7), epoch: 2 } };
    [flow] = stepFlow(flow, event, DEFAULT_FLOW_LIMITS, world);
  }
  assert.equal(flow.state === 'storingRenewal' && flow.epoch, 3, 'epoch 2 would have the bit of epoch 0');
  [flow, effects] = stepFlow(flow, { type: 'stored', epoch: 3 }, DEFAULT_FLOW_LIMITS, world);
  const deliver = effects.find((effect) => effect.type === 'deliver');
  assert.deepEqual([deliver?.grants.caller.suite, deliver?.grants.callee.suite], [OTHER_SUITE, OTHER_SUITE]);
  assert.equal(flow.terms.rule, 'other');
});
