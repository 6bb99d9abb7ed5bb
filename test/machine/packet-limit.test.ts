/**
 * Announced packet sizes, chunk by chunk. @spec MQTT 3.1.1 §2.2
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packetMeter } from '../../broker/packet-limit.ts';

const LIMITS = { connect: 300, publish: 1000, rest: 20 };
const packet = (first: number, ...rest: number[]) => Uint8Array.of(first, ...rest);
/** A CONNECT of two bytes. */
const HELLO = packet(0x10, 2, 0, 0);

test('[B1] a packet over its limit is refused at the byte that announces it', () => {
  const rows: [what: string, chunks: Uint8Array[], outcome: string | null][] = [
    ['a short CONNECT', [HELLO], null],
    ['a CONNECT at the limit', [packet(0x10, 0xac, 0x02)], null],
    ['a CONNECT beyond', [packet(0x10, 0xad, 0x02)], 'too-large'],
    ['200 MiB, only the header', [packet(0x10, 0x80, 0x80, 0x80, 0x64)], 'too-large'],
    ['a PUBLISH first', [packet(0x30, 2, 0, 0)], 'not-connect'],
    ['a length that does not end', [packet(0x10, 0x80, 0x80, 0x80, 0x80)], 'bad-length'],
    ['a PUBLISH at the limit', [HELLO, packet(0x30, 0xe8, 0x07)], null],
    ['a PUBLISH beyond', [HELLO, packet(0x30, 0xe9, 0x07)], 'too-large'],
    ['a long SUBSCRIBE', [HELLO, packet(0x82, 21)], 'too-large'],
    ['PUBREL', [HELLO, packet(0x62, 2, 0, 1)], 'packet-kind'],
    ['kind 15', [HELLO, packet(0xf0, 0)], 'packet-kind'],
    ['SUBSCRIBE with flags 0', [HELLO, packet(0x80, 6, 0, 1, 0, 1, 0x61, 0)], 'packet-flags'],
    ['PUBLISH with DUP and QoS 0', [HELLO, packet(0x38, 4, 0, 1, 0x61, 0)], 'packet-flags'],
    ['PINGREQ with a byte', [HELLO, packet(0xc0, 1, 0)], 'packet-length'],
    ['PUBACK of three bytes', [HELLO, packet(0x40, 3, 0, 1, 0)], 'packet-length'],
    ['PUBLISH with an empty topic', [HELLO, packet(0x30, 3, 0, 0, 0)], 'packet-length'],
    ['PUBLISH with a topic beyond its end', [HELLO, packet(0x30, 4, 0, 3, 0x61, 0x62)], 'packet-length'],
    ['PUBLISH of QoS 1 with half an id', [HELLO, packet(0x32, 5, 0, 2, 0x61, 0x62, 0)], 'packet-length'],
    ['PUBLISH of QoS 1 with id 0', [HELLO, packet(0x32, 6, 0, 1, 0x61, 0, 0, 9)], 'packet-id'],
    ['PUBLISH of QoS 1 with id 256', [HELLO, packet(0x32, 6, 0, 1, 0x61, 1, 0, 9)], null],
    ['PUBLISH of QoS 0 with zeroes', [HELLO, packet(0x30, 5, 0, 1, 0x61, 0, 0)], null],
    ['SUBSCRIBE with id 0', [HELLO, packet(0x82, 6, 0, 0, 0, 1, 0x61, 0)], 'packet-id'],
    ['PUBACK with id 0', [HELLO, packet(0x40, 2, 0, 0)], 'packet-id'],
    ['PUBACK with id 1', [HELLO, packet(0x40, 2, 0, 1)], null],
    ['an empty PINGREQ, then a PUBLISH beyond', [HELLO, packet(0xc0, 0, 0x30, 0xe9, 0x07)], 'too-large'],
  ];
  for (const [what, chunks, outcome] of rows) {
    const whole = packetMeter(LIMITS);
    assert.equal(
      chunks.reduce<string | null>((fault, chunk) => fault ?? whole.pass(chunk), null),
      outcome,
      what,
    );
    const byByte = packetMeter(LIMITS);
    const bytes = chunks.flatMap((chunk) => [...chunk]);
    assert.equal(
      bytes.reduce<string | null>((fault, byte) => fault ?? byByte.pass(Uint8Array.of(byte)), null),
      outcome,
      `${what}, byte by byte`,
    );
  }
});

test('[B1] bytes inside a packet are not taken for headers', () => {
  const meter = packetMeter(LIMITS);
  assert.equal(meter.pass(HELLO), null);
  const body = new Uint8Array(1000).fill(0xff);
  body.set([0x00, 0x05]);
  assert.equal(meter.pass(packet(0x30, 0xe8, 0x07)), null);
  assert.equal(meter.pass(body.subarray(0, 400)), null);
  assert.equal(meter.pass(body.subarray(400)), null);
  assert.equal(meter.pass(packet(0xc0, 0)), null);
});
