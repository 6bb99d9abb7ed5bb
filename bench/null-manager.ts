/**
 * The null manager: what the manager sends and receives for a session, with the same topics, sizes and QoS, and no work
 * in it. What it costs is the floor of any manager on this broker.
 */
import type { Broker } from '../broker/service.ts';
import { brokerRequests } from '../protocol/messages.ts';
import type { DeviceId, LinkId, Topic } from '../protocol/units.ts';

/** Payload bytes of each message of a session. */
export interface Sizes {
  readonly connect: number;
  readonly ask: number;
  readonly answer: number;
  readonly grant: number;
  readonly hello: number;
}

/** The first byte of a record. */
export const recordOf = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(1);

/** @returns takes in who is on which link and who calls whom, and gives the links their topics */
export function nullManager(broker: Broker) {
  const { topics } = broker;
  const reactions = new Map<string, () => void>();
  const transport = broker.attach({
    service: 'manager',
    subscriptions: () => [`${topics.root}/m/+` as Topic],
    observer: { up: () => {}, down: () => {}, received: (topic) => reactions.get(topic)?.() },
  });
  return (
    links: readonly (readonly [LinkId, DeviceId])[],
    couples: readonly (readonly [DeviceId, DeviceId])[],
    sizes: Sizes,
  ): void => {
    for (const [link, device] of links) {
      transport.publish(topics.controlRequests, brokerRequests.encode({ kind: 'Promote', link, device }), 1);
    }
    const [ask, grant] = [recordOf(sizes.ask), recordOf(sizes.grant)];
    for (const [caller, callee] of couples) {
      const toCaller = topics.toDevice({ kind: 'device', id: caller });
      const toCallee = topics.toDevice({ kind: 'device', id: callee });
      const allow = brokerRequests.encode({ kind: 'Allow', pairs: [{ a: caller, b: callee }] });
      reactions.set(topics.toManager({ kind: 'device', id: caller }), () => transport.publish(toCallee, ask, 1));
      reactions.set(topics.toManager({ kind: 'device', id: callee }), () => {
        transport.publish(topics.controlRequests, allow, 1);
        transport.publish(toCallee, grant, 1);
        transport.publish(toCaller, grant, 1);
      });
    }
  };
}
