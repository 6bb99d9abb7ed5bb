/**
 * A process of its own: Aedes as it comes out of its box, without policy, limits or manager. Tells its port to its parent.
 */
import { createServer } from 'node:net';
import { Aedes } from 'aedes';

const aedes = await Aedes.createBroker();
const server = createServer((socket) => aedes.handle(socket));
server.listen(0, '127.0.0.1', 4096, () => {
  const address = server.address();
  if (address !== null && typeof address === 'object') process.send!(address.port);
});
process.on('disconnect', () => process.exit(0));
