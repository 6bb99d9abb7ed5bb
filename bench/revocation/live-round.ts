/**
 * One round: devices that do not want to stop talk in all their sessions, and are revoked by one new list.
 */
import { nameOf, type Papers } from '../fleet/papers.ts';
import { startServices } from '../fleet/services.ts';
import { pause, quantile } from '../fleet/storm-run.ts';
import { fleetList } from './fleet-list.ts';
import type { HostReport } from './host-messages.ts';
import { hostDevices } from './hosted-devices.ts';

/** How the sessions are spread over devices: `revoked` × `peers` × `each`. */
export interface Spread {
  readonly revoked: number;
  readonly peers: number;
  readonly each: number;
  /** A record in each session so often. */
  readonly everyMs: number;
  /** On the list already. */
  readonly entries: number;
}

/** Milliseconds since the new list was there. */
export interface Round {
  /** Of each session the last record that its peer accepted, in order. */
  readonly lastRecordMs: readonly number[];
  /** Of each session, when its peer heard that it was over, in order. */
  readonly toldMs: readonly number[];
  /** Of each revoked device. */
  readonly linkCutMs: readonly number[];
  /** Records a second that passed before. */
  readonly recordsPerSecond: number;
  readonly listBytes: number;
}

const TALK_MS = 3_000;
/** After it everything has to be over; who goes on is found out by it too. */
const PATIENCE_MS = 20_000;
/** So long it is listened for records that come after all was over. */
const AFTER_MS = 1_500;
const LOOK_MS = 100;

export const sessionsOf = ({ revoked, peers, each }: Spread): number => revoked * peers * each;
/** Papers that so many rounds take. */
export const devicesFor = ({ revoked, peers }: Spread, rounds: number): number => peers + revoked * rounds;

/** @throws Error when a session went on, or ended for another reason: then the figures mean nothing */
export async function liveRounds(
  papers: Papers,
  spread: Spread,
  rounds: number,
  progress: (part: number) => void,
): Promise<Round[]> {
  const list = fleetList(papers, spread.entries);
  const services = await startServices(papers, {
    crlFile: list.file,
    managerYaml: 'limits: { loginsPerSecond: 1000 }\n',
  });
  const [peers, revoked] = [hostDevices(), hostDevices()];
  const { url } = services;
  const files = { url, anchorFile: `${papers.directory}/ca/root.pem`, devicesFile: papers.devicesFile };
  const lines = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);
  try {
    const done: Round[] = [];
    for (let round = 0; round < rounds; round++) {
      progress(round / rounds);
      const out = lines(spread.peers + round * spread.revoked, spread.revoked);
      await peers.say({ type: 'start', ...files, lines: lines(0, spread.peers) });
      await revoked.say({ type: 'start', ...files, lines: out });
      await revoked.say({ type: 'call', callees: lines(0, spread.peers).map(nameOf), each: spread.each });
      await revoked.say({ type: 'talk', everyMs: spread.everyMs });
      await pause(TALK_MS);
      const { sent } = await revoked.report();
      await revoked.say({ type: 'deafen' });
      const since = list.revoke(out);
      const heard = await untilOver(peers, sessionsOf(spread));
      const { unlinkedAt } = await revoked.report();
      const after = (times: readonly number[]): number[] => times.map((at) => at - since).sort((a, b) => a - b);
      done.push({
        lastRecordMs: after(heard.sessions.map(({ lastAt }) => lastAt!)),
        toldMs: after(heard.sessions.map(({ endedAt }) => endedAt!)),
        linkCutMs: after(unlinkedAt),
        recordsPerSecond: sent / (TALK_MS / 1000),
        listBytes: list.bytes,
      });
      await Promise.all([peers, revoked].map((host) => host.say({ type: 'leave' })));
    }
    return done;
  } finally {
    await Promise.all([peers, revoked].map((host) => host.close()));
    await services.close();
    list.remove();
  }
}

async function untilOver(peers: { report(): Promise<HostReport> }, sessions: number): Promise<HostReport> {
  const began = performance.now();
  let heard = await peers.report();
  while (heard.sessions.some(({ endedAt }) => endedAt === null) && performance.now() - began < PATIENCE_MS) {
    await pause(LOOK_MS);
    heard = await peers.report();
  }
  await pause(AFTER_MS);
  heard = await peers.report();
  requireAllOver(heard, sessions);
  return heard;
}

/** @throws Error */
export function requireAllOver({ sessions: heard }: HostReport, sessions: number): void {
  const faults: readonly (readonly [number, string])[] = [
    [sessions - heard.length, 'sessions were never open'],
    [heard.filter(({ accepted }) => accepted === 0).length, 'sessions carried no record'],
    [heard.filter(({ endedAt }) => endedAt === null).length, 'sessions go on'],
    [heard.filter(({ endedAt, reason }) => endedAt !== null && reason !== 'revoked').length, 'have another reason'],
    [heard.filter(({ lastAt, endedAt }) => endedAt !== null && lastAt! > endedAt).length, 'took records after the end'],
  ];
  const wrong = faults.filter(([number]) => number !== 0).map(([number, what]) => `${number} ${what}`);
  if (wrong.length > 0) throw new Error(`of ${sessions} sessions of revoked devices: ${wrong.join('; ')}`);
}

export const shareOf = (rounds: readonly Round[], of: (round: Round) => readonly number[], part: number): number[] =>
  rounds.map((round) => quantile(of(round), part));
