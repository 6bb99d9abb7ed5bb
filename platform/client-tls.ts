/**
 * TLS as a client of the broker has it: which anchors count, and the certificate that is shown.
 */
import { isIP } from 'node:net';

export interface ClientTrust {
  /** Anchors of the broker's TLS certificate, PEM; without them the system's. */
  readonly anchorPem?: string | Uint8Array;
  /** Chain and key, PEM, for a broker that asks for a client certificate. */
  readonly clientCertificate?: { readonly chainPem: Uint8Array; readonly keyPem: Uint8Array };
}

/** Settings as node:tls takes them. */
export interface ClientTls {
  readonly servername?: string;
  readonly ca?: string | Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

export function clientTls(host: string, { anchorPem, clientCertificate }: ClientTrust): ClientTls {
  return {
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(anchorPem === undefined ? {} : { ca: typeof anchorPem === 'string' ? anchorPem : Buffer.from(anchorPem) }),
    ...(clientCertificate === undefined
      ? {}
      : { cert: Buffer.from(clientCertificate.chainPem), key: Buffer.from(clientCertificate.keyPem) }),
  };
}
