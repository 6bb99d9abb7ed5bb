/**
 * A man in the middle between a broker and everybody else who writes down every byte of both directions, and finds the
 * MQTT messages in them.
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** One direction of one connection. */
interface Leg {
  readonly chunks: Buffer[];
}

export interface Published {
  readonly topic: string;
  readonly payload: Uint8Array;
}

export interface Tap {
  readonly url: string;
  /** Every byte that passed, each direction of each connection for itself. */
  legs(): Buffer[];
  /** What was published, in the order of each leg. */
  published(): Published[];
  close(): void;
}

/** @param brokerUrl  mqtt://host:port */
export async function tapBroker(brokerUrl: string): Promise<Tap> {
  const { hostname, port } = new URL(brokerUrl);
  const legs: Leg[] = [];
  const sockets = new Set<Socket>();
  const pass = (from: Socket, to: Socket): void => {
    const leg: Leg = { chunks: [] };
    legs.push(leg);
    sockets.add(from);
    from.setNoDelay(true);
    from.on('data', (chunk: Buffer) => {
      leg.chunks.push(chunk);
      to.write(chunk);
    });
    from.on('error', () => {}); // a process that is killed resets its connections
    from.on('close', () => {
      sockets.delete(from);
      to.destroy();
    });
  };
  const server = createServer((near) => {
    const far = connect(Number(port), hostname);
    pass(near, far);
    pass(far, near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bytes = (): Buffer[] => legs.map(({ chunks }) => Buffer.concat(chunks));
  return {
    url: `mqtt://127.0.0.1:${(server.address() as { port: number }).port}`,
    legs: bytes,
    published: () => bytes().flatMap(publishedIn),
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

const PUBLISH = 3;

/** MQTT 3.1.1 §2.2, §3.3 */
function publishedIn(leg: Buffer): Published[] {
  const found: Published[] = [];
  for (let at = 0; at + 2 <= leg.length; ) {
    const first = leg[at]!;
    let length = 0;
    let shift = 0;
    let octet: number;
    do {
      octet = leg[++at]!;
      length |= (octet & 0x7f) << shift;
      shift += 7;
    } while (octet >= 0x80);
    const body = leg.subarray(at + 1, at + 1 + length);
    at += 1 + length;
    if (first >> 4 !== PUBLISH || body.length < length) continue;
    const topicEnd = 2 + body.readUInt16BE(0);
    const packetId = ((first >> 1) & 3) > 0 ? 2 : 0;
    found.push({
      topic: body.toString('utf8', 2, topicEnd),
      payload: new Uint8Array(body.subarray(topicEnd + packetId)),
    });
  }
  return found;
}
