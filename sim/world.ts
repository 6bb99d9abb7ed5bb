/**
 * A world under one seed: the real manager, verifier, agents and broker policy on a simulated network and one virtual
 * clock. Nothing happens but what is in its queue; the same plan and seed give the same events on every machine.
 */
import { newPublicKeyCounter } from '../platform/crypto-node.ts';
import { topicsUnder } from '../protocol/topics.ts';
import { EpochSeconds, type Topic } from '../protocol/units.ts';
import type { Adversary } from './adversary.ts';
import { type BrokerHost, brokerHost } from './broker-host.ts';
import type { DeviceParty, SimMedium } from './device-party.ts';
import { eventQueue, MICROS_PER_MS, MICROS_PER_SECOND, type Micros } from './event-queue.ts';
import { simAuthority } from './identities.ts';
import { createLine, DEVICE_WAITS, type Line, type LineContext, SERVICE_WAITS, type Waits } from './line.ts';
import { WIRED } from './link-profile.ts';
import type { ManagerParty } from './manager-party.ts';
import { type MessageName, messageNames, outwardName } from './message-names.ts';
import type { NewcomerParty } from './newcomer-party.ts';
import type { Observer } from './observer.ts';
import { BROKER, type LineOwner, MANAGER, type Parcel, type PartyName, RESERVED_NAMES, VERIFIER } from './party.ts';
import type { PartyContext } from './party-context.ts';
import { residents } from './residents.ts';
import { seededRandom } from './seeded-random.ts';
import { startTrace, type Trace } from './trace.ts';
import type { VerifierParty } from './verifier-party.ts';
import type { WorldPlan } from './world-plan.ts';

export interface SimWorld {
  readonly plan: WorldPlan;
  readonly seed: number | string;
  readonly manager: ManagerParty;
  readonly verifier: VerifierParty;
  readonly broker: BrokerHost;
  /** By id, in the order of the plan. */
  readonly devices: ReadonlyMap<PartyName, DeviceParty>;
  /** Devices that have to enrol before they are switched on. */
  readonly newcomers: ReadonlyMap<PartyName, NewcomerParty>;
  /** By name. */
  readonly media: ReadonlyMap<string, SimMedium>;
  readonly trace: Trace;
  /** Messages and payload bytes that each party's line carried, both ways. */
  readonly traffic: ReadonlyMap<PartyName, Traffic>;
  /** Sits at the broker from now on; null: the broker is honest. */
  adversary: Adversary | null;
  now(): Micros;
  /** Random numbers for whoever drives the world, apart from those that the world itself draws. */
  random(name: string): ReturnType<typeof seededRandom>;
  observe(observer: Observer): () => void;
  /** Something to be done at a time, by whoever drives the world. A time that is over means now. */
  at(ms: number, act: () => void): void;
  /** The next event. @returns false when none is left */
  step(): boolean;
  /** Everything up to that time, which the clock then shows. */
  runUntil(ms: number): void;
  /** Until `done` says so after an event, or that time has come. @returns whether it is done */
  runWhile(pending: () => boolean, untilMs: number): boolean;
  /** kill -9. What was not durable is gone; the sockets close. */
  crash(party: PartyName): void;
  /** A new process with what is durable. Does nothing while the party runs. */
  restart(party: PartyName): void;
  /** Nothing passes between these and the others until it is healed. @returns heals it */
  partition(parties: readonly PartyName[]): () => void;
  /** The party's connection breaks, and with it what is on the way. */
  breakLink(party: PartyName): void;
  /** A hostile broker's own message, past every policy. */
  inject(to: PartyName, topic: Topic, payload: Uint8Array): void;
  /** A device or a user. */
  revoke(name: PartyName): void;
}

export interface Traffic {
  sentMessages: number;
  sentBytes: number;
  receivedMessages: number;
  receivedBytes: number;
}

/** The wall clock of every world at its beginning: 2027-01-15T08:00:00Z. */
export const BEGINNING = EpochSeconds(1_800_000_000);
const ROOT = 'km1';
const MOST_IN_A_MOMENT = 1_000_000;

/** @throws RangeError for a plan in which two parties have one name */
export function createWorld(plan: WorldPlan, seed: number | string): SimWorld {
  const random = seededRandom(seed);
  const queue = eventQueue();
  const topics = topicsUnder(ROOT);
  const names = messageNames(topics);
  const observers = new Set<Observer>();
  const lines = new Map<PartyName, Line>();
  const traffic = new Map<PartyName, Traffic>();
  const cuts = new Set<ReadonlySet<PartyName>>();
  const trace = startTrace(`kagimori trace 1\t${plan.crypto}\t${seed}`, plan.keepTrace ?? true);
  let clock: Micros = 0;
  let parcels = 0;
  /** Events since the clock last moved. */
  let moments = 0;
  const now = (): Micros => clock;

  const note = (parcel: Parcel, receiver: PartyName, outcome: string): void => {
    const { sender, type, payload, about, sentAt, number } = parcel;
    const entry = { at: clock, sender, receiver, type, size: payload.length, outcome, sentAt, number, about };
    if (outcome === 'delivered') count(receiver, 'received', payload.length);
    trace.add(entry);
    for (const { traced } of observers) traced?.(entry);
  };
  const count = (party: PartyName, way: 'sent' | 'received', bytes: number): void => {
    const own = traffic.get(party);
    if (own === undefined) return;
    own[`${way}Messages`]++;
    own[`${way}Bytes`] += bytes;
  };
  const parcelOf = (sender: PartyName, topic: Topic, payload: Uint8Array, { type, about }: MessageName): Parcel => ({
    sender,
    topic,
    payload,
    type,
    about,
    sentAt: clock,
    number: parcels++,
  });

  const broker = brokerHost({
    queue,
    now,
    topics,
    limits: plan.broker?.limits ?? {},
    adversary: () => self.adversary,
    lineOf: (party) => lines.get(party) ?? null,
    parcel: (topic, payload, type) => parcelOf(BROKER, topic, payload, { type, about: [] }),
    trace: note,
  });
  const context: PartyContext = {
    queue,
    topics,
    names,
    now,
    wall: () => EpochSeconds(BEGINNING + Math.floor(clock / MICROS_PER_SECOND)),
    publish(from, topic, payload, name) {
      const parcel = parcelOf(from, topic, payload, name);
      for (const { published } of observers) published?.(from, payload);
      const line = lines.get(from);
      const connection = line?.connection ?? null;
      if (line === undefined || connection === null) return note(parcel, broker.addressee(topic), 'unsent');
      count(from, 'sent', payload.length);
      line.transmit(connection, 'broker', (arrived) => {
        if (arrived && connection.open.broker) broker.arrived(connection, parcel);
        else note(parcel, broker.addressee(topic), 'lost');
      });
    },
    settled: (party) => lines.get(party)?.settle(),
    rest: (party, forMs) => lines.get(party)?.rest(forMs),
    logged(party, line) {
      if (line.event === 'bug') throw new Error(`${party} met a fault of ours: ${String(line.fields.detail)}`);
      for (const { logged } of observers) logged?.(party, line);
    },
    sealed(party, sealing) {
      for (const { sealed } of observers) sealed?.(party, sealing);
    },
  };

  const authority = simAuthority(random.fork('authority'), plan.crypto);
  const { manager, verifier, devices, users, newcomers } = residents(
    plan,
    { random, authority, context, counter: newPublicKeyCounter },
    {
      told: (device, news) => {
        for (const observer of observers) observer.news?.(device, news);
      },
      installed: (device, sid, session) => {
        for (const observer of observers) observer.installed?.(device, sid, session);
      },
    },
  );

  const lineContext: LineContext = {
    queue,
    now,
    broker,
    changed(party, outcome) {
      note(parcelOf(party, '' as Topic, EMPTY_PAYLOAD, LINK), BROKER, outcome);
    },
  };
  const addLine = (party: PartyName, profile = WIRED, waits: Waits, owner: LineOwner): void => {
    if (lines.has(party)) throw new RangeError(`two parties are called ${party}`);
    lines.set(party, createLine(party, { profile, waits }, owner, random.fork(`line ${party}`), lineContext));
    traffic.set(party, { sentMessages: 0, sentBytes: 0, receivedMessages: 0, receivedBytes: 0 });
  };
  addLine(MANAGER, plan.manager?.link, SERVICE_WAITS, manager.owner);
  addLine(VERIFIER, plan.verifier?.link, SERVICE_WAITS, verifier.owner);
  for (const { name, link } of plan.devices) {
    if (RESERVED_NAMES.has(name)) throw new RangeError(`no device may be called ${name}`);
    addLine(name, link, DEVICE_WAITS, devices.get(name)!.party.owner);
  }

  const isCut = (party: PartyName): boolean => {
    for (const cut of cuts) if (cut.has(party) !== cut.has(BROKER)) return true;
    return false;
  };
  const applyCuts = (): void => {
    for (const [party, line] of lines) {
      if (isCut(party)) line.cut();
      else line.heal();
    }
  };

  for (const [name, { owner }] of newcomers) addLine(name, undefined, DEVICE_WAITS, owner);

  /** What runs and can be killed. */
  const processOf = (party: PartyName): { readonly running: boolean; boot(): void; kill(): void } => {
    if (party === MANAGER) return manager;
    if (party === VERIFIER) return verifier;
    const found = devices.get(party)?.party ?? newcomers.get(party);
    if (found === undefined) throw new RangeError(`there is no ${party} in this world`);
    return found;
  };

  const self: SimWorld = {
    plan,
    seed,
    manager,
    verifier,
    broker,
    devices: new Map([...devices].map(([id, { party }]) => [id, party])),
    newcomers,
    media: new Map([...users].map(([name, { medium }]) => [name, medium])),
    trace,
    traffic,
    adversary: null,
    now,
    random: (name) => random.fork(`driver ${name}`),
    observe(observer) {
      observers.add(observer);
      return () => observers.delete(observer);
    },
    at: (ms, act) => queue.push(Math.max(clock, Math.round(ms * MICROS_PER_MS)), act),
    step() {
      if (queue.nextAt() === null) return false;
      const { at, act } = queue.take();
      moments = at === clock ? moments + 1 : 0;
      if (moments > MOST_IN_A_MOMENT) throw new Error(`time stands still at ${at} µs: somebody wakes himself for ever`);
      clock = at;
      act();
      return true;
    },
    runUntil(ms) {
      const end = Math.round(ms * MICROS_PER_MS);
      for (let next = queue.nextAt(); next !== null && next <= end; next = queue.nextAt()) self.step();
      clock = Math.max(clock, end);
    },
    runWhile(pending, untilMs) {
      const end = Math.round(untilMs * MICROS_PER_MS);
      for (let next = queue.nextAt(); pending() && next !== null && next <= end; next = queue.nextAt()) self.step();
      return !pending();
    },
    crash(party) {
      if (party === BROKER) return broker.crash();
      const killed = processOf(party);
      if (!killed.running) return;
      killed.kill();
      lines.get(party)?.stop();
    },
    restart(party) {
      if (party === BROKER) return broker.restart();
      const started = processOf(party);
      if (started.running) return;
      started.boot();
      lines.get(party)?.start();
    },
    partition(parties) {
      const cut = new Set(parties);
      cuts.add(cut);
      applyCuts();
      return () => {
        cuts.delete(cut);
        applyCuts();
      };
    },
    breakLink: (party) => lines.get(party)?.breakConnection('the network broke'),
    inject: (to, topic, payload) => broker.inject(to, topic, payload, outwardName(payload)),
    revoke(name) {
      const owner = devices.get(name) ?? users.get(name);
      if (owner === undefined) throw new RangeError(`there is no ${name} in this world`);
      verifier.revoke(owner.certificate);
    },
  };

  for (const party of [BROKER, MANAGER, VERIFIER]) self.restart(party);
  for (const { name, bootAtMs, copyOf, enrols } of plan.devices) {
    if (copyOf === undefined && enrols !== true) self.at(bootAtMs ?? 0, () => self.restart(name));
  }
  return self;
}

const EMPTY_PAYLOAD = new Uint8Array(0);
const LINK: MessageName = { type: 'link', about: [] };
