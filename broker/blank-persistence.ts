/**
 * The persistence that Aedes asks for, keeping nothing: clean sessions only, no retained messages, no wills, no offline
 * queue. Its answers come at once instead of through a promise, because Aedes takes a QoS 1 message that a later QoS 0
 * message has overtaken in that moment for a duplicate and drops it.
 */

/** Named, for an object with this member is awaited by `await`: here that is meant. */
const THEN = 'then';

/** The part of a promise that Aedes uses, settled already. */
interface Settled<T> {
  readonly [THEN]: (fulfilled: (value: T) => void, rejected: (error: Error) => void) => void;
  readonly finally: (done: () => void) => void;
}

function settled<T>(value: T): Settled<T> {
  return { [THEN]: (fulfilled) => fulfilled(value), finally: (done) => done() };
}

function refused(why: string): Settled<never> {
  return { [THEN]: (_fulfilled, rejected) => rejected(new Error(why)), finally: (done) => done() };
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
    outgoingEnqueue: () => nothing,
    outgoingEnqueueCombi: () => nothing,
    outgoingUpdate: () => nothing,
    outgoingClearMessageId: () => nothing,
    outgoingStream: () => [],
    // QoS 2: nothing is there, and nothing is taken; without these a PUBREL ends the process
    incomingStorePacket: () => refused('QoS 2 messages are not kept'),
    incomingGetPacket: () => refused('no such packet'),
    incomingDelPacket: () => nothing,
    cleanIncoming: () => nothing,
    createRetainedStreamCombi: () => ({ pipe: () => {} }),
    storeRetained: () => nothing,
    putWill: () => nothing,
    delWill: () => nothing,
    streamWill: () => [],
  };
}
