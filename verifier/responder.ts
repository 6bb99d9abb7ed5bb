/**
 * The verifier's HTTP door: OCSP at every path, metrics at one.
 */
import { watchFiles } from '../platform/file-watch.ts';
import { startHttpListener } from '../platform/http-listener.ts';
import { ocspCodec } from '../platform/ocsp-codec.ts';
import { equal } from '../protocol/bytes.ts';
import type { ParsedCertificate } from '../protocol/certificate.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { certificateMark } from '../protocol/revocation-mark.ts';
import type { EpochSeconds } from '../protocol/units.ts';
import type { VerifierConfig } from './config.ts';
import { lookUpSerial } from './list-lookup.ts';
import { ocspHandler } from './ocsp-over-http.ts';
import { createOcspResponder, type OcspResponder, type OcspSigner } from './ocsp-responder.ts';
import { type OcspSignerFiles, readOcspSigner } from './ocsp-signers.ts';
import type { RevocationData } from './revocation-data.ts';
import { metricsOf, type StatusParts } from './status.ts';

export interface Responder {
  readonly address: { readonly host: string; readonly port: number };
  readonly signers: readonly SignerState[];
  /** How many answers of each outcome were given. */
  readonly answers: Readonly<Record<string, number>>;
  /** What the verifier knows has changed. */
  dropHeld(): void;
  /** Reads the signers' files again; those that cannot be used leave the ones in use. */
  renew(): void;
  close(): Promise<void>;
}

export interface SignerState {
  readonly path: string;
  readonly issuer: string | null;
  readonly ends: EpochSeconds;
  /** Why its files cannot be used as they are now: what was read before is in use; or null. */
  readonly fault: string | null;
}

export interface ResponderParts {
  readonly crypto: Crypto;
  readonly clock: { wall(): EpochSeconds };
  readonly data: RevocationData;
  /** Among which the issuers of the signers are looked for. */
  readonly known: () => readonly ParsedCertificate[];
  readonly statusParts: StatusParts;
  readonly observe: (
    event:
      | { readonly kind: 'fault'; readonly path: string; readonly detail: string }
      | { readonly kind: 'refused'; readonly path: string; readonly reason: string }
      | { readonly kind: 'renewed'; readonly path: string; readonly name: string },
  ) => void;
}

/** So long the files of a pair have to rest before they are read. */
export const PAIR_REST_MS = 300;

/** @throws VerifierError, FileFault, HttpListenFault */
export async function startResponder(
  { host, port, signers: files, maxAgeSeconds }: NonNullable<VerifierConfig['responder']>,
  { crypto, clock, data, known, statusParts, observe }: ResponderParts,
): Promise<Responder> {
  let signers: readonly OcspSigner[] = files.map((one) => readOcspSigner(one, known(), crypto));
  const faults = new Map<string, string>();
  const create = (): OcspResponder =>
    createOcspResponder({ codec: ocspCodec, signers, maxAgeSeconds }, (issuer, serial, at) =>
      lookUpSerial(data.keeping, (who, number) => certificateMark(crypto, who.subject, number), issuer, serial, at),
    );
  let responder = create();
  const renewed = (one: OcspSignerFiles, before: OcspSigner): OcspSigner => {
    const path = one.certificateFile;
    try {
      const signer = readOcspSigner(one, known(), crypto);
      faults.delete(path);
      if (!equal(signer.certificate.der, before.certificate.der)) {
        observe({ kind: 'renewed', path, name: signer.certificate.subject.commonName ?? '' });
      }
      return signer;
    } catch (error) {
      const reason = `${error instanceof Error ? error.message : error}: the signer in use stays`;
      if (faults.get(path) !== reason) observe({ kind: 'refused', path, reason });
      faults.set(path, reason);
      return before;
    }
  };
  const renew = (): void => {
    signers = files.map((one, index) => renewed(one, signers[index]!));
    responder = create();
  };
  const answers: Record<string, number> = {};
  const count = ({ outcome }: { readonly outcome: string }): void => {
    answers[outcome] = (answers[outcome] ?? 0) + 1;
  };
  const listener = await startHttpListener({
    host,
    port,
    handlers: {
      '*': ocspHandler({ answer: (der, at) => responder.answer(der, at) }, () => clock.wall(), count),
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
  let resting: NodeJS.Timeout | undefined;
  const watch = watchFiles(
    files.flatMap(({ certificateFile, keyFile }) => [certificateFile, keyFile]),
    () => {
      clearTimeout(resting);
      resting = setTimeout(renew, PAIR_REST_MS).unref();
    },
  );
  return {
    address: listener.address,
    answers,
    get signers() {
      return signers.map(({ issuer, certificate }, index): SignerState => {
        const path = files[index]!.certificateFile;
        return { path, issuer: issuer.subject.commonName, ends: certificate.notAfter, fault: faults.get(path) ?? null };
      });
    },
    dropHeld: () => responder.dropHeld(),
    renew,
    async close() {
      clearTimeout(resting);
      watch.close();
      await listener.close();
    },
  };
}
