/**
 * The verifier's HTTP door: OCSP at every path, metrics at one.
 */
import { startHttpListener } from '../platform/http-listener.ts';
import { ocspCodec } from '../platform/ocsp-codec.ts';
import type { ParsedCertificate } from '../protocol/certificate.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { certificateMark } from '../protocol/revocation-mark.ts';
import type { EpochSeconds } from '../protocol/units.ts';
import type { VerifierConfig } from './config.ts';
import { lookUpSerial } from './list-lookup.ts';
import { ocspHandler } from './ocsp-over-http.ts';
import { createOcspResponder } from './ocsp-responder.ts';
import { readOcspSigner } from './ocsp-signers.ts';
import type { RevocationData } from './revocation-data.ts';
import { metricsOf, type StatusParts } from './status.ts';

export interface Responder {
  readonly address: { readonly host: string; readonly port: number };
  /** How many answers of each outcome were given. */
  readonly answers: Readonly<Record<string, number>>;
  /** What the verifier knows has changed. */
  dropHeld(): void;
  close(): Promise<void>;
}

export interface ResponderParts {
  readonly crypto: Crypto;
  readonly clock: { wall(): EpochSeconds };
  readonly data: RevocationData;
  /** Among which the issuers of the signers are looked for. */
  readonly known: readonly ParsedCertificate[];
  readonly statusParts: StatusParts;
  readonly observe: (
    event:
      | { readonly kind: 'fault'; readonly path: string; readonly detail: string }
      | { readonly kind: 'warning'; readonly path: string; readonly detail: string },
  ) => void;
}

/** @throws VerifierError, FileFault, HttpListenFault */
export async function startResponder(
  { host, port, signers: files, maxAgeSeconds }: NonNullable<VerifierConfig['responder']>,
  { crypto, clock, data, known, statusParts, observe }: ResponderParts,
): Promise<Responder> {
  const signers = files.map((one) => readOcspSigner(one, known, crypto));
  for (const [index, { certificate }] of signers.entries()) {
    const path = files[index]!.certificateFile;
    if (certificate.notAfter < clock.wall()) observe({ kind: 'warning', path, detail: 'it has expired' });
  }
  const responder = createOcspResponder({ codec: ocspCodec, signers, maxAgeSeconds }, (issuer, serial, at) =>
    lookUpSerial(data.keeping, (who, number) => certificateMark(crypto, who.subject, number), issuer, serial, at),
  );
  const answers: Record<string, number> = {};
  const count = ({ outcome }: { readonly outcome: string }): void => {
    answers[outcome] = (answers[outcome] ?? 0) + 1;
  };
  const listener = await startHttpListener({
    host,
    port,
    handlers: {
      '*': ocspHandler(responder, () => clock.wall(), count),
      '/metrics': {
        methods: ['GET'],
        answer: () => ({
          status: 200,
          headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8', 'cache-control': 'no-store' },
          body: metricsOf(statusParts, clock.wall()),
        }),
      },
    },
    onFault: (path, error) =>
      observe({ kind: 'fault', path, detail: error instanceof Error ? error.message : String(error) }),
  });
  return { address: listener.address, answers, dropHeld: () => responder.dropHeld(), close: () => listener.close() };
}
