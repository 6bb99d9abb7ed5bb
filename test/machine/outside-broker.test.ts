/**
 * A broker that is not ours: devices are there under their own names from the beginning, nobody reports links, and the
 * identity proven in the channel has to be that of the topic. @see docs/outside-broker.md
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { approveAsk } from '../../device-agent/answering.ts';
import { equal } from '../../protocol/bytes.ts';
import { publicKeyOperations } from '../../protocol/crypto.ts';
import { EXCHANGE_ID_BYTES, HINT_FRAME } from '../../protocol/frame.ts';
import type { Topic } from '../../protocol/units.ts';
import { assertTalks, connect, couple, end, ending, refusal, talking } from '../couple.ts';
import type { Town, TownDevice } from '../town-plan.ts';

const OUTSIDE = { outside: true } as const;

const channelOf = (town: Town, { id }: TownDevice) => town.manager.channels.get(id)?.channel;
const topicTo = (town: Town, { id }: TownDevice) => town.manager.settings.topics.toDevice({ kind: 'device', id });
const topicFrom = (town: Town, { id }: TownDevice) => town.manager.settings.topics.toManager({ kind: 'device', id });

const isOf = (payload: Uint8Array, exchange: Uint8Array): boolean =>
  equal(payload.slice(1, 1 + EXCHANGE_ID_BYTES), exchange);

/** Nothing reaches the device any more, and nothing comes from it. */
function silence(town: Town, device: TownDevice): void {
  town.meddler = ({ from, topic }) => (from === device.id || topic === topicTo(town, device) ? [] : 'pass');
}

test("[B1] outside broker: login, connect, data both ways and end on the device's own topics; no control message", () => {
  const pair = talking({ town: OUTSIDE });
  const { town, caller, callee } = pair;
  assertTalks(pair, pair.sid);
  assert.deepEqual(
    [caller, callee].map(({ state }) => state.openings.map(({ opened }) => opened)),
    [['edhoc'], ['edhoc']],
  );
  end(caller, pair.sid);
  town.flush();
  assert.deepEqual(
    [ending(caller), ending(callee), town.manager.sessions.size],
    ['done by caller', 'done by caller', 0],
  );
  const levels = new Set(town.packets.map(({ topic }) => topic.split('/')[1]));
  assert.deepEqual([...levels].sort(), ['d', 'm', 'p', 'v']);
  assert.ok(
    !town.packets.some(({ topic }) => topic.includes('~') && !topic.endsWith('~manager')),
    'no link has a topic',
  );
});

test('[B1] [5.6 link takeover] outside broker: a device that logs in as another than its topic says is refused', () => {
  const pair = couple({ town: OUTSIDE });
  const { town, callee } = pair;
  const thief = town.add('thief');
  const leaf = town.manager.devices.get(callee.id)?.leaf;
  // the thief's certificate and key, on the topics of the callee: a stolen password of the broker
  const posing = town.add(callee.id, { holder: thief.holder, start: false });
  silence(town, thief);
  town.flush();
  assert.equal(posing.latest('loginDenied')?.reason, 'forbidden');
  assert.equal(posing.state.channel, null);
  assert.deepEqual(town.manager.devices.get(callee.id)?.leaf, leaf, "the name is still its owner's");
});

test('[5.6 link takeover, replay] outside broker: a resumption on the topic of another is refused and moves no secret; on its own it is answered', () => {
  const { town, caller, callee } = talking({ town: OUTSIDE });
  const before = town.packets.length;
  town.meddler = ({ from }) => (from === caller.id ? [] : 'pass');
  caller.breakLink();
  town.flush();
  const request = town.packets.slice(before).find(({ from, payload }) => from === caller.id && payload[0] === 0xd1);
  assert.ok(request, 'the caller wanted to resume, and nobody has seen it yet');
  const held = town.manager.resumption.get(caller.id);
  const answersOn = (topic: Topic): string[] => {
    const sent = town.packets.length;
    town.inject(topic, request.payload);
    town.flush();
    const exchange = request.payload.slice(1, 1 + EXCHANGE_ID_BYTES);
    return town.packets
      .slice(sent)
      .filter(({ from, payload }) => from === 'manager' && (payload.length === 1 || isOf(payload, exchange)))
      .map(({ topic, payload }) => `${topic} ${payload[0]?.toString(16)}`);
  };
  assert.deepEqual(answersOn(topicFrom(town, callee)), [`${topicTo(town, callee)} e0`]);
  assert.deepEqual(town.manager.resumption.get(caller.id), held);
  assert.deepEqual(answersOn(topicFrom(town, caller)), [`${topicTo(town, caller)} d2`]);
});

test('[B1] outside broker: a link without a name, and a report that nobody may make, are refused', () => {
  const { town, caller } = talking({ town: OUTSIDE });
  const { topics } = town.manager.settings;
  const first = town.packets.find(({ topic }) => topic === topicFrom(town, caller));
  town.inject(topics.toManager({ kind: 'link', link: 'memory-link-000000000099' as never }), first!.payload);
  town.inject(topics.controlReports, new Uint8Array([0xa1, 0, 0]));
  const sent = town.packets.length;
  town.flush();
  assert.equal(town.packets.length, sent, 'nobody is answered');
  assert.ok(town.managerLogs.some((line) => line.includes('a link without a device on an outside broker')));
});

for (const [party, restart] of [
  ['the manager', (town) => town.restartManager()],
  ["the caller's link", (_, caller) => caller.breakLink()],
] satisfies [string, (town: Town, caller: TownDevice) => void][]) {
  test(`[B7] [B5] outside broker: after a restart of ${party} everybody resumes and the session goes on`, () => {
    const pair = talking({ town: OUTSIDE });
    const { town, caller, callee, sid } = pair;
    const operations = [caller, callee].map(({ counter }) => publicKeyOperations(counter));
    restart(town, caller);
    town.flush();
    town.advance(11_000); // the hint of the manager's start is one in 10 s
    assert.ok(channelOf(town, caller) && channelOf(town, callee), 'both have a channel');
    assertTalks(pair, sid);
    town.advance(180_000);
    assertTalks(pair, sid);
    assert.equal(town.manager.sessions.size, 1);
    assert.deepEqual(
      [caller, callee].map(({ counter }) => publicKeyOperations(counter)),
      operations,
    );
  });
}

test('outside broker: a callee that is gone makes its caller hear unreachable, by its will or when it is asked', () => {
  for (const withWill of [true, false]) {
    const pair = couple({ town: OUTSIDE });
    const { town, caller, callee } = pair;
    town.advance(20_000); // its channel is no proof any more
    silence(town, callee);
    if (withWill) {
      callee.breakLink();
      town.advance(14_000);
      assert.equal(channelOf(town, callee), undefined, 'the manager knows before anybody asks');
    }
    caller.call(callee.id);
    town.advance(withWill ? 11_000 : 14_000);
    assert.equal(refusal(caller), 'unreachable', withWill ? 'by its will' : 'asked');
  }
});

test('outside broker: while a person decides the device is looked for once, and the answer counts', () => {
  const approval = { rules: [], otherwise: 'ask', askTimeoutSeconds: 40, busy: false } as const;
  const pair = couple({ town: OUTSIDE, callee: { settings: { approval } } });
  const { town, caller, callee } = pair;
  town.advance(20_000);
  caller.call(callee.id);
  town.advance(30_000);
  assert.deepEqual(
    callee.state.openings.map(({ opened, by, cost }) => [opened, by, cost.publicKeyOps > 0]),
    [
      ['edhoc', 'device', true],
      ['resume', 'manager', false],
    ],
  );
  const asked = callee.latest('asked');
  assert.ok(asked);
  assert.equal(refusal(caller), undefined, 'it is still being asked');
  callee.run((state, world) => approveAsk(state, asked.sid, world));
  town.flush();
  assert.equal(caller.latest('sessionOpened')?.peer, callee.id);
});

test('outside broker: the sessions of a device that stays away end after the grace, those of one that returns go on', () => {
  for (const returns of [true, false]) {
    const pair = talking({ town: OUTSIDE });
    const { town, caller, callee, sid } = pair;
    silence(town, callee);
    callee.breakLink();
    town.advance(60_000);
    assert.equal(ending(caller), 'not ended');
    if (returns) town.meddler = () => 'pass';
    town.advance(90_000);
    assert.equal(ending(caller), returns ? 'not ended' : 'peer-gone by manager');
    if (returns) assertTalks(pair, sid);
  }
});

test("outside broker: D0 on a device's topic costs one resumption in 10 s, nothing else", () => {
  const pair = talking({ town: OUTSIDE });
  const { town, caller } = pair;
  const operations = publicKeyOperations(caller.counter);
  const before = caller.state.openings.length;
  for (let second = 0; second < 20; second++) {
    town.inject(topicFrom(town, caller), HINT_FRAME);
    town.advance(1000);
  }
  const more = caller.state.openings.slice(before);
  assert.ok(more.length >= 1 && more.length <= 2, `${more.length} resumptions`);
  assert.ok(more.every(({ opened, by }) => opened === 'resume' && by === 'manager'));
  assert.equal(publicKeyOperations(caller.counter), operations);
  assertTalks(pair, pair.sid);
  connect(pair);
});
