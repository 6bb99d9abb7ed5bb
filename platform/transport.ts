/**
 * The transport seam: one party's link to the broker. Halves: platform/transport-mqtt.ts (MQTT over TCP, TLS),
 * broker/attachment.ts (a service inside the broker's process), platform/transport-memory.ts (tests, simulator).
 */
import type { LinkId, Topic } from '../protocol/units.ts';

export type Qos = 0 | 1;

/** What a transport reports; at most one observer, given at creation. */
export interface TransportObserver {
  /** The link is up; `link` is its MQTT client id, new for every connection. */
  up(link: LinkId): void;
  /** The link is gone; the transport tries again by itself until it is closed. `reason` is for the log. */
  down(reason: string): void;
  received(topic: Topic, payload: Uint8Array): void;
}

export interface Transport {
  /**
   * Sends; messages published while the link is down are dropped (machines repeat what matters).
   * Never retained.
   */
  publish(topic: Topic, payload: Uint8Array, qos: Qos): void;
  /** Application payload bytes and messages since creation. */
  readonly traffic: { sentMessages: number; sentBytes: number; receivedMessages: number; receivedBytes: number };
  /** Ends the link for good; resolves when the socket is gone. */
  close(): Promise<void>;
}

/** A device's transport learns what became of its link, and can give it back for a while. */
export interface DeviceTransport extends Transport {
  /** The link has proved good, the device is in: after its end the next one is tried soon. */
  settle(): void;
  /** Ends the link; `down` follows, and the next link comes after about so long. Nothing happens without a link. */
  rest(forMs: number): void;
}
