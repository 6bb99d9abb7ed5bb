/**
 * Two devices that open and end sessions with each other all the time: what a user notices while thousands come back.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { endSession } from '../../device-agent/sessions.ts';
import type { AgentSettings } from '../../device-agent/state.ts';
import { readCertificateFile } from '../../platform/certificate-file.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { fleetMember, fleetSettings, type Member } from './member.ts';
import type { DevicePapers, Papers } from './papers.ts';

export interface Probe {
  /** Calls that begin from here on are counted. */
  mark(): void;
  /**
   * Milliseconds from Connect until the caller has heard the callee, of calls that began while both devices held their
   * channels for open.
   */
  readonly latencies: readonly number[];
  /** Calls that failed after they had begun so. */
  readonly failures: number;
  close(): Promise<void>;
}

const EVERY_MS = 100;

/** @param lines  of the papers: caller and callee */
export function startProbe(url: string, papers: Papers, lines: readonly [number, number]): Promise<Probe> {
  const settings = fleetSettings(readCertificateFile(join(papers.directory, 'ca/root.pem'))[0]);
  const all = readFileSync(papers.devicesFile, 'utf8').split('\n');
  const [caller, callee] = lines.map((line) => JSON.parse(all[line]!) as DevicePapers) as [DevicePapers, DevicePapers];
  return probeBetween(url, settings, [caller, callee]);
}

/** @param couple  caller and callee */
export async function probeBetween(
  url: string,
  settings: AgentSettings,
  couple: readonly [DevicePapers, DevicePapers],
): Promise<Probe> {
  const crypto = nodeCrypto();
  let latencies: number[] = [];
  let failures = 0;
  /** The call under way began after the mark. */
  let counts = false;
  let under: number | null = null;
  const opened = Promise.withResolvers<void>();
  let registered = 0;
  const [caller, callee] = couple.map((papers) =>
    fleetMember(url, settings, papers, crypto, {
      linked: () => {},
      sent: () => {},
      heard: () => {},
      news(member, news) {
        if (news.news === 'registered' && ++registered === 2) opened.resolve();
        if (member.id !== caller.id || under === null) return;
        if (news.news === 'sessionOpened') {
          if (counts) latencies.push(performance.now() - under);
          member.wish((state, world) => endSession(state, news.sid, 'done', world));
        }
        if (news.news === 'callFailed') {
          if (counts) failures++;
          under = null;
        }
        if (news.news === 'sessionClosed') under = null;
      },
    }),
  ) as [Member, Member];
  const timer = setInterval(() => {
    if (under !== null || caller.state.channel === null || callee.state.channel === null) return;
    [under, counts] = [performance.now(), true];
    caller.call(callee.id);
  }, EVERY_MS);
  await opened.promise;
  return {
    mark() {
      [latencies, failures, counts] = [[], 0, false];
    },
    get latencies() {
      return latencies;
    },
    get failures() {
      return failures;
    },
    async close() {
      clearInterval(timer);
      await Promise.all([caller.close(), callee.close()]);
    },
  };
}
