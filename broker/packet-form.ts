/**
 * What every packet of a client must look like, as far as the parser behind does not mind: flags, remaining length, a
 * packet id that is there and is not 0. Without QoS 2 a client sends seven kinds, so the rest are faults as well.
 * @spec MQTT 3.1.1 §2.2, §2.3.1
 */

export type FormFault = 'packet-kind' | 'packet-flags' | 'packet-length' | 'packet-id';

interface Form {
  /** A bit for each allowed value of the flags. */
  readonly flags: number;
  /** Remaining length, in bytes. */
  readonly least: number;
  readonly most: number;
  readonly begins: 'with-topic' | 'with-id' | 'otherwise';
}

const NO_FLAGS = 1 << 0;
const ONLY_2 = 1 << 2;
/** QoS 0 and 1, each also retained, and QoS 1 again: DUP. That QoS 2 and what is retained are refused is policy. */
const OF_PUBLISH = [0, 1, 2, 3, 4, 5, 10, 11, 12, 13].reduce((all, flags) => all | (1 << flags), 0);
const ANY = Number.POSITIVE_INFINITY;

const FORMS: ReadonlyMap<number, Form> = new Map<number, Form>([
  [1, { flags: NO_FLAGS, least: 0, most: ANY, begins: 'otherwise' }],
  [3, { flags: OF_PUBLISH, least: 3, most: ANY, begins: 'with-topic' }],
  [4, { flags: NO_FLAGS, least: 2, most: 2, begins: 'with-id' }],
  [8, { flags: ONLY_2, least: 6, most: ANY, begins: 'with-id' }],
  [10, { flags: ONLY_2, least: 5, most: ANY, begins: 'with-id' }],
  [12, { flags: NO_FLAGS, least: 0, most: 0, begins: 'otherwise' }],
  [14, { flags: NO_FLAGS, least: 0, most: 0, begins: 'otherwise' }],
]);

/** The packets of one connection, one after the other. */
export interface PacketForm {
  /** @param first  a packet's first byte */
  head(first: number): FormFault | null;
  /** @param length  its remaining length */
  length(length: number): FormFault | null;
  /** A piece of its body, in order. */
  body(chunk: Uint8Array, from: number, to: number): FormFault | null;
}

export function packetForm(): PacketForm {
  let form: Form | undefined;
  let qos = 0;
  let size = 0;
  let next: 'topic-length' | 'topic' | 'id' | 'rest' = 'rest';
  /** The number of two bytes that is being read, and how many bytes of it, or of the topic, are still to come. */
  let number = 0;
  let left = 0;

  const expect = (what: typeof next, count: number) => {
    next = what;
    left = count;
    number = 0;
  };
  const afterTopicLength = (): FormFault | null => {
    const withId = qos > 0 ? 2 : 0;
    // the parser would take the id from the packet behind
    if (number === 0 || 2 + number + withId > size) return 'packet-length';
    expect('topic', number);
    return null;
  };

  return {
    head(first) {
      form = FORMS.get(first >> 4);
      if (form === undefined) return 'packet-kind';
      qos = (first >> 1) & 3;
      return (form.flags & (1 << (first & 15))) === 0 ? 'packet-flags' : null; // [MQTT-2.2.2-2], [MQTT-3.3.1-2]
    },
    length(length) {
      if (form === undefined || length < form.least || length > form.most) return 'packet-length';
      size = length;
      if (form.begins === 'otherwise') expect('rest', 0);
      else expect(form.begins === 'with-id' ? 'id' : 'topic-length', 2);
      return null;
    },
    body(chunk, from, to) {
      for (let at = from; at < to && next !== 'rest'; ) {
        if (next === 'topic') {
          const taken = Math.min(left, to - at);
          at += taken;
          left -= taken;
          if (left === 0) expect(qos > 0 ? 'id' : 'rest', 2);
          continue;
        }
        number = number * 256 + chunk[at++]!;
        if (--left > 0) continue;
        if (next === 'topic-length') {
          const fault = afterTopicLength();
          if (fault !== null) return fault;
        } else {
          if (number === 0) return 'packet-id'; // [MQTT-2.3.1-1]
          expect('rest', 0);
        }
      }
      return null;
    },
  };
}
