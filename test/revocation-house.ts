/**
 * A house in which somebody is revoked while he talks: how soon his link is cut, his registration marked, his sessions
 * ended at the peers, and what the last record was that anybody accepted from him.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { initAuthority, issueCertificate } from '../cli/ca/authority.ts';
import { callControl, type JsonValue } from '../platform/control-socket.ts';
import { nodeCrypto } from '../platform/crypto-node.ts';
import type { House, News, Wanted } from './real-house.ts';
import { type LogLine, runCommand } from './real-process.ts';

/** From the command's end, the change of a file or the end of a fetch, until everything holds. (B6) */
export const IN_TIME_MS = 5_000;
/** So much later at most a test gives up. */
const PATIENCE_MS = 20_000;
const LOOK_MS = 20;
const TALK_EVERY_MS = 100;

export const PROPOSALS = 'proposals: [{ cipher: aes-gcm, keyBits: 128, keyMode: seed }]\nmeasureCosts: false\n';

export interface Heard {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly news: News;
}

/** Like `House.hear`, with the time of each. */
export interface TimedEar {
  readonly heard: readonly Heard[];
  until(what: string, fits: (news: News) => boolean): Promise<Heard>;
}

export async function hearWithTimes(house: House, id: string): Promise<TimedEar> {
  const heard: Heard[] = [];
  const onEvent = (news: JsonValue): void => void heard.push({ at: Date.now(), news: news as News });
  callControl(house.at(id, 'agent.sock'), 'listen', {}, { onEvent }).catch(() => {}); // it ends with the agent
  await house.ask(id, 'status'); // asked after it: the agent listens by now
  return {
    heard,
    until: (what, fits) => untilSome(`${id} hears ${what}`, () => heard.find(({ news }) => fits(news)) ?? null),
  };
}

/** @returns what `look` finds @throws AssertionError when it finds nothing for 20 s */
export async function untilSome<T>(what: string, look: () => T | null | Promise<T | null>): Promise<T> {
  const began = performance.now();
  for (;;) {
    const found = await look();
    if (found !== null) return found;
    assert.ok(performance.now() - began < PATIENCE_MS, `not in ${PATIENCE_MS / 1000} s: ${what}`);
    await pause(LOOK_MS);
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Everybody right under the root, and a list of it. */
export function certifyUnderRoot(directory: string, wanted: readonly Wanted[]): void {
  const world = { crypto: nodeCrypto(), now: Math.floor(Date.now() / 1000) };
  initAuthority(`${directory}/ca`, { name: 'House CA', algorithm: 'p256', years: 1 }, world);
  const outDir = `${directory}/certificates`;
  for (const one of wanted) issueCertificate(`${directory}/ca`, { ...one, days: 30, algorithm: 'p256', outDir }, world);
}

/** Milliseconds since 1970. */
export interface Span {
  readonly began: number;
  readonly ended: number;
}

/** `kagimori ca revoke`. */
export async function revokeByCommand(house: House, name: string): Promise<Span> {
  const began = Date.now();
  const { code, stderr } = await runCommand(['ca', 'revoke', name, '--dir', house.at('ca')]);
  assert.equal(code, 0, stderr);
  return { began, ended: Date.now() };
}

export const fromNow = (): Span => ({ began: Date.now(), ended: Date.now() });

// ── Talk ────────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Talk {
  readonly sid: string;
  readonly victim: string;
  readonly peer: string;
  /** The peer's. */
  readonly ear: TimedEar;
}

/** Opens a session, over which the victim talks from now on as long as it can. */
export async function talk(
  t: TestContext,
  house: House,
  { victim, peer, ear, caller = victim }: Omit<Talk, 'sid'> & { readonly caller?: string },
): Promise<Talk> {
  const callee = caller === victim ? peer : victim;
  const { sid } = (await house.ask(caller, 'connect', { callee })) as { sid: string };
  let count = 0;
  const timer = setInterval(() => {
    house.ask(victim, 'send', { to: sid, text: `${victim} ${++count}` }).catch(() => {}); // the session is over
  }, TALK_EVERY_MS);
  t.after(() => clearInterval(timer));
  await ear.until('the first word', (news) => news.event === 'message' && news.sid === sid);
  return { sid, victim, peer, ear };
}

// ── The way out ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** Milliseconds since the revocation; of peers the slowest. */
export interface WayOut {
  /** The device noticed that its link had ended; null: it need not. */
  readonly linkCut: number | null;
  readonly marked: number;
  readonly told: number;
  /** Negative: before it. */
  readonly lastRecord: number;
}

/** What need not be looked for. */
export interface Expected {
  readonly linkCut?: boolean;
  readonly talking?: boolean;
}

/** Waits until the victim is out. @param revocation  what is measured counts from its end, which may be late */
export async function wayOut(
  house: House,
  victim: string,
  { began, ended: since }: Span,
  talks: readonly Talk[],
  { linkCut = true, talking = true }: Expected = {},
): Promise<WayOut> {
  const of = talks.filter((one) => one.victim === victim);
  const link = linkCut ? loggedSince(house, victim, began, 'broker.down').then(timeOf) : null;
  const marked = untilSome(`${victim} is marked`, async () => {
    const { revokedAt } = (await house.ask('manager', 'device.show', { id: victim })) as { revokedAt: string | null };
    return revokedAt === null ? null : Date.now();
  });
  const ends = await Promise.all(
    of.map(({ sid, ear }) => ear.until('the end', (news) => news.event === 'session.closed' && news.sid === sid)),
  );
  for (const { news } of ends) assert.deepEqual([news.reason, news.closedBy], ['revoked', 'manager'], victim);
  const words = of.map(({ sid, ear }) =>
    ear.heard.findLast(({ news }) => news.event === 'message' && news.sid === sid && news.from === victim),
  );
  const lastWords = words.map((word) => (word === undefined ? Number.NEGATIVE_INFINITY : word.at - since));
  if (talking) for (const at of lastWords) assert.ok(at > -1000, `${victim} talked when it was revoked: ${at} ms`);
  return {
    linkCut: link === null ? null : (await link) - since,
    marked: (await marked) - since,
    told: Math.max(...ends.map(({ at }) => at)) - since,
    lastRecord: Math.max(...lastWords),
  };
}

/** @throws AssertionError when anything took longer than was promised */
export function assertInTime(t: TestContext, what: string, out: WayOut, since = ''): void {
  t.diagnostic(`${what}: ${JSON.stringify(out)} ms${since}`);
  for (const [step, ms] of Object.entries(out))
    assert.ok(ms === null || ms <= IN_TIME_MS, `${what}: ${step} after ${ms} ms`);
}

export const timeOf = (line: LogLine): number => Date.parse(String(line.time));

/** The first line of that event that was written since then. */
export function loggedSince(
  house: House,
  party: string,
  since: number,
  event: string,
  fits: (line: LogLine) => boolean = () => true,
): Promise<LogLine> {
  const wanted = (line: LogLine): boolean => line.event === event && timeOf(line) >= since && fits(line);
  return house.running(party).logged(`${event} of ${party}`, wanted);
}

/** A device that was revoked asks to be let in again and again. @param since  of the revocation, ms since 1970 */
export async function assertStaysOut(house: House, victim: string, since: number): Promise<void> {
  const denied = await untilSome(`${victim} is denied`, async () => {
    const { denied: reason } = (await house.ask(victim, 'status')) as { denied: string | null };
    return reason;
  });
  assert.equal(denied, 'revoked');
  const { channel, sessions } = (await house.ask('manager', 'device.show', { id: victim })) as {
    readonly channel: object | null;
    readonly sessions: readonly string[];
  };
  assert.deepEqual([channel, sessions], [null, []], victim);
  const letIn = house.ran
    .flatMap(({ log }) => log)
    .filter((line) => line.event === 'channel.opened' && line.device === victim && timeOf(line) >= since);
  assert.deepEqual(letIn, [], `${victim} was let in again`);
}
