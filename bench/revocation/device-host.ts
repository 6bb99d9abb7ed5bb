/**
 * A process with devices that are about to be revoked, or with their peers: real agent machines on real links.
 */
import { readFileSync } from 'node:fs';
import type { News } from '../../device-agent/effects.ts';
import { sendData } from '../../device-agent/sessions.ts';
import { readCertificateFile } from '../../platform/certificate-file.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';
import { fleetMember, fleetSettings, type Member } from '../fleet/member.ts';
import type { DevicePapers } from '../fleet/papers.ts';
import type { FromHost, HostReport, ToHost } from './host-messages.ts';

const AT_ONCE = 16;
const TICK_MS = 10;
const WORD = encodeUtf8('still here');
const MAX_SESSIONS = 1024;

interface Conversation {
  readonly from: string;
  accepted: number;
  lastAt: number | null;
  endedAt: number | null;
  reason: string | null;
}

const crypto = nodeCrypto();
let members: Member[] = [];
let sessions = new Map<string, Conversation>();
let registered = 0;
let opened = 0;
let failed: string | null = null;
let unlinkedAt = new Map<string, number>();
let deaf = false;
let sent = 0;
let talking: NodeJS.Timeout | undefined;

const now = (): number => performance.timeOrigin + performance.now();
const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, TICK_MS));
const tell = (message: FromHost): void => void process.send!(message);

process.on('message', (message: ToHost) => {
  obey(message).then(
    () => message.type !== 'report' && message.type !== 'close' && tell({ type: 'done' }),
    (error: unknown) => tell({ type: 'failed', reason: String(error) }),
  );
});
process.on('disconnect', () => process.exit(1));

async function obey(message: ToHost): Promise<void> {
  switch (message.type) {
    case 'start':
      return start(message);
    case 'call':
      return call(message.callees, message.each);
    case 'talk':
      return talk(message.everyMs);
    case 'deafen':
      deaf = true;
      for (const member of members) member.deafen();
      return;
    case 'report':
      return tell({ type: 'report', report: reported() });
    case 'leave':
      return leave();
    case 'close':
      await leave();
      process.disconnect();
      return;
    default:
      message satisfies never;
  }
}

async function start({ url, anchorFile, devicesFile, lines }: ToHost & { type: 'start' }): Promise<void> {
  const settings = { ...fleetSettings(readCertificateFile(anchorFile)[0]), maxSessions: MAX_SESSIONS };
  const all = readFileSync(devicesFile, 'utf8').split('\n');
  for (const [index, line] of lines.entries()) {
    while (index - registered >= AT_ONCE) await pause();
    const papers = JSON.parse(all[line]!) as DevicePapers;
    const member: Member = fleetMember(url, settings, papers, crypto, {
      linked: () => {},
      unlinked: () => deaf && !unlinkedAt.has(papers.name) && unlinkedAt.set(papers.name, now()),
      sent: () => {},
      heard: () => {},
      news: (_member, news) => note(news),
    });
    members.push(member);
  }
  while (registered < lines.length) await pause();
}

function note(news: News): void {
  switch (news.news) {
    case 'registered':
      registered++;
      return;
    case 'sessionOpened':
      opened++;
      sessions.set(news.sid, { from: news.peer, accepted: 0, lastAt: null, endedAt: null, reason: null });
      return;
    case 'callFailed':
      failed = `${news.callee}: ${news.reason}`;
      return;
    case 'received': {
      const conversation = sessions.get(news.sid);
      if (conversation === undefined) return;
      conversation.accepted++;
      conversation.lastAt = now();
      return;
    }
    case 'sessionClosed': {
      const conversation = sessions.get(news.sid);
      if (conversation !== undefined) Object.assign(conversation, { endedAt: now(), reason: news.reason });
      return;
    }
  }
}

async function call(callees: readonly string[], each: number): Promise<void> {
  let begun = 0;
  for (let turn = 0; turn < each; turn++) {
    for (const callee of callees) {
      for (const member of members) {
        while (begun - opened >= AT_ONCE && failed === null) await pause();
        if (failed !== null) throw new Error(failed);
        member.call(callee);
        begun++;
      }
    }
  }
  while (opened < begun && failed === null) await pause();
  if (failed !== null) throw new Error(failed);
}

/** Each session has its own moment within the interval: never all at once. */
function talk(everyMs: number): void {
  const turns = members.flatMap((member) => [...member.state.sessions.keys()].map((sid) => ({ member, sid })));
  const began = performance.now();
  let done = 0;
  talking = setInterval(() => {
    const due = Math.floor(((performance.now() - began) / everyMs) * turns.length);
    // after a standstill nobody makes up for what was not said
    done = Math.max(done, due - turns.length);
    for (; done < due; done++) {
      const { member, sid } = turns[done % turns.length]!;
      member.wish((state, world) => {
        if (state.sessions.has(sid) && sendData(state, sid, WORD, world) === null) sent++;
      });
    }
  }, TICK_MS / 2);
}

function reported(): HostReport {
  const shown = [...sessions].map(([sid, conversation]) => ({ sid, ...conversation }));
  return { sessions: shown, unlinkedAt: [...unlinkedAt.values()], sent };
}

async function leave(): Promise<void> {
  clearInterval(talking);
  await Promise.all(members.map((member) => member.close()));
  members = [];
  sessions = new Map();
  unlinkedAt = new Map();
  [registered, opened, sent, deaf, failed] = [0, 0, 0, false, null];
}
