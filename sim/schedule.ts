/**
 * A random schedule: what programs and people on a few devices do, and what happens to network, processes and disks
 * meanwhile, all drawn from one seed; then rest. For the search of orders of events in which a law breaks.
 */
import { approveAsk, refuseAsk } from '../device-agent/answering.ts';
import { MODES } from '../device-agent/approval.ts';
import { setMode } from '../device-agent/approval-keeping.ts';
import { cancelCall } from '../device-agent/calling.ts';
import { forgetAnswers } from '../device-agent/remembered.ts';
import { endSession, sayBye, sendData } from '../device-agent/sessions.ts';
import { giveStanding, withdrawStanding } from '../device-agent/standing.ts';
import { encodeUtf8 } from '../protocol/bytes.ts';
import type { Proposal } from '../protocol/messages.ts';
import { EpochSeconds } from '../protocol/units.ts';
import { unreliableBroker } from './adversary.ts';
import type { DeviceParty } from './device-party.ts';
import { MICROS_PER_MS } from './event-queue.ts';
import { type Invariants, watchInvariants } from './invariants.ts';
import { BROKER, MANAGER, VERIFIER } from './party.ts';
import type { SeededRandom } from './seeded-random.ts';
import { createWorld, type SimWorld } from './world.ts';
import type { CryptoKind } from './world-plan.ts';

/**
 * `mishaps`: processes die, links break, networks part, disks refuse for a while; sessions have to live through all of it.
 * `hostile`: the broker besides drops, doubles, delays, reorders and replays messages.
 */
export type Weather = 'mishaps' | 'hostile';

export interface Schedule {
  readonly seed: number | string;
  readonly weather: Weather;
  readonly crypto: CryptoKind;
  readonly devices: number;
  readonly steps: number;
  /** Of every device, in place of the usual ones. */
  readonly proposals?: readonly Proposal[];
}

export interface ScheduleRun {
  readonly world: SimWorld;
  readonly invariants: Invariants;
  /** In order: what was done, with its time. */
  readonly deeds: readonly string[];
}

const LOGIN_MS = 5000;
/** Some people answer when nobody waits any more. */
const LATE_MS = 60_000;
const LONGEST_LIFETIME = 86_400;
/** Longer than every time-out of the protocol but lifetimes: grace of a link, a person who is asked, repeated answers. */
const REST_MS = 300_000;
const NAMES = ['router', 'phone', 'tv', 'fridge', 'lamp'] as const;
/** Shorter than the grace that the manager gives a link. */
const LONGEST_AWAY_MS = 20_000;

/** @param plant  spoils the world on purpose, for the proof that a law can be seen to break */
export function runSchedule(schedule: Schedule, plant: (world: SimWorld) => void = () => {}): ScheduleRun {
  const approval = { rules: [], otherwise: 'ask', askTimeoutSeconds: 30, busy: false } as const;
  const names = NAMES.slice(0, schedule.devices);
  const { proposals } = schedule;
  const own = proposals === undefined ? {} : { proposals };
  const world = createWorld(
    {
      crypto: schedule.crypto,
      keepTrace: false,
      devices: names.map((name) => ({ name, settings: { approval }, ...own })),
      verifier: { maxAgeSeconds: 86_400 },
    },
    schedule.seed,
  );
  const invariants = watchInvariants(world);
  const random = world.random('schedule');
  const deeds: string[] = [];
  const actor = actorOf(world, invariants, random, deeds);
  world.observe({ news: actor.news });
  plant(world);
  world.runUntil(LOGIN_MS);
  if (schedule.weather === 'hostile') {
    const mischief = { drop: 0.08, duplicate: 0.15, delay: 0.2, longestDelayMs: 3000 };
    world.adversary = unreliableBroker(random.fork('broker'), mischief);
  }
  let now = LOGIN_MS;
  for (let step = 0; step < schedule.steps; step++) {
    now += random.below(random.below(4) === 0 ? 5000 : 400);
    world.runUntil(now);
    actor.act();
  }
  world.adversary = null;
  actor.mend();
  world.runUntil(now + LONGEST_AWAY_MS + REST_MS);
  // what a hostile broker has swallowed is found with the next channel, and not before
  if (schedule.weather === 'hostile') {
    for (const name of names) world.breakLink(name);
    world.runUntil(now + LONGEST_AWAY_MS + 2 * REST_MS);
  }
  invariants.judgeAtRest(schedule.weather === 'mishaps');
  return { world, invariants, deeds };
}

function actorOf(world: SimWorld, invariants: Invariants, random: SeededRandom, deeds: string[]) {
  const devices = [...world.devices.values()];
  const any = <T>(all: readonly T[]): T | undefined => (all.length === 0 ? undefined : all[random.below(all.length)]);
  const nowMs = (): number => world.now() / MICROS_PER_MS;
  const note = (what: string): void => void deeds.push(`${(nowMs() / 1000).toFixed(3)} ${what}`);
  const later = (within: number, act: () => void): void => world.at(nowMs() + 1 + random.below(within), act);
  const anyone = (): DeviceParty => devices[random.below(devices.length)]!;
  const sessionOf = (device: DeviceParty): string | undefined => any([...device.state.sessions.keys()]);
  const heals: (() => void)[] = [];
  let letters = 0;
  let isRevoked = false;

  const call = (): void => {
    const [caller, callee] = [anyone(), anyone()];
    if (!caller.running || caller === callee) return;
    note(`${caller.id} calls ${callee.id}`);
    invariants.called(caller.id, callee.id);
    caller.call(callee.id);
  };
  const send = (): void => {
    const ends = devices.flatMap((device) => [...device.state.sessions.keys()].map((sid) => ({ device, sid })));
    const chosen = any(ends.filter(({ device }) => device.running));
    if (chosen === undefined) return;
    const { device, sid } = chosen;
    const text = `${device.id} ${sid} ${letters++}`;
    invariants.sent(device.id, sid, text);
    device.run((state, now) => void sendData(state, sid, encodeUtf8(text), now));
  };
  const end = (how: typeof endSession): void => {
    const device = anyone();
    const sid = sessionOf(device);
    if (sid === undefined || !device.running) return;
    note(`${device.id} ends ${sid}${how === sayBye ? ' without the manager' : ''}`);
    invariants.ended(sid);
    device.run((state, now) => how(state, sid, 'done', now));
  };
  const cancel = (): void => {
    const calling = devices.filter(({ running, state }) => running && state.calls.size > 0);
    const device = any(calling);
    const key = device === undefined ? undefined : any([...device.state.calls.keys()]);
    if (device === undefined || key === undefined) return;
    note(`${device.id} takes a call back`);
    invariants.cancelled(device.id, key);
    device.run((state, now) => cancelCall(state, key, now));
  };
  /** A caller is approved beforehand, or not any more. */
  const settle = (): void => {
    const pairs = devices.flatMap((callee) => [...callee.state.standing.keys()].map((caller) => ({ callee, caller })));
    const { callee, caller } = (random.below(2) === 0 && any(pairs)) || { callee: anyone(), caller: anyone().id };
    // what a disk refuses counts until the process ends
    if (!callee.running || callee.id === caller || callee.disk.state !== 'good') return;
    const yes = !callee.state.standing.has(caller);
    note(`${callee.id} ${yes ? 'approves' : 'does no more approve'} ${caller} beforehand`);
    invariants.stands(callee.id, caller, yes);
    callee.run((state, now) => {
      if (yes) giveStanding(state, caller, LONGEST_LIFETIME, now);
      else withdrawStanding(state, caller, now);
    });
  };
  const disturb = (): void => {
    const device = anyone();
    const mode = any(MODES)!;
    if (!device.running) return;
    note(`${device.id} is ${mode} for a while`);
    device.run((state, now) => setMode(state, mode, EpochSeconds(now.wall + random.below(20)), now));
  };
  const forget = (): void => {
    const device = anyone();
    const one = any([...device.state.approvals.remembered.values()]);
    if (one === undefined || !device.running || device.disk.state !== 'good') return;
    note(`${device.id} forgets what it said to ${one.caller}`);
    device.run((state, now) => void forgetAnswers(state, one.caller, now));
    invariants.remembered(device.id, one.caller, false);
  };
  const kill = (party: string): void => {
    note(`${party} is killed`);
    world.crash(party);
    later(LONGEST_AWAY_MS, () => {
      note(`${party} starts again`);
      world.restart(party);
    });
  };
  const part = (): void => {
    const away = any([...devices.map(({ id }) => id), MANAGER, VERIFIER])!;
    note(`${away} is cut off`);
    const heal = world.partition([away]);
    heals.push(heal);
    later(LONGEST_AWAY_MS, heal);
  };
  const refuse = (): void => {
    const { disk } = any([...devices, world.manager])!;
    note('a disk is full for a while');
    disk.state = 'refusing';
    later(3000, () => {
      disk.state = 'good';
    });
  };
  /** One of three at the most: there is to be something left. */
  const revoke = (): void => {
    if (isRevoked || devices.length < 3 || random.below(3) > 0) return;
    isRevoked = true;
    const { id } = anyone();
    note(`${id} is revoked`);
    world.revoke(id);
    invariants.revoked(id);
  };
  const acts: readonly (readonly [weight: number, act: () => void])[] = [
    [8, call],
    [8, send],
    [2, () => end(endSession)],
    [2, cancel],
    [2, settle],
    [1, disturb],
    [1, forget],
    [1, () => end(sayBye)],
    [3, () => kill(anyone().id)],
    [1, () => kill(MANAGER)],
    [1, () => kill(BROKER)],
    [1, () => kill(VERIFIER)],
    [2, () => world.breakLink(any([...devices.map(({ id }) => id), MANAGER])!)],
    [1, part],
    [1, refuse],
    [1, revoke],
  ];
  const weights = acts.reduce((sum, [weight]) => sum + weight, 0);

  return {
    act(): void {
      let drawn = random.below(weights);
      for (const [weight, act] of acts) {
        if (drawn < weight) return act();
        drawn -= weight;
      }
    },
    news(device: DeviceParty, news: Parameters<NonNullable<Parameters<SimWorld['observe']>[0]['news']>>[1]): void {
      if (news.news === 'sessionClosed')
        note(`${news.sid} is over at ${device.id}: ${news.reason} by ${news.closedBy}`);
      if (news.news !== 'asked') return;
      const { sid } = news;
      const yes = random.below(5) > 0;
      const memo = random.below(4) === 0 ? { seconds: 60, forPurpose: false } : null;
      later(random.below(8) === 0 ? LATE_MS : 2000, () => {
        const waits = device.state.asked.get(sid)?.nonceB === null;
        if (!device.running || !waits) return;
        note(
          `${device.id} says ${yes ? 'yes' : 'no'} to ${sid} from ${news.from}${memo === null ? '' : ', for a minute'}`,
        );
        if (yes) invariants.approved(device.id, sid);
        if (memo !== null) invariants.remembered(device.id, news.from, yes);
        device.run((state, now) =>
          yes
            ? approveAsk(state, sid, now, 'person', memo)
            : refuseAsk(state, sid, 'refused-by-user', now, 'person', memo),
        );
      });
    },
    /** Everything that is away comes back. */
    mend(): void {
      for (const heal of heals) heal();
      for (const { disk } of [...devices, world.manager]) disk.state = 'good';
      for (const party of [BROKER, MANAGER, VERIFIER, ...devices.map(({ id }) => id)]) world.restart(party);
    },
  };
}
