/**
 * A process of its own with as many bare MQTT clients as its parent asks for: each connects, subscribes to as many topics
 * as a logged-in device has, and then stays. Says the number back when all have their SUBACK.
 */
import { connect } from 'node:net';
import { encodeUtf8 } from '../../protocol/bytes.ts';

export interface BareWish {
  readonly port: number;
  readonly count: number;
}

/** km1/d/~link, km1/d/device, km1/p/device/+, km1/v/a/device */
const TOPICS = 4;
const AT_ONCE = 50;
const CONNACK = 2;
const SUBACK = 9;

let number = 0;

process.on('message', ({ port, count }: BareWish) => {
  let [begun, ready] = [0, 0];
  const next = (): void => {
    if (begun === count) return;
    begun++;
    client(port, () => {
      next();
      if (++ready === count) process.send!(count);
    });
  };
  for (let i = 0; i < AT_ONCE; i++) next();
});
process.on('disconnect', () => process.exit(0));

function client(port: number, ready: () => void): void {
  const id = `bare-client-${String(++number).padStart(8, '0')}`;
  const socket = connect({ port, host: '127.0.0.1' });
  socket.setNoDelay(true);
  socket.on('error', (error) => {
    throw error;
  });
  socket.write(connectPacket(id));
  socket.on('data', (bytes: Buffer) => {
    const type = bytes[0]! >> 4;
    if (type === CONNACK) socket.write(subscribePacket(id));
    if (type === SUBACK) ready();
  });
}

const text = (value: string): Uint8Array => {
  const bytes = encodeUtf8(value);
  return Buffer.concat([Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes]);
};

/** @param flags  first byte of the packet; its length stays below 16,384 bytes */
function packet(flags: number, ...parts: readonly Uint8Array[]): Buffer {
  const rest = Buffer.concat(parts);
  const length = rest.length < 128 ? [rest.length] : [(rest.length & 0x7f) | 0x80, rest.length >> 7];
  return Buffer.concat([Uint8Array.of(flags, ...length), rest]);
}

/** @spec MQTT 3.1.1 §3.1: protocol level 4, clean session, no keep-alive */
const connectPacket = (id: string): Buffer => packet(0x10, text('MQTT'), Uint8Array.of(4, 2, 0, 0), text(id));

/** @spec MQTT 3.1.1 §3.8: packet 1, QoS 1 */
function subscribePacket(id: string): Buffer {
  const filters = Array.from({ length: TOPICS }, (_, i) => Buffer.concat([text(`km1/${i}/${id}`), Uint8Array.of(1)]));
  return packet(0x82, Uint8Array.of(0, 1), ...filters);
}
