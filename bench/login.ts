/**
 * `bench login`: what a login and a resumption cost device, manager and verifier, by both crypto halves, in CPU, bytes and
 * public-key operations, beside a mutual TLS 1.3 handshake and a resumption of it.
 */
import { type Figure, figure, type Report, type Section, spreadOf, type Yardstick } from './figures.ts';
import { type EdhocSuite, ENTRIES, type Entry, type Gate, gate, type Layout, type Party } from './gate.ts';
import { bytesOfLogin, bytesOfResumption, ENTRY_NAMES, publicKeyWork } from './gate-counts.ts';
import type { Progress } from './progress.ts';
import { type TlsYardstick, tlsYardstick } from './tls-yardstick.ts';

interface Scale {
  readonly rounds: number;
  readonly slices: number;
  readonly handshakes: number;
}

const FULL: Scale = { rounds: 9, slices: 9, handshakes: 100 };
const QUICK: Scale = { rounds: 5, slices: 5, handshakes: 40 };

const SUITES: readonly EdhocSuite[] = [0, 2];
const SUITE_NAMES: Readonly<Record<EdhocSuite, string>> = {
  0: 'EDHOC suite 0 (X25519, Ed25519)',
  2: 'EDHOC suite 2 (P-256, ES256)',
};

interface Pace {
  /** Until the compiler has seen everything. */
  readonly warmUp: number;
  /** Visits in a slice that is long enough for the thread's CPU clock. */
  readonly visits: number;
}

const LAYOUTS: readonly (Layout & Pace)[] = [
  { device: 'node', manager: 'node', warmUp: 400, visits: 10 },
  { device: 'portable', manager: 'node', warmUp: 60, visits: 3 },
  { device: 'portable', manager: 'portable', warmUp: 40, visits: 2 },
];

export async function benchLogin(quick: boolean, progress: Progress): Promise<Report> {
  const scale = quick ? QUICK : FULL;
  const tls = { x25519: await tlsYardstick('X25519'), hybrid: await tlsYardstick() };
  const visited = SUITES.map((suite) => ({ suite, visit: gate(LAYOUTS[0]!, suite).visit() }));
  const bytes = { x25519: await tls.x25519.bytes(), hybrid: await tls.hybrid.bytes() };
  const sections = await cpu(scale, tls, (part, doing) => progress.at(part, doing));
  await Promise.all([tls.x25519.close(), tls.hybrid.close()]);
  return {
    sections,
    ledgers: [
      bytesOfLogin(visited, [bytes.x25519.handshake, bytes.hybrid.handshake]),
      bytesOfResumption(visited[0]!.visit.resumption, [bytes.x25519.resumption, bytes.hybrid.resumption]),
      publicKeyWork(visited),
    ],
  };
}

// ── CPU ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** µs of each party at each entry. */
interface Costs {
  readonly spent: Readonly<Record<Entry, Record<Party, number>>>;
  readonly reading: Readonly<Record<Entry, Record<Party, number>>>;
}

interface Place extends Layout, Pace {
  readonly suite: EdhocSuite;
  readonly gate: Gate;
  readonly rounds: Costs[];
}

type At = (part: number, doing: string) => void;

async function cpu(
  scale: Scale,
  tls: { readonly x25519: TlsYardstick; readonly hybrid: TlsYardstick },
  at: At,
): Promise<Section[]> {
  const places: Place[] = SUITES.flatMap((suite) =>
    LAYOUTS.map((layout) => ({ ...layout, suite, gate: gate(layout, suite), rounds: [] })),
  );
  for (const place of places) {
    at(0, `warming up: ${nameOf(place)}`);
    for (let i = 0; i < place.warmUp; i++) place.gate.visit();
  }
  const yardsticks = tlsRounds(tls, scale.handshakes);
  await yardsticks.round(); // warm now
  yardsticks.clear();
  for (let round = 0; round < scale.rounds; round++) {
    at(0.1 + (0.9 * round) / scale.rounds, `round ${round + 1} of ${scale.rounds}: TLS`);
    await yardsticks.round();
    for (const [i, place] of places.entries()) {
      const part = (round + (i + 1) / (places.length + 1)) / scale.rounds;
      at(0.1 + 0.9 * part, `round ${round + 1} of ${scale.rounds}: ${nameOf(place)}`);
      place.rounds.push(measure(place, scale.slices));
    }
  }
  return [
    {
      title: 'The yardstick: node:tls, TLS 1.3, both certificates of P-256 with one intermediate, CPU of each side',
      how: [
        'The client by the clock of its thread, the server in a thread of its own; less a bare TCP connection that moves',
        'flights of about these sizes. X25519 alone is what a login is compared with, which has nothing post-quantum either.',
      ],
      figures: yardsticks.figures(),
    },
    ...SUITES.map((suite) =>
      cpuSection(
        suite,
        places.filter((place) => place.suite === suite),
        yardsticks,
      ),
    ),
  ];
}

const nameOf = ({ suite, device, manager }: Place): string => `suite ${suite}, ${device}–${manager}`;

/** The median slice: a burst of other work on the machine falls into few of them. */
function measure(place: Place, slices: number): Costs {
  const all = Array.from({ length: slices }, () => slice(place));
  const middle = (kind: keyof Costs): Costs['spent'] =>
    byEntry((entry) => byParty((party) => spreadOf(all.map((one) => one[kind][entry][party])).median));
  return { spent: middle('spent'), reading: middle('reading') };
}

function slice({ gate: place, visits }: Place): Costs {
  const cpuBefore = process.threadCpuUsage();
  const began = performance.now();
  const passages = Array.from({ length: visits }, () => place.visit());
  const wall = performance.now() - began;
  const used = process.threadCpuUsage(cpuBefore);
  // Other processes take the core now and then; what they took is nobody's cost here.
  const share = Math.min(1, (used.user + used.system) / 1000 / wall);
  const micros = (kind: 'spent' | 'reading'): Costs['spent'] =>
    byEntry((entry) =>
      byParty((party) => passages.reduce((sum, one) => sum + one[entry][kind][party], 0) * ((1000 * share) / visits)),
    );
  return { spent: micros('spent'), reading: micros('reading') };
}

const byEntry = <T>(of: (entry: Entry) => T): Record<Entry, T> => ({
  first: of('first'),
  later: of('later'),
  resumption: of('resumption'),
});
const byParty = <T>(of: (party: Party) => T): Record<Party, T> => ({
  device: of('device'),
  manager: of('manager'),
  verifier: of('verifier'),
});

type TlsRounds = ReturnType<typeof tlsRounds>;

function tlsRounds(tls: { readonly x25519: TlsYardstick; readonly hybrid: TlsYardstick }, count: number) {
  const kinds = ['connection', 'handshake', 'resumption', 'hybridHandshake', 'hybridResumption'] as const;
  type Kind = (typeof kinds)[number];
  const raw = new Map(kinds.map((kind) => [kind, { client: [] as number[], server: [] as number[] }]));
  /** Less what the socket costs by itself. */
  const bare = (kind: Kind, side: 'client' | 'server'): number[] =>
    raw.get(kind)![side].map((micros, i) => micros - raw.get('connection')![side][i]!);
  const yardstick = (kind: Kind, side: 'client' | 'server', name: string): Yardstick => ({
    name,
    rounds: bare(kind, side),
  });
  return {
    async round(): Promise<void> {
      const add = (kind: Kind, { client, server }: { readonly client: number; readonly server: number }): void => {
        raw.get(kind)!.client.push(client);
        raw.get(kind)!.server.push(server);
      };
      add('connection', await tls.x25519.connections(count));
      add('handshake', await tls.x25519.handshakes(count));
      add('resumption', await tls.x25519.resumptions(count));
      add('hybridHandshake', await tls.hybrid.handshakes(count));
      add('hybridResumption', await tls.hybrid.resumptions(count));
    },
    clear(): void {
      for (const kind of raw.values()) kind.client.length = kind.server.length = 0;
    },
    client: (entry: Entry): Yardstick =>
      entry === 'resumption'
        ? yardstick('resumption', 'client', 'TLS resumption, client')
        : yardstick('handshake', 'client', 'TLS client'),
    server: (entry: Entry): Yardstick =>
      entry === 'resumption'
        ? yardstick('resumption', 'server', 'TLS resumption, server')
        : yardstick('handshake', 'server', 'TLS server'),
    figures: (): Figure[] =>
      (['client', 'server'] as const).flatMap((side) => [
        figure(`handshake, X25519, ${side}`, 'µs', bare('handshake', side)),
        figure(`resumption by ticket, X25519, ${side}`, 'µs', bare('resumption', side)),
        figure(`handshake, X25519MLKEM768 (default), ${side}`, 'µs', bare('hybridHandshake', side)),
        figure(`resumption by ticket, X25519MLKEM768 (default), ${side}`, 'µs', bare('hybridResumption', side)),
        figure(`bare TCP, taken off, ${side}`, 'µs', raw.get('connection')![side]),
      ]),
  };
}

function cpuSection(suite: EdhocSuite, places: readonly Place[], tls: TlsRounds): Section {
  const rows = (entry: Entry, place: Place): Figure[] => {
    const name = `${ENTRY_NAMES[entry]}, ${place.device}–${place.manager}`;
    const of = (party: Party): number[] => place.rounds.map(({ spent }) => spent[entry][party]);
    const read = (party: Party): number[] => place.rounds.map(({ reading }) => reading[entry][party]);
    const device = figure(`${name}: device`, 'µs', of('device'), tls.client(entry));
    const manager = figure(`${name}: manager`, 'µs', of('manager'), tls.server(entry));
    if (entry === 'resumption') return [device, manager];
    const both = of('manager').map((micros, i) => micros + of('verifier')[i]!);
    return [
      device,
      figure(`${name}: of it, reading certificates`, 'µs', read('device')),
      manager,
      figure(`${name}: of it, reading the leaf`, 'µs', read('manager')),
      figure(`${name}: verifier`, 'µs', of('verifier')),
      figure(`${name}: manager and verifier`, 'µs', both, tls.server(entry)),
    ];
  };
  return {
    title: `${SUITE_NAMES[suite]}: CPU of one entry (half of the device–half of manager and verifier)`,
    how: [
      'The real machines step by step in one thread, no broker, socket or disk, each entry by a new process of the device,',
      'until the channel is open on both sides and the registration acknowledged; the time around each step times the share',
      'of CPU that the thread got; the median slice of a round. First login: chains of leaf and intermediate both ways',
      '(x5chain). Later: both sides hold them, and send hashes (x5t). The CA signs with P-256, the leaves are of the suite.',
      'The TLS server validates the chain itself: manager and verifier together are beside it.',
    ],
    figures: ENTRIES.flatMap((entry) => places.flatMap((place) => rows(entry, place))),
  };
}
