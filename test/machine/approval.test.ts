/**
 * The callee's decision: by its state, its policy, a person. [P14] [patent 2114-2132]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { approveAsk, refuseAsk } from '../../device-agent/answering.ts';
import { type ApprovalPolicy, decideAsk } from '../../device-agent/approval.ts';
import type { DeviceId } from '../../protocol/units.ts';
import { assertTalks, connect, couple, GCM_128, managerSays, refusal } from '../couple.ts';
import { proposal, suiteOf } from '../town.ts';
import type { TownDevice } from '../town-plan.ts';

const policy = (more: Partial<ApprovalPolicy>): ApprovalPolicy => ({
  rules: [],
  otherwise: 'ask',
  askTimeoutSeconds: 30,
  busy: false,
  ...more,
});
const asking = (more: Partial<ApprovalPolicy> = {}, maxSessions = 100) =>
  couple({ callee: { settings: { approval: policy(more), maxSessions } } });

const approve = (device: TownDevice, sid: string) => device.run((state, world) => approveAsk(state, sid, world));
const refuse = (device: TownDevice, sid: string) =>
  device.run((state, world) => refuseAsk(state, sid, 'refused-by-user', world));

test('[P14] [patent 2118, 0113] the first rule for the caller decides, then what holds otherwise', () => {
  const rules = [
    { from: 'router', decision: 'refuse' },
    { from: 'router', decision: 'allow' },
    { from: 'phone', decision: 'ask' },
    { from: '*', decision: 'allow' },
  ] as const;
  const spell = (from: string, more: Partial<ApprovalPolicy>) => {
    const caller = { from: from as DeviceId, class: null, groups: [], user: null, purpose: null, callee: 'tv' };
    const { decision, ground, ...rest } = decideAsk(policy(more), caller, null, 'normal', null);
    return [decision, ...Object.values(rest)].join(' ');
  };
  assert.equal(spell('router', { rules }), 'refuse refused-by-policy');
  assert.equal(spell('phone', { rules }), 'ask');
  assert.equal(spell('tv', { rules }), 'allow');
  for (const otherwise of ['allow', 'refuse', 'ask'] as const)
    assert.match(spell('tv', { rules: rules.slice(0, 2), otherwise }), new RegExp(`^${otherwise}`));
});

test('[P14] [patent 2120-2128] a policy that refuses: the caller learns it, no session anywhere', () => {
  const pair = asking({ otherwise: 'refuse' });
  pair.caller.call('tv');
  pair.town.flush();
  assert.equal(refusal(pair.caller), 'refused-by-policy');
  for (const { state } of [pair.caller, pair.callee]) assert.deepEqual([state.sessions.size, state.asked.size], [0, 0]);
  assert.equal(pair.town.manager.sessions.size, 0);
});

test('[P14] [patent 2130-2132] a person says yes', () => {
  const pair = asking();
  pair.caller.call('tv');
  pair.town.advance(20_000);
  const asked = pair.callee.latest('asked')!;
  assert.deepEqual([asked.from, asked.name, asked.suite], ['router', 'tv', GCM_128]);
  assert.equal(pair.caller.latest('sessionOpened'), undefined);
  approve(pair.callee, asked.sid);
  pair.town.flush();
  assertTalks(pair, asked.sid);
});

test('[P14] a person says no; a second word changes nothing', () => {
  const pair = asking();
  pair.caller.call('tv');
  pair.town.flush();
  const { sid } = pair.callee.latest('asked')!;
  refuse(pair.callee, sid);
  approve(pair.callee, sid);
  pair.town.flush();
  assert.equal(refusal(pair.caller), 'refused-by-user');
  assert.equal(pair.callee.state.sessions.size, 0);
});

test('[P14] a yes is not taken back by a no: the session is ended instead', () => {
  const pair = asking();
  pair.caller.call('tv');
  pair.town.flush();
  const { sid } = pair.callee.latest('asked')!;
  approve(pair.callee, sid);
  refuse(pair.callee, sid);
  pair.town.flush();
  assertTalks(pair, sid);
});

test('[P14] nobody says anything: refused after the time for asking', () => {
  const pair = asking({ askTimeoutSeconds: 30 });
  pair.caller.call('tv');
  pair.town.advance(29_999);
  assert.equal(refusal(pair.caller), undefined);
  pair.town.advance(1);
  assert.equal(refusal(pair.caller), 'timeout');
  assert.equal(pair.callee.state.asked.size, 0);
});

test('[P14] [patent 2118, 0113] a busy callee says so; so does one with as many sessions as it takes', () => {
  const busy = asking({ otherwise: 'allow', busy: true });
  busy.caller.call('tv');
  busy.town.flush();
  assert.equal(refusal(busy.caller), 'busy');

  const full = asking({ otherwise: 'allow' }, 2);
  for (let i = 0; i < 2; i++) connect(full);
  full.caller.call('tv');
  full.town.flush();
  assert.equal(refusal(full.caller), 'busy');
});

test('[P14] sessions that are being made count too: two callers at once do not get past the limit', () => {
  const pair = asking({ otherwise: 'allow' }, 1);
  const second = pair.town.add('phone');
  pair.caller.call('tv');
  second.call('tv');
  pair.town.flush();
  assert.equal(pair.callee.state.sessions.size, 1);
  assert.deepEqual([refusal(pair.caller), refusal(second)].sort(), ['busy', undefined]);
});

test('[P18] a device refuses a suite that it has not registered, whatever the manager asks', () => {
  const pair = couple();
  const ask = {
    sid: new Uint8Array(8).fill(5),
    from: pair.caller.id,
    name: 'tv',
    nonceA: new Uint8Array(16),
    lifetime: 60,
  };
  const foreign = [
    { suite: suiteOf(proposal('aes-gcm', 256)), keyMode: 'seed' },
    { suite: GCM_128, keyMode: 'key' },
    { suite: suiteOf(proposal('hmac', 256)), keyMode: 'seed' },
  ] as const;
  for (const offer of foreign) {
    managerSays(pair.town, pair.callee.id, [{ kind: 'Ask', ...ask, ...offer }]);
    assert.equal(pair.callee.state.asked.size, 0);
    assert.match(pair.callee.logs.filter((line) => line.includes('ask.')).at(-1)!, /ask\.refused.*no-common-suite/);
  }
});

test('[patent 2122] an answer counts only from the device that was asked', () => {
  const pair = asking();
  const spy = pair.town.add('phone');
  pair.caller.call('tv');
  pair.town.flush();
  const { sid } = pair.callee.latest('asked')!;
  const [raw] = [...pair.town.manager.sessions.values()].map(({ flow }) => flow.terms.sid);
  for (const liar of [spy, pair.caller]) {
    liar.run((state) => {
      state.riding.push({ kind: 'Answer', sid: raw!, nonceB: new Uint8Array(16).fill(6) });
    });
    liar.call('nobody');
    pair.town.flush();
    assert.equal(pair.town.manager.sessions.get(sid)?.flow.state, 'asking', liar.id);
  }
  approve(pair.callee, sid);
  pair.town.flush();
  assertTalks(pair, sid);
});

test('the caller hears nothing of who the callee asked, and gives up by itself when it wants', () => {
  const pair = asking({ askTimeoutSeconds: 40 });
  pair.caller.call('tv', { timeoutSeconds: 10 });
  pair.town.advance(10_000);
  assert.equal(refusal(pair.caller), 'timeout');
  const { sid } = pair.callee.latest('asked')!;
  approve(pair.callee, sid);
  pair.town.advance(30_000);
  for (const { state } of [pair.caller, pair.callee]) assert.equal(state.sessions.size, 0, 'a late yes opens nothing');
  assert.equal(pair.town.manager.sessions.size, 0);
});
