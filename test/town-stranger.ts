/**
 * A link to the broker of a town that is no agent's: whoever reaches it. @see test/town.ts
 */
import type { memoryHub } from '../platform/transport-memory.ts';
import type { Topics } from '../protocol/topics.ts';
import type { LinkId, Topic } from '../protocol/units.ts';
import type { Packet, Stranger } from './town-plan.ts';

type MemoryHub = ReturnType<typeof memoryHub>;

export function townStranger(hub: MemoryHub, topics: Topics, flush: () => void): Stranger {
  const one: { link: LinkId | null; received: Packet[] } = { link: null, received: [] };
  const link = hub.transport({
    subscriptions: (own: LinkId) => [topics.toDevice({ kind: 'link', link: own })],
    observer: {
      up: (own) => {
        one.link = own;
      },
      down: () => {
        one.link = null;
      },
      received: (topic, payload) => one.received.push({ from: 'stranger', topic, payload }),
    },
  });
  flush();
  return Object.assign(one, {
    publish: (payload: Uint8Array, topic?: Topic) =>
      link.publish(topic ?? topics.toManager({ kind: 'link', link: one.link! }), payload, 1),
  });
}
