/**
 * The transport of a service inside the broker's process: the same topics and the same policy as over the network,
 * without sockets. @spec platform/transport.ts
 */
import type { Transport, TransportObserver } from '../platform/transport.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { LinkId, type Topic } from '../protocol/units.ts';
import type { Host } from './aedes-host.ts';
import type { Service } from './policy.ts';

export interface AttachmentOptions {
  readonly service: Service;
  readonly subscriptions: (link: LinkId) => readonly Topic[];
  readonly observer: TransportObserver;
}

/**
 * Attaches; `up` comes in the next microtask. A second manager gets `down` and stays down.
 * @throws RangeError when a subscription is not one of the service's: our bug
 */
export function attach(host: Host, crypto: Crypto, { service, subscriptions, observer }: AttachmentOptions): Transport {
  const link = LinkId(Buffer.from(crypto.random(18)).toString('base64url'));
  const traffic = { sentMessages: 0, sentBytes: 0, receivedMessages: 0, receivedBytes: 0 };
  let state: 'arriving' | 'up' | 'closed' = 'arriving';

  // Never inside the sender's call: a machine must not be stepped while it steps.
  const arrived: (() => void)[] = [];
  const later = (act: () => void) => {
    if (arrived.push(act) === 1) queueMicrotask(deliverAll);
  };
  const deliverAll = () => {
    const now = arrived.splice(0);
    for (const act of now) if (state !== 'closed') act();
  };

  const resident = host.admit(
    service,
    link,
    subscriptions(link),
    (topic, payload) =>
      later(() => {
        traffic.receivedMessages++;
        traffic.receivedBytes += payload.length;
        observer.received(topic, payload);
      }),
    () => later(() => observer.down('the broker was closed')),
  );
  later(() => {
    if (typeof resident === 'string') {
      observer.down(`the broker refused the ${service}: ${resident}`);
      return;
    }
    state = 'up';
    observer.up(link);
  });

  return {
    traffic,
    publish(topic, payload, qos) {
      if (state !== 'up' || typeof resident === 'string') return;
      traffic.sentMessages++;
      traffic.sentBytes += payload.length;
      resident.publish(topic, payload, qos);
    },
    async close() {
      state = 'closed';
      if (typeof resident !== 'string') resident.leave();
    },
  };
}
