/**
 * `bench session`: what a session costs a device, the manager, and the broker, beside TLS 1.3 and the null manager, and
 * the bytes of login, resumption and connect.
 */
import { type BrokerCost, brokerCost } from './broker-cost.ts';
import { exchangeBytes } from './exchange-bytes.ts';
import { type Figure, figure, type Report, type Yardstick } from './figures.ts';
import { loginBytes } from './login-bytes.ts';
import type { Sizes } from './null-manager.ts';
import type { Progress } from './progress.ts';
import { type StepCosts, stepCosts, VARIANTS } from './step-costs.ts';
import { lmdbCost, memoryCost } from './store-cost.ts';
import type { Charges, Party } from './street.ts';
import { street } from './street.ts';
import { tlsYardstick } from './tls-yardstick.ts';

interface Scale {
  readonly rounds: number;
  readonly warmUp: number;
  readonly sessions: number;
  readonly handshakes: number;
  readonly couples: number;
  readonly batches: number;
  readonly commits: number;
}

const FULL: Scale = {
  rounds: 11,
  warmUp: 3000,
  sessions: 1000,
  handshakes: 150,
  couples: 64,
  batches: 12,
  commits: 640,
};
const QUICK: Scale = { rounds: 5, warmUp: 1500, sessions: 400, handshakes: 60, couples: 48, batches: 5, commits: 128 };
const TOGETHER = 64;

export async function benchSession(quick: boolean, progress: Progress): Promise<Report> {
  const scale = quick ? QUICK : FULL;
  progress.at(0, 'bytes');
  const ledgers = [...loginBytes(), ...exchangeBytes()];
  const device = await devicePart(scale, (part, doing) => progress.at(0.02 + 0.48 * part, doing));
  const broker = await brokerPart(scale, (part, doing) => progress.at(0.5 + 0.5 * part, doing));
  return { sections: [...device, broker], ledgers };
}

type At = (part: number, doing: string) => void;

// ── Device and manager, step by step, beside TLS ────────────────────────────────────────────────────────────────────

async function devicePart(scale: Scale, at: At): Promise<Report['sections']> {
  const tls = await tlsYardstick('X25519'); // what a session of ours offers; node's own first choice is a post-quantum hybrid
  const [memory, lmdb] = [memoryCost(), await lmdbCost()];
  const places: StepCosts[] = VARIANTS.map(stepCosts);
  for (const place of places) place.warmUp(scale.warmUp);
  await tls.handshakes(scale.handshakes);
  await tls.connections(scale.handshakes);

  const costs: Charges[][] = VARIANTS.map(() => []);
  const rounds = {
    client: [] as number[],
    server: [] as number[],
    tcpClient: [] as number[],
    tcpServer: [] as number[],
  };
  const commits = { memory: [] as number[], lmdb: [] as number[] };
  for (let round = 0; round < scale.rounds; round++) {
    at(round / scale.rounds, `round ${round + 1} of ${scale.rounds}: TLS handshakes`);
    const handshake = await tls.handshakes(scale.handshakes);
    const connection = await tls.connections(scale.handshakes);
    rounds.client.push(handshake.client);
    rounds.server.push(handshake.server);
    rounds.tcpClient.push(connection.client);
    rounds.tcpServer.push(connection.server);
    places.forEach((place, i) => {
      at((round + (i + 1) / (places.length + 2)) / scale.rounds, `round ${round + 1}: ${VARIANTS[i]!.name}`);
      costs[i]!.push(place.measure(scale.sessions));
    });
    commits.memory.push(await memory.measure(scale.commits, TOGETHER));
    commits.lmdb.push(await lmdb.measure(scale.commits, TOGETHER));
  }
  await Promise.all([tls.close(), memory.close(), lmdb.close()]);

  const bare: Yardstick = { name: 'TLS', rounds: rounds.client.map((client, i) => client - rounds.tcpClient[i]!) };
  const of = (party: Party, i: number): number[] => costs[i]!.map((cost) => cost[party]);
  const manager = of('manager', 0);
  const sum = (a: readonly number[], b: readonly number[]): number[] => a.map((value, i) => value + b[i]!);
  const deviceRows: Figure[] = VARIANTS.flatMap(({ name }, i) => [
    figure(`caller, ${name}`, 'µs', of('caller', i), bare, { mostRatio: 1 / 25 }),
    figure(`callee, ${name}`, 'µs', of('callee', i), bare, { mostRatio: 1 / 25 }),
  ]);
  return [
    {
      title: 'One device, one new session: all messages from Connect or Ask until open (CPU: codec, crypto, machine)',
      how: [
        'The real machines step by step in one thread, no broker, no socket; the time around each step, less the clock',
        "reading's own, times the share of CPU that the thread got; the median of 20 slices of a round.",
        'TLS: node:tls 1.3, X25519, P-256, leaf and intermediate, both',
        'certificates verified, the client with its thread clock, the server in a thread of its own; less a bare TCP',
        'connection that moves flights of the same sizes.',
      ],
      figures: [
        figure('TLS 1.3 mutual, client, without its socket', 'µs', bare.rounds),
        figure('TLS 1.3 mutual, client, with its socket', 'µs', rounds.client),
        figure('TLS 1.3 mutual, server, with its socket', 'µs', rounds.server),
        figure('bare TCP, client', 'µs', rounds.tcpClient),
        figure('bare TCP, server', 'µs', rounds.tcpServer),
        ...deviceRows,
      ],
    },
    {
      title: "The manager's own work for one session (five messages, the order to the broker, bookkeeping)",
      how: [`Stores: one commit of the session's record while ${TOGETHER} wait together; the whole process's CPU.`],
      figures: [
        ...VARIANTS.map(({ name }, i) => figure(name, 'µs', of('manager', i), bare, { most: 35 })),
        figure('a commit, memory half', 'µs', commits.memory),
        figure('a commit, LMDB half', 'µs', commits.lmdb),
        figure(`${VARIANTS[0]!.name}, with the memory half`, 'µs', sum(manager, commits.memory)),
        figure(`${VARIANTS[0]!.name}, with the LMDB half`, 'µs', sum(manager, commits.lmdb)),
      ],
    },
  ];
}

// ── Broker and manager in one process, beside the null manager ──────────────────────────────────────────────────────

const KINDS = ['null', 'memory', 'lmdb'] as const;

async function brokerPart(scale: Scale, at: At): Promise<Report['sections'][number]> {
  const sizes = sizesOfSession();
  const hosts: BrokerCost[] = [];
  for (const kind of KINDS) {
    at(0, `starting broker and manager: ${kind}`);
    const host = await brokerCost(kind, scale.couples, sizes);
    hosts.push(host);
    await host.measure(scale.batches * 2);
  }
  const rounds: number[][] = KINDS.map(() => []);
  for (let round = 0; round < scale.rounds; round++) {
    for (const [i, host] of hosts.entries()) {
      at((round + i / hosts.length) / scale.rounds, `round ${round + 1} of ${scale.rounds}: broker, ${KINDS[i]}`);
      rounds[i]!.push(await host.measure(scale.batches));
    }
  }
  for (const host of hosts) await host.close();
  const floor: Yardstick = { name: 'the null manager', rounds: rounds[0]! };
  return {
    title: 'Broker and manager in one process, one session of two MQTT clients, QoS 1',
    how: [
      `${scale.couples} couples in another process, all at once, each batch until every session is open on both sides; CPU of the`,
      'whole host process, its collector and LMDB threads too, less what asking for it costs. Both carry the first records of',
      'the two devices as well. The null manager: same topics, sizes, QoS and order to the broker, no work.',
    ],
    figures: [
      figure('broker with the null manager', 'µs', rounds[0]!),
      figure('broker with the manager, memory half', 'µs', rounds[1]!, floor, { mostRatio: 1.5 }),
      figure('broker with the manager, LMDB half', 'µs', rounds[2]!, floor),
    ],
  };
}

/** As a session of the first variant has them. */
function sizesOfSession(): Sizes {
  const payloads = street(1, VARIANTS[0]!.proposal).packets();
  const [connect, ask, answer, , grant, , hello] = payloads.map(({ payload }) => payload.length);
  return { connect: connect!, ask: ask!, answer: answer!, grant: grant!, hello: hello! };
}
