/**
 * A process of its own with some thousand devices of a fleet. @see bench/fleet/fleet.ts
 */
import { readFileSync } from 'node:fs';
import { readCertificateFile } from '../../platform/certificate-file.ts';
import { systemClock } from '../../platform/clock.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { decodeUtf8 } from '../../protocol/bytes.ts';
import { publicKeyOperations } from '../../protocol/crypto.ts';
import type { FleetCount, FromFleet, Return, ToFleet } from './fleet-messages.ts';
import { fleetMember, fleetSettings, type Member, type MemberEvents } from './member.ts';
import type { DevicePapers } from './papers.ts';

const RESUME = 0xd1;
const MESSAGE_1 = 0xe1;
const BUSY = 0xd3;
const GREETING = 'still there?';
const TICK_MS = 20;

const crypto = nodeCrypto();
const clock = systemClock();
const members: Member[] = [];
let paired: Member[] = [];
let registered = 0;
let messages = 0;

interface Marked {
  readonly operations: number;
  readonly returns: Map<string, Return>;
  readonly links: Record<number, number>;
  readonly openings: Record<number, number>;
  resumes: number;
  logins: number;
  busy: number;
  readonly lost: Record<string, number>;
}
let mark = marked();

function marked(): Marked {
  const operations = publicKeyOperations(crypto.counter);
  return { operations, returns: new Map(), links: {}, openings: {}, resumes: 0, logins: 0, busy: 0, lost: {} };
}

const count = (by: Record<number, number>): void => {
  const second = Math.floor(Date.now() / 1000);
  by[second] = (by[second] ?? 0) + 1;
};

const events: MemberEvents = {
  linked: () => count(mark.links),
  sent(firstByte) {
    if (firstByte === RESUME) mark.resumes++;
    if (firstByte === MESSAGE_1) mark.logins++;
  },
  heard(firstByte) {
    if (firstByte === BUSY) mark.busy++;
  },
  news({ id }, news) {
    switch (news.news) {
      case 'channelOpened':
        count(mark.openings);
        if (!mark.returns.has(id)) mark.returns.set(id, { at: Date.now(), how: news.how });
        return;
      case 'registered':
        registered++;
        return;
      case 'sessionClosed':
        mark.lost[`${news.closedBy}: ${news.reason}`] = (mark.lost[`${news.closedBy}: ${news.reason}`] ?? 0) + 1;
        return;
      case 'received':
        if (decodeUtf8(news.payload) === GREETING) messages++;
        return;
    }
  },
};

const tell = (message: FromFleet): void => void process.send!(message);
process.on('message', (message: ToFleet) => {
  obey(message).catch((error: unknown) => tell({ type: 'failed', reason: String(error) }));
});
process.on('disconnect', () => process.exit(1));

async function obey(message: ToFleet): Promise<void> {
  switch (message.type) {
    case 'start':
      start(message);
      return tell({ type: 'ready' });
    case 'connect':
      paired = members.slice(0, 2 * message.pairs);
      for (let i = 0; i + 1 < paired.length; i += 2) paired[i]!.call(paired[i + 1]!.id);
      return tell({ type: 'done' });
    case 'mark':
      mark = marked();
      return tell({ type: 'done' });
    case 'talk':
      messages = 0;
      for (const member of paired) member.say(GREETING);
      return tell({ type: 'done' });
    case 'ask':
      return tell({ type: 'count', count: counted() });
    case 'close':
      await Promise.all(members.map((member) => member.close()));
      process.disconnect();
      return;
    default:
      message satisfies never;
  }
}

function start({ url, anchorFile, devicesFile, from, count: wanted, atOnce }: ToFleet & { type: 'start' }): void {
  const settings = fleetSettings(readCertificateFile(anchorFile)[0]);
  const lines = readFileSync(devicesFile, 'utf8')
    .split('\n')
    .slice(from, from + wanted);
  const timer = setInterval(() => {
    while (members.length < lines.length && members.length - registered < atOnce) {
      const papers = JSON.parse(lines[members.length]!) as DevicePapers;
      members.push(fleetMember(url, settings, papers, crypto, events));
    }
    if (members.length === lines.length) clearInterval(timer);
  }, TICK_MS);
}

function counted(): FleetCount {
  const { user, system } = process.cpuUsage();
  return {
    devices: members.length,
    inside: members.filter(({ state }) => state.channel !== null).length,
    registered,
    outside: members
      .filter(({ state }) => state.channel === null)
      .slice(0, SHOWN)
      .map(whereabouts),
    sessions: members.reduce(
      (sum, { state }) => sum + [...state.sessions.values()].filter((one) => one.state.name === 'open').length,
      0,
    ),
    messages,
    returns: [...mark.returns.values()],
    linksBySecond: mark.links,
    openingsBySecond: mark.openings,
    resumesSent: mark.resumes,
    loginsSent: mark.logins,
    busyHeard: mark.busy,
    publicKeyOperations: publicKeyOperations(crypto.counter) - mark.operations,
    sessionsLost: mark.lost,
    cpuMicros: user + system,
    residentBytes: process.memoryUsage.rss(),
  };
}

const SHOWN = 5;

function whereabouts({ id, state }: Member): string {
  const { link, joining, restUntil, failures, promoted } = state;
  const waits = restUntil === null ? '' : `, rests ${Math.round(restUntil - clock.now())} ms`;
  const step = joining === null ? 'no exchange' : `${joining.step.name}, repeated ${joining.repeats} times`;
  return `${id}: ${link === null ? 'no link' : promoted ? 'a link of its own' : 'a new link'}, ${step}, ${failures} failures${waits}`;
}
