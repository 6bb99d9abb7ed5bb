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
  assert.equal(meter.pass(packet(0x30, 0xe8, 0x07)), null);
  assert.equal(meter.pass(body.subarray(0, 400)), null);
  assert.equal(meter.pass(body.subarray(400)), null);
  assert.equal(meter.pass(packet(0xc0, 0)), null);
});
