/**
 * `bench verifier`: what a verdict costs the verifier, without a transport and with the real broker and verifier as processes,
 * beside a raw signature of OpenSSL and an answer of `openssl ocsp`, round by round in one run.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { type Figure, figure, type Ledger, type Report, type Section, spreadOf, type Yardstick } from './figures.ts';
import { measureOcsp, type OcspFigure } from './ocsp-load.ts';
import { onOneCore } from './one-core.ts';
import { opensslEcdsa } from './openssl-speed.ts';
import type { Progress } from './progress.ts';
import { LISTS, MARKS, SITUATIONS, type VerdictRound } from './verdict-costs.ts';
import { type Served, type VerifierHouse, verifierHouse } from './verifier-house.ts';
import { type VerifierPapers, verifierPapers } from './verifier-papers.ts';

interface Scale {
  readonly rounds: number;
  readonly questions: number;
  readonly newLeaves: number;
  readonly ocspAnswers: number;
}
const FULL: Scale = { rounds: 5, questions: 3000, newLeaves: 400, ocspAnswers: 5000 };
const QUICK: Scale = { rounds: 2, questions: 800, newLeaves: 100, ocspAnswers: 1500 };

const DEPTHS = [1, 8, 64] as const;
const KNOWN_CHAINS = 50;
const LIST_ENTRIES = 1000;
const MOST_SIGNATURES = 3;
const OPENSSL = 'openssl ocsp, HTTP anew, nonce';

type Kind = 'known chain, nonce' | 'known chain, no nonce' | 'known CA, new leaf';
const KINDS: readonly Kind[] = ['known CA, new leaf', 'known chain, nonce', 'known chain, no nonce'];

interface Round {
  readonly raw: { readonly sign: number; readonly verify: number };
  readonly core: VerdictRound;
  readonly served: readonly { readonly kind: Kind; readonly depth: number; readonly served: Served }[];
  readonly ocsp: readonly OcspFigure[];
}

/** @throws Error without an openssl, which is the yardstick */
export async function benchVerifier(quick: boolean, { at }: Progress): Promise<Report> {
  const scale = quick ? QUICK : FULL;
  at(0, 'issuing certificates and lists');
  const papers = verifierPapers();
  const core = await startCosts();
  try {
    const house = await verifierHouse(papers, papers.lists(LIST_ENTRIES));
    try {
      const known = papers.devices(KNOWN_CHAINS);
      const one = async (name: string, part: number): Promise<Round> => {
        const doing = (what: string): void => at(part, `${name}: ${what}`);
        doing('openssl speed');
        const raw = opensslEcdsa();
        if (raw === null) throw new Error('no openssl that has `speed`: install it, it is the yardstick');
        doing('without a transport');
        const costs = await core.round();
        doing('broker and verifier');
        const served = await serve(house, papers, known, scale);
        doing('OCSP over HTTP');
        const ocsp = await measureOcsp({ answers: scale.ocspAnswers, connections: 4, algorithm: 'p256' });
        return { raw, core: costs, served, ocsp };
      };
      await one('warming up', 0.05);
      const rounds: Round[] = [];
      for (let i = 0; i < scale.rounds; i++)
        rounds.push(await one(`round ${i + 1} of ${scale.rounds}`, 0.1 + (0.9 * i) / scale.rounds));
      return { sections: [yardsticks(rounds), coreSection(rounds), servedSection(rounds)], ledgers: [rates(rounds)] };
    } finally {
      await house.close();
    }
  } finally {
    core.close();
  }
}

async function startCosts(): Promise<{ round(): Promise<VerdictRound>; close(): void }> {
  const [command, args] = onOneCore(process.execPath, [new URL('./verdict-costs.ts', import.meta.url).pathname]);
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout });
  await once(lines, 'line'); // ready
  return {
    async round() {
      const answer = once(lines, 'line');
      child.stdin.write('\n');
      const [line] = (await answer) as [string];
      return JSON.parse(line) as VerdictRound;
    },
    close: () => child.stdin.end(),
  };
}

async function serve(
  house: VerifierHouse,
  papers: VerifierPapers,
  known: readonly (readonly Uint8Array[])[],
  { questions, newLeaves }: Scale,
): Promise<Round['served']> {
  const served: Round['served'][number][] = [];
  for (const kind of KINDS) {
    for (const depth of DEPTHS) {
      const isNew = kind === 'known CA, new leaf';
      const chains = isNew ? papers.devices(newLeaves) : known;
      const load = { chains, questions: isNew ? newLeaves : questions, depth, nonce: kind !== 'known chain, no nonce' };
      if (!isNew) await house.ask({ ...load, questions: 4 * KNOWN_CHAINS }); // each of them is known
      served.push({ kind, depth, served: await house.ask(load) });
    }
  }
  return served;
}

// ── the report ──────────────────────────────────────────────────────────────────────────────────────────────────────

function rawSign(rounds: readonly Round[]): Yardstick {
  return { name: 'raw signature', rounds: rounds.map(({ raw }) => raw.sign) };
}

function ocspFigures(rounds: readonly Round[], what: string): Yardstick {
  const cpu = rounds.map(({ ocsp }) => ocsp.find((one) => one.what === what)!.cpuMicros);
  return { name: what, rounds: cpu };
}

function yardsticks(rounds: readonly Round[]): Section {
  const raw = rawSign(rounds);
  return {
    title: 'The yardsticks: OpenSSL alone, and its responder; ours through the seam (P-256)',
    how: [
      '`openssl speed ecdsap256` and our core on one core, one after the other. `openssl ocsp` serves one connection after the',
      'other and one request on each; CPU of its process out of /proc, for one answer with a nonce.',
    ],
    figures: [
      figure('openssl speed, signature', 'µs', raw.rounds),
      figure(
        'openssl speed, check',
        'µs',
        rounds.map((one) => one.raw.verify),
      ),
      figure(
        'ours, signature',
        'µs',
        rounds.map((one) => one.core.sign),
        raw,
      ),
      figure(
        'ours, check',
        'µs',
        rounds.map((one) => one.core.verify),
        raw,
      ),
      figure(
        'ours, reading a leaf',
        'µs',
        rounds.map((one) => one.core.readLeaf),
        raw,
      ),
      figure(OPENSSL, 'µs', ocspFigures(rounds, OPENSSL).rounds, raw),
    ],
  };
}

function coreSection(rounds: readonly Round[]): Section {
  const raw = rawSign(rounds);
  const figures = LISTS.flatMap((entries, i) =>
    SITUATIONS.map((situation): Figure => {
      const list = entries === null ? 'no list' : `list of ${entries.toLocaleString('en')}`;
      const aim = situation === 'known chain, nonce' ? { mostRatio: MOST_SIGNATURES } : null;
      const costs = rounds.map(({ core }) => core.verdicts[i]![situation]);
      return figure(`${situation}; ${list}`, 'µs', costs, raw, aim);
    }),
  );
  const told = (what: 'all' | 'one') => rounds.map(({ core }) => core.adoptionMs[what]);
  return {
    title: 'One verdict without a transport: CPU of decoding the question to encoding the answer',
    how: [
      'A leaf and one intermediate, P-256 throughout. Nothing known: a verifier that has seen neither; its own list was proven',
      'before. Known CA: certificate, key and proof of the CA are remembered. Known chain: found good before; with a nonce the',
      'verdict is signed anew, without one the same bytes are given again.',
    ],
    figures: [
      ...figures,
      figure(`${MARKS.toLocaleString('en')} new marks, events signed`, 'ms', told('all'), null, { most: 1000 }),
      figure(`one mark more among ${MARKS.toLocaleString('en')}`, 'ms', told('one'), null, { most: 100 }),
    ],
  };
}

function servedSection(rounds: readonly Round[]): Section {
  const openssl = ocspFigures(rounds, OPENSSL);
  const of = (kind: Kind, depth: number): readonly Served[] =>
    rounds.map(({ served }) => served.find((one) => one.kind === kind && one.depth === depth)!.served);
  const figures = KINDS.flatMap((kind) =>
    DEPTHS.flatMap((depth): Figure[] => {
      const served = of(kind, depth);
      const name = `${kind}; ${depth} under way`;
      const cpu = served.map((one) => one.verifier);
      return [figure(`${name}: verifier`, 'µs', cpu, openssl, kind === 'known CA, new leaf' ? null : { mostRatio: 1 })];
    }),
  );
  const ours = [
    'own, HTTP kept, nonce',
    'own, HTTP anew, nonce',
    'own, HTTP kept, no nonce',
    'own, HTTP anew, no nonce',
  ];
  return {
    title: 'One verdict with its transport: CPU of the verifier’s process',
    how: [
      '`kagimori verifier run` alone on one core, behind `kagimori broker run`, over TCP on the loopback, QoS 1, a list of',
      `${LIST_ENTRIES.toLocaleString('en')} entries; a client that asks like a manager keeps so many questions under way. CPU out of /proc.`,
      'Last: our own OCSP responder over HTTP, beside the one of OpenSSL.',
    ],
    figures: [
      ...figures,
      ...ours.map((what) => figure(`OCSP, ${what}`, 'µs', ocspFigures(rounds, what).rounds, openssl)),
    ],
  };
}

function rates(rounds: readonly Round[]): Ledger {
  const median = (values: readonly number[]): number => Math.round(spreadOf(values).median);
  const core = SITUATIONS.map((situation) => [
    `without a transport, ${situation}, list of 1,000`,
    '',
    median(rounds.map((one) => 1e6 / one.core.verdicts[LISTS.indexOf(1000)]![situation])),
    '',
  ]);
  const served = KINDS.flatMap((kind) =>
    DEPTHS.map((depth) => {
      const all = rounds.map((one) => one.served.find((s) => s.kind === kind && s.depth === depth)!.served);
      return [
        `broker and verifier, ${kind}`,
        depth,
        median(all.map((s) => s.perSecond)),
        median(all.map((s) => s.broker)),
      ];
    }),
  );
  const ocsp = rounds[0]!.ocsp.map(({ what }) => [
    `OCSP, ${what}`,
    '',
    median(rounds.map((one) => one.ocsp.find((o) => o.what === what)!.answersPerSecond)),
    '',
  ]);
  return {
    title: 'Verdicts a second',
    columns: ['', 'under way', 'verdicts/s', 'broker, µs each'],
    rows: [...core, ...served, ...ocsp],
    notes: ['With a transport client and broker share the other cores; the machine’s load is part of it.'],
  };
}
