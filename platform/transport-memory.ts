/**
 * The transport seam in memory: a hub instead of a broker, moved on by `flush` alone. Who may do what is asked of the
 * authority, which in tests and simulator runs the broker's own policy. @spec platform/transport.ts
 */
import { LinkId, type Topic } from '../protocol/units.ts';
import type { DeviceTransport, Qos, TransportObserver } from './transport.ts';

export interface HubAuthority {
  /** @returns null to accept, or the refusal */
  connecting(link: LinkId, service: string | null): string | null;
  /** drop = leave out, close = end the link. May act on the hub (a control request). */
  publishing(link: LinkId, topic: Topic, payload: Uint8Array, qos: Qos): 'allow' | 'drop' | 'close';
  subscribing(link: LinkId, filter: Topic): boolean;
  forwarding(link: LinkId, topic: Topic): boolean;
  disconnected(link: LinkId): void;
}

export interface HubTransportOptions {
  readonly service?: string;
  readonly subscriptions: (link: LinkId) => readonly Topic[];
  readonly observer: TransportObserver;
}

export interface MemoryHub {
  /** Joins; `up` comes with the next flush. */
  transport(options: HubTransportOptions): DeviceTransport;
  /** Lets everything happen that was caused so far and what follows from it. @returns how many steps that were */
  flush(): number;
  /** What the broker itself does: publish, subscribe on a link's behalf, end a link. */
  send(topic: Topic, payload: Uint8Array): void;
  subscribe(link: LinkId, filters: readonly Topic[]): void;
  cut(link: LinkId, reason: string): void;
  /** A refused or cut transport joins again, with a new link, as the network halves do by themselves. */
  rejoin(): void;
}

interface Member {
  readonly options: HubTransportOptions;
  readonly traffic: { sentMessages: number; sentBytes: number; receivedMessages: number; receivedBytes: number };
  link: LinkId | null;
  filters: Set<string>;
  state: 'joining' | 'up' | 'down' | 'closed';
}

export function memoryHub(authority: HubAuthority): MemoryHub {
  const members: Member[] = [];
  const byLink = new Map<LinkId, Member>();
  const steps: (() => void)[] = [];
  let links = 0;

  const join = (member: Member) => {
    member.state = 'joining';
    steps.push(() => {
      if (member.state !== 'joining') return;
      const link = LinkId(`memory-link-${String(++links).padStart(12, '0')}`);
      const { service, subscriptions, observer } = member.options;
      const refusal = authority.connecting(link, service ?? null);
      if (refusal !== null) {
        member.state = 'down';
        observer.down(`the broker refused the link: ${refusal}`);
        return;
      }
      member.link = link;
      byLink.set(link, member);
      for (const filter of subscriptions(link)) {
        if (!authority.subscribing(link, filter)) {
          leave(member, `the broker refused the subscription to ${filter}`);
          return;
        }
        member.filters.add(filter);
      }
      member.state = 'up';
      observer.up(link);
    });
  };

  const leave = (member: Member, reason: string | null) => {
    const { link } = member;
    if (link === null) return;
    member.link = null;
    member.filters = new Set();
    byLink.delete(link);
    member.state = reason === null ? 'closed' : 'down';
    authority.disconnected(link);
    if (reason !== null) member.options.observer.down(reason);
  };

  const deliver = (topic: Topic, payload: Uint8Array) => {
    for (const member of members) {
      const { link } = member;
      if (link === null || member.state !== 'up' || !reads(member.filters, topic)) continue;
      if (!authority.forwarding(link, topic)) continue;
      member.traffic.receivedMessages++;
      member.traffic.receivedBytes += payload.length;
      member.options.observer.received(topic, payload.slice());
    }
  };

  return {
    transport(options) {
      const traffic = { sentMessages: 0, sentBytes: 0, receivedMessages: 0, receivedBytes: 0 };
      const member: Member = { options, traffic, link: null, filters: new Set(), state: 'joining' };
      members.push(member);
      join(member);
      return {
        traffic,
        publish(topic, payload, qos) {
          const { link } = member;
          if (link === null || member.state !== 'up') return;
          traffic.sentMessages++;
          traffic.sentBytes += payload.length;
          const copy = payload.slice();
          steps.push(() => {
            // A link that ended meanwhile has not said it.
            if (member.link !== link) return;
            const verdict = authority.publishing(link, topic, copy, qos);
            if (verdict === 'allow') deliver(topic, copy);
            if (verdict === 'close') leave(member, 'the broker closed the connection');
          });
        },
        // without a clock: it is up again with the next `rejoin`
        settle() {},
        rest() {
          const { link } = member;
          steps.push(() => member.link !== null && member.link === link && leave(member, 'resting'));
        },
        async close() {
          leave(member, null);
          member.state = 'closed';
        },
      };
    },
    flush() {
      let count = 0;
      for (let step = steps.shift(); step !== undefined; step = steps.shift()) {
        step();
        count++;
      }
      return count;
    },
    send(topic, payload) {
      const copy = payload.slice();
      steps.push(() => deliver(topic, copy));
    },
    subscribe(link, filters) {
      for (const filter of filters) byLink.get(link)?.filters.add(filter);
    },
    cut(link, reason) {
      const member = byLink.get(link);
      if (member !== undefined) steps.push(() => member.link === link && leave(member, reason));
    },
    rejoin() {
      for (const member of members) if (member.state === 'down') join(member);
    },
  };
}

/** The wire has two kinds of filter: a topic, and a topic with `+` as its last level. */
function reads(filters: ReadonlySet<string>, topic: Topic): boolean {
  const last = topic.lastIndexOf('/');
  return filters.has(topic) || (last >= 0 && filters.has(`${topic.slice(0, last)}/+`));
}
