/**
 * Every limit of the broker, with the default that suits a home. What each is for, and how to raise it for a large
 * fleet: docs/broker-limits.md. Implementation limits, none of them the protocol's.
 */
import { MAX_EXCHANGE_FRAME_BYTES, MAX_RECORD_BYTES } from '../protocol/frame.ts';

export interface Limits {
  /** A link that has not logged in after this long is closed. */
  readonly loginTimeoutMs: number;
  /** A CONNECT packet, and so everything that is read before one. */
  readonly connectBytes: number;
  /** Connections that have not logged in: from one address, and altogether. */
  readonly newPerAddress: number;
  readonly newAltogether: number;
  /** New connections in a second, also at once: from one address (null: `ratePerAddress`), and altogether. */
  readonly newPerSecondPerAddress: number | null;
  readonly newPerSecond: number;
  /** All connections, logged in or not. */
  readonly linksPerAddress: number;
  readonly linksAltogether: number;
  /** Messages that a link may publish before it has logged in; also its packets of any kind in a second. */
  readonly messagesBeforeLogin: number;
  /** Messages of all links that have not logged in, in a second; addresses take turns, and links of one address. */
  readonly loginMessagesPerSecond: number;
  /** They pass at a tenth of that while a manager over the network has so many messages that it did not acknowledge. */
  readonly managerBehind: number;
  /** Payloads: of a link that has not logged in, of a device to manager or verifier, of a device to its peer. */
  readonly newLinkBytes: number;
  readonly toManagerBytes: number;
  readonly peerBytes: number;
  /** A packet that is neither CONNECT nor PUBLISH. */
  readonly otherPacketBytes: number;
  /** Topic filters that a link may ask for; what it has already is not counted again, what it may not have always. */
  readonly subscriptions: number;
  /** Packets of one link that are worked on at once. */
  readonly inFlight: number;
  /** Packets of a device in a second, acknowledgements of what it was sent not counted; as many may come at once. */
  readonly messagesPerSecond: number;
  /** Of these, messages to manager or verifier. */
  readonly toManagerPerSecond: number;
  readonly bytesPerSecond: number;
  /** Messages for an absent device: always 0. */
  readonly offlineQueue: 0;
  /** Bytes that may wait for one slow reader before messages to it are left out; at four times that it is closed. */
  readonly backlogBytes: number;
  /** The same for manager and verifier. */
  readonly serviceBacklogBytes: number;
  /** A reader whose socket takes nothing for so long is closed. */
  readonly drainTimeoutMs: number;
  /** The longest keep-alive; a client that asks for more, or for none, is held to it. */
  readonly keepAliveSeconds: number;
  /** Messages of all links that Aedes delivers at once; the rest waits. */
  readonly concurrency: number;
}

/** The protocol has none longer. A record may stand on `m` too, but none there is longer than a message. */
export const MAX_PAYLOAD_BYTES = {
  newLink: MAX_EXCHANGE_FRAME_BYTES,
  toManager: 16 * 1024,
  peer: MAX_RECORD_BYTES + 64,
  service: MAX_RECORD_BYTES + 64,
} as const;

export const DEFAULT_LIMITS: Limits = {
  loginTimeoutMs: 10_000,
  connectBytes: 4096,
  newPerAddress: 64,
  newAltogether: 4096,
  newPerSecondPerAddress: null,
  newPerSecond: 1000,
  linksPerAddress: 20_000,
  linksAltogether: 20_000,
  messagesBeforeLogin: 32,
  loginMessagesPerSecond: 500,
  managerBehind: 64,
  newLinkBytes: MAX_PAYLOAD_BYTES.newLink,
  toManagerBytes: MAX_PAYLOAD_BYTES.toManager,
  peerBytes: MAX_PAYLOAD_BYTES.peer,
  otherPacketBytes: 4096,
  subscriptions: 8,
  inFlight: 64,
  messagesPerSecond: 1000,
  toManagerPerSecond: 100,
  bytesPerSecond: 4 * 1024 * 1024,
  offlineQueue: 0,
  backlogBytes: 256 * 1024,
  serviceBacklogBytes: 4 * 1024 * 1024,
  drainTimeoutMs: 2000,
  keepAliveSeconds: 300,
  concurrency: 10_000,
};

/** Where nothing is said: as many in a second as may be new at once, and no fewer than there are at home. */
export const ratePerAddress = ({ newPerSecondPerAddress, newPerAddress }: Limits): number =>
  newPerSecondPerAddress ?? Math.max(newPerAddress, DEFAULT_LIMITS.newPerAddress);
