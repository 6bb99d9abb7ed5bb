/**
 * Looks at the fixed headers of an MQTT byte stream before the parser does: announced sizes are refused where they are
 * announced, not after they were buffered, packet kinds that no client of ours sends never reach the parser, and no more
 * packets pass at once than may. @spec MQTT 3.1.1 §2.2
 */
import { type FormFault, packetForm } from './packet-form.ts';

export type PacketFault = FormFault | 'not-connect' | 'too-large' | 'bad-length';

/** Largest remaining length, in bytes. */
export interface PacketLimits {
  readonly connect: number;
  /** PUBLISH: topic, packet id and payload. */
  readonly publish: number;
  /** Everything else: a SUBSCRIBE names few topics. */
  readonly rest: number;
}

/** How many packets may begin in one pass; `publishes` of them may be PUBLISH. */
export interface Allowance {
  readonly packets: number;
  readonly publishes: number;
}

export interface PacketMeter {
  limits: PacketLimits;
  /** Messages that were sent to this client and ask for an acknowledgement: so many PUBACKs do not count. */
  owed: number;
  /** Which limit the last packet stands under. */
  readonly last: keyof PacketLimits;
  /** Of the last pass: bytes taken, packets and messages begun, and whether it stopped before a PUBLISH. */
  readonly passed: { bytes: number; packets: number; publishes: number; stoppedBy: 'packets' | 'publishes' | null };
  /** Takes as much of the chunk as is allowed. @returns null while all is well; after a fault the stream is lost */
  pass(chunk: Uint8Array, allowance?: Allowance): PacketFault | null;
}

const CONNECT = 1;
const PUBLISH = 3;
const PUBACK = 4;
const UNLIMITED: Allowance = { packets: Number.POSITIVE_INFINITY, publishes: Number.POSITIVE_INFINITY };

export function packetMeter(limits: PacketLimits): PacketMeter {
  let first = true;
  let type = 0;
  let body = 0; // bytes of the current packet still to come
  let lengthBytes = -1; // -1: the next byte is a packet's first
  let length = 0;
  const form = packetForm();
  const passed: PacketMeter['passed'] = { bytes: 0, packets: 0, publishes: 0, stoppedBy: null };
  const meter: PacketMeter = {
    limits,
    owed: 0,
    passed,
    get last() {
      return first ? 'connect' : type === PUBLISH ? 'publish' : 'rest';
    },
    pass(chunk, allowance = UNLIMITED) {
      passed.packets = 0;
      passed.publishes = 0;
      passed.stoppedBy = null;
      let at = 0;
      while (at < chunk.length) {
        if (body > 0) {
          const taken = Math.min(body, chunk.length - at);
          const fault = form.body(chunk, at, at + taken);
          if (fault !== null) return fault;
          body -= taken;
          at += taken;
          continue;
        }
        const byte = chunk[at]!;
        if (lengthBytes < 0) {
          type = byte >> 4;
          if (first && type !== CONNECT) return 'not-connect'; // [MQTT-3.1.0-1]
          const fault = form.head(byte);
          if (fault !== null) return fault;
          passed.stoppedBy = obstacle(allowance);
          if (passed.stoppedBy !== null) break;
          if (type === PUBACK && meter.owed > 0) meter.owed--;
          else passed.packets++;
          if (type === PUBLISH) passed.publishes++;
          lengthBytes = 0;
          length = 0;
          at++;
          continue;
        }
        at++;
        length += (byte & 0x7f) * 128 ** lengthBytes++;
        if (length > meter.limits[meter.last]) return 'too-large';
        if (byte < 0x80) {
          const fault = form.length(length);
          if (fault !== null) return fault;
          body = length;
          lengthBytes = -1;
          first = false;
        } else if (lengthBytes === 4) return 'bad-length';
      }
      passed.bytes = at;
      return null;
    },
  };

  function obstacle({ packets, publishes }: Allowance): 'packets' | 'publishes' | null {
    if (passed.packets >= packets && !(type === PUBACK && meter.owed > 0)) return 'packets';
    return type === PUBLISH && passed.publishes >= publishes ? 'publishes' : null;
  }
  return meter;
}
