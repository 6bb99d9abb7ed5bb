/**
 * What must hold in every world, whatever is lost, killed or replayed: watched while it runs, and looked at once more when
 * it has come to rest. Each finding names its law, so that a planted fault can be seen to be caught by the law it breaks.
 */
import type { Session } from '../device-agent/state.ts';
import { equal, toHex } from '../protocol/bytes.ts';
import { CIPHERS } from '../protocol/suites.ts';
import { type ApprovalDeeds, watchApproval } from './approval-laws.ts';
import type { DeviceParty } from './device-party.ts';
import { MICROS_PER_MS } from './event-queue.ts';
import { watchRevocation } from './revocation-laws.ts';
import type { SimWorld } from './world.ts';

export const LAWS = {
  nonce: 'no key seals twice under one nonce',
  hidden: 'what a program says in a session that encrypts is nowhere to be read on its way',
  once: 'no grant and no key is installed twice',
  consent: 'no key without the consent of both devices',
  yes: 'no grant is made, and no key installed, before the callee has said yes, now or beforehand',
  withdrawn: 'after a withdrawal nothing of that session is granted or installed',
  identity: 'who holds a session with whom, in which role and under which keys, is the same on both sides',
  data: 'what a program gets was sent by that peer in that session, and comes once',
  agreement: 'at rest both devices hold a session, and the manager knows it, or none of the three does',
  waiting: 'at rest nobody waits for anything',
  alive: 'no session that nobody ended is lost',
  revoked: 'within 5 s who is revoked has no channel, gets no grant, and nothing that it says is opened by anybody',
  silent: 'no grant is made when no verifier was heard for 3 s',
} as const;
export type Law = keyof typeof LAWS;

export interface Finding {
  readonly law: Law;
  readonly atMs: number;
  readonly what: string;
}

/** What the driver of the world did, against which it is judged. */
export interface Deeds extends ApprovalDeeds {
  /** A program on the device wants a session. */
  called(device: string, callee: string): void;
  /** Somebody ended it, or refused to go on: it need not be there any more. */
  ended(sid: string): void;
  sent(device: string, sid: string, text: string): void;
  /** The verifier has been told so. */
  revoked(device: string): void;
}

export interface Invariants extends Deeds {
  readonly findings: readonly Finding[];
  /** How often each law was looked at: a law that is never looked at proves nothing. */
  readonly looks: Readonly<Record<Law, number>>;
  /**
   * Everything runs, nothing is on the way.
   * @param mustLive  whether sessions that were open and that nobody ended have to be there
   */
  judgeAtRest(mustLive: boolean): void;
}

interface Installed {
  readonly device: string;
  readonly peer: string;
  readonly role: 'caller' | 'callee';
  readonly sending: string;
  readonly receiving: string;
}

export function watchInvariants(world: SimWorld): Invariants {
  const findings: Finding[] = [];
  const looks = Object.fromEntries(Object.keys(LAWS).map((law) => [law, 0])) as Record<Law, number>;
  const look = (law: Law, holds: boolean, what: () => string): void => {
    looks[law]++;
    if (!holds) findings.push({ law, atMs: world.now() / MICROS_PER_MS, what: what() });
  };

  const nonces = new Set<string>();
  /** What was said where it has to be hidden. */
  const secrets: Buffer[] = [];
  /** By device, sid and epoch; by device and key. */
  const installations = new Set<string>();
  /** By sid and epoch. */
  const holders = new Map<string, Installed[]>();
  const calls = new Map<string, number>();
  const callers = new Map<string, Set<string>>();
  const approval = watchApproval(world, look);
  const over = new Set<string>();
  const opened = new Map<string, Set<string>>();
  const letters = new Map<
    string,
    { readonly from: string; readonly sid: string; readonly isOut: boolean; got: number }
  >();
  const revocation = watchRevocation(world, look);

  const installed = (device: DeviceParty, sid: string, { epoch, peer, role, name, records }: Session): void => {
    const key = toHex(records.keys.senderKey);
    for (const one of [`${device.id} ${sid} ${epoch}`, `${device.id} ${key}`]) {
      look('once', !installations.has(one), () => `${device.id} installs ${one} again`);
      installations.add(one);
    }
    const mine: Installed = {
      device: device.id,
      peer,
      role,
      sending: key,
      receiving: toHex(records.keys.recipientKey),
    };
    if (role === 'callee') {
      look('consent', approval.isApproved(device.id, sid), () => `${device.id} did not approve ${sid} from ${peer}`);
    } else {
      // a grant that was lost may be made again after a restart: as many sessions as calls, whatever their epoch
      const pair = `${device.id} ${name}`;
      const sids = (callers.get(pair) ?? new Set()).add(sid);
      callers.set(pair, sids);
      const asked = calls.get(pair) ?? 0;
      look(
        'consent',
        sids.size <= asked,
        () => `${device.id} called ${name} ${asked} times and got keys for ${sids.size}`,
      );
    }
    const both = holders.get(`${sid} ${epoch}`) ?? [];
    for (const other of both)
      look('identity', mirrored(mine, other), () => `${sid}: ${say(mine)} beside ${say(other)}`);
    holders.set(`${sid} ${epoch}`, [...both, mine]);
  };

  world.observe({
    sealed(party, { key, nonce }) {
      const used = `${toHex(key)} ${toHex(nonce)}`;
      look('nonce', !nonces.has(used), () => `${party} seals again under one nonce`);
      nonces.add(used);
    },
    published(party, payload) {
      const seen = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
      const read = secrets.find((secret) => seen.includes(secret));
      if (secrets.length > 0)
        look('hidden', read === undefined, () => `${party} sends ${JSON.stringify(String(read))} openly`);
    },
    installed(device, sid, session) {
      if (session !== null) installed(device, sid, session);
    },
    news(device, news) {
      if (news.news === 'sessionOpened') opened.set(news.sid, (opened.get(news.sid) ?? new Set()).add(device.id));
      if (news.news !== 'received') return;
      const text = Buffer.from(news.payload).toString();
      const letter = letters.get(text);
      const right = letter !== undefined && letter.from === news.from && letter.sid === news.sid && ++letter.got === 1;
      look('data', right, () => `${device.id} gets ${JSON.stringify(text)} from ${news.from} in ${news.sid}`);
      if (revocation.isRevoked(news.from))
        look('revoked', letter?.isOut !== true, () => `${device.id} opens what ${news.from} says after it is out`);
    },
  });

  const judgeAtRest = (mustLive: boolean): void => {
    // a machine that stays switched off waits for nothing
    const on = [...world.devices.values()].filter(({ running }) => running);
    for (const { id, state } of on) {
      if (revocation.isRevoked(id)) continue; // it goes on asking to be let in
      const waiting = [
        ...[...state.calls.values()].map(({ callee }) => `a call to ${callee}`),
        ...[...state.asked.keys()].map((sid) => `an ask for ${sid}`),
        ...[...state.renewals.keys()].map((sid) => `a renewal of ${sid}`),
        ...[...state.unconfirmedEnds.keys()].map((sid) => `the end of ${sid}`),
        ...[...state.sessions].flatMap(([sid, one]) =>
          one.state.name === 'open' ? [] : [`${sid}, ${one.state.name}`],
        ),
        ...(state.channel === null ? ['a channel'] : []),
        ...(state.joining === null ? [] : [`the login, ${state.joining.step.name}`]),
        ...(state.registration.pending === null ? [] : ['a registration']),
      ];
      look('waiting', waiting.length === 0, () => `${id} waits for ${waiting.join(', ')}`);
    }
    const { sessions, handshakes, questions } = world.manager.state;
    const under = [...sessions].flatMap(([sid, { flow }]) =>
      flow.state === 'granted' ? [] : [`${sid}, ${flow.state}`],
    );
    // whoever is revoked asks on links without a name
    const isAsking = [...world.devices.keys()].some(revocation.isRevoked);
    for (const [key, { party }] of handshakes)
      if (!isAsking || party.kind === 'device') under.push(`the exchange with ${key}`);
    for (const [, { subject }] of questions)
      if (subject.for !== 'self' && !(isAsking && subject.for === 'exchange'))
        under.push(`a verdict for ${subject.for}`);
    look('waiting', under.length === 0, () => `the manager waits for ${under.join(', ')}`);

    const sids = new Set([...sessions.keys(), ...on.flatMap(({ state }) => [...state.sessions.keys()])]);
    for (const sid of sids) {
      const held = on.flatMap(({ id, state }) => {
        const session = state.sessions.get(sid);
        return session === undefined ? [] : [{ id, session }];
      });
      if (held.some(({ id, session }) => revocation.isRevoked(id) || revocation.isRevoked(session.peer))) {
        const others = held.filter(({ id }) => !revocation.isRevoked(id));
        const isOver = others.length === 0 && !sessions.has(sid);
        look('revoked', isOver, () => `${sid} of a revoked device stands at ${others.map(({ id }) => id).join()}`);
        continue;
      }
      const [a, b] = held;
      const agreed =
        a !== undefined &&
        b !== undefined &&
        held.length === 2 &&
        sessions.has(sid) &&
        a.session.peer === b.id &&
        b.session.peer === a.id &&
        a.session.epoch === b.session.epoch &&
        sameTranscript(a.session, b.session);
      look(
        'agreement',
        agreed,
        () =>
          `${sid} stands at ${held.map(({ id, session }) => `${id} (epoch ${session.epoch})`).join(', ')}${sessions.has(sid) ? ' and the manager' : ''}`,
      );
    }
    if (!mustLive) return;
    for (const [sid, by] of opened) {
      if (by.size < 2 || over.has(sid) || [...by].some(revocation.isRevoked)) continue;
      look('alive', sids.has(sid), () => `${sid}, open at ${[...by].join(' and ')} before, is gone`);
    }
  };

  return {
    findings,
    looks,
    called(device, callee) {
      const pair = `${device} ${callee}`;
      calls.set(pair, (calls.get(pair) ?? 0) + 1);
    },
    approved: approval.approved,
    remembered: approval.remembered,
    stands: approval.stands,
    cancelled: approval.cancelled,
    ended: (sid) => void over.add(sid),
    sent(device, sid, text) {
      letters.set(text, { from: device, sid, isOut: revocation.isOut(device), got: 0 });
      const suite = world.devices.get(device)?.state.sessions.get(sid)?.suite;
      if (suite !== undefined && CIPHERS[suite.cipher].encrypts) secrets.push(Buffer.from(text));
    },
    revoked: revocation.revoked,
    judgeAtRest,
  };
}

const mirrored = (a: Installed, b: Installed): boolean =>
  a.peer === b.device &&
  b.peer === a.device &&
  a.role !== b.role &&
  a.sending === b.receiving &&
  a.receiving === b.sending;

const say = ({ device, peer, role }: Installed): string => `${device} as ${role} with ${peer}`;

const sameTranscript = (a: Session, b: Session): boolean => {
  const [one, other] = [a.records.transcript, b.records.transcript];
  return one !== null && other !== null && equal(one, other);
};
