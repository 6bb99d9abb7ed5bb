/**
 * A stretch of network that can be shut: what is sent into it then is lost like in a cable that was cut, without a word to
 * either side. New connections come no further than here.
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export interface Valve {
  readonly url: string;
  shut(): void;
  /** As somebody who pulls the plug of a switch: connections end, and new ones until `open` too. */
  cut(): void;
  open(): void;
  close(): void;
}

/** @param brokerUrl  mqtt://host:port */
export async function valveTo(brokerUrl: string): Promise<Valve> {
  const { hostname, port } = new URL(brokerUrl);
  const sockets = new Set<Socket>();
  let flowing = true;
  let refusing = false;
  const pass = (from: Socket, to: Socket): void => {
    sockets.add(from);
    from.setNoDelay(true);
    from.on('data', (chunk: Buffer) => flowing && to.write(chunk));
    from.on('error', () => {}); // a side that gives up resets its connection
    from.on('close', () => {
      sockets.delete(from);
      // who is cut off does not learn that the other has hung up
      if (flowing) to.destroy();
    });
  };
  const server = createServer((near) => {
    if (refusing) return void near.on('error', () => {}).destroy();
    if (!flowing) return void sockets.add(near.on('error', () => {}).on('close', () => sockets.delete(near)));
    const far = connect(Number(port), hostname);
    pass(near, far);
    pass(far, near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `mqtt://127.0.0.1:${(server.address() as { port: number }).port}`,
    shut() {
      flowing = false;
    },
    cut() {
      refusing = true;
      for (const socket of sockets) socket.destroy();
    },
    open() {
      flowing = true;
      refusing = false;
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
