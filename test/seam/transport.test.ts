/**
 * One suite over the halves of the transport seam: the manager over MQTT, also over WebSocket, the manager inside the
 * broker's process, and everything in memory under the same policy. @spec platform/transport.ts, design §5.1
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import {
  brokerState,
  connecting,
  controlRequest,
  disconnected,
  type Effect,
  forwarding,
  publishing,
  subscribing,
} from '../../broker/policy.ts';
import type { Transport, TransportObserver } from '../../platform/transport.ts';
import { memoryHub } from '../../platform/transport-memory.ts';
import { mqttTransport } from '../../platform/transport-mqtt.ts';
import { type BrokerReport, type BrokerRequest, brokerReports, brokerRequests } from '../../protocol/messages.ts';
import { MANAGER, type Topics, topicsUnder } from '../../protocol/topics.ts';
import { type DeviceId, type LinkId, Millis, type Topic } from '../../protocol/units.ts';
import { bytes, crypto, type Seen, startRig, TOKENS, text, until, watcher } from '../network/broker-rig.ts';

interface Setting {
  readonly topics: Topics;
  manager(observer: TransportObserver, filters: readonly Topic[]): Transport;
  link(observer: TransportObserver): Transport;
  /** Lets happen what is under way until the condition holds. */
  until(condition: () => boolean, what: string): Promise<void>;
}

const HALVES: Record<string, (t: TestContext) => Promise<Setting>> = {
  async mqtt(t) {
    const rig = await startRig(t);
    return overNetwork(rig.broker.topics, rig.url, (observer, filters) =>
      mqttTransport({
        url: rig.url,
        crypto,
        observer,
        subscriptions: () => filters,
        service: { username: 'manager', token: TOKENS.manager },
      }),
    );
  },
  async webSocket(t) {
    const rig = await startRig(t, {}, [{ kind: 'ws', port: 0 }]);
    const { url } = rig.broker.listeners[1]!;
    return overNetwork(rig.broker.topics, url, (observer, filters) =>
      mqttTransport({
        url,
        crypto,
        observer,
        subscriptions: () => filters,
        service: { username: 'manager', token: TOKENS.manager },
      }),
    );
  },
  async attachment(t) {
    const rig = await startRig(t);
    return overNetwork(rig.broker.topics, rig.url, (observer, filters) =>
      rig.broker.attach({ service: 'manager', observer, subscriptions: () => filters }),
    );
  },
  async memory() {
    return inMemory();
  },
};

function overNetwork(topics: Topics, url: string, manager: Setting['manager']): Setting {
  const subscriptions = (link: LinkId) => [topics.toDevice({ kind: 'link', link })];
  const reconnect = { minMs: 10, maxMs: 20 };
  return {
    topics,
    manager,
    link: (observer) => mqttTransport({ url, crypto, observer, subscriptions, reconnect }),
    until,
  };
}

/** The hub under the broker's own policy, with the effects that a host performs. */
function inMemory(): Setting {
  const topics = topicsUnder();
  const state = brokerState(topics, { manager: null, verifier: null });
  const run = (effects: readonly Effect[]) => {
    for (const effect of effects) {
      if (effect.kind === 'report') hub.send(topics.controlReports, brokerReports.encode(effect.report));
      if (effect.kind === 'subscribe') hub.subscribe(effect.link, effect.filters);
      if (effect.kind === 'close') hub.cut(effect.link, effect.reason);
    }
  };
  const hub = memoryHub({
    connecting(clientId, username) {
      const attempt = { clientId, username, passwordSha256: null, clean: true, will: false, address: null };
      const admission = connecting(state, attempt, Millis(0));
      return admission.verdict === 'accept' ? null : admission.reason;
    },
    publishing(link, topic, payload, qos) {
      const { verdict } = publishing(state, link, topic, payload.length, false, qos);
      if (verdict !== 'allow' || topic !== topics.controlRequests) return verdict;
      run(controlRequest(state, brokerRequests.decode(payload)));
      return 'drop';
    },
    subscribing: (link, filter) => subscribing(state, link, filter).verdict === 'allow',
    forwarding: (link, topic) => forwarding(state, link, topic),
    disconnected: (link) => run(disconnected(state, link)),
  });
  return {
    topics,
    manager: (observer, filters) => hub.transport({ service: 'manager', observer, subscriptions: () => filters }),
    link: (observer) => hub.transport({ observer, subscriptions: (link) => [topics.toDevice({ kind: 'link', link })] }),
    async until(condition, what) {
      hub.flush();
      hub.rejoin();
      hub.flush();
      assert.ok(condition(), what);
    },
  };
}

interface Member extends Seen {
  readonly transport: Transport;
}

interface Stage extends Setting {
  readonly boss: Member;
  order(request: BrokerRequest): void;
  reports(): BrokerReport[];
  join(): Promise<Member>;
  joinAs(id: string): Promise<Member>;
}

async function stage(t: TestContext, half: (t: TestContext) => Promise<Setting>): Promise<Stage> {
  const setting = await half(t);
  const { topics } = setting;
  const enter = async (open: (observer: TransportObserver) => Transport): Promise<Member> => {
    const seen = watcher();
    const transport = open(seen);
    t.after(() => transport.close());
    await setting.until(() => seen.links.length === 1, 'up');
    return Object.assign(seen, { transport });
  };
  const filters = [`${topics.root}/m/+` as Topic, topics.verifierAnswer(MANAGER), topics.controlReports];
  const boss = await enter((observer) => setting.manager(observer, filters));
  const order = (request: BrokerRequest) =>
    boss.transport.publish(topics.controlRequests, brokerRequests.encode(request), 1);
  return {
    ...setting,
    boss,
    order,
    reports: () =>
      boss.got.flatMap(({ topic, payload }) =>
        topic === topics.controlReports ? [brokerReports.decode(payload)] : [],
      ),
    join: () => enter(setting.link),
    async joinAs(id) {
      const member = await enter(setting.link);
      order({ kind: 'Promote', link: member.links[0]!, device: id as DeviceId });
      const topic = topics.toDevice({ kind: 'device', id: id as DeviceId });
      boss.transport.publish(topic, bytes('promoted'), 1);
      await setting.until(() => member.got.length === 1, `${id} promoted`);
      member.got.length = 0;
      return member;
    },
  };
}

const A = 'router-1' as DeviceId;
const B = 'phone-1' as DeviceId;

for (const [name, half] of Object.entries(HALVES)) {
  test(`[B1] ${name}: once up, what is sent to a subscribed topic arrives whole, with either QoS`, async (t) => {
    const { boss, join, topics, until } = await stage(t, half);
    const link = await join();
    const id = link.links[0]!;
    for (const qos of [0, 1] as const) {
      const payload = crypto.random(1000);
      link.transport.publish(topics.toManager({ kind: 'link', link: id }), payload, qos);
      await until(() => boss.got.length === 1, 'to the manager');
      assert.deepEqual(boss.got.pop(), { topic: `km1/m/~${id}`, payload });
      boss.transport.publish(topics.toDevice({ kind: 'link', link: id }), payload, qos);
      await until(() => link.got.length === 1, 'to the link');
      assert.deepEqual(link.got.pop(), { topic: `km1/d/~${id}`, payload });
    }
  });

  test(`[B1] ${name}: an empty payload arrives as an empty payload`, async (t) => {
    const { boss, join, topics, until } = await stage(t, half);
    const link = await join();
    link.transport.publish(topics.toManager({ kind: 'link', link: link.links[0]! }), new Uint8Array(0), 1);
    await until(() => boss.got.length === 1, 'empty');
    assert.deepEqual(boss.got[0]?.payload, new Uint8Array(0));
  });

  test(`[B1] ${name}: payloads are plain byte arrays, and the sender may wipe its own at once`, async (t) => {
    const { boss, join, topics, until } = await stage(t, half);
    const link = await join();
    const there = bytes('there');
    link.transport.publish(topics.toManager({ kind: 'link', link: link.links[0]! }), there, 1);
    there.fill(0);
    await until(() => boss.got.length === 1, 'there');
    const back = bytes('back');
    boss.transport.publish(topics.toDevice({ kind: 'link', link: link.links[0]! }), back, 1);
    back.fill(0);
    await until(() => link.got.length === 1, 'back');
    assert.deepEqual(
      [boss, link].map(({ got }) => text(got[0]!.payload)),
      ['there', 'back'],
    );
    for (const { got } of [boss, link]) assert.equal(Object.getPrototypeOf(got[0]!.payload), Uint8Array.prototype);
  });

  test(`[B1] ${name}: messages of one sender keep their order`, async (t) => {
    const { boss, join, topics, until } = await stage(t, half);
    const link = await join();
    const wanted = Array.from({ length: 200 }, (_, i) => `${i}`);
    for (const one of wanted)
      boss.transport.publish(topics.toDevice({ kind: 'link', link: link.links[0]! }), bytes(one), 1);
    await until(() => link.got.length === wanted.length, 'all of them');
    assert.deepEqual(
      link.got.map(({ payload }) => text(payload)),
      wanted,
    );
  });

  test(`[B1] ${name}: an observer is never called inside publish`, async (t) => {
    const { boss, topics, order, until } = await stage(t, half);
    order({ kind: 'Attach' });
    assert.equal(boss.got.length, 0);
    await until(() => boss.got.length === 1, 'Links');
    assert.equal(boss.got[0]?.topic, topics.controlReports);
  });

  test(`[B1] ${name}: a login makes the link its device, an end is reported`, async (t) => {
    const { joinAs, reports, order, boss, topics, until } = await stage(t, half);
    const a = await joinAs(A);
    a.transport.publish(topics.toManager({ kind: 'device', id: A }), bytes('me'), 1);
    await until(() => boss.got.some(({ topic }) => topic === 'km1/m/router-1'), 'as router-1');
    order({ kind: 'Attach' });
    await until(() => reports().length === 1, 'Links');
    assert.deepEqual(reports()[0], { kind: 'Links', bindings: [{ link: a.links[0]!, device: A }], last: true });
    await a.transport.close();
    await until(() => reports().length === 2, 'Gone');
    assert.deepEqual(reports()[1], { kind: 'Gone', link: a.links[0]!, device: A });
  });

  test(`[B1] ${name}: peers reach each other while listed, and not before or after`, async (t) => {
    const { joinAs, order, boss, topics, until } = await stage(t, half);
    const a = await joinAs(A);
    const b = await joinAs(B);
    /** A word from A by way of the manager: the broker has seen all that A said before. */
    const settle = async (word: string) => {
      a.transport.publish(topics.toManager({ kind: 'device', id: A }), bytes(word), 1);
      await until(() => boss.got.some(({ payload }) => text(payload) === word), word);
      boss.transport.publish(topics.toDevice({ kind: 'device', id: B }), bytes(word), 1);
      await until(() => b.got.some(({ payload }) => text(payload) === word), word);
    };
    const say = (what: string) => a.transport.publish(topics.peer(B, A), bytes(what), 1);
    say('before');
    await settle('(allow)');
    order({ kind: 'Allow', pairs: [{ a: B, b: A }] });
    await settle('(allowed)');
    say('while');
    await settle('(forbid)');
    order({ kind: 'Forbid', pairs: [{ a: A, b: B }] });
    await settle('(forbidden)');
    say('after');
    await settle('(end)');
    assert.deepEqual(
      b.got.map(({ payload }) => text(payload)).filter((word) => !word.startsWith('(')),
      ['while'],
    );
  });

  test(`[B1] ${name}: a refused message reaches nobody and ends a new link, which comes back under another id`, async (t) => {
    const { join, boss, topics, until } = await stage(t, half);
    const link = await join();
    link.transport.publish(topics.toManager({ kind: 'device', id: A }), bytes('posing'), 1);
    await until(() => link.links.length === 2, 'up again');
    assert.equal(link.downs.length, 1);
    assert.notEqual(link.links[0], link.links[1]);
    assert.ok(boss.got.every(({ topic }) => topic === topics.controlReports));
  });

  test(`[B1] ${name}: messages and bytes are counted as they pass`, async (t) => {
    const { join, boss, topics, until } = await stage(t, half);
    const link = await join();
    link.transport.publish(topics.toManager({ kind: 'link', link: link.links[0]! }), bytes('12345'), 1);
    link.transport.publish(topics.toManager({ kind: 'link', link: link.links[0]! }), bytes('678'), 0);
    await until(() => boss.got.length === 2, 'both');
    assert.deepEqual(link.transport.traffic, { sentMessages: 2, sentBytes: 8, receivedMessages: 0, receivedBytes: 0 });
    assert.deepEqual(boss.transport.traffic, { sentMessages: 0, sentBytes: 0, receivedMessages: 2, receivedBytes: 8 });
  });

  test(`[B1] ${name}: a closed transport neither sends nor hears, and says no more`, async (t) => {
    const { join, boss, topics, until } = await stage(t, half);
    const link = await join();
    const other = await join();
    await boss.transport.close();
    await boss.transport.close();
    boss.transport.publish(topics.toDevice({ kind: 'link', link: other.links[0]! }), bytes('late'), 1);
    link.transport.publish(topics.toManager({ kind: 'link', link: link.links[0]! }), bytes('anybody?'), 1);
    await link.transport.close();
    const third = await join();
    await until(() => third.links.length === 1, 'the broker goes on');
    assert.deepEqual([boss.got, boss.downs, other.got, link.downs], [[], [], [], []]);
    assert.equal(boss.transport.traffic.sentMessages, 0);
  });

  test(`[B1] ${name}: a second manager is told that it is refused`, async (t) => {
    const { manager, boss, until } = await stage(t, half);
    const second = watcher();
    const transport = manager(second, []);
    t.after(() => transport.close());
    await until(() => second.downs.length > 0, 'refused');
    assert.deepEqual([second.links.length, boss.downs.length], [0, 0]);
    assert.match(second.downs[0]!, /manager/);
  });
}

test('[B1] memory: nothing happens without flush', () => {
  const authority = {
    connecting: () => null,
    publishing: () => 'allow' as const,
    subscribing: () => true,
    forwarding: () => true,
    disconnected: () => {},
  };
  const hub = memoryHub(authority);
  const seen = watcher();
  const transport = hub.transport({ observer: seen, subscriptions: () => ['km1/m/+' as Topic] });
  transport.publish('km1/m/x' as Topic, bytes('before up: dropped'), 1);
  assert.equal(seen.links.length, 0);
  assert.equal(hub.flush(), 1);
  transport.publish('km1/m/x' as Topic, bytes('after up'), 1);
  assert.deepEqual([seen.links.length, seen.got.length], [1, 0]);
  assert.equal(hub.flush(), 1);
  assert.deepEqual(
    seen.got.map(({ payload }) => text(payload)),
    ['after up'],
  );
});
