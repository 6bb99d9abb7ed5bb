/**
 * A street: the manager and pairs of logged-in devices, the real machines, stepped one by one without broker, socket or
 * loop, so that the time of each step can be charged to whom it belongs.
 */
import { type AgentEvent, stepAgent } from '../device-agent/agent.ts';
import { startCall } from '../device-agent/calling.ts';
import type { Effect as AgentEffect } from '../device-agent/effects.ts';
import { endSession } from '../device-agent/sessions.ts';
import { type ManagerEvent, stepManager } from '../manager/manager.ts';
import type { Proposal } from '../protocol/messages.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { town } from '../test/town.ts';
import type { Packet, TownDevice } from '../test/town-plan.ts';

export type Party = 'caller' | 'callee' | 'manager';

/** Milliseconds spent inside the steps of one session, from Connect until both sides are open. */
export type Charges = Record<Party, number>;

export interface Street {
  /** Makes sessions, one after the other, each by the next pair; ends each before the next. */
  run(sessions: number): { readonly charges: Charges; readonly steps: Readonly<Record<Party, number>> };
  /** What one session sends, payload by payload, from Connect until open. */
  packets(): readonly Packet[];
}

/** @param proposal  the one suite that all devices register */
export function street(pairs: number, proposal: Proposal): Street {
  const place = town();
  const { topics } = place.manager.settings;
  const couples = Array.from({ length: pairs }, (_, i) => ({
    caller: place.add(`caller-${i}`, { proposals: [proposal] }),
    callee: place.add(`callee-${i}`, { proposals: [proposal] }),
  }));
  const byTopic = new Map<string, TownDevice>();
  for (const { caller, callee } of couples) {
    byTopic.set(topics.toDevice({ kind: 'device', id: caller.id }), caller);
    byTopic.set(topics.toDevice({ kind: 'device', id: callee.id }), callee);
    byTopic.set(topics.peer(caller.id, callee.id), caller);
    byTopic.set(topics.peer(callee.id, caller.id), callee);
  }

  const charges: Charges = { caller: 0, callee: 0, manager: 0 };
  const steps = { caller: 0, callee: 0, manager: 0 };
  const turns: (() => void)[] = [];
  let seen: Packet[] | null = null;
  let opened = 0;

  const deliver = (from: string, topic: Packet['topic'], payload: Uint8Array): void => {
    seen?.push({ from, topic, payload: payload.slice() });
    const device = byTopic.get(topic);
    if (device !== undefined) turns.push(() => stepDevice(device, { type: 'received', topic, payload }));
    else if (topic !== topics.controlRequests) turns.push(() => stepOwner({ type: 'received', topic, payload }));
  };
  const worldOf = (crypto: World['crypto']): World => ({
    now: place.clock.now(),
    wall: place.clock.wall(),
    crypto,
  });
  const charged = <T>(party: Party, act: () => T): T => {
    const began = performance.now();
    const result = act();
    charges[party] += performance.now() - began;
    steps[party]++;
    return result;
  };
  const roleOf = (device: TownDevice): Party => (device.id.startsWith('caller') ? 'caller' : 'callee');
  const stepDevice = (device: TownDevice, event: AgentEvent): void => {
    const world = worldOf(device.crypto);
    const effects = charged(roleOf(device), () => stepAgent(device.state, event, world));
    performDevice(device, effects);
  };
  const performDevice = (device: TownDevice, effects: readonly AgentEffect[]): void => {
    for (const effect of effects) {
      if (effect.type === 'publish') deliver(device.id, effect.topic, effect.payload);
      else if (effect.type === 'tell' && effect.news.news === 'sessionOpened') opened++;
    }
  };
  const stepOwner = (event: ManagerEvent): void => {
    const world = worldOf(place.managerCrypto);
    const effects = charged('manager', () => stepManager(place.manager, event, world));
    for (const effect of effects) {
      if (effect.type === 'publish') deliver('manager', effect.topic, effect.payload);
      else if (effect.type === 'commit') turns.push(() => stepOwner({ type: 'committed', number: effect.number }));
    }
  };
  const wish = (device: TownDevice, act: (world: World) => void): void => {
    const world = worldOf(device.crypto);
    const effects = charged(roleOf(device), () => {
      device.state.out = [];
      device.state.charged = null;
      act(world);
      return device.state.out;
    });
    performDevice(device, effects);
  };
  const settle = (): void => {
    for (let at = 0; at < turns.length; at++) turns[at]!();
    turns.length = 0;
  };

  const connect = (caller: TownDevice, callee: DeviceId): void => {
    const call = { callee, lifetimeSeconds: null, allowUnencrypted: false, timeoutSeconds: 60 };
    opened = 0;
    wish(caller, (world) => startCall(caller.state, call, world));
    settle();
    if (opened !== 2) throw new Error(`the session of ${caller.id} came open on ${opened} sides`);
  };
  /** Not part of what is measured: what it costs is taken off again. */
  const end = (caller: TownDevice): void => {
    const [beforeCharges, beforeSteps] = [{ ...charges }, { ...steps }];
    const sid = [...caller.state.sessions.keys()][0]!;
    wish(caller, (world) => endSession(caller.state, sid, 'done', world));
    settle();
    if (caller.state.sessions.size > 0) throw new Error(`the session of ${caller.id} did not end`);
    place.clock.advance(5);
    for (const verifier of place.verifiers) verifier.speak(); // once a second
    place.flush();
    Object.assign(charges, beforeCharges);
    Object.assign(steps, beforeSteps);
  };

  let next = 0;
  const one = (): void => {
    const { caller, callee } = couples[next++ % pairs]!;
    connect(caller, callee.id);
    const packets = seen;
    seen = null;
    end(caller);
    seen = packets;
  };
  return {
    run(sessions) {
      Object.assign(charges, { caller: 0, callee: 0, manager: 0 });
      Object.assign(steps, { caller: 0, callee: 0, manager: 0 });
      for (let i = 0; i < sessions; i++) one();
      return { charges: { ...charges }, steps: { ...steps } };
    },
    packets() {
      seen = [];
      one();
      const packets = seen;
      seen = null;
      return packets;
    },
  };
}
