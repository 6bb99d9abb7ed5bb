/**
 * The persistence that Aedes asks for, keeping nothing: clean sessions only, no retained messages, no wills, no offline
 * queue. Its answers come at once instead of through a promise, because Aedes takes a QoS 1 message that a later QoS 0
 * message has overtaken in that moment for a duplicate and drops it.
 */

/** Named, for an object with this member is awaited by `await`: here that is meant. */
const THEN = 'then';

/** The part of a promise that Aedes uses, settled already. */
interface Settled<T> {
  readonly [THEN]: (fulfilled: (value: T) => void) => void;
  readonly finally: (done: () => void) => void;
}

function settled<T>(value: T): Settled<T> {
  return { [THEN]: (fulfilled) => fulfilled(value), finally: (done) => done() };
}

export function blankPersistence() {
  const nothing = settled(undefined);
  const none = settled<readonly never[]>([]);
  return {
    setup: async () => {},
    subscriptionsByTopic: () => none,
    subscriptionsByClient: () => none,
    cleanSubscriptions: () => nothing,
    addSubscriptions: () => nothing,
    removeSubscriptions: () => nothing,
    outgoingEnqueueCombi: () => nothing,
    outgoingClearMessageId: () => nothing,
    outgoingStream: () => [],
    createRetainedStreamCombi: () => ({ pipe: () => {} }),
    storeRetained: () => nothing,
    putWill: () => nothing,
    delWill: () => nothing,
    streamWill: () => [],
  };
}
