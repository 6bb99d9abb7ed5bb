/**
 * What is taken back: calls, at every stage of their way; standing approvals, in every order of crossing; and what a person
 * wants remembered, forgotten, or not to be asked about. [P14]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { approveAsk, refuseAsk } from '../../device-agent/answering.ts';
import type { ApprovalPolicy, Mode } from '../../device-agent/approval.ts';
import { setMode } from '../../device-agent/approval-keeping.ts';
import { decodeApprovals, MAX_REMEMBERED } from '../../device-agent/approval-memory.ts';
import { cancelCall } from '../../device-agent/calling.ts';
import { forgetAnswers, rememberAnswer } from '../../device-agent/remembered.ts';
import { giveStanding, withdrawStanding } from '../../device-agent/standing.ts';
import { type DeviceId, EpochSeconds } from '../../protocol/units.ts';
import { assertTalks, type Couple, couple, GCM_128, refusal } from '../couple.ts';
import type { TownDevice } from '../town-plan.ts';

const ROUTER = 'router' as DeviceId;
const policy = (more: Partial<ApprovalPolicy> = {}): ApprovalPolicy => ({
  rules: [],
  otherwise: 'ask',
  askTimeoutSeconds: 30,
  busy: false,
  ...more,
});
const asking = (more: Partial<ApprovalPolicy> = {}): Couple =>
  couple({ callee: { settings: { approval: policy(more) } } });
const cancel = (device: TownDevice, key: string) => device.run((state, world) => cancelCall(state, key, world));
const approve = (device: TownDevice, sid: string) => device.run((state, world) => approveAsk(state, sid, world));
const nothingIsLeft = ({ caller, callee, town }: Couple, where: string): void => {
  for (const { state } of [caller, callee])
    assert.deepEqual([state.sessions.size, state.asked.size, state.calls.size], [0, 0, 0], where);
  assert.equal(town.manager.sessions.size, 0, where);
};
const at = (logs: readonly string[], what: RegExp): number => logs.findIndex((line) => what.test(line));

test('[P14] a call that is taken back while a person is asked: the list is empty, the program is told, a late yes is nothing', () => {
  const pair = asking();
  const key = pair.caller.call('tv', { purpose: 'video' });
  pair.town.flush();
  const { sid, purpose } = pair.callee.latest('asked')!;
  assert.equal(purpose, 'video');
  cancel(pair.caller, key);
  pair.town.flush();
  assert.equal(pair.callee.latest('askWithdrawn')?.sid, sid);
  assert.equal(pair.callee.latest('askWithdrawn')?.reason, 'withdrawn');
  assert.equal(refusal(pair.caller), 'withdrawn');
  nothingIsLeft(pair, 'at once');
  approve(pair.callee, sid);
  pair.town.advance(60_000);
  nothingIsLeft(pair, 'after a late yes');
  assert.equal(at(pair.town.managerLogs, /session\.granted/), -1);
});

test('[P14] a caller that asks and takes back without end does not ring without end, and nobody else suffers', () => {
  const pair = asking();
  const phone = pair.town.add('phone');
  for (let call = 0; call < 100; call++) {
    cancel(pair.caller, pair.caller.call('tv'));
    const key = pair.caller.call('tv');
    pair.town.flush();
    cancel(pair.caller, key);
    pair.town.advance(50);
  }
  const rung = (): number => pair.callee.news.filter(({ news }) => news === 'asked').length;
  assert.ok(rung() > 0 && rung() <= 30, `asked ${rung()} times`);
  assert.equal(pair.callee.logs.filter((line) => line.includes('ask.too-often')).length, 1);
  phone.call('tv');
  pair.town.flush();
  assert.equal(pair.callee.latest('asked')?.from, 'phone');
  pair.town.advance(61_000);
  const before = rung();
  pair.caller.call('tv');
  pair.town.flush();
  assert.equal(rung(), before + 1, 'a minute later it may ask again');
});

test('[P14] yes and withdrawal cross: whichever the manager reads first, no session stays', () => {
  for (const first of ['yes', 'withdrawal'] as const) {
    const pair = asking();
    const key = pair.caller.call('tv');
    pair.town.flush();
    const { sid } = pair.callee.latest('asked')!;
    if (first === 'yes') approve(pair.callee, sid);
    cancel(pair.caller, key);
    if (first === 'withdrawal') approve(pair.callee, sid);
    pair.town.advance(30_000);
    nothingIsLeft(pair, first);
    assert.equal(pair.caller.latest('sessionOpened'), undefined);
    const [taken, granted] = [/connect\.withdrawn/, /session\.granted/].map((one) => at(pair.town.managerLogs, one));
    assert.ok(taken! >= 0 && (granted! < 0 || granted! < taken!), `${first}: granted before the withdrawal or never`);
  }
});

test('[P14] a call that is taken back at any message of its way leaves nothing, and the next one opens', () => {
  for (let messages = 0; messages < 12; messages++) {
    const pair = couple();
    const key = pair.caller.call('tv');
    let seen = 0;
    pair.town.meddler = () => {
      if (seen++ === messages) cancel(pair.caller, key);
      return 'pass';
    };
    pair.town.flush();
    pair.town.meddler = () => 'pass';
    pair.town.advance(60_000);
    if (refusal(pair.caller) === 'withdrawn') nothingIsLeft(pair, `message ${messages}`);
    const before = pair.caller.latest('sessionOpened')?.sid;
    pair.caller.call('tv');
    pair.town.flush();
    const opened = pair.caller.latest('sessionOpened')?.sid;
    assert.ok(opened !== undefined && opened !== before, `message ${messages}: a later call opens`);
    assertTalks(pair, opened);
  }
});

test('[P14] said twice, or of a call that nobody knows, a withdrawal changes nothing', () => {
  const pair = asking();
  const key = pair.caller.call('tv');
  pair.town.flush();
  cancel(pair.caller, key);
  cancel(pair.caller, key);
  cancel(pair.caller, '00'.repeat(16));
  pair.town.flush();
  assert.equal(pair.caller.news.filter(({ news }) => news === 'callFailed').length, 1);
  nothingIsLeft(pair, 'twice');
});

test('[P14] a caller that gives up by itself takes its call back: nobody is asked any more', () => {
  const pair = asking();
  pair.caller.call('tv', { timeoutSeconds: 10 });
  pair.town.advance(10_000);
  assert.equal(refusal(pair.caller), 'timeout');
  assert.ok(pair.callee.latest('askWithdrawn'));
  nothingIsLeft(pair, 'given up');
});

// ── Standing approvals at run time ──────────────────────────────────────────────────────────────────────────────────

const give = (device: TownDevice) => device.run((state, world) => void giveStanding(state, ROUTER, 3600, world));
const withdraw = (device: TownDevice) => device.run((state, world) => void withdrawStanding(state, ROUTER, world));

test('[P14] given at run time it lets grants ride, survives a restart, and is gone for good once withdrawn', () => {
  const pair = asking({ otherwise: 'refuse' });
  give(pair.callee);
  pair.town.flush();
  for (const restart of [false, true]) {
    if (restart) pair.callee.restart();
    pair.town.flush();
    pair.caller.call('tv');
    pair.town.flush();
    assertTalks(pair, pair.caller.latest('sessionOpened')!.sid);
  }
  withdraw(pair.callee);
  pair.callee.restart();
  pair.town.flush();
  pair.caller.call('tv');
  pair.town.flush();
  assert.equal(refusal(pair.caller), 'refused-by-policy');
});

test('[P14] one of the configuration stays withdrawn over a restart, until it is given again', () => {
  const standing = [{ caller: ROUTER, lifetimeSeconds: 3600 }];
  const pair = couple({ callee: { settings: { approval: policy({ otherwise: 'refuse' }), standing } } });
  withdraw(pair.callee);
  pair.callee.restart();
  pair.town.flush();
  pair.caller.call('tv');
  pair.town.flush();
  assert.equal(refusal(pair.caller), 'refused-by-policy');
  give(pair.callee);
  pair.town.flush();
  pair.caller.call('tv');
  pair.town.flush();
  assertTalks(pair, pair.caller.latest('sessionOpened')!.sid);
});

test('[P14] withdrawn at any message of a call that it would grant: nothing is granted or installed after it', () => {
  for (let messages = 0; messages < 8; messages++) {
    const pair = asking({ otherwise: 'refuse' });
    give(pair.callee);
    pair.town.flush();
    pair.caller.call('tv');
    let seen = 0;
    let isInstalled: boolean | null = null;
    pair.town.meddler = () => {
      if (seen++ === messages) {
        isInstalled = pair.callee.state.sessions.size > 0;
        withdraw(pair.callee);
      }
      return 'pass';
    };
    pair.town.flush();
    pair.town.meddler = () => 'pass';
    pair.town.advance(60_000);
    if (isInstalled === false) nothingIsLeft(pair, `message ${messages}`);
    const logs = pair.town.managerLogs;
    const [taken, granted] = [/standing\.withdrawn/, /session\.granted/].map((one) => at(logs, one));
    if (isInstalled !== null) assert.ok(granted! < 0 || granted! < taken!, `message ${messages}: ${logs.join('\n')}`);
  }
});

test('[P14] a withdrawal that the manager reads while it stores the session: nothing is granted', () => {
  const pair = asking({ otherwise: 'refuse' });
  give(pair.callee);
  pair.town.flush();
  pair.caller.call('tv');
  withdraw(pair.callee);
  pair.town.advance(30_000);
  nothingIsLeft(pair, 'both at once');
  assert.ok(['withdrawn', 'refused-by-policy'].includes(String(refusal(pair.caller))), refusal(pair.caller));
  assert.equal(at(pair.town.managerLogs, /session\.granted/), -1);
});

// ── Remembered answers, modes ───────────────────────────────────────────────────────────────────────────────────────

function answer(pair: Couple, decision: 'allow' | 'refuse', forPurpose = false, purpose = 'video'): void {
  pair.caller.call('tv', { purpose });
  pair.town.flush();
  const { sid } = pair.callee.latest('asked')!;
  const memo = { seconds: 86_400, forPurpose };
  pair.callee.run((state, world) =>
    decision === 'allow'
      ? approveAsk(state, sid, world, 'person', memo)
      : refuseAsk(state, sid, 'refused-by-user', world, 'person', memo),
  );
  pair.town.flush();
}
/** What becomes of another call, and whether a person is asked. */
function next(pair: Couple, purpose = 'video', caller = pair.caller): string {
  const [asks, opened] = [pair.callee.news.filter(({ news }) => news === 'asked').length, caller.state.sessions.size];
  const failures = caller.news.filter(({ news }) => news === 'callFailed').length;
  caller.call('tv', { purpose });
  pair.town.flush();
  if (pair.callee.news.filter(({ news }) => news === 'asked').length > asks) return 'asked';
  if (caller.state.sessions.size > opened) return 'opened';
  return caller.news.filter(({ news }) => news === 'callFailed').length > failures
    ? String(refusal(caller))
    : 'nothing';
}

test('[P14] an answer is remembered for its caller and its time, over a restart, and forgotten on request', () => {
  const pair = asking();
  const other = pair.town.add('phone');
  answer(pair, 'allow');
  assert.equal(next(pair), 'opened');
  pair.callee.restart();
  pair.town.flush();
  assert.equal(next(pair, 'anything'), 'opened');
  assert.equal(next(pair, 'video', other), 'asked');
  pair.callee.run((state, world) => assert.equal(forgetAnswers(state, ROUTER, world), 1));
  assert.equal(next(pair), 'asked');
  assert.equal(decodeApprovals(pair.callee.approvals!).remembered.length, 0);

  const refused = asking();
  answer(refused, 'refuse');
  assert.equal(next(refused), 'refused-by-user');
  refused.town.advance(86_400_000);
  assert.equal(next(refused), 'asked');
});

test('[P14] an answer for a purpose counts for that alone', () => {
  const pair = asking();
  answer(pair, 'allow', true);
  assert.equal(next(pair, 'video'), 'opened');
  assert.equal(next(pair, 'firmware'), 'asked');
});

test('[P14] whoever bears the name with another certificate is not who was remembered; nor under a clock that went back', () => {
  const pair = asking();
  answer(pair, 'allow');
  const [key, one] = [...pair.callee.state.approvals.remembered][0]!;
  const { remembered } = pair.callee.state.approvals;
  remembered.delete(key);
  remembered.set(key.replace(/\[\d+/, '[999'), { ...one, leaf: new Uint8Array(32) });
  assert.equal(next(pair), 'asked');
  remembered.set(key, { ...one, since: one.since + 100_000, until: one.until + 100_000 });
  assert.equal(next(pair), 'asked');
});

test('[P14] what is remembered is bounded: what ends first makes room', () => {
  const pair = asking();
  pair.callee.run((state, world) => {
    for (let i = 0; i < MAX_REMEMBERED + 10; i++) {
      const ask = {
        kind: 'Ask',
        sid: new Uint8Array(8),
        from: `caller-${i}` as DeviceId,
        name: 'tv',
        nonceA: new Uint8Array(16),
        suite: GCM_128,
        keyMode: 'seed',
        lifetime: 60,
        leaf: new Uint8Array(32),
      } as const;
      rememberAnswer(state, ask, 'allow', { seconds: 1000 + i, forPurpose: false }, world);
    }
    const callers = [...state.approvals.remembered.values()].map(({ caller }) => caller);
    assert.equal(callers.length, MAX_REMEMBERED);
    assert.ok(!callers.includes('caller-0' as DeviceId) && callers.includes('caller-265' as DeviceId));
  });
  assert.ok(pair.callee.approvals!.length < 64 * 1024);
});

test('[P14] busy refuses everybody, do-not-disturb whoever would be asked about; both end by themselves and survive a restart', () => {
  const set = (pair: Couple, mode: Mode, forSeconds: number) =>
    pair.callee.run((state, world) => setMode(state, mode, EpochSeconds(world.wall + forSeconds), world));
  const pair = asking();
  set(pair, 'do-not-disturb', 3600);
  assert.equal(next(pair), 'busy');
  pair.callee.restart();
  pair.town.flush();
  assert.equal(next(pair), 'busy');
  pair.town.advance(3_600_000);
  assert.equal(next(pair), 'asked');

  const open = asking({ otherwise: 'allow' });
  set(open, 'do-not-disturb', 3600);
  assert.equal(next(open), 'opened');
  set(open, 'busy', 60);
  assert.equal(next(open), 'busy');
  open.town.advance(60_000);
  assert.equal(next(open), 'opened');
});
