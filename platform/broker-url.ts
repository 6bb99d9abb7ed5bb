/**
 * How a broker's address is written in every configuration: `mqtt://host:port` or `mqtts://host:port`, over WebSocket
 * `ws://host:port/path` or `wss://host:port/path`; IPv6 in brackets.
 */
const HOST_AND_PORT = String.raw`(?:[^\s/:]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?`;
export const BROKER_URL = new RegExp(`^(?:mqtts?://${HOST_AND_PORT}|wss?://${HOST_AND_PORT}(?:/[A-Za-z0-9/._~-]*)?)$`);
export const BROKER_URL_FORM =
  'mqtt://host:port or mqtts://host:port, over WebSocket ws://host:port/path or wss://host:port/path';

export interface BrokerAddress {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** The whole URL when it is a WebSocket's, with its path. */
  readonly webSocket: string | null;
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = { 'mqtt:': 1883, 'mqtts:': 8883, 'ws:': 80, 'wss:': 443 };
const DEFAULT_PATH = '/mqtt';

/** @returns null for a URL of another form */
export function brokerAddress(url: string): BrokerAddress | null {
  if (!BROKER_URL.test(url) || !URL.canParse(url)) return null;
  const { protocol, hostname, port, pathname } = new URL(url);
  const web = protocol === 'ws:' || protocol === 'wss:';
  const number = port === '' ? DEFAULT_PORTS[protocol]! : Number(port);
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: number,
    tls: protocol === 'mqtts:' || protocol === 'wss:',
    webSocket: web ? `${protocol}//${hostname}:${number}${pathname === '/' ? DEFAULT_PATH : pathname}` : null,
  };
}
