/**
 * A party's link to the broker over the network, from what its configuration says of the broker.
 */
import { createSecureContext } from 'node:tls';
import { BROKER_URL_FORM } from '../../platform/broker-url.ts';
import { readBounded, readPrivate } from '../../platform/files.ts';
import { TOKEN_RULE, tokenIn } from '../../platform/token.ts';
import type { DeviceTransport, Transport, TransportObserver } from '../../platform/transport.ts';
import { mqttTransport } from '../../platform/transport-mqtt.ts';
import { wipe } from '../../protocol/bytes.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { encodeId } from '../../protocol/topics.ts';
import type { DeviceId, LinkId, Topic } from '../../protocol/units.ts';
import { Failure } from '../failure.ts';

export interface BrokerSettings {
  readonly url: string;
  readonly kind?: 'kagimori' | 'outside' | undefined;
  readonly anchorsFile?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly passwordFile?: string | undefined;
  readonly certificateFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

export type OpenTransport = (options: {
  readonly device?: DeviceId;
  readonly will?: { readonly topic: Topic; readonly payload: Uint8Array };
  readonly subscriptions: (link: LinkId) => readonly Topic[];
  readonly observer: TransportObserver;
}) => Transport;

/** What the network gives can rest. */
export type OpenLink = (...options: Parameters<OpenTransport>) => DeviceTransport;

/** There are two services, and everybody waits for them: they notice silence soon, and are back soon. */
const ATTENTIVE = {
  keepAliveSeconds: 2,
  connectTimeoutMs: 2_000,
  reconnect: { minMs: 250, maxMs: 1_000 },
};

const MAX_PEM_BYTES = 256 * 1024;
const MAX_TOKEN_BYTES = 4096;

/**
 * Reads the files now, so that a missing one stops the start.
 * @param service  as whom the token speaks; null for a device
 * @throws FileFault; Failure `config` for settings that do not go together, `token-file` for what no broker takes
 */
export function brokerLink(settings: BrokerSettings, service: 'manager' | 'verifier' | null, crypto: Crypto): OpenLink {
  const fault = faultIn(settings);
  if (fault !== null) throw new Failure('usage', 'config', fault);
  const { url, anchorsFile, certificateFile, keyFile } = settings;
  const secretFile = service === null ? settings.passwordFile : settings.tokenFile;
  const anchorPem = anchorsFile === undefined ? undefined : readBounded(anchorsFile, MAX_PEM_BYTES);
  const token = secretFile === undefined ? undefined : readToken(secretFile);
  const clientCertificate =
    certificateFile === undefined || keyFile === undefined
      ? undefined
      : readClientCertificate(certificateFile, keyFile);
  return ({ device, ...options }) => {
    const username = service ?? (device === undefined ? undefined : encodeId(device));
    return mqttTransport({
      url,
      crypto,
      ...(service === null ? {} : ATTENTIVE),
      ...(anchorPem === undefined ? {} : { anchorPem }),
      ...(clientCertificate === undefined ? {} : { clientCertificate }),
      ...(username === undefined || token === undefined ? {} : { service: { username, token } }),
      ...options,
    });
  };
}

/** @returns what does not go together, or null */
function faultIn({ url, kind, passwordFile, certificateFile, keyFile }: BrokerSettings): string | null {
  if (!URL.canParse(url)) return `broker.url: ${url} is no address, allowed: ${BROKER_URL_FORM}`;
  if ((certificateFile === undefined) !== (keyFile === undefined)) {
    return 'broker.certificateFile and broker.keyFile go together: give both or none';
  }
  if (certificateFile !== undefined && !TLS_URL.test(url)) {
    return 'broker.certificateFile: a client certificate is shown over TLS only: write mqtts:// in broker.url';
  }
  if (passwordFile !== undefined && kind !== 'outside') {
    return 'broker.passwordFile: a Kagimori broker asks devices for none: set broker.kind to outside, or leave it out';
  }
  return null;
}

const TLS_URL = /^(?:mqtts|wss):/;

function readClientCertificate(certificateFile: string, keyFile: string) {
  const chainPem = readBounded(certificateFile, MAX_PEM_BYTES);
  const keyPem = readPrivate(keyFile, MAX_PEM_BYTES);
  try {
    createSecureContext({ cert: Buffer.from(chainPem), key: Buffer.from(keyPem) });
  } catch {
    const why = 'no chain in PEM, no key, or a key that belongs to another certificate';
    throw new Failure('usage', 'config', `broker: ${certificateFile} and ${keyFile} cannot be used: ${why}`);
  }
  return { chainPem, keyPem };
}

function readToken(path: string): string {
  const bytes = readPrivate(path, MAX_TOKEN_BYTES);
  const token = tokenIn(bytes);
  wipe(bytes);
  if (token !== null) return token;
  const remedy = "copy the broker's, or make one: openssl rand -base64 33";
  throw new Failure('usage', 'token-file', `the token file ${path} ${TOKEN_RULE}: ${remedy}`);
}
