/**
 * Why a broker is not reached, or does not let us in, in words.
 */
import { SUBPROTOCOL } from './web-socket.ts';

/** @param name  host:port of the broker */
export function brokerFault(error: Error, name: string): string {
  const status = NO_UPGRADE.exec(error.message)?.[1];
  if (status !== undefined) return `${name} answered HTTP ${status} instead of a WebSocket: is its path right?`;
  if (NO_SUBPROTOCOL.test(error.message)) return `${name} has a WebSocket, but not for ${SUBPROTOCOL}`;
  const code = 'code' in error ? error.code : undefined;
  if (typeof code === 'number' && code in CONNACK_REASONS) return `the broker at ${name} ${CONNACK_REASONS[code]}`;
  const spell = SOCKET_REASONS[typeof code === 'string' ? code : error.message];
  return spell === undefined ? `${name}: ${error.message}` : spell(name);
}

/** MQTT 3.1.1 §3.2.2.3 */
const CONNACK_REASONS: Readonly<Record<number, string>> = {
  1: 'speaks another MQTT version',
  2: 'refused the client id',
  3: 'is not available to this client now: a manager may be attached already',
  4: 'refused user name or token',
  5: 'answered: not authorised',
};

const SOCKET_REASONS: Readonly<Record<string, (where: string) => string>> = {
  ECONNREFUSED: (where) => `connection refused by ${where}: is the broker running?`,
  ECONNRESET: (where) => `the connection to ${where} was reset`,
  ENOTFOUND: (where) => `${where}: this name is not known`,
  EAI_AGAIN: (where) => `${where}: the name cannot be looked up now`,
  ETIMEDOUT: (where) => `no answer from ${where}`,
  EHOSTUNREACH: (where) => `${where} cannot be reached from here`,
  ENETUNREACH: (where) => `${where} cannot be reached from here: no network`,
  CERT_HAS_EXPIRED: (where) => `TLS: the certificate of ${where} has expired`,
  DEPTH_ZERO_SELF_SIGNED_CERT: (where) => `TLS: the certificate of ${where} is self-signed and no anchor of ours`,
  SELF_SIGNED_CERT_IN_CHAIN: (where) => `TLS: the certificate of ${where} ends at an unknown anchor`,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: (where) => `TLS: the certificate of ${where} is under no known anchor`,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: (where) => `TLS: the certificate of ${where} is under no known anchor`,
  ERR_TLS_CERT_ALTNAME_INVALID: (where) => `TLS: the certificate is not made out to ${where}`,
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: (where) =>
    `TLS: ${where} wants a client certificate, and none is configured`,
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: (where) => `TLS: ${where} knows no anchor of our client certificate`,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: (where) => `TLS: our client certificate has expired, says ${where}`,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: (where) => `TLS: our client certificate is revoked, says ${where}`,
  ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: (where) =>
    `TLS: our client certificate is not for clients, says ${where}: its extended key usage needs clientAuth`,
  'connack timeout': (where) => `no answer from ${where} in time`,
  'Keepalive timeout': (where) => `${where} fell silent`,
  EPROTO: (where) => `TLS: ${where} does not speak it: is this the plain port?`,
};

/** What a WebSocket says when the other side is none, or none for MQTT. */
const NO_UPGRADE = /^Unexpected server response: (\d+)$/;
const NO_SUBPROTOCOL = /^Server sent (?:no|an invalid) subprotocol$/;
