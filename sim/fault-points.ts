/**
 * One session from its call to its end, with a restart of the callee in the middle, and faults at chosen messages: for the
 * search through all of them, one by one and in pairs.
 */
import { approveAsk } from '../device-agent/answering.ts';
import { endSession, sendData } from '../device-agent/sessions.ts';
import { encodeUtf8 } from '../protocol/bytes.ts';
import { type Action, FORWARD } from './adversary.ts';
import { type Invariants, watchInvariants } from './invariants.ts';
import { BROKER, MANAGER, VERIFIER } from './party.ts';
import { createWorld, type SimWorld } from './world.ts';

export const FAULTS = ['drop', 'double', 'delay', 'kill caller', 'kill callee', 'kill manager', 'kill broker'] as const;
export type Fault = (typeof FAULTS)[number];

export interface FaultPoint {
  /** Counts the messages that reach the broker after the logins, from 1. */
  readonly message: number;
  readonly fault: Fault;
}

export interface FaultRun {
  readonly world: SimWorld;
  readonly invariants: Invariants;
  readonly messages: number;
  /** Whether the call brought a session, and a later one does. */
  readonly opened: boolean;
  readonly opensAfter: boolean;
}

const CALLER = 'phone';
const CALLEE = 'tv';
const LOGIN_MS = 2000;
const RESTART_AT_MS = 4000;
const END_AT_MS = 20_000;
const REST_AT_MS = 400_000;
const AWAY_MS = 1000;
const DELAY_MS = 3000;

export function runWithFaults(points: readonly FaultPoint[]): FaultRun {
  const approval = { rules: [], otherwise: 'ask', askTimeoutSeconds: 30, busy: false } as const;
  const world = createWorld(
    {
      crypto: 'model',
      keepTrace: false,
      devices: [{ name: CALLER }, { name: CALLEE, settings: { approval } }],
      verifier: { maxAgeSeconds: 86_400 },
    },
    'fault points',
  );
  const invariants = watchInvariants(world);
  const caller = world.devices.get(CALLER)!;
  const callee = world.devices.get(CALLEE)!;
  let opened = 0;
  world.observe({
    news(device, news) {
      if (news.news === 'sessionOpened' && news.role === 'caller') opened++;
      if (news.news === 'sessionOpened') say(device.id, news.sid);
      if (news.news !== 'asked') return;
      invariants.approved(device.id, news.sid);
      device.run((state, now) => approveAsk(state, news.sid, now));
    },
  });
  let letters = 0;
  const say = (from: string, sid: string): void => {
    const text = `${from} ${sid} ${letters++}`;
    invariants.sent(from, sid, text);
    world.devices.get(from)!.run((state, now) => void sendData(state, sid, encodeUtf8(text), now));
  };
  const kill = (party: string): void => {
    world.at(world.now() / 1000, () => world.crash(party));
    world.at(world.now() / 1000 + AWAY_MS, () => world.restart(party));
  };

  world.runUntil(LOGIN_MS);
  let messages = 0;
  world.adversary = {
    onPacket() {
      messages++;
      const actions: Action[] = [...FORWARD];
      for (const { message, fault } of points) {
        if (message !== messages) continue;
        if (fault === 'drop') actions.length = 0;
        else if (fault === 'double') actions.push({ do: 'forward' });
        else if (fault === 'delay') actions.splice(0, actions.length, { do: 'forward', afterMs: DELAY_MS });
        else
          kill({ 'kill caller': CALLER, 'kill callee': CALLEE, 'kill manager': MANAGER, 'kill broker': BROKER }[fault]);
      }
      return actions;
    },
  };
  const call = (): void => {
    if (!caller.running) return;
    invariants.called(CALLER, CALLEE);
    caller.call(CALLEE);
  };
  call();
  world.at(RESTART_AT_MS, () => kill(CALLEE));
  world.at(END_AT_MS, () => {
    for (const sid of caller.state.sessions.keys()) {
      invariants.ended(sid);
      if (caller.running) caller.run((state, now) => endSession(state, sid, 'done', now));
    }
  });
  world.runUntil(END_AT_MS + AWAY_MS);
  for (const party of [BROKER, MANAGER, VERIFIER, CALLER, CALLEE]) world.restart(party);
  world.adversary = null;
  for (const name of [CALLER, CALLEE]) world.breakLink(name);
  const before = opened;
  world.runUntil(REST_AT_MS);
  invariants.judgeAtRest(true);
  call();
  world.runUntil(REST_AT_MS + LOGIN_MS);
  return { world, invariants, messages, opened: before > 0, opensAfter: opened > before && callee.running };
}
