/**
 * `bench identity`: a new device from its invitation to its registration, a thousand of them at once, a user who takes an
 * open session to the next device, and a copied card that comes to the operator's notice.
 */
import { availableParallelism } from 'node:os';
import { DEFAULT_PACE } from '../manager/admission.ts';
import { type Figure, figure, type Ledger, type Report, type Section, type Yardstick } from './figures.ts';
import { quantile } from './fleet/storm-run.ts';
import { type Alarm, copiedCards, POLICIES, takenOverAtMosquitto } from './identity/copied-card.ts';
import { type HandMadePlace, handMadeAbsent, openHandMadePlace } from './identity/hand-made.ts';
import { type Handover, handovers } from './identity/handover.ts';
import {
  BROKER_LIMITS,
  CROWD_PARTIES,
  type MassEnrolment,
  massByHand,
  massEnrolment,
} from './identity/mass-enrolment.ts';
import { openNewcomerHouse } from './identity/newcomer-house.ts';
import { enrolOne, type OneEnrolment, PARTIES, STEPS } from './identity/one-enrolment.ts';
import type { Progress } from './progress.ts';

interface Scale {
  readonly rounds: number;
  /** Of each round. */
  readonly enrolments: number;
  readonly handovers: number;
  readonly cards: number;
  readonly crowd: number;
  /** Logins that the manager lets in in a second, by turn; null: its default. */
  readonly paces: readonly (number | null)[];
}
const FULL: Scale = { rounds: 4, enrolments: 10, handovers: 15, cards: 15, crowd: 1000, paces: [null, 1000] };
const QUICK: Scale = { rounds: 2, enrolments: 2, handovers: 2, cards: 2, crowd: 40, paces: [null] };

/** The promises. (B6, P4, P21) */
const FOLLOWED_MS = 5_000;
const NOTICED_MS = 10_000;

const SHARES = [
  ['p50', 0.5],
  ['p99', 0.99],
] as const;
type Part = Progress['at'];

/** @throws Error when a device does not come in, a user does not arrive or a copy is not noticed */
export async function benchIdentity(quick: boolean, { at }: Progress): Promise<Report> {
  const scale = quick ? QUICK : FULL;
  const within =
    (from: number, to: number): Part =>
    (part, doing) =>
      at(from + (to - from) * part, doing);
  const place = handMadeAbsent === false ? await openHandMadePlace() : null;
  try {
    const one = await oneDevice(scale, place, within(0, 0.3));
    const many = await manyDevices(scale, place, within(0.3, 0.5));
    const user = await movingUser(scale, within(0.5, 0.75));
    const copy = await copies(scale, place, within(0.75, 1));
    return {
      sections: [one.section, ...many, user, copy],
      ledgers: [one.steps],
    };
  } finally {
    await place?.end();
  }
}

const sorted = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** p50 and p99 of each round, and of the yardstick's rounds. */
function shares(
  name: string,
  rounds: readonly (readonly number[])[],
  beside: { readonly name: string; readonly rounds: readonly (readonly number[])[] } | null = null,
  most: number | null = null,
): Figure[] {
  return SHARES.map(([share, part]) => {
    const of = (values: readonly (readonly number[])[]): number[] => values.map((one) => quantile(sorted(one), part));
    const yardstick: Yardstick | null = beside === null ? null : { name: beside.name, rounds: of(beside.rounds) };
    return figure(`${name}, ${share}`, 'ms', of(rounds), yardstick, share === 'p99' && most !== null ? { most } : null);
  });
}

// ── One device ──────────────────────────────────────────────────────────────────────────────────────────────────────

const BY_HAND = 'OpenSSL and Mosquitto';

async function oneDevice({ rounds, enrolments }: Scale, place: HandMadePlace | null, at: Part) {
  const house = await openNewcomerHouse();
  const measured: OneEnrolment[][] = [];
  const byHand: { readonly ms: readonly number[]; readonly cpuMs: number }[] = [];
  try {
    for (let round = 0; round < rounds; round++) {
      const done: OneEnrolment[] = [];
      for (let turn = 0; turn < enrolments; turn++) {
        at(
          (round + turn / enrolments) / rounds,
          `device ${turn + 1} of ${enrolments}, round ${round + 1} of ${rounds}`,
        );
        done.push(await enrolOne(house, `device-${round}-${turn}`));
      }
      measured.push(done);
      if (place !== null) byHand.push(await byHandOnce(place, enrolments, round));
    }
  } finally {
    await house.end();
  }
  const times = byHand.length === 0 ? null : { name: BY_HAND, rounds: byHand.map(({ ms }) => ms) };
  const cpuBeside = byHand.length === 0 ? null : { name: BY_HAND, rounds: byHand.map(({ cpuMs }) => cpuMs) };
  const cpuOf = (of: (one: OneEnrolment) => number): number[] => measured.map((round) => mean(round.map(of)));
  const all = (one: OneEnrolment): number => PARTIES.reduce((sum, party) => sum + one.cpuMs[party], 0);
  const section: Section = {
    title: 'One device, from `device invite` to registered',
    how: [
      'Commands and daemons as processes of their own, on the cores named above: `kagimori device invite --out`, then',
      '`kagimori agent enrol --file --run`; broker, verifier, manager with the directory of its CA.',
      `${enrolments} devices a round, one after the other, so that p99 is the slowest of them. Counted from the start of the first`,
      'command to the line `registered`. Both commands start Node, and the agent measures its suites at its first start: the',
      'second figure begins when the agent has read its invitation. CPU of each device on an average, to the same moment.',
      ...(times === null
        ? [`Nothing stands beside it: ${String(handMadeAbsent)}.`]
        : [
            'Beside it: `openssl req -new`, `openssl x509 -req`, `mosquitto_pub -q 1` over mutual TLS to its end. It has no token, so',
            'somebody has to know whose request he signs and to carry it, certificate and anchors by hand; no list of who was let in,',
            'no verdict on the manager or the device, no registration, no keys between devices.',
          ]),
    ],
    figures: [
      ...shares(
        'invite to registered',
        measured.map((round) => round.map(({ ms }) => ms)),
        times,
      ),
      ...shares(
        'of it, without the start of both commands',
        measured.map((round) => round.map(sinceStarted)),
        times,
      ),
      figure('CPU, all processes', 'ms', cpuOf(all), cpuBeside),
      ...PARTIES.map((party) =>
        figure(
          `CPU, ${party}`,
          'ms',
          cpuOf(({ cpuMs }) => cpuMs[party]),
        ),
      ),
    ],
  };
  return { section, steps: stepsLedger(measured.flat()) };
}

/** Command and agent run. */
const sinceStarted = ({ steps }: OneEnrolment): number => steps.slice(2).reduce((sum, ms) => sum + ms, 0);

async function byHandOnce(place: HandMadePlace, devices: number, round: number) {
  const before = place.cpuMs();
  const ms: number[] = [];
  for (let turn = 0; turn < devices; turn++) ms.push((await place.enrol(`by-hand-${round}-${turn}`)).ms);
  const after = place.cpuMs();
  const cpu = after.broker - before.broker + after.commands - before.commands;
  return { ms, cpuMs: cpu / devices };
}

function stepsLedger(measured: readonly OneEnrolment[]): Ledger {
  const row = (name: string, values: readonly number[]): (string | number)[] => [
    name,
    ...[0.5, 0.99, 1].map((part) => `${Math.round(quantile(sorted(values), part))} ms`),
  ];
  return {
    title: 'One device: where the time goes',
    columns: ['', 'p50', 'p99', 'most'],
    rows: STEPS.map((name, step) =>
      row(
        name,
        measured.map(({ steps }) => steps[step]!),
      ),
    ),
    notes: [
      `Of ${measured.length} devices. Lines are taken when they come out of the process, the manager's by its own clock.`,
    ],
  };
}

// ── Many devices ────────────────────────────────────────────────────────────────────────────────────────────────────

async function manyDevices(
  { crowd, paces }: Scale,
  place: HandMadePlace | null,
  at: Part,
): Promise<readonly Section[]> {
  const sections: Section[] = [];
  at(0, `${crowd} certificates by hand`);
  const byHand = place === null ? null : await massByHand(place, crowd);
  for (const [turn, pace] of paces.entries()) {
    const told = (part: number): void => at((1 + turn + part) / (1 + paces.length), `${crowd} devices at once`);
    sections.push(
      crowdSection(crowd, pace, await massEnrolment({ devices: crowd, loginsPerSecond: pace }, told), byHand),
    );
  }
  return sections;
}

function crowdSection(
  devices: number,
  pace: number | null,
  mass: MassEnrolment,
  byHand: readonly number[] | null,
): Section {
  const { enrolledMs, registeredMs, cpuMs, probeBefore, probeMeanwhile, probeFailures, answerMs, triedAgain } = mass;
  const beside = (part: number): Yardstick | null =>
    byHand === null ? null : { name: BY_HAND, rounds: [quantile(byHand, part) / 1000] };
  const seconds = (name: string, times: readonly number[], part: number, measure: Yardstick | null = null): Figure =>
    figure(name, 's', [quantile(times, part) / 1000], measure);
  const quiet: Yardstick = { name: 'the time before', rounds: [quantile(sorted(probeBefore), 0.99)] };
  if (probeMeanwhile.length === 0) throw new Error('no connect was measured while the devices came in');
  const again = Object.entries(triedAgain).map(([why, times]) => `${why} ${times}`);
  return {
    title: `${devices} devices at once, one invitation; ${pace ?? DEFAULT_PACE.loginsPerSecond} logins a second`,
    how: [
      'Real machines of enrolment and agent on real links, in two processes, their keys made before; broker, verifier, manager',
      `and its CA thread on the same ${availableParallelism()} cores. Each device: a link and four messages for the certificate, then the agent's link,`,
      'full login, verdicts and registration: two logins each. The certificates are on disk before they leave.',
      `All come from one address; limits of the broker: ${BROKER_LIMITS}.`,
      `Manager: loginsPerSecond ${pace === null ? `${DEFAULT_PACE.loginsPerSecond}, the default` : `${pace}: out of the way`}. Tried again: ${again.length === 0 ? 'nothing' : again.join(', ')}.`,
      `Meanwhile two further devices open a new session all the time: ${probeMeanwhile.length} of them, ${probeFailures} failed; ${probeBefore.length} before it began.`,
      ...(byHand === null
        ? []
        : [
            `Beside it a script of OpenSSL and mosquitto_pub for each device, on ${availableParallelism()} cores at once.`,
          ]),
    ],
    figures: [
      seconds('certificate, p50', enrolledMs, 0.5),
      seconds('certificate, p99', enrolledMs, 0.99),
      seconds('certificate, the last one', enrolledMs, 1),
      seconds('registered, p50', registeredMs, 0.5, beside(0.5)),
      seconds('registered, p99', registeredMs, 0.99, beside(0.99)),
      seconds('registered, the last one', registeredMs, 1, beside(1)),
      ...CROWD_PARTIES.map((party) => figure(`CPU a device, ${party}`, 'ms', [cpuMs[party]])),
      figure('a new session meanwhile, p99', 'ms', [quantile(sorted(probeMeanwhile), 0.99)], quiet),
      figure('answer of the manager meanwhile, p99', 'ms', [quantile(sorted(answerMs), 0.99)]),
      figure('answer of the manager meanwhile, longest', 'ms', [Math.max(...answerMs)]),
    ],
  };
}

// ── A user ──────────────────────────────────────────────────────────────────────────────────────────────────────────

async function movingUser({ rounds, handovers: each }: Scale, at: Part): Promise<Section> {
  const measured = await handovers(rounds, each, (part) => at(part, 'a user goes from device to device'));
  const of = (value: (one: Handover) => number): number[][] => measured.map((round) => round.map(value));
  const byName = { name: 'a connect by name', rounds: of((one) => one.byName) };
  return {
    title: 'A user with an open session goes to the next device (`users.onLeave: follow`)',
    how: [
      `Real agents, manager, broker and verifier; ${each} handovers a round, there and back. The medium is a directory that is renamed,`,
      'at another moment between two polls (400 ms) each time. It is in the next device as soon as the first one noticed, and the PIN',
      'is given at once: a person takes the time in between. A program at the caller sends when it hears of the move.',
      'Beside it: a new session with that device by its name and a first message, for who knows where the user is.',
    ],
    figures: [
      ...shares(
        'pulled until the caller hears that it is over',
        of((one) => one.pulledToCallerTold),
        null,
        FOLLOWED_MS,
      ),
      ...shares(
        'pulled until the old device holds it for over',
        of((one) => one.pulledToDeviceOver),
        null,
        FOLLOWED_MS,
      ),
      ...shares(
        'without the poll: noticed until the caller hears',
        of((one) => one.noticedToCallerTold),
      ),
      ...shares(
        'put in until it asks for the PIN (poll, process of the key)',
        of((one) => one.insertedToAsked),
      ),
      ...shares(
        'PIN until the key is open (PKCS#12)',
        of((one) => one.pinToKey),
      ),
      ...shares(
        'without the poll: key open until the first message',
        of((one) => one.keyToMessage),
        byName,
      ),
      ...shares(
        'all: pulled until the first message at the next',
        of((one) => one.pulledToMessage),
        null,
        FOLLOWED_MS,
      ),
    ],
  };
}

// ── A copy ──────────────────────────────────────────────────────────────────────────────────────────────────────────

async function copies({ cards }: Scale, place: HandMadePlace | null, at: Part): Promise<Section> {
  const noticed: number[] = [];
  if (place !== null) {
    for (let turn = 0; turn < cards; turn++) noticed.push(await takenOverAtMosquitto(place, `twice-${turn}`));
  }
  const beside = noticed.length === 0 ? null : { name: 'Mosquitto', rounds: [noticed] };
  const figures: Figure[] = [];
  for (const [turn, policy] of POLICIES.entries()) {
    const told = (part: number): void => at((turn + part) / POLICIES.length, `copied cards, ${policy}`);
    const alarms = await copiedCards(policy, cards, told);
    const of = (value: (one: Alarm) => number): number[][] => [alarms.map(value)];
    figures.push(
      ...shares(
        `${policy}: second agent started until the alarm`,
        of((one) => one.fromStart),
        beside,
        NOTICED_MS,
      ),
      ...shares(
        `${policy}: linked to the broker until the alarm`,
        of((one) => one.fromLink),
        null,
        NOTICED_MS,
      ),
    );
  }
  return {
    title: 'A copied card to the alarm, by what `duplicates` says',
    how: [
      `${cards} cards for each, one after the other, so that p99 is the slowest: certificate, key and state of a running agent are`,
      'copied, and a second agent starts on them. Until the line `device.duplicate` of the manager, by its clock; the first agent',
      'answers the question whether it is there.',
      ...(beside === null
        ? []
        : [
            'Beside it Mosquitto, from the start of mosquitto_sub: it puts the first client out whose client id comes again, and says so;',
            'with another client id under the same certificate both stay in and nothing is said.',
          ]),
    ],
    figures,
  };
}
