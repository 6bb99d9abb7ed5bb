/**
 * A story: a few parties in a world, what happens to them in order, and what has to be true at each point. It is judged by
 * its own facts and by the laws that hold in every world.
 */
import type { CallWish } from '../device-agent/calling.ts';
import type { News } from '../device-agent/effects.ts';
import { endSession } from '../device-agent/sessions.ts';
import type { Session } from '../device-agent/state.ts';
import { newInvitation } from '../manager/invitations.ts';
import { commit } from '../manager/outbox.ts';
import type { Settings } from '../manager/state.ts';
import type { DeviceParty, SimMedium } from './device-party.ts';
import { MICROS_PER_MS } from './event-queue.ts';
import { type Finding, type Invariants, watchInvariants } from './invariants.ts';

import type { PartyName } from './party.ts';
import type { LogLine } from './party-context.ts';
import { newcomerName } from './residents.ts';
import { createWorld, type SimWorld } from './world.ts';
import type { CryptoKind, WorldPlan } from './world-plan.ts';

export interface Story {
  readonly name: string;
  /** One line for people. */
  readonly about: string;
  readonly plan: Omit<WorldPlan, 'crypto'>;
  tell(stage: Stage): void;
}

/** What a story does with its world. */
export interface Stage {
  readonly world: SimWorld;
  readonly laws: Invariants;
  device(name: PartyName): DeviceParty;
  /** A program on a device wants a session; the laws hear of it. */
  call(from: PartyName, callee: string, wish?: Partial<CallWish>): string;
  /** The operator's invitation for that name. */
  invite(name: string): string;
  /** Somebody types it in at a new device. */
  enrol(name: PartyName, invitation: string): void;
  /** What came of it: `enrolled`, the reason of a refusal, or null for nothing yet. */
  enrolment(name: PartyName): string | null;
  /** The program ends every session of its device. */
  endAll(name: PartyName): void;
  /** Sessions of a device that are open there. */
  open(name: PartyName): readonly [sid: string, session: Session][];
  /** The operator gives the manager other settings. */
  configure(settings: Partial<Settings>): void;
  /** What somebody does now. */
  deed(text: string, act: () => void): void;
  /** Nobody does anything for so long. */
  pass(ms: number): void;
  /** Nobody does anything until nothing is on the way, and then the laws of rest are looked at. */
  rest(): void;
  /** Has to be true now. */
  fact(text: string, holds: boolean): void;
  /** Has to become true within that time, and is waited for. */
  within(ms: number, text: string, holds: () => boolean): void;
  /** The user's medium goes into the device, or out of it. */
  insert(user: string, name: PartyName): void;
  pull(user: string, name: PartyName): void;
  revokeUser(user: string): void;
  /** What a device has told its programs since the beginning. */
  news(name: PartyName): readonly News[];
  /** Whether a party has written such a line to its log since the beginning. */
  logged(party: PartyName, event: string): boolean;
}

export interface StoryLine {
  readonly kind: 'deed' | 'fact';
  readonly atMs: number;
  readonly text: string;
  /** Of a deed: true. */
  readonly holds: boolean;
  /** How long it was waited for. */
  readonly tookMs: number;
}

export interface Told {
  readonly scenario: string;
  readonly about: string;
  readonly seed: number | string;
  readonly crypto: CryptoKind;
  readonly lines: readonly StoryLine[];
  /** Laws that were broken. */
  readonly findings: readonly Finding[];
  readonly virtualSeconds: number;
  readonly traceHash: string;
}

export interface StoryOptions {
  readonly seed: number | string;
  readonly crypto: CryptoKind;
  /** Spoils the world on purpose, for the proof that the story can fail. */
  readonly plant?: (world: SimWorld) => void;
}

/** Longer than every time-out of the protocol but lifetimes. */
const REST_MS = 300_000;

export const holds = ({ lines, findings }: Told): boolean => findings.length === 0 && lines.every((line) => line.holds);

export function tellStory(story: Story, { seed, crypto, plant = () => {} }: StoryOptions): Told {
  const world = createWorld({ ...story.plan, crypto }, seed);
  const laws = watchInvariants(world);
  const lines: StoryLine[] = [];
  const logged = new Map<PartyName, Set<string>>();
  const told = new Map<PartyName, News[]>();
  world.observe({
    logged: (party, { event }: LogLine) => {
      const events = logged.get(party) ?? new Set();
      logged.set(party, events.add(event));
    },
    // a policy that allows is a yes of the device, too
    news: ({ id }, news) => {
      const all = told.get(id) ?? [];
      all.push(news);
      told.set(id, all);
      if (news.news === 'askApproved') laws.approved(id, news.sid);
    },
  });
  plant(world);
  const nowMs = (): number => world.now() / MICROS_PER_MS;
  const device = (name: PartyName): DeviceParty => {
    const found = world.devices.get(name);
    if (found === undefined) throw new RangeError(`there is no device ${name} in this story`);
    return found;
  };
  const mediumOf = (user: string): SimMedium => {
    const found = world.media.get(user);
    if (found === undefined) throw new RangeError(`there is no user ${user} in this story`);
    return found;
  };
  /** Sessions with the user at that device need not live any longer. */
  const endedWith = (user: string, name: PartyName): void => {
    for (const [sid, session] of device(name).state.sessions) if (session.name === `user:${user}`) laws.ended(sid);
  };
  const stage: Stage = {
    world,
    laws,
    device,
    call(from, callee, wish = {}) {
      laws.called(from, callee);
      return device(from).call(callee, wish);
    },
    invite(name) {
      const wish = { name, class: null, groups: [], uses: 1, ttlSeconds: 3600 };
      let written = '';
      world.manager.run((state) => {
        const made = newInvitation(state, wish, world.manager.world());
        if ('detail' in made) throw new RangeError(made.detail);
        commit(state, [made.change], { next: 'nothing' });
        made.adopt();
        written = made.written;
      });
      return written;
    },
    enrol(name, invitation) {
      const party = newcomerName(name);
      const newcomer = world.newcomers.get(party);
      if (newcomer === undefined) throw new RangeError(`${name} does not enrol in this story`);
      newcomer.invitation = invitation;
      world.restart(party);
    },
    enrolment(name) {
      const last = world.newcomers.get(newcomerName(name))?.news.at(-1);
      if (last?.news === 'enrolled') return 'enrolled';
      return last?.news === 'refused' ? last.reason : null;
    },
    endAll(name) {
      const one = device(name);
      for (const sid of [...one.state.sessions.keys()]) {
        laws.ended(sid);
        one.run((state, now) => endSession(state, sid, 'done', now));
      }
    },
    open: (name) => [...device(name).state.sessions].filter(([, { state }]) => state.name === 'open'),
    // they are those of every process of the manager; only before a step reads them may they change
    configure: (settings) => void Object.assign(world.manager.state.settings, settings),
    deed(text, act) {
      lines.push({ kind: 'deed', atMs: nowMs(), text, holds: true, tookMs: 0 });
      act();
    },
    pass: (ms) => world.runUntil(nowMs() + ms),
    rest() {
      world.runUntil(nowMs() + REST_MS);
      laws.judgeAtRest(true);
    },
    fact: (text, isSo) => void lines.push({ kind: 'fact', atMs: nowMs(), text, holds: isSo, tookMs: 0 }),
    within(ms, text, isSo) {
      const began = nowMs();
      const became = isSo() || world.runWhile(() => !isSo(), began + ms);
      lines.push({ kind: 'fact', atMs: nowMs(), text, holds: became, tookMs: nowMs() - began });
    },
    insert: (user, name) => device(name).insert(mediumOf(user)),
    pull(user, name) {
      endedWith(user, name);
      device(name).pull(mediumOf(user));
    },
    revokeUser(user) {
      for (const name of world.devices.keys()) endedWith(user, name);
      world.revoke(user);
    },
    news: (name) => told.get(name) ?? [],
    logged: (party, event) => logged.get(party)?.has(event) === true,
  };
  story.tell(stage);
  return {
    scenario: story.name,
    about: story.about,
    seed,
    crypto,
    lines,
    findings: laws.findings,
    virtualSeconds: Math.round(nowMs() / 1000),
    traceHash: world.trace.hash(),
  };
}

/** For people: one line a deed or a fact, with the time since the beginning. */
export function storyText(told: Told): string {
  const { scenario, about, seed, lines, findings, virtualSeconds, traceHash } = told;
  const facts = lines.filter(({ kind }) => kind === 'fact');
  const kept = facts.filter((line) => line.holds).length;
  const rows = lines.map(({ kind, atMs, text, holds: isSo, tookMs }) => {
    const mark = kind === 'deed' ? '→' : isSo ? '✓' : '✗';
    const took = tookMs >= 1 ? `  (after ${(tookMs / 1000).toFixed(tookMs < 10_000 ? 2 : 0)} s)` : '';
    return `${clockText(atMs).padStart(14)}  ${mark} ${text}${took}`;
  });
  const broken = findings.map(({ law, atMs, what }) => `${clockText(atMs).padStart(14)}  ✗ law ${law}: ${what}`);
  return [
    `${scenario}: ${about} (seed ${seed})`,
    '',
    ...rows,
    ...broken,
    '',
    `${kept} of ${facts.length} facts hold, ${findings.length} laws broken; ${virtualSeconds} s of virtual time, trace ${traceHash}`,
  ].join('\n');
}

/** Days where there are some, else minutes and seconds. */
function clockText(ms: number): string {
  const seconds = ms / 1000;
  const days = Math.floor(seconds / 86_400);
  const rest = seconds - days * 86_400;
  const minutes = Math.floor(rest / 60);
  const small = `${minutes}:${(rest - minutes * 60).toFixed(2).padStart(5, '0')}`;
  return days > 0 ? `day ${days}, ${small}` : small;
}
