/**
 * Who may do what at the broker, deny by default: links, their promotion to devices, pairs with a session. No socket, no
 * clock: broker/aedes-host.ts and the simulator ask the same functions. They change the state in place, for copying
 * twenty thousand links per event would make a connect cost O(n). @spec design §5.1
 */
import { equalInConstantTime } from '../protocol/bytes.ts';
import { MAX_EXCHANGE_FRAME_BYTES, MAX_RECORD_BYTES } from '../protocol/frame.ts';
import type { BrokerReport, BrokerRequest } from '../protocol/messages.ts';
import { encodeId, LINK_ID, MANAGER, type Topics } from '../protocol/topics.ts';
import type { DeviceId, LinkId, Millis, Topic } from '../protocol/units.ts';

export type Service = 'manager' | 'verifier';

/** Implementation limits; those of a deployment come from broker/config.ts. */
export interface Limits {
  /** A link that has not logged in after this long is closed. */
  readonly loginTimeoutMs: number;
  /** Connections that have not logged in: from one address, and altogether. */
  readonly newPerAddress: number;
  readonly newAltogether: number;
  /** Messages that a link may publish before it has logged in. */
  readonly messagesBeforeLogin: number;
}

export const DEFAULT_LIMITS: Limits = {
  loginTimeoutMs: 10_000,
  newPerAddress: 64,
  newAltogether: 4096,
  messagesBeforeLogin: 32,
};

/** Largest payloads, in bytes. A record may stand on `m` too, but none there is longer than a message. */
export const PAYLOAD_LIMITS = {
  newLink: MAX_EXCHANGE_FRAME_BYTES,
  toManager: 16 * 1024,
  peer: MAX_RECORD_BYTES + 64,
  service: MAX_RECORD_BYTES + 64,
} as const;

export type Refusal =
  | 'too-many-new-links'
  | 'client-id'
  | 'client-id-taken'
  | 'not-clean'
  | 'will'
  | 'credentials'
  | 'manager-present'
  | 'spelling'
  | 'retained'
  | 'qos'
  | 'too-large'
  | 'too-many-messages'
  | 'foreign-topic'
  | 'foreign-filter'
  | 'no-session'
  | 'unknown-link';

/** drop = the message or subscription is left out; close = the link ends as well. */
interface RefusedMessage {
  readonly verdict: 'drop' | 'close';
  readonly reason: Refusal;
}
export type Decision = { readonly verdict: 'allow' } | RefusedMessage;

export type Admission = { readonly verdict: 'accept' } | { readonly verdict: 'refuse'; readonly reason: Refusal };

/** What the host has to do after a control request or the end of a link. */
export type Effect =
  | { readonly kind: 'report'; readonly report: BrokerReport }
  | { readonly kind: 'subscribe'; readonly link: LinkId; readonly filters: readonly Topic[] }
  | { readonly kind: 'promoted'; readonly link: LinkId; readonly device: DeviceId }
  | { readonly kind: 'close'; readonly link: LinkId; readonly reason: 'dropped' | 'newer-link' };

/** What a link is, and from that what it may write and read. */
export interface Link {
  readonly id: LinkId;
  /** Where it comes from, for the cap; null inside the broker's process. */
  readonly address: string | null;
  readonly since: Millis;
  readonly service: Service | null;
  device: DeviceId | null;
  /** The last segment of the device's peer topics, with its slash. */
  sender: string | null;
  /** Its authority is gone already, its socket not yet. */
  ending: boolean;
  messagesBeforeLogin: number;
  /** Complete topics, with the largest payload for each. */
  readonly writes: Map<string, number>;
  readonly filters: Set<string>;
}

export interface BrokerState {
  readonly topics: Topics;
  readonly limits: Limits;
  /** SHA-256 of each service's token; null = that service cannot come over the network. */
  readonly tokens: Readonly<Record<Service, Uint8Array | null>>;
  readonly links: Map<LinkId, Link>;
  readonly devices: Map<DeviceId, LinkId>;
  /** The topics on which a device may publish to another: both directions of every pair. */
  readonly peerTopics: Set<string>;
  /** To-device topics of living links and devices: the manager's usual addressees, found without parsing (4 µs). */
  readonly inboxes: Set<string>;
  manager: LinkId | null;
  newAltogether: number;
  readonly newByAddress: Map<string, number>;
}

export function brokerState(
  topics: Topics,
  tokens: Readonly<Record<Service, Uint8Array | null>>,
  limits: Limits = DEFAULT_LIMITS,
): BrokerState {
  return {
    topics,
    tokens,
    limits,
    links: new Map(),
    devices: new Map(),
    peerTopics: new Set(),
    inboxes: new Set(),
    manager: null,
    newAltogether: 0,
    newByAddress: new Map(),
  };
}

const ALLOW: Decision = { verdict: 'allow' };
const ACCEPT: Admission = { verdict: 'accept' };
const drop = (reason: Refusal): RefusedMessage => ({ verdict: 'drop', reason });
const close = (reason: Refusal): RefusedMessage => ({ verdict: 'close', reason });
const refuse = (reason: Refusal): Admission => ({ verdict: 'refuse', reason });

/** A connection was made, nothing said yet: it takes one of the places for new links until it logs in or ends. */
export function arriving(state: BrokerState, address: string): Admission {
  const fromThere = state.newByAddress.get(address) ?? 0;
  if (state.newAltogether >= state.limits.newAltogether || fromThere >= state.limits.newPerAddress) {
    return refuse('too-many-new-links');
  }
  state.newAltogether++;
  state.newByAddress.set(address, fromThere + 1);
  return ACCEPT;
}

/** The place is free again: the connection ended before it became a link, or it logged in. */
export function leaving(state: BrokerState, address: string): void {
  const fromThere = state.newByAddress.get(address) ?? 0;
  if (fromThere === 0) return;
  state.newAltogether--;
  if (fromThere === 1) state.newByAddress.delete(address);
  else state.newByAddress.set(address, fromThere - 1);
}

/** A CONNECT packet, as far as the policy looks at it. */
export interface Attempt {
  readonly clientId: string;
  readonly username: string | null;
  readonly passwordSha256: Uint8Array | null;
  readonly clean: boolean;
  readonly will: boolean;
  /** Null for a service inside the broker's process, which needs no password. */
  readonly address: string | null;
}

/** Judges a CONNECT; an accepted one is a link from now on and keeps the place of `arriving` until it logs in. */
export function connecting(state: BrokerState, attempt: Attempt, now: Millis): Admission {
  if (!LINK_ID.test(attempt.clientId)) return refuse('client-id');
  const id = attempt.clientId as LinkId;
  // The older one stays: whoever learns a client id must not be able to throw its owner out. [5.6 link takeover]
  if (state.links.has(id)) return refuse('client-id-taken');
  if (!attempt.clean) return refuse('not-clean');
  if (attempt.will) return refuse('will');
  const service = serviceOf(state, attempt);
  if (service === 'unknown') return refuse('credentials');
  if (service === 'manager') {
    if (state.manager !== null) return refuse('manager-present');
    state.manager = id;
  }
  const link: Link = {
    id,
    address: attempt.address,
    since: now,
    service,
    device: null,
    sender: null,
    ending: false,
    messagesBeforeLogin: 0,
    writes: new Map(),
    filters: new Set(),
  };
  state.links.set(id, link);
  if (service === null) {
    const party = { kind: 'link', link: id } as const;
    link.writes.set(state.topics.toManager(party), PAYLOAD_LIMITS.newLink);
    link.filters.add(state.topics.toDevice(party));
    state.inboxes.add(state.topics.toDevice(party));
    return ACCEPT;
  }
  grantService(state.topics, link, service);
  if (attempt.address !== null) leaving(state, attempt.address);
  return ACCEPT;
}

function serviceOf(state: BrokerState, attempt: Attempt): Service | null | 'unknown' {
  const { username, passwordSha256 } = attempt;
  if (username === null) return passwordSha256 === null ? null : 'unknown';
  if (username !== 'manager' && username !== 'verifier') return 'unknown';
  if (attempt.address === null) return username;
  const expected = state.tokens[username];
  if (expected === null || passwordSha256 === null) return 'unknown';
  return equalInConstantTime(expected, passwordSha256) ? username : 'unknown';
}

function grantService(topics: Topics, link: Link, service: Service): void {
  const limit = PAYLOAD_LIMITS.service;
  if (service === 'verifier') {
    link.writes.set(topics.verifierEvents, limit);
    link.filters.add(`${topics.root}/v/q/+`);
    return;
  }
  link.writes.set(topics.verifierQuestion(MANAGER), limit).set(topics.controlRequests, limit);
  link.filters.add(`${topics.root}/m/+`).add(topics.verifierAnswer(MANAGER));
  link.filters.add(topics.verifierEvents).add(topics.controlReports);
}

/** @param payloadLength bytes */
export function publishing(
  state: BrokerState,
  id: LinkId,
  topic: string,
  payloadLength: number,
  retain: boolean,
  qos: number,
): Decision {
  const link = state.links.get(id);
  if (link === undefined || link.ending) return close('unknown-link');
  if (retain) return close('retained');
  if (qos > 1) return close('qos');
  const isNew = link.service === null && link.device === null;
  if (isNew && ++link.messagesBeforeLogin > state.limits.messagesBeforeLogin) return close('too-many-messages');
  const limit = link.writes.get(topic) ?? limitOfRest(state, link, topic);
  if (typeof limit === 'number') return payloadLength <= limit ? ALLOW : close('too-large');
  return isNew && limit.reason !== 'no-session' ? close(limit.reason) : limit;
}

/** The topics that are no fixed set: a device's to its peers, a service's to everybody. */
function limitOfRest(state: BrokerState, link: Link, topic: string): number | RefusedMessage {
  if (link.sender !== null && state.peerTopics.has(topic) && topic.endsWith(link.sender)) return PAYLOAD_LIMITS.peer;
  if (link.service === 'manager' && state.inboxes.has(topic)) return PAYLOAD_LIMITS.service;
  const place = state.topics.parse(topic);
  if (place === null) return misspelt(topic) ? close('spelling') : drop('foreign-topic');
  if (link.service === 'manager' && place.kind === 'to-device') return PAYLOAD_LIMITS.service;
  if (link.service === 'verifier' && place.kind === 'verifier-answer') return PAYLOAD_LIMITS.service;
  // A record that crossed the end of its session is no offence, nor one that crossed the promotion of its link.
  const isNew = link.service === null && link.device === null;
  const own = place.kind === 'peer' && (isNew || place.from === link.device);
  return drop(own ? 'no-session' : 'foreign-topic');
}

/** Wildcards, control characters, NUL, characters that are no text: no honest client sends these in a topic. */
const misspelt = (topic: string): boolean => /[+#\p{Cc}\p{Cs}\uFFFD]|^\$/u.test(topic);

/** A filter counts only letter by letter: the link's own, nothing wider, nothing shared. */
export function subscribing(state: BrokerState, id: LinkId, filter: string): Decision {
  const link = state.links.get(id);
  if (link === undefined || link.ending) return close('unknown-link');
  if (link.filters.has(filter)) return ALLOW;
  const isNew = link.service === null && link.device === null;
  return isNew || misspelt(filter) ? close('foreign-filter') : drop('foreign-filter');
}

/** The second look, at delivery: true when this link may still read this topic. */
export function forwarding(state: BrokerState, id: LinkId, topic: string): boolean {
  const link = state.links.get(id);
  if (link === undefined || link.ending) return false;
  if (link.filters.has(topic)) return true;
  const parent = `${topic.slice(0, topic.lastIndexOf('/'))}/+`;
  if (!link.filters.has(parent)) return false;
  return link.device === null || state.peerTopics.has(topic);
}

/** Obeys the manager. The host has seen that the request came on the manager's own link. */
export function controlRequest(state: BrokerState, request: BrokerRequest): Effect[] {
  switch (request.kind) {
    case 'Attach':
      state.peerTopics.clear();
      return livingLinks(state);
    case 'Promote':
      return promote(state, request.link, request.device);
    case 'Drop': {
      const link = state.links.get(request.link);
      return link === undefined || link.service !== null ? [] : [end(link, 'dropped')];
    }
    case 'Allow':
      for (const { a, b } of request.pairs) {
        if (a !== b) state.peerTopics.add(state.topics.peer(a, b)).add(state.topics.peer(b, a));
      }
      return [];
    case 'Forbid':
      for (const { a, b } of request.pairs) {
        state.peerTopics.delete(state.topics.peer(a, b));
        state.peerTopics.delete(state.topics.peer(b, a));
      }
      return [];
    default:
      return request satisfies never;
  }
}

/** Bindings in one report; with ids of 64 bytes they stay below the 16 KiB of a message. */
const BINDINGS_PER_REPORT = 100;

function livingLinks(state: BrokerState): Effect[] {
  const bindings: { link: LinkId; device?: DeviceId }[] = [];
  for (const { id, service, device, ending } of state.links.values()) {
    if (service === null && !ending) bindings.push(device === null ? { link: id } : { link: id, device });
  }
  const effects: Effect[] = [];
  for (let at = 0; at === 0 || at < bindings.length; at += BINDINGS_PER_REPORT) {
    const part = bindings.slice(at, at + BINDINGS_PER_REPORT);
    const last = at + BINDINGS_PER_REPORT >= bindings.length;
    effects.push({ kind: 'report', report: { kind: 'Links', bindings: part, last } });
  }
  return effects;
}

function promote(state: BrokerState, id: LinkId, device: DeviceId): Effect[] {
  const link = state.links.get(id);
  if (link === undefined || link.service !== null || link.ending) {
    return [{ kind: 'report', report: { kind: 'Gone', link: id, device } }];
  }
  if (link.device === device) return [];
  // One link is one device for life; whoever logs in as another takes a new link.
  if (link.device !== null) return [end(link, 'dropped')];
  const { topics } = state;
  const party = { kind: 'device', id: device } as const;
  const filters: Topic[] = [
    topics.toDevice(party),
    `${topics.root}/p/${encodeId(device)}/+` as Topic,
    topics.verifierAnswer(device),
  ];
  link.device = device;
  link.sender = `/${encodeId(device)}`;
  if (link.address !== null) leaving(state, link.address);
  link.writes.set(topics.toManager(party), PAYLOAD_LIMITS.toManager);
  link.writes.set(topics.verifierQuestion(device), PAYLOAD_LIMITS.toManager);
  for (const filter of filters) link.filters.add(filter);
  state.inboxes.add(topics.toDevice(party));
  const effects: Effect[] = [];
  const older = state.links.get(state.devices.get(device) ?? id);
  if (older !== undefined && older !== link) effects.push(end(older, 'newer-link'));
  state.devices.set(device, id);
  effects.push({ kind: 'subscribe', link: id, filters }, { kind: 'promoted', link: id, device });
  return effects;
}

function end(link: Link, reason: 'dropped' | 'newer-link'): Effect {
  link.ending = true;
  link.writes.clear();
  link.filters.clear();
  return { kind: 'close', link: link.id, reason };
}

/** The link is gone. Pairs stay, also when it was the manager's: sessions go on without it. */
export function disconnected(state: BrokerState, id: LinkId): Effect[] {
  const link = state.links.get(id);
  if (link === undefined) return [];
  state.links.delete(id);
  if (state.manager === id) state.manager = null;
  if (link.service !== null) return [];
  state.inboxes.delete(state.topics.toDevice({ kind: 'link', link: id }));
  const { device } = link;
  if (device === null) {
    if (link.address !== null) leaving(state, link.address);
    return [{ kind: 'report', report: { kind: 'Gone', link: id } }];
  }
  if (state.devices.get(device) === id) {
    state.devices.delete(device);
    state.inboxes.delete(state.topics.toDevice({ kind: 'device', id: device }));
  }
  return [{ kind: 'report', report: { kind: 'Gone', link: id, device } }];
}
