/**
 * `bench revocation`: from a new revocation list until the last record that anybody accepts from a device on it, over a
 * thousand live sessions; beside Mosquitto with the same list.
 */
import { type Figure, figure, type Ledger, type Report, type Section, type Yardstick } from './figures.ts';
import { papersFor } from './fleet/papers.ts';
import type { Progress } from './progress.ts';
import { devicesFor, liveRounds, type Round, type Spread, sessionsOf, shareOf } from './revocation/live-round.ts';
import { type MosquittoRound, mosquittoRound, yardstickAbsent } from './revocation/mosquitto-yardstick.ts';

interface Variant {
  readonly name: string;
  readonly spread: Spread;
}

const SPREAD: Spread = { revoked: 20, peers: 50, each: 1, everyMs: 500, entries: 0 };
const FULL: readonly Variant[] = [
  { name: '20 devices', spread: SPREAD },
  { name: 'one device', spread: { ...SPREAD, revoked: 1, peers: 100, each: 10, everyMs: 1500 } },
  { name: '20 devices, 100,000 others on the list', spread: { ...SPREAD, entries: 100_000 } },
];
const QUICK: readonly Variant[] = [{ name: '10 devices', spread: { ...SPREAD, revoked: 10, peers: 20 } }];

const ROUNDS = { full: 5, quick: 2 } as const;
const WATCHED_MS = { full: 20_000, quick: 5_000 } as const;
/** The promise. (B6) */
const MOST_MS = 5_000;
const SHARES = [
  ['p50', 0.5],
  ['p99', 0.99],
  ['max', 1],
] as const;

/** @throws Error when a session of a revoked device goes on: then the figures mean nothing */
export async function benchRevocation(quick: boolean, { at }: Progress): Promise<Report> {
  const variants = quick ? QUICK : FULL;
  const scale = quick ? 'quick' : 'full';
  const rounds = ROUNDS[scale];
  const beside: MosquittoRound[] = [];
  for (let round = 0; round < rounds && yardstickAbsent === false; round++) {
    at((0.2 * round) / rounds, `Mosquitto, round ${round + 1} of ${rounds}`);
    beside.push(await mosquittoRound(WATCHED_MS[scale]));
  }
  const yardstick: Yardstick | null =
    beside.length === 0 ? null : { name: 'Mosquitto', rounds: beside.map(({ lastMessageMs }) => lastMessageMs) };
  const measured: { readonly variant: Variant; readonly rounds: readonly Round[] }[] = [];
  for (const [turn, variant] of variants.entries()) {
    const { name, spread } = variant;
    const told = (part: number): void => at(0.2 + (0.8 * (turn + part)) / variants.length, `${name} revoked`);
    const papers = papersFor(devicesFor(spread, rounds), () => {});
    measured.push({ variant, rounds: await liveRounds(papers, spread, rounds, told) });
  }
  const sections = measured.map((one) => section(one.variant, one.rounds, yardstick));
  return { sections, ledgers: beside.length === 0 ? [] : [comparison(beside, WATCHED_MS[scale])] };
}

function section({ name, spread }: Variant, rounds: readonly Round[], yardstick: Yardstick | null): Section {
  const { revoked, peers, each, everyMs, entries } = spread;
  const last: Figure[] = SHARES.map(([share, part]) => {
    const values = shareOf(rounds, ({ lastRecordMs }) => lastRecordMs, part);
    // before the list was there nothing can have been wrong
    const counted = values.map((ms) => Math.max(0, ms));
    const aim = part === 1 ? { most: MOST_MS } : null;
    return figure(`last record that a peer accepted, ${share}`, 'ms', counted, part === 1 ? yardstick : null, aim);
  });
  const of = (what: string, times: (round: Round) => readonly number[]): Figure[] =>
    SHARES.map(([share, part]) =>
      figure(`${what}, ${share}`, 'ms', shareOf(rounds, times, part), null, part === 1 ? { most: MOST_MS } : null),
    );
  const rate = Math.round(rounds.reduce((sum, one) => sum + one.recordsPerSecond, 0) / rounds.length);
  return {
    title: `${sessionsOf(spread)} live sessions, revoked: ${name}`,
    how: [
      `${revoked} revoked × ${peers} peers × ${each}, a record each ${everyMs} ms in each session, ${rate} a second in all; real`,
      'agent machines in two processes, broker, manager and verifier in one each, on the cores named above. Counted from the',
      `rename of the new list (${Math.round(rounds[0]!.listBytes / 1024)} KiB, ${entries} others on it). The revoked do not stop by themselves: they hear nobody any`,
      'more and talk on until their link is gone. Each round revokes others.',
    ],
    figures: [
      ...last,
      ...of('the peer hears that the session is over: revoked', ({ toldMs }) => toldMs),
      ...of('the link of the revoked is cut', ({ linkCutMs }) => linkCutMs),
    ],
  };
}

function comparison(beside: readonly MosquittoRound[], watchedMs: number): Ledger {
  return {
    title: 'Mosquitto, mutual TLS: the list is replaced, SIGHUP',
    columns: ['round', 'last message of the revoked', 'at the end', 'a new connection of it'],
    rows: beside.map(({ lastMessageMs, goesOn, newLink }, round) => [
      round + 1,
      `${Math.round(lastMessageMs)} ms`,
      goesOn ? 'is heard still' : 'is out',
      newLink ? 'let in' : 'refused',
    ]),
    notes: [
      `Watched for ${watchedMs / 1000} s: who is heard still is heard as long as the connection stands. The ratio above is to this time.`,
      'Without events a manager of ours would learn it with the next verdict: after 0.8 of its age at most, 48 minutes by',
      'default.',
    ],
  };
}
