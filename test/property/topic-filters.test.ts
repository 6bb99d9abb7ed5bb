/**
 * Which topics a filter takes, by a matcher written from the specification alone, beside everything here that decides it:
 * Aedes, the broker's policy, the hub in memory. @spec MQTT 3.1.1 §4.7
 */
import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import { Aedes } from 'aedes';
import fc from 'fast-check';
import { generate, type Packet, parser } from 'mqtt-packet';
import { brokerState, connecting, controlRequest, forwarding, subscribing } from '../../broker/policy.ts';
import { memoryHub } from '../../platform/transport-memory.ts';
import { topicsUnder } from '../../protocol/topics.ts';
import { type DeviceId, type LinkId, Millis, type Topic } from '../../protocol/units.ts';

const SEED = 2_007_184_993;
const FILTERS = process.env.KAGIMORI_LONG === '1' ? 200_000 : 20_000;
const LONG_MS = 1_800_000;
const TOPICS_PER_FILTER = 20;

type Matcher = (filter: string, topic: string) => boolean;

/** §4.7, sentence by sentence. */
const reference: Matcher = (filter, topic) => {
  const wanted = filter.split('/');
  const given = topic.split('/');
  // [MQTT-4.7.2-1]: a filter that begins with a wildcard takes no topic that begins with $
  if (given[0]!.startsWith('$') && (wanted[0] === '#' || wanted[0] === '+')) return false;
  for (const [at, level] of wanted.entries()) {
    // §4.7.1.2: the parent and any number of levels below it
    if (level === '#') return true;
    const there = given[at];
    if (there === undefined) return false;
    // §4.7.1.3: + takes one level, an empty one as well; §4.7.3: everything else letter by letter
    if (level !== '+' && level !== there) return false;
  }
  return wanted.length === given.length;
};

test('[B1] MQTT 3.1.1 §4.7: the reference gives what the specification says in its examples', () => {
  const rows: [filter: string, topic: string, taken: boolean][] = [
    ['sport/tennis/player1/#', 'sport/tennis/player1', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/ranking', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
    ['sport/#', 'sport', true],
    ['#', 'sport/tennis', true],
    ['sport/tennis/+', 'sport/tennis/player1', true],
    ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
    ['sport/+', 'sport', false],
    ['sport/+', 'sport/', true],
    ['+/+', '/finance', true],
    ['/+', '/finance', true],
    ['+', '/finance', false],
    ['#', '$SYS/monitor/Clients', false],
    ['+/monitor/Clients', '$SYS/monitor/Clients', false],
    ['$SYS/#', '$SYS/monitor/Clients', true],
    ['$SYS/monitor/+', '$SYS/monitor/Clients', true],
    ['ACCOUNTS', 'Accounts', false],
    ['/finance', 'finance', false],
  ];
  for (const [filter, topic, taken] of rows) assert.equal(reference(filter, topic), taken, `${filter} and ${topic}`);
});

const WORDS = [
  '',
  'a',
  'b',
  'A',
  'é',
  'e\u0301',
  '日本',
  '😀',
  '\ufeff',
  ' ',
  '$',
  '$SYS',
  '$share',
  '__proto__',
  'constructor',
  '.',
];
const word = fc.constantFrom(...WORDS);
const topicLevels = fc.array(word, { minLength: 1, maxLength: 5 }).filter((levels) => levels.join('/') !== '');
/** A filter that has a chance with such topics: one of them, with levels made to wildcards. */
const filter = fc
  .tuple(topicLevels, fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }), fc.integer({ min: 0, max: 8 }))
  .map(([levels, wild, end]) => {
    const wanted = levels.map((level, at) => (wild[at] ? '+' : level));
    return (end < wanted.length ? [...wanted.slice(0, end), '#'] : wanted).join('/');
  })
  .filter((one) => one !== '');
const topic = topicLevels.map((levels) => levels.join('/'));

interface Round {
  readonly filters: readonly string[];
  readonly topics: readonly string[];
}
const AT_ONCE = 50;

function rounds(): Round[] {
  const filters = fc.sample(filter, { seed: SEED, numRuns: FILTERS });
  const topics = fc.sample(topic, { seed: SEED + 1, numRuns: (FILTERS / AT_ONCE) * TOPICS_PER_FILTER });
  return Array.from({ length: FILTERS / AT_ONCE }, (_, round) => ({
    filters: filters.slice(round * AT_ONCE, (round + 1) * AT_ONCE),
    topics: topics.slice(round * TOPICS_PER_FILTER, (round + 1) * TOPICS_PER_FILTER),
  }));
}

interface Comparison {
  readonly disagreements: readonly string[];
  readonly taken: number;
  readonly left: number;
}

/** @param matcher  asked for the round of that number */
function compare(all: readonly Round[], matcher: (round: number) => Matcher): Comparison {
  const disagreements: string[] = [];
  let [taken, left] = [0, 0];
  for (const [number, { filters, topics }] of all.entries()) {
    const takes = matcher(number);
    for (const one of filters) {
      for (const other of topics) {
        const expected = reference(one, other);
        if (expected) taken++;
        else left++;
        if (takes(one, other) !== expected)
          disagreements.push(`'${one}' and '${other}': the reference says ${expected}`);
      }
    }
  }
  return { disagreements, taken, left };
}

/** A client of an Aedes in this process, without a socket in between. */
function clientOf(aedes: Aedes, name: string) {
  const [near, far] = duplexPair();
  const reader = parser();
  const published: Packet[] = [];
  const waiting = new Map<string, () => void>();
  reader.on('packet', (packet) => {
    if (packet.cmd === 'publish') published.push(packet);
    else waiting.get(packet.cmd)?.();
  });
  near.on('data', (chunk: Buffer) => reader.parse(chunk));
  aedes.handle(far);
  const ask = (packet: Packet, answer: string) =>
    new Promise<void>((resolve) => {
      waiting.set(answer, resolve);
      near.write(generate(packet));
    });
  return {
    connect: () =>
      ask(
        { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, keepalive: 0, clientId: name },
        'connack',
      ),
    subscribe: (one: string) =>
      ask({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: one, qos: 0 }] }, 'suback'),
    /** @returns what arrived since the last time */
    async unsubscribe(one: string): Promise<readonly Packet[]> {
      await ask({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: [one] }, 'unsuback');
      return published.splice(0);
    },
    end: () => near.destroy(),
  };
}

const key = (one: string, other: string): string => `${one}\n${other}`;
const MARK = Buffer.from('of this test, not of $SYS');

test(`[B1] [5.6 link takeover, wildcards, wills, retained messages] ${FILTERS} random filters: Aedes forwards what MQTT 3.1.1 §4.7 says`, {
  timeout: LONG_MS,
}, async (t) => {
  const aedes = await Aedes.createBroker({ concurrency: 10_000 });
  const clients = Array.from({ length: AT_ONCE }, (_, number) => clientOf(aedes, `client-${number}`));
  t.after(() => {
    for (const client of clients) client.end();
    aedes.close();
  });
  await Promise.all(clients.map((client) => client.connect()));
  const all = rounds();
  const forwarded: Set<string>[] = [];
  for (const { filters, topics } of all) {
    await Promise.all(filters.map((one, at) => clients[at]!.subscribe(one)));
    await Promise.all(
      topics.map(
        (one) =>
          new Promise<void>((resolve, reject) =>
            aedes.publish({ cmd: 'publish', topic: one, payload: MARK, qos: 0, dup: false, retain: false }, (error) =>
              error ? reject(error) : resolve(),
            ),
          ),
      ),
    );
    const seen = new Set<string>();
    await Promise.all(
      filters.map(async (one, at) => {
        for (const packet of await clients[at]!.unsubscribe(one)) {
          if (packet.cmd === 'publish' && MARK.equals(packet.payload as Buffer)) seen.add(key(one, packet.topic));
        }
      }),
    );
    forwarded.push(seen);
  }
  const { disagreements, taken, left } = compare(
    all,
    (round) => (one, other) => forwarded[round]!.has(key(one, other)),
  );
  assert.deepEqual(disagreements.slice(0, 20), []);
  assert.ok(taken > FILTERS && left > FILTERS, `${taken} taken, ${left} left`);
});

/** Mistakes that matchers have had. */
const WRONG: Readonly<Record<string, Matcher>> = {
  '# without its parent': (one, other) => reference(one, other) && !(one.endsWith('/#') && one.slice(0, -2) === other),
  'wildcards that take $SYS': (one, other) => reference(one.replace(/^([+#])/, 'x/$1'), `x/${other}`),
  '+ that takes no empty level': (one, other) =>
    reference(one, other) && !one.split('/').some((level, at) => level === '+' && other.split('/')[at] === ''),
  'a slash at the end that does not count': (one, other) =>
    reference(one, other) || reference(one, other.replace(/\/$/, '')),
  'a regular expression': (one, other) =>
    new RegExp(`^${one.replaceAll('+', '[^/]*').replaceAll('#', '.*')}$`, 'u').test(other),
  'letters of either case': (one, other) => reference(one.toLowerCase(), other.toLowerCase()),
  'composed characters': (one, other) => reference(one.normalize('NFC'), other.normalize('NFC')),
  'one that lets everything through once in a thousand': (one, other) =>
    reference(one, other) || (one.length * 31 + other.length * 17) % 1000 === 0,
};
for (const [name, wrong] of Object.entries(WRONG)) {
  test(`[B1] a wrong matcher is seen: ${name}`, () => {
    const escaped: Matcher =
      name === 'a regular expression' ? (one, other) => wrong(one.replaceAll(/[$.]/g, '\\$&'), other) : wrong;
    assert.notEqual(compare(rounds(), () => escaped).disagreements.length, 0);
  });
}

const topics = topicsUnder();
const LINK = 'link-of-a-device-00' as LinkId;
const NEW = 'link-of-a-stranger0' as LinkId;
const MANAGER_LINK = 'link-of-the-manager' as LinkId;
const VERIFIER_LINK = 'link-of-the-verifier' as LinkId;
const DEVICE = 'router-1' as DeviceId;
const PEER = 'phone-1' as DeviceId;

/** A policy with a new link, a device, manager and verifier. @returns what each may read, letter by letter */
function policy() {
  const state = brokerState(topics, { manager: null, verifier: null });
  for (const [clientId, username] of [
    [LINK, null],
    [NEW, null],
    [MANAGER_LINK, 'manager'],
    [VERIFIER_LINK, 'verifier'],
  ] as const) {
    const attempt = { clientId, username, passwordSha256: null, clean: true, will: false, address: null };
    assert.equal(connecting(state, attempt, Millis(0)).verdict, 'accept');
  }
  controlRequest(state, { kind: 'Promote', link: LINK, device: DEVICE });
  controlRequest(state, { kind: 'Allow', pairs: [{ a: DEVICE, b: PEER }] });
  const readable: ReadonlyMap<LinkId, readonly string[]> = new Map([
    [NEW, [`km1/d/~${NEW}`]],
    [LINK, [`km1/d/~${LINK}`, `km1/d/${DEVICE}`, `km1/p/${DEVICE}/+`, `km1/v/a/${DEVICE}`]],
    [MANAGER_LINK, ['km1/m/+', 'km1/v/a/~manager', 'km1/v/e', 'km1/c/a']],
    [VERIFIER_LINK, ['km1/v/q/+']],
  ]);
  return { state, readable };
}

/** Levels of the wire, right and wrong ones, so that a filter often nearly is one that is allowed. */
const wireWord = fc.constantFrom(
  ...['km1', 'm', 'd', 'p', 'v', 'c', 'a', 'q', 'e', '+', '#', '', DEVICE, PEER, `~${NEW}`, `~${LINK}`, '~manager'],
  ...['KM1', 'router-1 ', 'router%2D1', '\0', '$share', 'g', '$SYS', '~', 'router-1\ufeff'],
);
const wireFilter = fc
  .tuple(
    fc.array(wireWord, { minLength: 1, maxLength: 5 }),
    fc.constantFrom(null, 'km1/d/', 'km1/d/', 'km1/p/', 'km1/m/', 'km1/v/a/', 'km1/'),
  )
  .map(([levels, start]) => (start === null ? levels.join('/') : `${start}${levels.slice(0, 2).join('/')}`));

test(`[B1] [5.6 link takeover, wildcards, wills, retained messages] ${FILTERS} random filters: the policy allows exactly a link's own`, () => {
  const { state, readable } = policy();
  let allowed = 0;
  // the policy counts what a link asks for: each asks on a state of its own
  const ask = (link: LinkId, one: string) => subscribing(policy().state, link, one).verdict === 'allow';
  for (const one of fc.sample(wireFilter, { seed: SEED, numRuns: FILTERS })) {
    for (const link of [NEW, LINK]) {
      const own = readable.get(link)!.includes(one);
      if (own) allowed++;
      assert.equal(ask(link, one), own, `${link} and '${one}'`);
    }
  }
  assert.ok(allowed > FILTERS / 200, `${allowed} allowed`);
  for (const [link, filters] of readable) for (const one of filters) assert.ok(ask(link, one), `${link} and ${one}`);
  assert.equal(state.links.size, 4);
});

test(`[B1] [5.6 link takeover, wildcards, wills, retained messages] ${FILTERS} random topics: delivery is what the link's filters take, and of peers those with a session`, () => {
  const { state, readable } = policy();
  const wireTopic = wireFilter.filter((one) => !/[+#]/.test(one));
  let forwardings = 0;
  for (const one of fc.sample(fc.oneof(wireTopic, topic), { seed: SEED, numRuns: FILTERS })) {
    for (const [link, filters] of readable) {
      const taken = filters.some((filter) => reference(filter, one));
      const expected = taken && (!one.startsWith(`km1/p/${DEVICE}/`) || one === `km1/p/${DEVICE}/${PEER}`);
      if (expected) forwardings++;
      assert.equal(forwarding(state, link, one), expected, `${link} and '${one}'`);
    }
  }
  assert.ok(forwardings > FILTERS / 200, `${forwardings} forwarded`);
});

test(`[B1] ${FILTERS} random filters of the wire's two kinds: the hub in memory delivers what MQTT 3.1.1 §4.7 says`, () => {
  const plain = topic.filter((one) => !one.startsWith('$'));
  const kinds = fc.oneof(
    plain,
    topicLevels.map((levels) => [...levels.slice(0, -1), '+'].join('/')).filter((one) => one.includes('/')),
  );
  const wanted = fc.sample(kinds, { seed: SEED, numRuns: FILTERS });
  const given = fc.sample(plain, { seed: SEED + 1, numRuns: FILTERS });
  const all = Array.from({ length: FILTERS / AT_ONCE }, (_, round) => ({
    filters: wanted.slice(round * AT_ONCE, (round + 1) * AT_ONCE),
    topics: given.slice(round * TOPICS_PER_FILTER, (round + 1) * TOPICS_PER_FILTER),
  }));
  const delivered = all.map(({ filters, topics: some }) => {
    const authority = {
      connecting: () => null,
      publishing: () => 'allow' as const,
      subscribing: () => true,
      forwarding: () => true,
      disconnected: () => {},
    };
    const hub = memoryHub(authority);
    const seen = new Set<string>();
    for (const one of filters) {
      const received = (other: Topic) => seen.add(key(one, other));
      hub.transport({ observer: { up: () => {}, down: () => {}, received }, subscriptions: () => [one as Topic] });
    }
    for (const other of some) hub.send(other as Topic, MARK);
    hub.flush();
    return seen;
  });
  const { disagreements, taken } = compare(all, (round) => (one, other) => delivered[round]!.has(key(one, other)));
  assert.deepEqual(disagreements.slice(0, 20), []);
  assert.ok(taken > 1000, `${taken} taken`);
});
