/**
 * Composition root of `broker run`.
 */
import { type BrokerConfig, brokerConfig } from '../../broker/config.ts';
import { type Broker, startBroker } from '../../broker/service.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import type { Log } from '../../platform/log.ts';
import { readConfigFile } from '../config-file.ts';
import type { Running } from '../daemon.ts';
import { refusalLog } from './refusal-log.ts';

/** The broker inside another daemon's process. */
export async function startEmbeddedBroker(configPath: string, log: Log): Promise<Broker> {
  const config = readConfigFile(configPath, brokerConfig);
  const broker = await startBroker(config, { crypto: nodeCrypto(), observe: refusalLog(log) });
  warnOfAbsent(['verifierFile'], config, log); // the manager needs no token in here
  return broker;
}

export async function startBrokerDaemon(configPath: string, log: Log): Promise<Running> {
  const config = readConfigFile(configPath, brokerConfig);
  const broker = await startBroker(config, { crypto: nodeCrypto(), observe: refusalLog(log) });
  warnOfAbsent(['managerFile', 'verifierFile'], config, log);
  return {
    ready: {
      listen: broker.listeners.map(({ url }) => url),
      root: config.root,
      services: Object.entries(config.tokens).flatMap(([key, file]) =>
        file === undefined ? [] : [key.replace('File', '')],
      ),
    },
    close: () => broker.close(),
  };
}

/** Without its token a service is refused for ever, and no device can log in. */
function warnOfAbsent(needed: readonly (keyof BrokerConfig['tokens'])[], { tokens }: BrokerConfig, log: Log): void {
  const absent = needed.filter((key) => tokens[key] === undefined);
  if (absent.length === 0) return;
  log.warn('broker.no-services', { remedy: absent.map((key) => `tokens.${key}`).join(', ') });
}
