/**
 * What somebody has without Kagimori: Mosquitto, mutual TLS, a revocation list that is replaced, and SIGHUP. How long does
 * a client that is on the list from then on go on to be heard?
 */
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectAsync, type MqttClient } from 'mqtt';
import { freePorts, mosquittoAbsent, startMosquitto } from '../../test/mosquitto.ts';
import { certifyByOpenssl } from '../../test/openssl-house.ts';
import { openssl, opensslAbsent } from '../../test/test-authority.ts';
import { pause } from '../fleet/storm-run.ts';

export interface MosquittoRound {
  /** From the new list until the last message of the revoked client that another one got. */
  readonly lastMessageMs: number;
  /** It was heard to the end of what was watched. */
  readonly goesOn: boolean;
  /** Whether a new connection with the revoked certificate was let in after SIGHUP. */
  readonly newLink: boolean;
}

export const yardstickAbsent: string | false = mosquittoAbsent || opensslAbsent;

const TOPIC = 'words';
const EVERY_MS = 5;

export async function mosquittoRound(watchedMs: number): Promise<MosquittoRound> {
  const directory = mkdtempSync(join(tmpdir(), 'kagimori-yardstick-'));
  const at = (...parts: readonly string[]): string => join(directory, ...parts);
  mkdirSync(at('certificates'));
  certifyByOpenssl(
    directory,
    [
      { name: '127.0.0.1', kind: 'server', sans: [{ type: 'ip', value: '127.0.0.1' }] },
      { name: 'thief', kind: 'device', sans: [] },
      { name: 'peer', kind: 'device', sans: [] },
    ],
    'P-256',
  );
  const [port] = (await freePorts(1)) as [number];
  writeFileSync(at('mosquitto.conf'), settings(directory, port));
  const broker = await startMosquitto(at('mosquitto.conf'), [port]);
  const login = (name: string): Promise<MqttClient> =>
    connectAsync(`mqtts://127.0.0.1:${port}`, {
      ca: readFileSync(at('ca/root.pem')),
      cert: readFileSync(at(`certificates/${name}.chain.pem`)),
      key: readFileSync(at(`certificates/${name}.key.pem`)),
      reconnectPeriod: 0,
      connectTimeout: 3000,
    });
  const clients: MqttClient[] = [];
  let talking: NodeJS.Timeout | undefined;
  try {
    const peer = await login('peer');
    clients.push(peer);
    let lastAt = Number.NaN;
    peer.on('message', () => {
      lastAt = performance.now();
    });
    await peer.subscribeAsync(TOPIC);
    const thief = await login('thief');
    clients.push(thief);
    thief.on('error', () => {});
    talking = setInterval(() => thief.connected && thief.publish(TOPIC, 'still here'), EVERY_MS);
    await pause(500);
    const ca = at('ca');
    openssl(ca, 'ca', '-config', 'middle.conf', '-revoke', 'thief.pem');
    const lists = ['root', 'middle'].map((tier) => openssl(ca, 'ca', '-config', `${tier}.conf`, '-gencrl'));
    writeFileSync(at('ca/crl.new'), lists.join(''));
    renameSync(at('ca/crl.new'), at('ca/crl.pem'));
    const since = performance.now();
    broker.child.kill('SIGHUP');
    await pause(watchedMs);
    const lastMessageMs = lastAt - since;
    const newLink = await login('thief').then(
      (client) => clients.push(client) > 0,
      () => false,
    );
    return { lastMessageMs, goesOn: lastMessageMs > watchedMs - 1000, newLink };
  } finally {
    clearInterval(talking);
    for (const client of clients) client.end(true);
    await broker.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

const settings = (directory: string, port: number): string => `user root
listener ${port} 127.0.0.1
cafile ${directory}/ca/root.pem
certfile ${directory}/certificates/127.0.0.1.chain.pem
keyfile ${directory}/certificates/127.0.0.1.key.pem
crlfile ${directory}/ca/crl.pem
require_certificate true
use_identity_as_username true
`;
