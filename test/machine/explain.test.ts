/**
 * Why a pair gets its suite, asked of a real manager: rules looked at, what stands in the way, a session's choice made once
 * more, and what other rules would change. [B8]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { impactOf, rulesForNobody, type Tally } from '../../cli/rules/impact.ts';
import { readRegistry } from '../../cli/rules/live-registry.ts';
import { explainConnect } from '../../manager/explanation.ts';
import { registryPage } from '../../manager/registry-page.ts';
import { readRetirement } from '../../manager/retirement.ts';
import { BUILT_IN_RULES, decidingRule, type Rules, type When } from '../../manager/rules.ts';
import { explainSession } from '../../manager/session-explanation.ts';
import { match } from '../../protocol/matching.ts';
import type { Proposal } from '../../protocol/messages.ts';
import { offersOf } from '../../protocol/proposal.ts';
import { DEFAULT_SELECTION, NO_REQUIREMENT, NO_WISHES, type Selection } from '../../protocol/selection.ts';
import { suiteName } from '../../protocol/suites.ts';
import { timeWindow } from '../../protocol/time-window.ts';
import { type DeviceId, EpochSeconds } from '../../protocol/units.ts';
import { connect, couple, refusal } from '../couple.ts';
import { proposal, town } from '../town.ts';
import type { Town, TownWishes } from '../town-plan.ts';

const WISHES = { allowUnencrypted: false, messageBytes: null, at: null };
const BOTH = [proposal('aes-gcm', 128), proposal('chacha20-poly1305', 256)];
const rule = (name: string, when: When, more: Partial<Selection> = {}) => ({
  when,
  selection: { ...DEFAULT_SELECTION, name, ...more },
});
const strong: Partial<Selection> = { require: { ...NO_REQUIREMENT, minStrengthBits: 256 } };
const NIGHT = timeWindow({ fromMinute: 0, toMinute: 1, days: ['sun'], timeZone: 'UTC' });
const RULES: Rules = {
  ...BUILT_IN_RULES,
  rules: [
    rule('printers', { callee: { class: 'printer' } }),
    rule('at night', { time: NIGHT }),
    rule('living room', { both: { group: 'home' } }, strong),
    rule('never reached', {}),
  ],
  digest: 'a'.repeat(64),
};
const HOME: TownWishes = {
  settings: {
    rules: RULES,
    listings: new Map([
      ['router' as DeviceId, { class: 'router', groups: ['home'], user: null }],
      ['tv' as DeviceId, { class: 'television', groups: ['home'], user: null }],
    ]),
  },
};

interface Choice {
  readonly rules: {
    readonly decided: string;
    readonly left: number;
    readonly looked: { rule: string; applies: boolean; failed: string | null }[];
  };
  readonly match: null | { name: string | null; failedOn: string | null; cause: string; because: string[] };
}
interface Connecting extends Choice {
  readonly unknown?: string;
  readonly callee: { id: string; class: string | null; linked: boolean | null; registered: boolean };
  readonly connect: { refused: string | null; because: string | null };
}
const ask = (place: Town, caller: string, callee: string, more = {}): Connecting =>
  explainConnect(place.manager, { caller, callee, ...WISHES, ...more }, place.world()) as unknown as Connecting;

interface Session {
  readonly decision: { rulesStand: boolean; callerList: string; calleeList: string } | null;
  readonly findings: readonly string[];
  readonly replay: Choice | null;
  readonly agrees: boolean | null;
  readonly today: Choice;
  readonly sameToday: boolean;
}
const why = (place: Town, sid: string): Session =>
  explainSession(place.manager, sid, place.manager.sessions.get(sid)!, place.world()) as unknown as Session;

test('[B8] rules are looked at in order, each with the condition that fails, up to the one that decides', () => {
  const { town: place } = couple({ town: HOME, caller: { proposals: BOTH }, callee: { proposals: BOTH } });
  const { rules, match: found, connect: way } = ask(place, 'router', 'tv');
  assert.deepEqual(
    rules.looked.map(({ rule: name, applies, failed }) => [name, applies, failed]),
    [
      ['printers', false, 'callee'],
      ['at night', false, 'time'],
      ['living room', true, null],
    ],
  );
  assert.deepEqual([rules.decided, rules.left], ['living room', 1]);
  assert.equal(found?.name, 'chacha20-poly1305-256 sha-256 tag 128');
  assert.equal(found?.cause, 'requirement strength');
  assert.deepEqual(way, { refused: null, because: null });
  const sunday = EpochSeconds(Date.parse('2026-01-04T00:00:30Z') / 1000);
  assert.equal(ask(place, 'router', 'tv', { at: sunday }).rules.decided, 'at night', 'as of another moment');
});

test('[B8] [P12] the explanation is that of the connect itself: what is told is what is then refused or granted', () => {
  const rows: readonly (readonly [TownWishes, readonly Proposal[], readonly Proposal[]])[] = [
    [{}, BOTH, BOTH],
    [HOME, BOTH, BOTH],
    [HOME, [proposal('aes-gcm', 128)], BOTH],
    [{}, [proposal('aes-gcm', 128)], [proposal('aes-gcm', 256)]],
    [{ settings: { connectPolicy: { rules: [], otherwise: 'deny' } } }, BOTH, BOTH],
  ];
  const told: string[] = [];
  for (const [wishes, ours, theirs] of rows) {
    const pair = couple({ town: wishes, caller: { proposals: ours }, callee: { proposals: theirs } });
    const { connect: way, match: found } = ask(pair.town, 'router', 'tv');
    const expected = way.refused ?? (found?.name === null ? 'no-common-suite' : found?.name);
    told.push(String(expected));
    if (way.refused === null && found?.name != null) {
      const session = pair.town.manager.sessions.get(connect(pair))!;
      assert.equal(suiteName(session.flow.terms.suite), expected);
    } else {
      pair.caller.call('tv');
      pair.town.flush();
      assert.equal(refusal(pair.caller), expected);
    }
  }
  assert.equal(new Set(told).size, 4, told.join('; '));
});

test('[B8] [P11] names as in a connect; whoever is unknown, not registered, not linked or forbidden is told as that', () => {
  const certificate = { alternativeNames: [{ type: 'dns', value: 'tv.home.example' }] } as const;
  const policy = { rules: [{ from: 'tv', to: 'router', allow: false }], otherwise: 'allow' } as const;
  const pair = couple({ town: { settings: { connectPolicy: policy } }, callee: { certificate } });
  const place = pair.town;
  assert.equal(ask(place, 'router', 'TV.home.example').callee.id, 'tv');
  assert.equal(ask(place, 'router', 'nobody').unknown, 'nobody');
  const forbidden = ask(place, 'tv.home.example', 'router');
  assert.equal(forbidden.connect.refused, 'forbidden');
  assert.match(forbidden.connect.because!, /connect\.rules\.0 of the configuration \(from tv to router\) forbids it/);
  assert.notEqual(forbidden.match, null, 'the match is explained all the same');
  assert.equal(ask(place, 'tv', 'tv').connect.refused, 'self');
  place.meddler = ({ from }) => (from === 'tv' ? [] : 'pass');
  pair.callee.breakLink();
  place.flush();
  const away = ask(place, 'router', 'tv');
  assert.deepEqual(away.connect, { refused: 'unreachable', because: 'tv has no link now' });
  assert.equal(away.match?.name, 'aes-gcm-128 sha-256 tag 128');
  place.manager.registrations.delete('tv' as DeviceId);
  const gone = ask(place, 'router', 'tv');
  assert.deepEqual([gone.connect.refused, gone.match], ['unreachable', null]);
  assert.match(gone.connect.because!, /tv has registered nothing/);
});

test('[B8] [B7] a session is explained by its own decision: repeated it comes to the same suite, after a restart too', () => {
  const pair = couple({ town: HOME, caller: { proposals: BOTH }, callee: { proposals: BOTH } });
  const sid = connect(pair);
  const before = why(pair.town, sid);
  assert.deepEqual([before.agrees, before.sameToday, before.findings], [true, true, []]);
  assert.deepEqual(before.decision && [before.decision.callerList, before.decision.calleeList], ['same', 'same']);
  assert.equal(before.replay?.match?.name, 'chacha20-poly1305-256 sha-256 tag 128');
  pair.town.restartManager();
  assert.deepEqual(why(pair.town, sid), { ...before, ...linksOf(why(pair.town, sid)) });
});

const linksOf = (session: object): object =>
  Object.fromEntries(Object.entries(session).filter(([key]) => key === 'caller' || key === 'callee'));

test('[B8] a list that was registered anew, deleted or altered, and rules that were replaced, are told as just that', () => {
  const pair = couple({ town: HOME, caller: { proposals: BOTH }, callee: { proposals: BOTH } });
  const sid = connect(pair);
  const { manager } = pair.town;
  const tv = manager.registrations.get('tv' as DeviceId)!;
  const changed = { ...tv, proposals: [proposal('chacha20-poly1305', 256)] };
  manager.registrations.set('tv' as DeviceId, changed);
  assert.match(why(pair.town, sid).findings.join(' '), /stored list of tv is not the one that it registered/);
  manager.registrations.set('tv' as DeviceId, { ...changed, hash: new Uint8Array(32) });
  const replaced = why(pair.town, sid);
  assert.match(replaced.findings.join(' '), /^tv has registered another list since\. .*cannot be repeated\.$/);
  assert.deepEqual([replaced.agrees, replaced.replay], [null, null]);
  assert.equal(replaced.today.match?.name, 'chacha20-poly1305-256 sha-256 tag 128');
  manager.registrations.delete('tv' as DeviceId);
  assert.match(why(pair.town, sid).findings.join(' '), /tv has deleted its registration since/);
  manager.registrations.set('tv' as DeviceId, tv);
  assert.equal(why(pair.town, sid).agrees, true, 'put back, it is the list of then');

  manager.rules = { ...BUILT_IN_RULES, digest: 'b'.repeat(64) };
  const other = why(pair.town, sid);
  assert.match(
    other.findings.join(' '),
    /replaced since \(then file aaaaaaaaaaaa…, now file bbbbbbbbbbbb…\): the choice is repeated by rule living room/,
  );
  assert.equal(other.agrees, true, 'the deciding rule is kept with the session, whatever became of its file');
  assert.equal(other.sameToday, false);
  assert.equal(other.today.match?.name, 'aes-gcm-128 sha-256 tag 128', 'and what would be chosen today');
});

test('[B8] same lists and rules, and another result: the retirement, or what the configuration says of a device', () => {
  const pair = couple({ caller: { proposals: BOTH }, callee: { proposals: BOTH } });
  const sid = connect(pair);
  const { manager } = pair.town;
  const retirement = readRetirement('aes-gcm', pair.town.world().wall + 86_400)!;
  manager.retirements.set('aes-gcm', retirement);
  const retiring = why(pair.town, sid);
  assert.deepEqual([retiring.agrees, retiring.sameToday], [false, false]);
  assert.match(
    retiring.findings.join(' '),
    /Without the retirements that were ordered since it comes to the same suite/,
  );
  manager.retirements.clear();
  manager.rules = { ...RULES, digest: null, rules: [rule('all', {}, strong)] };
  assert.match(why(pair.town, sid).findings.join(' '), /Then rule default decided, now all does: .*was changed since/);
});

test('[B8] a session that was stored before decisions were kept says so', () => {
  const pair = couple();
  const sid = connect(pair);
  const session = pair.town.manager.sessions.get(sid)!;
  session.flow = { ...session.flow, terms: { ...session.flow.terms, decision: null } };
  const found = why(pair.town, sid);
  assert.deepEqual([found.decision, found.agrees, found.sameToday], [null, null, true]);
  assert.match(found.findings[0]!, /stored before decisions were kept/);
});

// ── Impact ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Devices of a few kinds with registered lists, without their logins. */
function populated(count: number): Town {
  const listings = new Map<DeviceId, { class: string | null; groups: string[]; user: string | null }>();
  const place = town({ settings: { rules: RULES, listings } });
  const lists = [BOTH, [proposal('aes-gcm', 128)], [proposal('chacha20-poly1305', 256), proposal('aes-ccm', 128)]];
  for (let at = 0; at < count; at++) {
    const id = `d-${at}` as DeviceId;
    const kind = [null, 'printer', 'router'][at % 3]!;
    listings.set(id, { class: kind, groups: at % 2 === 0 ? ['home'] : [], user: at % 5 === 0 ? `u${at}@x` : null });
    const proposals = lists[at % 4 === 0 ? 0 : at % lists.length]!.map((one) => ({
      ...one,
      cost: { picosPerOp: 1e6 + (at % 7) * 4e5, picosPerByte: one.cipher === 'aes-gcm' ? 300 * (1 + (at % 5)) : 900 },
    }));
    const record = { version: 1, requestId: new Uint8Array(16), hash: new Uint8Array(32), addresses: [], proposals };
    place.manager.registrations.set(id, record);
  }
  return place;
}

const registryOf = (place: Town) => {
  let pages = 0;
  const fetch = async (after: string | null) => {
    pages++;
    // as it crosses the control socket
    return JSON.parse(JSON.stringify(registryPage(place.manager, after, place.world())));
  };
  return readRegistry(fetch).then((registry) => ({ registry, pages }));
};

function run(slices: Generator<Tally, Tally>): Tally {
  for (;;) {
    const { value, done } = slices.next();
    if (done === true) return value;
  }
}

const NEXT: Rules = {
  rules: [
    rule('routers', { either: { class: 'router' } }, { prefer: ['cost', 'strength'], messageBytes: 4096 }),
    rule('d-1…', { callee: { id: 'd-1*' } }, strong),
    rule('fridges', { caller: { class: 'fridge' } }),
    rule('owned', { caller: { user: 'u*@x' } }, { require: { ...NO_REQUIREMENT, ciphers: ['aes-ccm'] } }),
  ],
  otherwise: DEFAULT_SELECTION,
  digest: 'c'.repeat(64),
};

test('[B8] rules impact: counted by kinds it comes to what a walk over every single pair comes to', async (t) => {
  const place = populated(120);
  const { registry } = await registryOf(place);
  const policy = { rules: [{ from: 'd-7*', to: 'class:printer', allow: false }], otherwise: 'allow' } as const;
  const live = { ...registry, policy };
  const at = registry.at;
  const tally = run(impactOf({ registry: live, rules: NEXT, wishes: WISHES, at, examples: 2 }));
  const counted = new Map<string, number>();
  let same = 0;
  let forbidden = 0;
  const suiteBy = (rules: Rules, caller: (typeof live.devices)[0], callee: typeof caller): string | null => {
    const selection = decidingRule(rules, caller, callee, at);
    const found = match(offersOf(caller.proposals), offersOf(callee.proposals), selection, NO_WISHES);
    return found.matched ? `${suiteName(found.suite)} ${found.keyMode}` : null;
  };
  for (const caller of live.devices) {
    for (const callee of live.devices) {
      if (caller === callee) continue;
      if (caller.id.startsWith('d-7') && callee.class === 'printer') {
        forbidden++;
        continue;
      }
      const [from, to] = [suiteBy(RULES, caller, callee), suiteBy(NEXT, caller, callee)];
      if (from === to) same++;
      else counted.set(`${from} → ${to}`, (counted.get(`${from} → ${to}`) ?? 0) + 1);
    }
  }
  const told = [...tally.turns].map(([turn, { pairs }]) => [turn, pairs] as const);
  assert.deepEqual(new Map(told.toSorted()), new Map([...counted].toSorted()));
  assert.deepEqual([tally.same, tally.forbidden, tally.looked, tally.pairs], [same, forbidden, 120 * 119, 120 * 119]);
  const turns = [...tally.turns.values()];
  assert.ok(turns.some(({ to }) => to === null) && turns.some(({ from }) => from === null), 'some lose, some gain');
  assert.ok(
    turns.some(({ from, to }) => from !== null && to !== null && from !== to),
    'some move',
  );
  for (const { from, to, examples } of turns) {
    assert.ok(examples.length > 0 && examples.length <= 2);
    for (const [caller, callee] of examples) {
      const [one, other] = [caller, callee].map((id) => live.devices.find((device) => device.id === id)!);
      assert.deepEqual([suiteBy(RULES, one!, other!), suiteBy(NEXT, one!, other!)], [from, to]);
    }
  }
  t.diagnostic(`${turns.length} turns, ${same} pairs stay, ${forbidden} are forbidden`);
});

test('[B8] rules impact: the registry comes by bounded pages, whole and each device once, with rules and time windows', async () => {
  const place = populated(2500);
  const { registry, pages } = await registryOf(place);
  assert.equal(pages, 3);
  assert.equal(new Set(registry.devices.map(({ id }) => id)).size, 2500);
  assert.deepEqual(registry.devices.find(({ id }) => id === 'd-8')?.proposals, [
    ...place.manager.registrations.get('d-8' as DeviceId)!.proposals.map(({ priority: _none, ...one }) => one),
  ]);
  const sunday = EpochSeconds(Date.parse('2026-01-04T00:00:30Z') / 1000);
  const [one, other] = ['d-0', 'd-2'].map((id) => registry.devices.find((device) => device.id === id)!);
  assert.equal(decidingRule(registry.rules, one!, other!, sunday).name, 'at night');
  assert.deepEqual(
    run(impactOf({ registry, rules: RULES, wishes: WISHES, at: registry.at, examples: 1 })).turns,
    new Map(),
    'the rules of now change nothing',
  );
});

test('[B8] rules impact: stopped half way, what is told is true of what was looked at', async () => {
  const { registry } = await registryOf(populated(400));
  const question = { registry, rules: NEXT, wishes: WISHES, at: registry.at, examples: 1 };
  const slices = impactOf(question);
  const first = { ...(slices.next().value as Tally) };
  assert.ok(first.looked > 0 && first.looked < first.pairs, `${first.looked} of ${first.pairs}`);
  const turned = [...first.turns.values()].reduce((sum, { pairs }) => sum + pairs, 0);
  assert.equal(first.same + first.forbidden + turned, first.looked);
});

test('[B8] rules impact: rules for a class, group, id or user that nobody has are named', async () => {
  const { registry } = await registryOf(populated(20));
  const odd: Rules = {
    ...NEXT,
    rules: [
      ...NEXT.rules,
      rule('offices', { both: { group: 'office', class: 'router' } }),
      rule('locks', { callee: { id: 'lock-*', user: 'nobody@x' } }),
    ],
  };
  assert.deepEqual(rulesForNobody(odd, registry), [
    'rule fridges: no registered device is of class fridge',
    'rule offices: no registered device is in group office',
    'rule locks: no registered device has an id like lock-*',
    'rule locks: no registered device has a user like nobody@x',
  ]);
  assert.deepEqual(rulesForNobody(BUILT_IN_RULES, registry), []);
});

test('[B4] [B8] rules retire: pairs that would have nothing left without a suite, as a walk over every single pair finds them', async () => {
  const { registry } = await registryOf(populated(60));
  const without = [{ cipher: 'aes-gcm', keyBits: null, hash: null, tagBits: null } as const];
  const { at, devices, rules } = registry;
  const tally = run(impactOf({ registry, rules, wishes: WISHES, at, examples: 1, without }));
  let lost = 0;
  let changed = 0;
  for (const caller of devices) {
    for (const callee of devices) {
      if (caller === callee) continue;
      const selection = decidingRule(rules, caller, callee, at);
      const lists = [offersOf(caller.proposals), offersOf(callee.proposals)] as const;
      const [now, then] = [NO_WISHES, { ...NO_WISHES, retired: without }].map((wishes) => {
        const found = match(...lists, selection, wishes);
        return found.matched ? `${suiteName(found.suite)} ${found.keyMode}` : null;
      });
      if (now !== null && then === null) lost++;
      if (now !== then) changed++;
    }
  }
  const turns = [...tally.turns.values()];
  const sum = (some: typeof turns): number => some.reduce((pairs, turn) => pairs + turn.pairs, 0);
  assert.deepEqual([sum(turns.filter(({ to }) => to === null)), sum(turns)], [lost, changed]);
  assert.ok(lost > 0 && changed > lost, `${lost} of ${changed}`);
});
