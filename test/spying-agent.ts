/**
 * An agent in the test's own process, over a real link, that writes down what a device is given and never shows: the
 * secrets of its grants, and the keys of its records.
 */
import { readConfigFile } from '../cli/config-file.ts';
import { brokerLink } from '../cli/daemons/broker-link.ts';
import { agentConfig } from '../device-agent/config.ts';
import { startAgent } from '../device-agent/service.ts';
import { openKeyStore } from '../hardware/key-store.ts';
import { systemClock } from '../platform/clock.ts';
import type { JsonValue } from '../platform/control-socket.ts';
import { nodeCrypto } from '../platform/crypto-node.ts';
import { makePrivateDirectory } from '../platform/files.ts';
import { createLog } from '../platform/log.ts';
import { ProtocolError } from '../protocol/errors.ts';
import { channelMessages, type MessageOf } from '../protocol/messages.ts';

export interface SpyingAgent {
  /** As they came, in order; the agent itself has wiped its copies. */
  readonly grants: readonly MessageOf<'Grant'>[];
  /** Of the channel under which the last grant came, which the manager holds too: from device, from manager. */
  channelKeys(): readonly Uint8Array[];
  /** Every other key that sealed or opened something since the login: those of its sessions. */
  otherKeys(): readonly Uint8Array[];
  /** What it logged, and the news it told. */
  said(): string;
  ask(command: string, args?: JsonValue): Promise<JsonValue>;
  close(): Promise<void>;
}

/** @param configPath  of an agent; resolves when the manager has registered it */
export async function startSpyingAgent(configPath: string): Promise<SpyingAgent> {
  const config = readConfigFile(configPath, agentConfig);
  const inner = nodeCrypto();
  const grants: MessageOf<'Grant'>[] = [];
  const uses = new Map<string, Uint8Array>();
  let granting = '';
  let sealing = '';
  let said = '';
  const note = (key: Uint8Array): string => {
    const name = Buffer.from(key).toString('hex');
    if (!uses.has(name)) uses.set(name, key.slice());
    return name;
  };
  const crypto: typeof inner = {
    ...inner,
    seal(aead, key, nonce, aad, plaintext) {
      const name = note(key);
      if (holdsConnect(plaintext)) sealing = name;
      return inner.seal(aead, key, nonce, aad, plaintext);
    },
    open(aead, key, nonce, aad, ciphertext) {
      const name = note(key);
      const plaintext = inner.open(aead, key, nonce, aad, ciphertext);
      const found = plaintext === null ? [] : messagesIn(plaintext.slice()).filter(({ kind }) => kind === 'Grant');
      if (found.length > 0) granting = name;
      grants.push(...(found as MessageOf<'Grant'>[]));
      return plaintext;
    },
  };
  makePrivateDirectory(config.stateDirectory);
  const say = (line: string): void => {
    said += line;
  };
  const agent = startAgent(config, {
    crypto,
    clock: systemClock(),
    log: createLog({ name: 'spying-agent', level: 'debug', json: true, destination: { write: say } }),
    keyStore: openKeyStore(config.keyFile, crypto.counter),
    openTransport: brokerLink(config.broker, null, crypto),
    watchNetwork: () => ({ addresses: () => [], stop() {} }),
  });
  const ended = new AbortController();
  const { listen } = agent.control;
  await new Promise<void>((resolve) => {
    const hear = (news: JsonValue): void => {
      say(`${JSON.stringify(news)}\n`);
      if ((news as { event: string }).event !== 'registered') return;
      uses.clear();
      resolve();
    };
    listen!(null, hear, ended.signal).catch(() => {}); // it ends with the agent
  });
  return {
    grants,
    channelKeys: () => [sealing, granting].map((name) => uses.get(name)!),
    otherKeys: () => [...uses].filter(([name]) => name !== sealing && name !== granting).map(([, key]) => key),
    said: () => said,
    ask: (command, args = {}) => agent.control[command]!(args, () => {}, ended.signal),
    async close() {
      ended.abort();
      await agent.close();
    },
  };
}

const holdsConnect = (plaintext: Uint8Array): boolean => messagesIn(plaintext).some(({ kind }) => kind === 'Connect');

/** @returns none for what is no payload of a channel */
function messagesIn(plaintext: Uint8Array): ReturnType<typeof channelMessages.decodeAll> {
  try {
    return channelMessages.decodeAll(plaintext);
  } catch (error) {
    if (error instanceof ProtocolError) return [];
    throw error;
  }
}
