/**
 * A WebSocket client made of bytes: HTTP requests and frames that no library would write. @spec RFC 6455 §4, §5
 */
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { type Packet, parser } from 'mqtt-packet';
import { until } from './broker-rig.ts';

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface FrameForm {
  readonly fin?: boolean;
  readonly masked?: boolean;
  /** RSV1 is the bit of compression. */
  readonly rsv?: number;
  /** The announced length, when it is not the real one. */
  readonly length?: number;
}

const MASK = Buffer.from([0x12, 0x34, 0x56, 0x78]);

export function frame(opcode: number, payload: Uint8Array | string, form: FrameForm = {}): Buffer {
  const { fin = true, masked = true, rsv = 0, length = payload.length } = form;
  const mask = masked ? 0x80 : 0;
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  if (length < 126) head.push(mask | length);
  else if (length < 65_536) head.push(mask | 126, length >> 8, length & 0xff);
  else
    head.push(
      mask | 127,
      0,
      0,
      0,
      0,
      (length >>> 24) & 0xff,
      (length >>> 16) & 0xff,
      (length >> 8) & 0xff,
      length & 0xff,
    );
  const content = Buffer.from(payload);
  if (!masked) return Buffer.concat([Buffer.from(head), content]);
  return Buffer.concat([Buffer.from(head), MASK, content.map((byte, at) => byte ^ MASK[at & 3]!)]);
}

export const binary = (payload: Uint8Array, form: FrameForm = {}): Buffer => frame(OPCODE.binary, payload, form);

/** Headers by name; null leaves one out. */
export type Headers = Readonly<Record<string, string | null>>;

const UPGRADE: Headers = {
  Host: 'broker.example',
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Protocol': 'mqtt',
};

export function request(line: string, headers: Headers): string {
  const lines = Object.entries(headers).flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}`]));
  return [line, ...lines, '', ''].join('\r\n');
}

export const upgrade = (path = '/mqtt', headers: Headers = {}): string =>
  request(`GET ${path} HTTP/1.1`, { ...UPGRADE, ...headers });

export interface RawWebSocket {
  readonly socket: Socket;
  /** Everything up to the end of the headers, once it is there. */
  readonly answer: () => string;
  /** What came behind the headers. */
  readonly body: () => Buffer;
  /** MQTT packets of the binary frames, and the opcodes of all frames. */
  readonly packets: Packet[];
  readonly opcodes: number[];
  readonly closed: () => boolean;
}

/** Frames of the server are read as they are wanted here: whole and unmasked, with at most 64 KiB. */
export function rawWebSocket(port: number, t: TestContext): RawWebSocket {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const packets: Packet[] = [];
  const opcodes: number[] = [];
  const reader = parser();
  reader.on('packet', (packet) => packets.push(packet));
  let received: Buffer = Buffer.alloc(0);
  let head = '';
  let frames = 0;
  let closed = false;
  socket.on('error', () => {});
  socket.on('close', () => {
    closed = true;
  });
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    if (head === '') {
      const end = received.indexOf('\r\n\r\n');
      if (end < 0) return;
      head = received.subarray(0, end).toString('latin1');
      received = received.subarray(end + 4);
    }
    if (!head.startsWith('HTTP/1.1 101')) return;
    for (;;) {
      const rest = received.subarray(frames);
      if (rest.length < 2) return;
      const long = (rest[1]! & 0x7f) === 126;
      if (long && rest.length < 4) return;
      const from = long ? 4 : 2;
      const length = long ? rest.readUInt16BE(2) : rest[1]! & 0x7f;
      if (rest.length < from + length) return;
      opcodes.push(rest[0]! & 15);
      if ((rest[0]! & 15) === OPCODE.binary) reader.parse(rest.subarray(from, from + length));
      frames += from + length;
    }
  });
  t.after(() => socket.destroy());
  return { socket, answer: () => head, body: () => received, packets, opcodes, closed: () => closed };
}

/** With its upgrade done. */
export async function openWebSocket(port: number, t: TestContext): Promise<RawWebSocket> {
  const raw = rawWebSocket(port, t);
  raw.socket.write(upgrade());
  await until(() => raw.answer() !== '', 'the answer to the upgrade');
  return raw;
}
