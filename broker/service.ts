/**
 * Starts the broker: ports, Aedes, policy, and the door for services inside the process.
 */
import { readFile } from 'node:fs/promises';
import { TOKEN_RULE, tokenIn } from '../platform/token.ts';
import type { Transport } from '../platform/transport.ts';
import { encodeUtf8 } from '../protocol/bytes.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { type Topics, topicsUnder } from '../protocol/topics.ts';
import { Millis } from '../protocol/units.ts';
import { aedesHost } from './aedes-host.ts';
import { type AttachmentOptions, attach } from './attachment.ts';
import type { BrokerCounters, BrokerEvent } from './broker-events.ts';
import type { BrokerConfig } from './config.ts';
import type { Integrator } from './integrators.ts';
import { BrokerError, type Listener, listen } from './listeners.ts';
import { brokerState } from './policy.ts';

export interface BrokerParts {
  readonly crypto: Crypto;
  /** For the log. */
  readonly observe?: (event: BrokerEvent) => void;
}

export interface Broker {
  readonly topics: Topics;
  /** In the order of the configuration, with the real ports. */
  readonly listeners: readonly Listener[];
  readonly counters: BrokerCounters;
  /** A service inside this process; needs no token. */
  attach(options: AttachmentOptions): Transport;
  /** Ends every link and frees the ports. */
  close(): Promise<void>;
}

/** @throws BrokerError when a port, a TLS file or a token file cannot be had */
export async function startBroker(config: BrokerConfig, { crypto, observe = () => {} }: BrokerParts): Promise<Broker> {
  const { managerFile, verifierFile } = config.tokens;
  const tokens = {
    manager: managerFile === undefined ? null : await readToken(managerFile, crypto),
    verifier: verifierFile === undefined ? null : await readToken(verifierFile, crypto),
  };
  const integrators = new Map<string, Integrator>();
  for (const { name, tokenFile, devices } of config.integrators) {
    if (name === 'manager' || name === 'verifier' || integrators.has(name)) {
      throw new BrokerError('integrator-name', `integrators: ${name} is the name of another: choose one of its own`);
    }
    integrators.set(name, { name, tokenSha256: await readToken(tokenFile, crypto), devices, links: new Set() });
  }
  const topics = topicsUnder(config.root);
  const state = brokerState(topics, tokens, config.limits, integrators);
  const host = await aedesHost({ state, crypto, now: () => Millis(performance.now()), observe });
  const listeners: Listener[] = [];
  const close = async () => {
    const freed = listeners.map((listener) => listener.close());
    await host.close();
    await Promise.all(freed);
  };
  try {
    for (const one of config.listen) listeners.push(await listen(one, config.limits.loginTimeoutMs, host));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    topics,
    listeners,
    get counters() {
      return host.counters;
    },
    attach: (options) => attach(host, crypto, options),
    close,
  };
}

/** @returns SHA-256 of the file's only line */
async function readToken(path: string, crypto: Crypto): Promise<Uint8Array> {
  let contents: Uint8Array;
  try {
    contents = await readFile(path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new BrokerError('token-file', `the token file ${path} cannot be read: ${why}`);
  }
  const token = tokenIn(contents);
  if (token === null) throw new BrokerError('token-file', `the token file ${path} ${TOKEN_RULE}`);
  return crypto.hash('sha-256', encodeUtf8(token));
}
