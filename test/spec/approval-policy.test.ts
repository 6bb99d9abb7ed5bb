/**
 * The approval policy of a device: the first rule of which everything holds, hours over midnight and over the change of
 * clocks, modes and hours in which nobody is disturbed. [P14] [patent 2118]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ApprovalPolicy, type Caller, decideAsk, type MODES, ruleFor } from '../../device-agent/approval.ts';
import { approvalPolicyOf } from '../../device-agent/approval-policy.ts';
import { approvalConfig } from '../../device-agent/config.ts';
import { localClock } from '../../protocol/time-window.ts';
import { type DeviceId, EpochSeconds } from '../../protocol/units.ts';

const written = (given: unknown): ApprovalPolicy => approvalPolicyOf(approvalConfig.parse(given));
const CALLER: Caller = {
  from: 'doorbell' as DeviceId,
  class: 'camera',
  groups: ['outdoors', 'home'],
  user: 'anna@home.example',
  purpose: 'video',
  callee: 'user:bob',
};
const NOON = { day: 3, minute: 720 };
const said = (
  policy: ApprovalPolicy,
  caller: Partial<Caller> = {},
  at: Parameters<typeof ruleFor>[2] = NOON,
): string => {
  const { decision, ground } = ruleFor(policy, { ...CALLER, ...caller }, at);
  return ground.by === 'rule' ? `${decision} by ${ground.rule}` : `${decision} ${ground.by}`;
};

test('[P14] each thing that a rule names must hold; what the caller does not have fits no pattern', () => {
  const rows: [rule: object, caller: Partial<Caller>][] = [
    [{ from: 'door*' }, { from: 'lamp' as DeviceId }],
    [{ class: 'camera' }, { class: null }],
    [{ class: '*' }, { class: null }],
    [{ group: 'home' }, { groups: ['outdoors'] }],
    [{ user: '*@home.example' }, { user: 'eve@elsewhere.example' }],
    [{ user: '*' }, { user: null }],
    [{ purpose: 'video' }, { purpose: 'firmware' }],
    [{ purpose: '*' }, { purpose: null }],
    [{ callee: 'user:*' }, { callee: 'tv' }],
  ];
  for (const [rule, other] of rows) {
    const policy = written({ rules: [{ ...rule, decision: 'refuse' }], otherwise: 'ask' });
    assert.equal(said(policy), 'refuse by 1', JSON.stringify(rule));
    assert.equal(said(policy, other), 'ask otherwise', JSON.stringify(rule));
  }
  const both = written({ rules: [{ class: 'camera', purpose: 'video', decision: 'allow' }], otherwise: 'ask' });
  assert.equal(said(both), 'allow by 1');
  assert.equal(said(both, { purpose: 'firmware' }), 'ask otherwise');
});

test('[P14] hours over midnight belong to the day on which they begin; the end does not belong to them', () => {
  const policy = written({ rules: [{ hours: '22:00-06:00', days: ['fri'], decision: 'refuse' }], otherwise: 'allow' });
  const rows: [day: number, minute: number, expected: string][] = [
    [5, 22 * 60 - 1, 'allow otherwise'],
    [5, 22 * 60, 'refuse by 1'],
    [6, 0, 'refuse by 1'],
    [6, 6 * 60 - 1, 'refuse by 1'],
    [6, 6 * 60, 'allow otherwise'],
    [5, 60, 'allow otherwise'],
    [6, 23 * 60, 'allow otherwise'],
  ];
  for (const [day, minute, expected] of rows) assert.equal(said(policy, {}, { day, minute }), expected);
  const whole = written({ rules: [{ days: ['sun'], decision: 'refuse' }], otherwise: 'allow' });
  assert.deepEqual(
    [0, 1].map((day) => said(whole, {}, { day, minute: 1439 })),
    ['refuse by 1', 'allow otherwise'],
  );
});

test('[P14] when the clocks change, what they show decides: a night of nine hours, and one of seven', () => {
  const policy = written({ rules: [{ hours: '22:00-06:00', decision: 'refuse' }], otherwise: 'allow' });
  const clock = localClock('Europe/Berlin');
  const refusedMinutes = (from: string): number => {
    const start = Date.parse(from) / 1000;
    let minutes = 0;
    for (let at = 0; at < 1440; at++)
      if (said(policy, {}, clock(EpochSeconds(start + at * 60))) === 'refuse by 1') minutes++;
    return minutes;
  };
  assert.equal(refusedMinutes('2026-10-24T10:00:00Z'), 9 * 60);
  assert.equal(refusedMinutes('2027-03-27T11:00:00Z'), 7 * 60);
  assert.equal(refusedMinutes('2026-06-01T10:00:00Z'), 8 * 60);
});

test('[P14] under a clock that is known to be wrong nothing is allowed by the hour, and the rest is forbidden', () => {
  const rule = (decision: string) => ({ hours: '00:00-24:00', decision });
  assert.equal(said(written({ rules: [rule('allow')], otherwise: 'ask' }), {}, null), 'ask otherwise');
  assert.equal(said(written({ rules: [rule('refuse')], otherwise: 'allow' }), {}, null), 'refuse by 1');
  const quiet = written({ otherwise: 'ask', doNotDisturb: [{ hours: '22:00-06:00' }] });
  assert.equal(decideAsk(quiet, CALLER, null, 'normal', null).decision, 'refuse');
});

test('[P14] the order: busy, the rules, what a person said before, do-not-disturb, a person', () => {
  const rows: [otherwise: string, mode: (typeof MODES)[number], memory: 'allow' | 'refuse' | null, expected: string][] =
    [
      ['allow', 'busy', 'allow', 'refuse busy mode'],
      ['refuse', 'normal', 'allow', 'refuse refused-by-policy otherwise'],
      ['allow', 'do-not-disturb', 'refuse', 'allow otherwise'],
      ['ask', 'do-not-disturb', 'allow', 'allow remembered'],
      ['ask', 'normal', 'refuse', 'refuse refused-by-user remembered'],
      ['ask', 'do-not-disturb', null, 'refuse busy mode'],
      ['ask', 'normal', null, 'ask otherwise'],
    ];
  for (const [otherwise, mode, memory, expected] of rows) {
    const { decision, ground, ...rest } = decideAsk(written({ otherwise }), CALLER, NOON, mode, memory);
    assert.equal([decision, ...Object.values(rest), ground.by].join(' '), expected);
  }
});

test('[P14] property: the first rule that matches decides, whatever stands behind it', () => {
  const rule = fc.record({
    from: fc.constantFrom('doorbell', 'lamp', 'd*', '*'),
    purpose: fc.option(fc.constantFrom('video', 'audio'), { nil: undefined }),
    decision: fc.constantFrom('allow', 'refuse', 'ask'),
  });
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 6 }), fc.constantFrom('doorbell', 'lamp', 'tv'), (rules, from) => {
      const caller = { from: from as DeviceId };
      const whole = said(written({ rules, otherwise: 'ask' }), caller);
      const alone = rules.map((one) => said(written({ rules: [one], otherwise: 'ask' }), caller));
      const first = alone.findIndex((one) => one.endsWith('by 1'));
      assert.equal(whole, first < 0 ? 'ask otherwise' : `${rules[first]!.decision} by ${first + 1}`);
    }),
    { seed: 14, numRuns: 300 },
  );
});

test('[P14] what cannot be meant is refused: hours that are none, a relative hook, an unknown key', () => {
  for (const wrong of [
    { rules: [{ hours: '22:00', decision: 'ask' }] },
    { rules: [{ hours: '22:00-25:00', decision: 'ask' }] },
    { rules: [{ days: ['someday'], decision: 'ask' }] },
    { rules: [{ caller: 'x', decision: 'ask' }] },
    { hook: { command: 'approve.sh' } },
  ])
    assert.equal(approvalConfig.safeParse(wrong).success, false, JSON.stringify(wrong));
});
