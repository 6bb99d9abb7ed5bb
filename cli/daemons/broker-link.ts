/**
 * A party's link to the broker over the network, from what its configuration says of the broker.
 */
import { readBounded, readPrivate } from '../../platform/files.ts';
import { TOKEN_RULE, tokenIn } from '../../platform/token.ts';
import type { Transport, TransportObserver } from '../../platform/transport.ts';
import { mqttTransport } from '../../platform/transport-mqtt.ts';
import { wipe } from '../../protocol/bytes.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import type { LinkId, Topic } from '../../protocol/units.ts';
import { Failure } from '../failure.ts';

export interface BrokerSettings {
  readonly url: string;
  readonly anchorsFile?: string | undefined;
  readonly tokenFile?: string | undefined;
}

export type OpenTransport = (options: {
  readonly subscriptions: (link: LinkId) => readonly Topic[];
  readonly observer: TransportObserver;
}) => Transport;

const MAX_ANCHORS_BYTES = 256 * 1024;
const MAX_TOKEN_BYTES = 4096;

/**
 * Reads the files now, so that a missing one stops the start.
 * @param service  as whom the token speaks; null for a device
 * @throws FileFault; Failure `config` for an address that is none, `token-file` for a token that no broker takes
 */
export function brokerLink(
  { url, anchorsFile, tokenFile }: BrokerSettings,
  service: 'manager' | 'verifier' | null,
  crypto: Crypto,
): OpenTransport {
  if (!URL.canParse(url)) {
    throw new Failure(
      'usage',
      'config',
      `broker.url: ${url} is no address, allowed: mqtt://host:port or mqtts://host:port`,
    );
  }
  const anchorPem = anchorsFile === undefined ? undefined : readBounded(anchorsFile, MAX_ANCHORS_BYTES);
  const token = service === null || tokenFile === undefined ? undefined : readToken(tokenFile);
  return (options) =>
    mqttTransport({
      url,
      crypto,
      ...(anchorPem === undefined ? {} : { anchorPem }),
      ...(service === null || token === undefined ? {} : { service: { username: service, token } }),
      ...options,
    });
}

function readToken(path: string): string {
  const bytes = readPrivate(path, MAX_TOKEN_BYTES);
  const token = tokenIn(bytes);
  wipe(bytes);
  if (token !== null) return token;
  const remedy = "copy the broker's, or make one: openssl rand -base64 33";
  throw new Failure('usage', 'token-file', `the token file ${path} ${TOKEN_RULE}: ${remedy}`);
}
