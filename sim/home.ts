/**
 * The scenario `home`: every device is switched on, logs in, registers, calls one other device, says a few things, and
 * some end their session.
 */
import type { News } from '../device-agent/effects.ts';
import { join } from '../device-agent/joining.ts';
import { endSession, sayBye, sendData } from '../device-agent/sessions.ts';
import type { Session } from '../device-agent/state.ts';
import type { DeviceParty } from './device-party.ts';
import { MICROS_PER_MS } from './event-queue.ts';
import { type Households, households, type Resident } from './household.ts';
import { type SeededRandom, seededRandom } from './seeded-random.ts';
import { createWorld, type SimWorld } from './world.ts';
import type { CryptoKind } from './world-plan.ts';

export interface HomeOptions {
  readonly devices: number;
  readonly seed: number | string;
  readonly crypto: CryptoKind;
  readonly keepTrace: boolean;
  /** Called now and then. */
  readonly progress?: (progress: Progress) => void;
}

export interface Progress {
  readonly devices: number;
  readonly registered: number;
  /** Calls that were decided, one way or the other. */
  readonly called: number;
  readonly virtualMs: number;
}

/** One call, from the wish to the session. Times are virtual, in ms. */
export interface CallRecord {
  /** From 1, in the order in which they began. */
  readonly number: number;
  readonly caller: string;
  readonly callee: string;
  /** Hex of its nonce. */
  readonly key: string;
  readonly at: number;
  sid: string | null;
  openedAt: number | null;
  /** Why there is no session. */
  failed: string | null;
}

export type PhaseName = 'link' | 'login' | 'connect' | 'message' | 'end';

export interface HomeRun {
  readonly world: SimWorld;
  readonly households: Households;
  readonly calls: readonly CallRecord[];
  readonly registered: number;
  /** Milliseconds each; a registration rides with the login and is done with it. */
  readonly phases: Readonly<Record<PhaseName, readonly number[]>>;
  readonly data: { readonly sent: number; readonly received: number };
  readonly ended: { readonly throughManager: number; readonly toPeer: number };
  /** Both sides of every session that was ever installed. */
  readonly sessions: readonly Session[];
}

/** All calls come within this time, evenly. */
const LEAST_CALLING_MS = 10_000;
const CALLING_MS_PER_DEVICE = 5;
/** Between the last boot and the first call: long enough for appliances to have closed their channels. */
const SETTLING_MS = 30_000;
/** After the last call: longer than any timeout of a call, so that each is decided. */
const LONGEST_CALL_MS = 120_000;
const PAUSE_MS = [100, 1500] as const;
/** Parts of the sessions that are ended, the one way and the other; the rest stays open. */
const ENDED = { throughManager: 0.5, toPeer: 0.2 };
/** For what is still on its way when everybody has finished. */
const AFTERGLOW_MS = 2000;
const PROGRESS_EVERY_EVENTS = 5000;

export function runHome(options: HomeOptions): HomeRun {
  const { devices, seed, crypto, keepTrace } = options;
  const homes = households(devices, seededRandom(seed).fork('households'));
  const plan = {
    crypto,
    devices: homes.residents.map((resident) => resident.plan),
    manager: { algorithms: ['p256', 'ed25519'] as const },
    keepTrace,
  };
  const world = createWorld(plan, seed);
  const home = live(world, homes);
  const callingMs = Math.max(LEAST_CALLING_MS, devices * CALLING_MS_PER_DEVICE);
  const draws = world.random('calls');
  for (const resident of homes.residents) {
    world.at(homes.bootedByMs + SETTLING_MS + draws.fraction() * callingMs, () => home.call(resident));
  }
  const lastMs = homes.bootedByMs + SETTLING_MS + callingMs + LONGEST_CALL_MS;
  let events = 0;
  const pending = (): boolean => {
    if (++events % PROGRESS_EVERY_EVENTS === 0) options.progress?.(home.progress());
    return !home.done();
  };
  world.runWhile(pending, lastMs);
  world.runUntil(world.now() / MICROS_PER_MS + AFTERGLOW_MS);
  options.progress?.(home.progress());
  return home.run();
}

/** Plays the people in the houses. */
function live(world: SimWorld, homes: Households) {
  const draws = world.random('people');
  const residents = new Map(homes.residents.map((resident) => [resident.name, resident]));
  const calls: CallRecord[] = [];
  const byKey = new Map<string, CallRecord>();
  const phases: Record<PhaseName, number[]> = { link: [], login: [], connect: [], message: [], end: [] };
  const data = { sent: 0, received: 0 };
  const ended = { throughManager: 0, toPeer: 0 };
  const sessions: Session[] = [];
  const linkedAt = new Map<string, number>();
  const registeredAt = new Map<string, number>();
  const endAsked = new Map<string, number>();
  /** When what was said left, for each direction of a session; it arrives in order. */
  const underWay = new Map<string, number[]>();
  let decided = 0;
  let talking = 0;
  const nowMs = (): number => world.now() / MICROS_PER_MS;

  const say = (device: DeviceParty, sid: string, bytes: number): void => {
    device.run((state, then) => {
      if (sendData(state, sid, new Uint8Array(bytes), then) !== null) return;
      data.sent++;
      const key = `${sid} ${device.id}`;
      underWay.set(key, [...(underWay.get(key) ?? []), nowMs()]);
    });
  };

  /** What the caller says, one thing after the other, and how it ends. */
  const talk = (device: DeviceParty, sid: string, resident: Resident): void => {
    const { count, bytes } = resident.class.messages;
    talking++;
    let left = between(draws, count);
    const next = (): void => {
      if (left-- > 0) {
        say(device, sid, between(draws, bytes));
        return world.at(nowMs() + between(draws, PAUSE_MS), next);
      }
      talking--;
      const chance = draws.fraction();
      if (chance < ENDED.throughManager) end(device, sid);
      else if (chance < ENDED.throughManager + ENDED.toPeer) {
        ended.toPeer++;
        device.run((state, then) => sayBye(state, sid, 'done', then));
      }
    };
    world.at(nowMs() + between(draws, PAUSE_MS), next);
  };

  const end = (device: DeviceParty, sid: string): void => {
    if (!device.state.sessions.has(sid)) return;
    endAsked.set(sid, nowMs());
    device.run((state, then) => {
      endSession(state, sid, 'done', then);
      join(state, then); // [patent 0135] a closed channel is opened again to end the session
    });
  };

  const hear = (device: DeviceParty, news: News): void => {
    switch (news.news) {
      case 'channelOpened': {
        const since = linkedAt.get(device.id);
        if (since !== undefined && news.how === 'edhoc') phases.login.push(nowMs() - since);
        return;
      }
      case 'registered':
        registeredAt.set(device.id, nowMs());
        return;
      case 'sessionOpened': {
        const call = news.call === null ? undefined : byKey.get(news.call);
        if (call === undefined) return;
        decided++;
        call.sid = news.sid;
        call.openedAt = nowMs();
        phases.connect.push(nowMs() - call.at);
        talk(device, news.sid, residents.get(device.id)!);
        return;
      }
      case 'callFailed': {
        const call = byKey.get(news.call);
        if (call === undefined) return;
        decided++;
        call.failed = news.reason;
        return;
      }
      case 'sessionClosed': {
        const asked = endAsked.get(news.sid);
        const call = news.call === null ? undefined : byKey.get(news.call);
        if (call !== undefined && call.sid === null && call.failed === null) {
          decided++;
          call.failed = news.reason; // granted, and ended before it was open
        }
        if (asked === undefined || call === undefined) return;
        endAsked.delete(news.sid);
        ended.throughManager++;
        phases.end.push(nowMs() - asked);
        return;
      }
      case 'received': {
        data.received++;
        const left = underWay.get(`${news.sid} ${news.from}`)?.shift();
        if (left !== undefined) phases.message.push(nowMs() - left);
        // whoever is called answers each thing that is said
        if (device.state.sessions.get(news.sid)?.role === 'callee') say(device, news.sid, news.payload.length);
        return;
      }
      default:
        return;
    }
  };

  const bootAt = new Map(homes.residents.map(({ name, plan }) => [name, plan.bootAtMs ?? 0]));
  world.observe({
    news: hear,
    installed: (_device, _sid, session) => {
      if (session !== null) sessions.push(session);
    },
    traced({ type, outcome, sender }) {
      if (type !== 'link' || outcome !== 'up' || linkedAt.has(sender)) return;
      linkedAt.set(sender, nowMs());
      const boot = bootAt.get(sender);
      if (boot !== undefined) phases.link.push(nowMs() - boot);
    },
  });

  return {
    call({ name, calls: callee }: Resident): void {
      const device = world.devices.get(name)!;
      const at = nowMs();
      const number = calls.length + 1;
      const key = device.call(callee);
      const record = { number, caller: name, callee, key, at, sid: null, openedAt: null, failed: null };
      calls.push(record);
      byKey.set(key, record);
    },
    progress: (): Progress => ({
      devices: homes.residents.length,
      registered: registeredAt.size,
      called: decided,
      virtualMs: nowMs(),
    }),
    done: (): boolean => decided === homes.residents.length && talking === 0 && endAsked.size === 0,
    run: (): HomeRun => ({
      world,
      households: homes,
      calls,
      registered: registeredAt.size,
      phases,
      data,
      ended,
      sessions,
    }),
  };
}

/** A whole number, both ends included. */
const between = (random: SeededRandom, [least, most]: readonly [number, number]): number =>
  least + random.below(most - least + 1);
