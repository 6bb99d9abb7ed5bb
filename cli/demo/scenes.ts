/**
 * The five scenes: what the two devices of each do, and what is to come of it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ControlError, type JsonValue } from '../../platform/control-socket.ts';
import { Failure } from '../failure.ts';
import { FRIDGE_MAC } from './household.ts';
import { costs, NO_COST, type OpeningCost, type SessionReport } from './report.ts';
import type { Stack } from './stack.ts';

export interface Scene {
  readonly title: string;
  readonly caller: string;
  readonly callee: string;
  /** The name by which the caller asks. */
  readonly by: string;
  /** The callee closes its channel first. */
  readonly calleeSleeps: boolean;
  readonly words: readonly [fromCaller: string, fromCallee: string] | null;
  readonly closes: 'caller' | 'callee' | null;
  /** Told to the peer by the manager, or directly. */
  readonly through: 'manager' | 'peer';
  readonly expected:
    | { readonly outcome: 'open'; readonly keyMode: 'key' | 'seed' }
    | { readonly outcome: 'refused'; readonly reason: string };
}

export const SCENES: readonly Scene[] = [
  {
    title: 'The router asks for the phone: the key comes as a seed',
    caller: 'router',
    callee: 'phone',
    by: 'phone',
    calleeSleeps: false,
    words: ['good morning', 'good morning to you'],
    closes: 'caller',
    through: 'manager',
    expected: { outcome: 'open', keyMode: 'seed' },
  },
  {
    title: 'The router asks for the fridge: the key comes as it is, for a cipher that both can run',
    caller: 'router',
    callee: 'fridge',
    by: 'fridge',
    calleeSleeps: false,
    words: ['how cold is it?', '4.1 °C'],
    closes: 'callee',
    through: 'peer',
    expected: { outcome: 'open', keyMode: 'key' },
  },
  {
    title: 'The fridge has closed its channel; the router asks for its MAC address, and the manager opens it again',
    caller: 'router',
    callee: 'fridge',
    by: FRIDGE_MAC,
    calleeSleeps: true,
    words: ['and now?', '4.0 °C'],
    closes: 'caller',
    through: 'manager',
    expected: { outcome: 'open', keyMode: 'key' },
  },
  {
    title: 'The fridge asks for the router, which does not want to talk to it',
    caller: 'fridge',
    callee: 'router',
    by: 'router.home.example',
    calleeSleeps: false,
    words: null,
    closes: null,
    through: 'manager',
    expected: { outcome: 'refused', reason: 'refused-by-policy' },
  },
  {
    title: 'The phone asks for the fridge: no suite that both can run',
    caller: 'phone',
    callee: 'fridge',
    by: 'fridge',
    calleeSleeps: false,
    words: null,
    closes: null,
    through: 'manager',
    expected: { outcome: 'refused', reason: 'no-common-suite' },
  },
];

type News = { readonly [key: string]: JsonValue };

/** What the agents told since the stack was up. */
export interface Ear {
  readonly heard: readonly { readonly device: string; readonly news: News }[];
  /** @throws Failure when it does not come in time */
  until(device: string, what: string, fits: (news: News) => boolean): Promise<News>;
}

const HEAR_MS = 10_000;

/** Listens to every agent. */
export function listenTo(stack: Stack, devices: readonly string[]): Ear {
  const heard: { device: string; news: News }[] = [];
  const waiting = new Set<() => void>();
  for (const device of devices) {
    const listening = stack.ask(device, 'listen', {}, (news) => {
      heard.push({ device, news: news as News });
      for (const wake of [...waiting]) wake();
    });
    listening.catch(() => {}); // it ends with the stack, by its time limit or with an accident that is reported there
  }
  return {
    heard,
    until: (device, what, fits) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = heard.find((one) => one.device === device && fits(one.news));
          if (found === undefined) return;
          clearTimeout(late);
          waiting.delete(look);
          resolve(found.news);
        };
        const late = setTimeout(() => {
          waiting.delete(look);
          reject(new Failure('timeout', 'not-heard', `${device}: ${what} did not come in 10 s`));
        }, HEAR_MS);
        waiting.add(look);
        look();
      }),
  };
}

/** Plays one scene. @throws Failure when something else comes of it than expected */
export async function play(scene: Scene, stack: Stack, ear: Ear): Promise<SessionReport> {
  if (scene.calleeSleeps) {
    await stack.ask(scene.callee, 'close', { channel: true });
    await sleep(50);
  }
  const outcome = await connect(scene, stack, ear);
  const { expected } = scene;
  if (outcome.outcome !== expected.outcome) {
    throw new Failure(
      'refused',
      'demo-failed',
      `${scene.caller} and ${scene.callee}: ${outcome.outcome}${outcome.reason === null ? '' : ` (${outcome.reason})`}, expected was ${expected.outcome}`,
    );
  }
  const fits = expected.outcome === 'open' ? outcome.keyMode === expected.keyMode : outcome.reason === expected.reason;
  if (!fits)
    throw new Failure(
      'refused',
      'demo-failed',
      `${scene.caller} and ${scene.callee}: ${outcome.keyMode ?? outcome.reason}`,
    );
  return outcome;
}

async function connect(scene: Scene, stack: Stack, ear: Ear): Promise<SessionReport> {
  const { caller, callee } = scene;
  const before = ear.heard.length;
  const parties = { caller, callee };
  try {
    const session = (await stack.ask(caller, 'connect', { callee: scene.by })) as {
      sid: string;
      suite: string;
      keyMode: 'key' | 'seed';
    };
    const { sid, suite, keyMode } = session;
    await ear.until(callee, `the session with ${caller}`, (news) => news.event === 'session.open' && news.sid === sid);
    const delivered = scene.words === null ? false : await exchange(scene.words, sid, scene, stack, ear);
    const [callerCost, calleeCost] = [await costOf(stack, caller, sid), await costOf(stack, callee, sid)];
    const closedBy = await close(scene, sid, stack, ear);
    return {
      sid,
      ...parties,
      outcome: 'open',
      reason: null,
      suite,
      keyMode,
      ...costs(callerCost, calleeCost),
      delivered,
      closedBy,
    };
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    const news = ear.heard.slice(before).map((one) => one.news);
    const refused = news.find(({ event }) => event === 'ask.refused');
    const failed = news.find(({ event }) => event === 'call.failed');
    const cost = costs(openingOf(failed), openingOf(refused));
    const sid = typeof refused?.sid === 'string' ? refused.sid : null;
    return {
      sid,
      ...parties,
      outcome: 'refused',
      reason: error.code,
      suite: null,
      keyMode: null,
      ...cost,
      delivered: false,
      closedBy: null,
    };
  }
}

const openingOf = (news: News | undefined): OpeningCost =>
  (news?.opening as unknown as OpeningCost | undefined) ?? NO_COST;

async function exchange(
  [there, back]: readonly [string, string],
  sid: string,
  { caller, callee }: Scene,
  stack: Stack,
  ear: Ear,
): Promise<boolean> {
  const arrives = (device: string, text: string) =>
    ear.until(device, `"${text}"`, (news) => news.event === 'message' && news.sid === sid && news.text === text);
  await stack.ask(caller, 'send', { to: sid, text: there });
  await arrives(callee, there);
  await stack.ask(callee, 'send', { to: sid, text: back });
  await arrives(caller, back);
  return true;
}

async function costOf(stack: Stack, device: string, sid: string): Promise<OpeningCost> {
  const { sessions } = (await stack.ask(device, 'status', {})) as unknown as {
    sessions: { sid: string; opening: OpeningCost }[];
  };
  return sessions.find((session) => session.sid === sid)?.opening ?? NO_COST;
}

async function close(scene: Scene, sid: string, stack: Stack, ear: Ear): Promise<SessionReport['closedBy']> {
  if (scene.closes === null) return null;
  const [closer, other] = scene.closes === 'caller' ? [scene.caller, scene.callee] : [scene.callee, scene.caller];
  await stack.ask(closer, 'close', { sid, through: scene.through });
  const told = await ear.until(
    other,
    'the end of the session',
    (news) => news.event === 'session.closed' && news.sid === sid,
  );
  return told.closedBy as SessionReport['closedBy'];
}
