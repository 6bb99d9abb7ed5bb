/**
 * The verifier's OCSP responder alone, in a process of its own, whose CPU is told apart. Reads one JSON line, prints its port.
 */

import { certificateReader } from '../platform/certificates.ts';
import { newPublicKeyCounter, signingKey } from '../platform/crypto-node.ts';
import { startHttpListener } from '../platform/http-listener.ts';
import { ocspCodec } from '../platform/ocsp-codec.ts';
import { encodeUtf8, fromHex } from '../protocol/bytes.ts';
import { EpochSeconds } from '../protocol/units.ts';
import { ocspHandler } from '../verifier/ocsp-over-http.ts';
import { createOcspResponder } from '../verifier/ocsp-responder.ts';

export interface OcspServerWish {
  /** Certificates, DER in hex. */
  readonly issuer: string;
  readonly signer: string;
  /** PKCS#8, PEM. */
  readonly key: string;
}

const wish = JSON.parse(process.argv[2] ?? '') as OcspServerWish;
const reader = certificateReader();
const read = (hex: string) => reader.readCertificate(fromHex(hex))!;
const now = (): EpochSeconds => EpochSeconds(Math.floor(Date.now() / 1000));
const key = signingKey(encodeUtf8(wish.key), newPublicKeyCounter());
const responder = createOcspResponder(
  {
    codec: ocspCodec,
    signers: [{ issuer: read(wish.issuer), certificate: read(wish.signer), key }],
    maxAgeSeconds: 300,
  },
  (_issuer, _serial, at) => ({ status: 'good', thisUpdate: at, nextUpdate: EpochSeconds(at + 300) }),
);
const { address } = await startHttpListener({
  host: '127.0.0.1',
  port: 0,
  handlers: { '*': ocspHandler(responder, now) },
  limits: { requestsPerSecond: 1e6 },
});
process.stdout.write(`${address.port}\n`);
process.stdin.on('end', () => process.exit(0)).resume();
