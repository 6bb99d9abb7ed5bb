/**
 * Composition root of `manager run`.
 */
import { join } from 'node:path';
import { openKeyStore } from '../../hardware/key-store.ts';
import { type ManagerConfig, managerConfig } from '../../manager/config.ts';
import { startManager } from '../../manager/service.ts';
import { systemClock } from '../../platform/clock.ts';
import { type JsonValue, serveControl } from '../../platform/control-socket.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import type { Log } from '../../platform/log.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { readConfigFile } from '../config-file.ts';
import type { Running } from '../daemon.ts';
import { brokerLink, type OpenTransport } from './broker-link.ts';
import { startCertifying } from './certifying.ts';
import { openManagerStore, withStore } from './manager-store.ts';
import { revokeAt } from './revoking.ts';
import { keepRules } from './rules-keeper.ts';

/** @param acceptRollback  start although the witness knows of a later store */
export async function startManagerDaemon(configPath: string, log: Log, acceptRollback: boolean): Promise<Running> {
  const config = readConfigFile(configPath, managerConfig);
  const crypto = nodeCrypto();
  const { store, sealingKey, history, close: closeStore } = await openManagerStore(config, acceptRollback, crypto, log);
  const closers: (() => Promise<void> | void)[] = [closeStore];
  const close = async (): Promise<void> => {
    for (const one of closers.splice(0).reverse()) await one();
  };
  const openKey = (keyFileOrUri: string) => {
    const key = openKeyStore(keyFileOrUri, crypto.counter);
    closers.push(() => key.close());
    return key;
  };
  try {
    const keeper = await keepRules(config, log);
    closers.push(() => keeper.close());
    const broker = await reachBroker(config.broker, crypto, log);
    closers.push(broker.close);
    const certifying = config.enrolment === undefined ? null : startCertifying(config.enrolment);
    if (certifying !== null) closers.push(() => certifying.close());
    const clock = systemClock();
    const manager = startManager(config, {
      crypto,
      clock,
      log,
      store,
      openKey,
      sealingKey,
      history,
      ...(certifying === null ? {} : { certify: certifying.certify }),
      ...(config.enrolment === undefined ? {} : { revoke: revokeAt(config.enrolment.caDirectory) }),
      ...(keeper.rules === undefined ? {} : { rules: keeper.rules }),
      openTransport: broker.openTransport,
    });
    closers.push(() => manager.close());
    keeper.tell(manager.setRules);
    const socket = join(config.dataDirectory, 'manager.sock');
    const control = await serveControl(socket, withStore(keeper.withRules(manager.control), store, config, log));
    closers.push(() => control.close());
    return { ready: { manager: config.name, broker: broker.where, control: socket }, close };
  } catch (error) {
    await close();
    throw error;
  }
}

interface ReachedBroker {
  readonly openTransport: OpenTransport;
  /** For the first line: an address, or what the embedded broker listens on. */
  readonly where: JsonValue;
  close(): Promise<void>;
}

/** Over the network, or inside this process: the manager sees the same transport. */
async function reachBroker(settings: ManagerConfig['broker'], crypto: Crypto, log: Log): Promise<ReachedBroker> {
  if ('url' in settings) {
    return { openTransport: brokerLink(settings, 'manager', crypto), where: settings.url, close: async () => {} };
  }
  const { startEmbeddedBroker } = await import('./broker.ts');
  const broker = await startEmbeddedBroker(settings.embeddedConfigFile, log);
  return {
    openTransport: (options) => broker.attach({ service: 'manager', ...options }),
    where: broker.listeners.map(({ url }) => url),
    close: () => broker.close(),
  };
}
