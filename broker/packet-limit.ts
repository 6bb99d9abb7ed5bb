/**
 * Looks at the fixed headers of an MQTT byte stream before the parser does: announced sizes are refused where they are
 * announced, not after they were buffered. @spec MQTT 3.1.1 §2.2
 */

export type PacketFault = 'not-connect' | 'too-large' | 'bad-length';

/** Largest remaining length, in bytes. */
export interface PacketLimits {
  readonly connect: number;
  /** PUBLISH: topic, packet id and payload. */
  readonly publish: number;
  /** Everything else: a SUBSCRIBE names few topics. */
  readonly rest: number;
}

export interface PacketMeter {
  limits: PacketLimits;
  /** @returns null while all is well; after a fault the stream is lost */
  pass(chunk: Uint8Array): PacketFault | null;
}

const CONNECT = 1;
const PUBLISH = 3;

export function packetMeter(limits: PacketLimits): PacketMeter {
  let first = true;
  let type = 0;
  let body = 0; // bytes of the current packet still to come
  let lengthBytes = -1; // -1: the next byte is a packet's first
  let length = 0;
  const meter: PacketMeter = {
    limits,
    pass(chunk) {
      for (let at = 0; at < chunk.length; ) {
        if (body > 0) {
          const taken = Math.min(body, chunk.length - at);
          body -= taken;
          at += taken;
          continue;
        }
        const byte = chunk[at++]!;
        if (lengthBytes < 0) {
          type = byte >> 4;
          if (first && type !== CONNECT) return 'not-connect'; // [MQTT-3.1.0-1]
          lengthBytes = 0;
          length = 0;
          continue;
        }
        length += (byte & 0x7f) * 128 ** lengthBytes++;
        const limit = first ? meter.limits.connect : type === PUBLISH ? meter.limits.publish : meter.limits.rest;
        if (length > limit) return 'too-large';
        if (byte < 0x80) {
          body = length;
          lengthBytes = -1;
          first = false;
        } else if (lengthBytes === 4) return 'bad-length';
      }
      return null;
    },
  };
  return meter;
}
