/**
 * Composition root of `manager run`.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openFileKeyStore } from '../../hardware/key-store.ts';
import { managerConfig } from '../../manager/config.ts';
import { startManager } from '../../manager/service.ts';
import { systemClock } from '../../platform/clock.ts';
import { serveControl } from '../../platform/control-socket.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { writeFault } from '../../platform/files.ts';
import type { Log } from '../../platform/log.ts';
import { loadOrCreateKeyFile } from '../../platform/store-key.ts';
import { openLmdbStore } from '../../platform/store-lmdb.ts';
import { wipe } from '../../protocol/bytes.ts';
import { readConfigFile } from '../config-file.ts';
import type { Running } from '../daemon.ts';
import { brokerLink } from './broker-link.ts';

export async function startManagerDaemon(configPath: string, log: Log): Promise<Running> {
  const config = readConfigFile(configPath, managerConfig);
  const { dataDirectory } = config;
  const crypto = nodeCrypto();
  const signingKey = openFileKeyStore(config.keyFile, crypto.counter);
  const openTransport = brokerLink(config.broker, 'manager', crypto);
  makeDirectory(dataDirectory);
  const storeKey = loadOrCreateKeyFile(join(dataDirectory, 'store.key'), crypto);
  const sealingKey = loadOrCreateKeyFile(join(dataDirectory, 'sealing.key'), crypto);
  // Also the lock against a second manager on the same directory.
  const store = await openLmdbStore({ directory: dataDirectory, key: storeKey, crypto });
  wipe(storeKey);
  const closers: (() => Promise<void>)[] = [() => store.close()];
  const close = async (): Promise<void> => {
    for (const one of closers.splice(0).reverse()) await one();
    wipe(sealingKey);
  };
  try {
    const clock = systemClock();
    const manager = startManager(config, { crypto, clock, log, store, signingKey, sealingKey, openTransport });
    closers.push(() => manager.close());
    const socket = join(dataDirectory, 'manager.sock');
    const control = await serveControl(socket, manager.control);
    closers.push(() => control.close());
    return { ready: { manager: config.name, broker: config.broker.url, control: socket }, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw writeFault(path, error);
  }
}
