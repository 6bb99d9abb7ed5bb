/**
 * Who may do what at the broker, deny by default: links, their promotion to devices, pairs with a session. No socket, no
 * clock: broker/aedes-host.ts and the simulator ask the same functions. They change the state in place, for copying
 * twenty thousand links per event would make a connect cost O(n). @spec design §5.1
 */
import { equalInConstantTime } from '../protocol/bytes.ts';
import type { BrokerReport, BrokerRequest } from '../protocol/messages.ts';
import { encodeId, LINK_ID, MANAGER, type Topics } from '../protocol/topics.ts';
import { type DeviceId, type LinkId, Millis, type Topic } from '../protocol/units.ts';
import {
  approvalRights,
  type Integrator,
  type Integrators,
  integratorOf,
  integratorReads,
  integratorSubscribes,
  integratorWrites,
  MAX_APPROVAL_BYTES,
  MAX_LINKS_PER_INTEGRATOR,
} from './integrators.ts';
import { DEFAULT_LIMITS, type Limits, MAX_PAYLOAD_BYTES, ratePerAddress } from './limits.ts';
import { type Bucket, fullBucket, type NamedBuckets, namedBuckets, takeOne, takeOneOf } from './token-bucket.ts';

export type Service = 'manager' | 'verifier';

export type Refusal =
  | 'too-many-new-links'
  | 'too-many-links'
  | 'too-fast-new-links'
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
  | 'too-many-filters'
  | 'foreign-topic'
  | 'foreign-filter'
  | 'no-session'
  | 'unknown-link';

/** drop = the message or subscription is left out; close = the link ends as well. */
interface RefusedMessage {
  readonly verdict: 'drop' | 'close';
  readonly reason: Refusal;
  readonly limit?: keyof Limits;
}
export type Decision = { readonly verdict: 'allow' } | RefusedMessage;

export type Admission =
  | { readonly verdict: 'accept' }
  | { readonly verdict: 'refuse'; readonly reason: Refusal; readonly limit?: keyof Limits };

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
  /** A program outside of the fleet: never a device. */
  readonly integrator: Integrator | null;
  device: DeviceId | null;
  /** The last segment of the device's peer topics, with its slash. */
  sender: string | null;
  /** Its authority is gone already, its socket not yet. */
  ending: boolean;
  messagesBeforeLogin: number;
  /** Complete topics, with the largest payload for each. */
  readonly writes: Map<string, PayloadLimit>;
  readonly filters: Set<string>;
  /** What it asked to read: its own once each, foreign filters each time. */
  readonly asked: Set<string>;
  foreignAsked: number;
}

/** Of a service there is no key: its messages are as long as the protocol has them. */
interface PayloadLimit {
  readonly bytes: number;
  readonly limit?: keyof Limits;
}
type PayloadKey = 'newLinkBytes' | 'toManagerBytes' | 'peerBytes';

export interface BrokerState {
  readonly topics: Topics;
  readonly limits: Limits;
  /** SHA-256 of each service's token; null = that service cannot come over the network. */
  readonly tokens: Readonly<Record<Service, Uint8Array | null>>;
  /** By their user names; none: devices have no topics for them either. */
  readonly integrators: Integrators;
  readonly links: Map<LinkId, Link>;
  readonly devices: Map<DeviceId, LinkId>;
  /** The topics on which a device may publish to another: both directions of every pair. */
  readonly peerTopics: Set<string>;
  /** To-device topics of living links and devices: the manager's usual addressees, found without parsing (4 µs). */
  readonly inboxes: Set<string>;
  manager: LinkId | null;
  newAltogether: number;
  readonly newByAddress: Map<string, number>;
  readonly payloads: Readonly<Record<PayloadKey, PayloadLimit>>;
  /** Those that have logged in. */
  readonly devicesByAddress: Map<string, number>;
  readonly arrivals: Bucket;
  readonly arrivalsByAddress: NamedBuckets;
}

export function brokerState(
  topics: Topics,
  tokens: Readonly<Record<Service, Uint8Array | null>>,
  limits: Limits = DEFAULT_LIMITS,
  integrators: Integrators = new Map(),
): BrokerState {
  const payload = (limit: PayloadKey): PayloadLimit => ({ bytes: limits[limit], limit });
  return {
    topics,
    tokens,
    limits,
    integrators,
    payloads: {
      newLinkBytes: payload('newLinkBytes'),
      toManagerBytes: payload('toManagerBytes'),
      peerBytes: payload('peerBytes'),
    },
    links: new Map(),
    devices: new Map(),
    peerTopics: new Set(),
    inboxes: new Set(),
    manager: null,
    newAltogether: 0,
    newByAddress: new Map(),
    devicesByAddress: new Map(),
    arrivals: fullBucket(limits.newPerSecond, Millis(0)),
    arrivalsByAddress: namedBuckets(),
  };
}

const ALLOW: Decision = { verdict: 'allow' };
const ACCEPT: Admission = { verdict: 'accept' };
const drop = (reason: Refusal): RefusedMessage => ({ verdict: 'drop', reason });
const close = (reason: Refusal, limit?: keyof Limits): RefusedMessage =>
  limit === undefined ? { verdict: 'close', reason } : { verdict: 'close', reason, limit };
const refuse = (reason: Refusal, limit?: keyof Limits): Admission =>
  limit === undefined ? { verdict: 'refuse', reason } : { verdict: 'refuse', reason, limit };

/** A connection was made, nothing said yet: it takes one of the places for new links until it logs in or ends. */
export function arriving(state: BrokerState, address: string, now: Millis): Admission {
  const { limits, newAltogether, devicesByAddress } = state;
  const fromThere = state.newByAddress.get(address) ?? 0;
  // Its own rate first: who knocks too often must not use up what is there for all.
  if (!takeOneOf(state.arrivalsByAddress, address, ratePerAddress(limits), now)) {
    return refuse('too-fast-new-links', 'newPerSecondPerAddress');
  }
  if (fromThere >= limits.newPerAddress) return refuse('too-many-new-links', 'newPerAddress');
  if (newAltogether >= limits.newAltogether) return refuse('too-many-new-links', 'newAltogether');
  if (fromThere + (devicesByAddress.get(address) ?? 0) >= limits.linksPerAddress) {
    return refuse('too-many-links', 'linksPerAddress');
  }
  if (newAltogether + state.devices.size >= limits.linksAltogether) return refuse('too-many-links', 'linksAltogether');
  if (!takeOne(state.arrivals, limits.newPerSecond, now)) return refuse('too-fast-new-links', 'newPerSecond');
  state.newAltogether++;
  state.newByAddress.set(address, fromThere + 1);
  return ACCEPT;
}

/** The place is free again: the connection ended before it became a link, or it logged in. */
export function leaving(state: BrokerState, address: string): void {
  if (!state.newByAddress.has(address)) return;
  state.newAltogether--;
  countDown(state.newByAddress, address);
}

function countDown(counts: Map<string, number>, address: string): void {
  const count = counts.get(address) ?? 0;
  if (count <= 1) counts.delete(address);
  else counts.set(address, count - 1);
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
  const integrator = integratorOf(state.integrators, attempt.username ?? '', attempt.passwordSha256);
  const service = integrator === null ? serviceOf(state, attempt) : null;
  if (service === 'unknown') return refuse('credentials');
  if (integrator !== null && integrator.links.size >= MAX_LINKS_PER_INTEGRATOR) return refuse('too-many-links');
  if (service === 'manager') {
    if (state.manager !== null) return refuse('manager-present');
    state.manager = id;
  }
  const link: Link = {
    id,
    address: attempt.address,
    since: now,
    service,
    integrator,
    device: null,
    sender: null,
    ending: false,
    messagesBeforeLogin: 0,
    writes: new Map(),
    filters: new Set(),
    asked: new Set(),
    foreignAsked: 0,
  };
  state.links.set(id, link);
  if (integrator !== null) {
    integrator.links.add(id);
    if (attempt.address !== null) leaving(state, attempt.address);
    return ACCEPT;
  }
  if (service === null) {
    const party = { kind: 'link', link: id } as const;
    link.writes.set(state.topics.toManager(party), state.payloads.newLinkBytes);
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

const OF_SERVICE: PayloadLimit = { bytes: MAX_PAYLOAD_BYTES.service };
const OF_APPROVAL: PayloadLimit = { bytes: MAX_APPROVAL_BYTES };

function grantService(topics: Topics, link: Link, service: Service): void {
  const limit = OF_SERVICE;
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
  const isNew = isUnknown(link);
  if (isNew && ++link.messagesBeforeLogin > state.limits.messagesBeforeLogin) return close('too-many-messages');
  const found = link.writes.get(topic) ?? limitOfRest(state, link, topic);
  if ('bytes' in found) return payloadLength <= found.bytes ? ALLOW : close('too-large', found.limit);
  return isNew && found.reason !== 'no-session' ? close(found.reason) : found;
}

/** A device's, logged in or not. */
const isDevices = ({ service, integrator }: Link): boolean => service === null && integrator === null;

/** Neither a service nor an integrator, and not logged in yet. */
const isUnknown = ({ service, integrator, device }: Link): boolean =>
  service === null && integrator === null && device === null;

/** The topics that are no fixed set: a device's to its peers, a service's to everybody. */
function limitOfRest(state: BrokerState, link: Link, topic: string): PayloadLimit | RefusedMessage {
  if (link.sender !== null && state.peerTopics.has(topic) && topic.endsWith(link.sender)) {
    return state.payloads.peerBytes;
  }
  if (link.service === 'manager' && state.inboxes.has(topic)) return OF_SERVICE;
  if (link.integrator !== null && integratorWrites(link.integrator, topic)) return OF_APPROVAL;
  const place = state.topics.parse(topic);
  if (place === null) return misspelt(topic) ? close('spelling') : drop('foreign-topic');
  if (link.service === 'manager' && place.kind === 'to-device') return OF_SERVICE;
  if (link.service === 'verifier' && place.kind === 'verifier-answer') return OF_SERVICE;
  // A record that crossed the end of its session is no offence, nor one that crossed the promotion of its link.
  const isNew = isUnknown(link);
  const own = place.kind === 'peer' && (isNew || place.from === link.device);
  return drop(own ? 'no-session' : 'foreign-topic');
}

/** Wildcards, control characters, NUL, characters that are no text: no honest client sends these in a topic. */
const misspelt = (topic: string): boolean => /[+#\p{Cc}\p{Cs}\uFFFD]|^\$/u.test(topic);

/** A filter counts only letter by letter: the link's own, nothing wider, nothing shared. */
export function subscribing(state: BrokerState, id: LinkId, filter: string): Decision {
  const link = state.links.get(id);
  if (link === undefined || link.ending) return close('unknown-link');
  const own = link.filters.has(filter) || (link.integrator !== null && integratorSubscribes(link.integrator, filter));
  if (own) link.asked.add(filter);
  else link.foreignAsked++;
  if (link.service === null && link.asked.size + link.foreignAsked > state.limits.subscriptions) {
    return close('too-many-filters');
  }
  if (own) return ALLOW;
  return isUnknown(link) || misspelt(filter) ? close('foreign-filter') : drop('foreign-filter');
}

/** The second look, at delivery: true when this link may still read this topic. */
export function forwarding(state: BrokerState, id: LinkId, topic: string): boolean {
  const link = state.links.get(id);
  if (link === undefined || link.ending) return false;
  if (link.integrator !== null) return integratorReads(link.integrator, topic);
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
      return link === undefined || !isDevices(link) ? [] : [end(link, 'dropped')];
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
  for (const link of state.links.values()) {
    const { id, device, ending } = link;
    if (isDevices(link) && !ending) bindings.push(device === null ? { link: id } : { link: id, device });
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
  if (link === undefined || !isDevices(link) || link.ending) {
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
  if (state.integrators.size > 0) {
    const { writes, reads } = approvalRights(device);
    for (const topic of writes) link.writes.set(topic, OF_APPROVAL);
    filters.push(reads);
  }
  link.device = device;
  link.sender = `/${encodeId(device)}`;
  if (link.address !== null) {
    leaving(state, link.address);
    state.devicesByAddress.set(link.address, (state.devicesByAddress.get(link.address) ?? 0) + 1);
  }
  link.writes.set(topics.toManager(party), state.payloads.toManagerBytes);
  link.writes.set(topics.verifierQuestion(device), state.payloads.toManagerBytes);
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
  link.integrator?.links.delete(id);
  if (!isDevices(link)) return [];
  state.inboxes.delete(state.topics.toDevice({ kind: 'link', link: id }));
  const { device } = link;
  if (device === null) {
    if (link.address !== null) leaving(state, link.address);
    return [{ kind: 'report', report: { kind: 'Gone', link: id } }];
  }
  if (link.address !== null) countDown(state.devicesByAddress, link.address);
  if (state.devices.get(device) === id) {
    state.devices.delete(device);
    state.inboxes.delete(state.topics.toDevice({ kind: 'device', id: device }));
  }
  return [{ kind: 'report', report: { kind: 'Gone', link: id, device } }];
}
