/**
 * Runs the verifier: its files, its questions from the broker, revocation lists followed as they change.
 */
import { readCertificateFile } from '../platform/certificate-file.ts';
import { certificateReader, MAX_CRL_BYTES, readPem } from '../platform/certificates.ts';
import { signingKey } from '../platform/crypto-node.ts';
import { watchFiles } from '../platform/file-watch.ts';
import { readBounded, readPrivate } from '../platform/files.ts';
import type { Transport, TransportObserver } from '../platform/transport.ts';
import { decodeUtf8, equal } from '../protocol/bytes.ts';
import type { ParsedCertificate, ParsedCrl } from '../protocol/certificate.ts';
import { EXTENDED_KEY_USAGE } from '../protocol/certificate.ts';
import type { Crypto, SigningKey } from '../protocol/crypto.ts';
import { crlSet } from '../protocol/revocation-list.ts';
import { type Asker, topicsUnder } from '../protocol/topics.ts';
import { type EpochSeconds, type LinkId, type Millis, Topic } from '../protocol/units.ts';
import type { VerifierConfig } from './config.ts';
import { readRevokedKeys, replacementFault } from './revocation-files.ts';
import { type Answer, createVerifier, type VerifierCounters, type VerifierPolicy } from './verifier.ts';

export interface VerifierParts {
  readonly crypto: Crypto;
  readonly clock: { now(): Millis; wall(): EpochSeconds };
  readonly openTransport: (options: {
    readonly subscriptions: (link: LinkId) => readonly Topic[];
    readonly observer: TransportObserver;
  }) => Transport;
  /** For the log. */
  readonly observe?: (event: VerifierEvent) => void;
}

export type VerifierEvent =
  | { readonly kind: 'up'; readonly link: LinkId }
  | { readonly kind: 'down'; readonly reason: string }
  | { readonly kind: 'answered'; readonly asker: Asker; readonly answer: Answer }
  /** The file's new content holds from now on. */
  | { readonly kind: 'adopted'; readonly path: string; readonly lists: number }
  /** The file's new content is no good; what was held before still holds. */
  | { readonly kind: 'refused'; readonly path: string; readonly reason: string }
  /** Something that will make verdicts bad. */
  | { readonly kind: 'warning'; readonly path: string; readonly detail: string };

export interface VerifierService {
  readonly counters: VerifierCounters;
  /** The verifier's own leaf; its key is what others pin. */
  readonly certificate: ParsedCertificate;
  /** Looks at a revocation file now instead of when its change is noticed. */
  reload(path: string): void;
  close(): Promise<void>;
}

/** A file that the verifier cannot start with; the message names it and says what to do. */
export class VerifierError extends Error {
  readonly path: string;
  constructor(path: string, detail: string) {
    super(`${path}: ${detail}`);
    this.name = 'VerifierError';
    this.path = path;
  }
}

const MAX_PEM_BYTES = 256 * 1024;
const MAX_KEY_BYTES = 16 * 1024;

/** @throws VerifierError, FileFault, SigningKeyError when a file cannot be used */
export function startVerifier(config: VerifierConfig, parts: VerifierParts): VerifierService {
  const { crypto, clock, openTransport, observe = () => {} } = parts;
  const topics = topicsUnder(config.root);
  const anchors = config.trustAnchorFiles.flatMap((one) =>
    readCertificateFile(typeof one === 'string' ? one : one.file),
  );
  const [certificate] = readCertificateFile(config.certificateFile);
  const key = readKey(config, certificate, crypto);
  if (certificate.extensions.extendedKeyUsage?.includes(EXTENDED_KEY_USAGE.kagimoriVerifier) !== true) {
    observe({ kind: 'warning', path: config.certificateFile, detail: 'its extended key usage is not verifier' });
  }

  const lists = new Map<string, readonly ParsedCrl[]>();
  let revokedKeys: ReadonlySet<string> = new Set();
  /** @returns why the file cannot be taken, or null */
  const take = (path: string): string | null => {
    if (path === config.revokedKeysFile) {
      const read = readRevokedKeys(textOf(readBounded(path, MAX_PEM_BYTES)));
      if (read === null) return 'a line is no SHA-256 in hex';
      revokedKeys = read;
      return null;
    }
    const fresh = readCrls(readBounded(path, MAX_CRL_BYTES));
    if (fresh === null) return 'neither PEM nor DER of revocation lists';
    const fault = replacementFault(crypto, lists.get(path) ?? [], fresh, anchors);
    if (fault !== null) return fault;
    for (const { nextUpdate } of fresh) {
      if (nextUpdate !== null && nextUpdate >= clock.wall()) continue;
      observe({
        kind: 'warning',
        path,
        detail: 'the list is out of date: its certificates are refused until it is new',
      });
    }
    lists.set(path, fresh);
    return null;
  };
  let version = 0;
  const policy = (): VerifierPolicy => {
    version = Math.max(version + 1, clock.wall()); // grows across restarts too
    const crls = config.crlFiles.length === 0 ? null : crlSet([...lists.values()].flat());
    return { anchors, revocation: crls, revokedKeys, revokedMarks: new Set(), version };
  };

  const watched = [...config.crlFiles, ...(config.revokedKeysFile === undefined ? [] : [config.revokedKeysFile])];
  for (const path of watched) {
    const fault = take(path);
    if (fault !== null) throw new VerifierError(path, fault);
  }
  const settings = {
    reader: certificateReader(),
    signingKey: key,
    maxAgeSeconds: config.verdictMaxAgeSeconds,
    questionsPerSecond: config.questionsPerSecond,
  };
  const verifier = createVerifier(settings, policy());

  const reload = (path: string): void => {
    const reason = attempt(() => take(path));
    if (reason !== null) {
      observe({ kind: 'refused', path, reason });
      return;
    }
    verifier.adopt(policy());
    observe({ kind: 'adopted', path, lists: lists.get(path)?.length ?? 0 });
  };
  const watch = watchFiles(watched, reload);
  const transport = openTransport({
    subscriptions: () => [Topic(`${topics.root}/v/q/+`)],
    observer: {
      up: (link) => observe({ kind: 'up', link }),
      down: (reason) => observe({ kind: 'down', reason }),
      received(topic, payload) {
        const place = topics.parse(topic);
        if (place?.kind !== 'verifier-question') return;
        const answer = verifier.answer(place.asker, payload, { now: clock.now(), wall: clock.wall(), crypto });
        if (answer.kind === 'judged') transport.publish(topics.verifierAnswer(place.asker), answer.payload, 1);
        observe({ kind: 'answered', asker: place.asker, answer });
      },
    },
  });
  return {
    counters: verifier.counters,
    certificate,
    reload,
    async close() {
      watch.close();
      await transport.close();
    },
  };
}

/** @returns why it cannot be done, or null */
function attempt(what: () => string | null): string | null {
  try {
    return what();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function textOf(bytes: Uint8Array): string {
  try {
    return decodeUtf8(bytes);
  } catch {
    return '?'; // no line of any file here
  }
}

function readKey(config: VerifierConfig, certificate: ParsedCertificate, crypto: Crypto): SigningKey {
  const bytes = readPrivate(config.keyFile, MAX_KEY_BYTES);
  const key = signingKey(bytes, crypto.counter);
  bytes.fill(0);
  if (key.algorithm === 'rsa')
    throw new VerifierError(config.keyFile, 'verdicts are signed with P-256, P-384 or Ed25519');
  if (!equal(key.publicSpki, certificate.spki)) {
    throw new VerifierError(config.keyFile, `the key does not belong to the certificate in ${config.certificateFile}`);
  }
  return key;
}

/** One list in DER, or any number in PEM. @returns null when there is none, or one is broken */
function readCrls(bytes: Uint8Array): ParsedCrl[] | null {
  const reader = certificateReader();
  const blocks = bytes[0] === 0x30 ? [bytes] : readPem(bytes, 'X509 CRL');
  if (blocks === null || blocks.length === 0) return null;
  const crls = blocks.map((der) => reader.readCrl(der));
  return crls.every((crl) => crl !== null) ? crls : null;
}
