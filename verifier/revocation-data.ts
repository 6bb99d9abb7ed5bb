/**
 * The verifier's revocation data and where it comes from: lists in files, lists from URLs, the list of revoked keys, what is
 * remembered from before. Whatever comes is checked before it counts; what is refused changes nothing.
 */
import { readCertificateFile } from '../platform/certificate-file.ts';
import { certificateReader, MAX_CRL_BYTES, readPem } from '../platform/certificates.ts';
import { watchFiles } from '../platform/file-watch.ts';
import { readBounded } from '../platform/files.ts';
import { decodeUtf8 } from '../protocol/bytes.ts';
import type { ParsedCertificate, ParsedCrl } from '../protocol/certificate.ts';
import type { Crypto } from '../protocol/crypto.ts';
import type { EpochSeconds } from '../protocol/units.ts';
import type { VerifierConfig } from './config.ts';
import { type KnownSigners, knownSigners } from './known-signers.ts';
import { type FetchedOutcome, type ListFetching, startListFetching } from './list-fetching.ts';
import { type ListKeeping, listKeeping, type ProvenList, type Taken } from './list-keeping.ts';
import { type ListMemory, openListMemory } from './list-memory.ts';
import { issuerOf } from './list-scope.ts';
import { readRevokedKeys } from './revoked-keys.ts';
import { VerifierError } from './verifier-error.ts';

export type RevocationConfig = Pick<
  VerifierConfig,
  'intermediateFiles' | 'dataDirectory' | 'crlFiles' | 'crlUrls' | 'revokedKeysFile'
>;

/** `place` is a file or a URL. */
export type RevocationEvent =
  /** What it holds now is in force, or held. */
  /** `unproven`: of CAs that are not known; held, and no more. */
  | { readonly kind: 'adopted'; readonly path: string; readonly lists: number; readonly unproven: number }
  /** What it holds now is no good, or it cannot be had; what was in force before still is. */
  | { readonly kind: 'refused'; readonly path: string; readonly reason: string }
  /** It is well again. */
  | { readonly kind: 'recovered'; readonly path: string }
  /** Something that makes, or may make, verdicts bad. */
  | { readonly kind: 'warning'; readonly path: string; readonly detail: string };

export interface PlaceState {
  readonly kind: 'file' | 'url' | 'revoked-keys';
  readonly where: string;
  readonly lastAt: EpochSeconds | null;
  /** null: well. */
  readonly fault: string | null;
  readonly nextAt: EpochSeconds | null;
  readonly lists: readonly ParsedCrl[];
}

export interface RevocationData {
  readonly keeping: ListKeeping;
  readonly signers: KnownSigners;
  readonly revokedKeys: ReadonlySet<string>;
  places(): readonly PlaceState[];
  /** A chain that was judged good. */
  learn(chain: readonly ParsedCertificate[]): void;
  /** Looks at a file now instead of when its change is noticed. */
  reload(path: string): void;
  /** Looks at everything now. */
  reloadAll(): Promise<void>;
  close(): Promise<void>;
}

export interface RevocationParts {
  readonly crypto: Crypto;
  readonly clock: { wall(): EpochSeconds };
  readonly anchors: readonly ParsedCertificate[];
  /** Further CAs that happen to be known, as of the own chain: those that can be proven count. */
  readonly passing: readonly ParsedCertificate[];
  readonly observe: (event: RevocationEvent) => void;
  /** Told when anything that counts has changed. */
  readonly changed: () => void;
}

const MAX_KEYS_BYTES = 256 * 1024;
/** A file that was refused may be good by now without having changed: the clock was set, a CA was learnt. */
const RETRY_MS = 30_000;
const MEMORY = 'what was remembered';
/** A list that ran out so long ago decides nothing under any settings, and is perhaps no more issued at all. */
const FORGOTTEN_SECONDS = 30 * 86_400;

/** @throws VerifierError, FileFault for a file that cannot be used */
export function openRevocationData(config: RevocationConfig, parts: RevocationParts): RevocationData {
  const { crypto, clock, anchors, passing, observe, changed } = parts;
  const { dataDirectory, crlFiles, crlUrls, intermediateFiles, revokedKeysFile } = config;
  const memory = dataDirectory === undefined ? null : openListMemory(dataDirectory, crypto);
  const signers = knownSigners(crypto, anchors);
  for (const path of intermediateFiles) {
    const [unproven] = signers.prove(readCertificateFile(path), clock.wall());
    if (unproven === undefined) continue;
    const who = unproven.subject.commonName ?? 'a certificate';
    observe({ kind: 'warning', path, detail: `${who} is under no trust anchor: its lists cannot be proven` });
  }
  signers.prove(passing, clock.wall());
  const keeping = listKeeping(crypto, signers, memory?.seen ?? []);
  if (memory !== null) recall(memory, keeping, signers, clock.wall(), observe);
  let revokedKeys: ReadonlySet<string> = new Set();
  const states = new Map<string, { readonly at: EpochSeconds; readonly fault: string | null }>();

  const remember = (path: string, keep: () => void): void => {
    const detail = attempt(() => {
      keep();
      return null;
    });
    if (detail !== null) observe({ kind: 'warning', path, detail: `not kept for the next start: ${detail}` });
  };
  const keepLists = (proven: readonly ProvenList[]): void => {
    if (proven.length > 0 && memory !== null) remember(dataDirectory!, () => memory.keepLists(proven));
  };
  const take = (place: string, bytes: Uint8Array, whole: boolean): Taken => {
    const fresh = readCrls(bytes);
    if (fresh === null) return { fault: 'neither PEM nor DER of revocation lists', changed: false, proven: [] };
    const taken = keeping.take(place, fresh, { at: clock.wall(), whole });
    if (taken.fault === null && taken.changed) warnOfAge(place, fresh);
    keepLists(taken.proven);
    return taken;
  };
  const warnOfAge = (path: string, fresh: readonly ParsedCrl[]): void => {
    for (const crl of fresh) {
      if (crl.nextUpdate !== null && crl.nextUpdate >= clock.wall()) continue;
      const what = `the list of ${issuerOf(crl)} is out of date`;
      observe({ kind: 'warning', path, detail: `${what}: its certificates are refused until it is new` });
    }
  };
  /** @returns why the file cannot be taken, or null; and whether that changes anything */
  const takeFile = (path: string): Pick<Taken, 'fault' | 'changed'> => {
    if (path !== revokedKeysFile) return take(path, readBounded(path, MAX_CRL_BYTES), true);
    const read = readRevokedKeys(textOf(readBounded(path, MAX_KEYS_BYTES)));
    if (read === null) return { fault: 'a line is no SHA-256 in hex', changed: false };
    revokedKeys = read;
    return { fault: null, changed: true };
  };
  const note = (path: string, fault: string | null): void => {
    states.set(path, { at: clock.wall(), fault });
  };

  const files = [...crlFiles, ...(revokedKeysFile === undefined ? [] : [revokedKeysFile])];
  for (const path of files) {
    const { fault } = takeFile(path);
    note(path, fault);
    if (fault === null) continue;
    // a list that is older than what was known is no reason to be away: its certificates are refused
    if (path === revokedKeysFile || readCrls(readBounded(path, MAX_CRL_BYTES)) === null)
      throw new VerifierError(path, fault);
    observe({ kind: 'refused', path, reason: fault });
  }

  const tellAdopted = (path: string): void => {
    const inForce = new Set(keeping.proven().map(({ crl }) => crl));
    const lists = keeping.of(path);
    const unproven = lists.filter((crl) => !inForce.has(crl)).length;
    observe({ kind: 'adopted', path, lists: lists.length, unproven });
  };
  /** @param quiet  a fault that was told already is not told again */
  const look = (path: string, quiet: boolean): void => {
    const before = states.get(path)?.fault ?? null;
    let did = false;
    const fault = attempt(() => {
      const taken = takeFile(path);
      did = taken.changed;
      return taken.fault;
    });
    note(path, fault);
    if (fault !== null) {
      if (!quiet || fault !== before) observe({ kind: 'refused', path, reason: fault });
      return;
    }
    if (did) changed();
    tellAdopted(path);
  };
  const reload = (path: string): void => look(path, false);
  const watch = watchFiles(files, reload);
  const retry = setInterval(() => {
    for (const path of files) if ((states.get(path)?.fault ?? null) !== null) look(path, true);
  }, RETRY_MS).unref();

  const takeFetched = (url: string, bytes: Uint8Array): FetchedOutcome => {
    const { fault, changed: did } = take(url, bytes, false);
    if (fault !== null) return { fault };
    if (did) {
      changed();
      tellAdopted(url);
    }
    const ends = keeping.of(url).map(({ nextUpdate }) => nextUpdate ?? 0);
    return { nextUpdate: ends.length === 0 ? null : (Math.min(...ends) as EpochSeconds) };
  };
  const places = crlUrls.map(({ url, everySeconds, inside, anchorsFile }) => ({
    url,
    everySeconds,
    inside,
    ...(anchorsFile === undefined ? {} : { anchorPem: readBounded(anchorsFile, MAX_KEYS_BYTES) }),
  }));
  const fetching: ListFetching = startListFetching(places, {
    crypto,
    clock,
    take: takeFetched,
    observe: (url, fault) =>
      observe(fault === null ? { kind: 'recovered', path: url } : { kind: 'refused', path: url, reason: fault }),
  });

  return {
    keeping,
    signers,
    get revokedKeys() {
      return revokedKeys;
    },
    places: () => [
      ...files.map((where): PlaceState => {
        const { at, fault } = states.get(where) ?? { at: null, fault: null };
        const kind = where === revokedKeysFile ? 'revoked-keys' : 'file';
        return { kind, where, lastAt: at, fault, nextAt: null, lists: keeping.of(where) };
      }),
      ...fetching.states().map(
        ({ url, lastAt, fault, nextAt }): PlaceState => ({
          kind: 'url',
          where: url,
          lastAt,
          fault,
          nextAt,
          lists: keeping.of(url),
        }),
      ),
    ],
    learn(chain) {
      if (!signers.learn(chain)) return;
      if (memory !== null) remember(dataDirectory!, () => memory.keepSigners(signers.learnt));
      const { changed: did, proven } = keeping.provenNow();
      keepLists(proven);
      if (did) changed();
    },
    reload,
    async reloadAll() {
      for (const path of files) reload(path);
      await fetching.now();
    },
    async close() {
      watch.close();
      clearInterval(retry);
      await fetching.close();
    },
  };
}

function recall(
  memory: ListMemory,
  keeping: ListKeeping,
  signers: KnownSigners,
  at: EpochSeconds,
  observe: RevocationParts['observe'],
): void {
  for (const { path, detail } of memory.damaged) observe({ kind: 'warning', path, detail });
  signers.prove(memory.signers, at);
  for (const [index, crl] of memory.lists.entries()) {
    if (crl.nextUpdate === null || crl.nextUpdate < at - FORGOTTEN_SECONDS) continue;
    const { fault } = keeping.take(`${MEMORY} ${index}`, [crl], { at, whole: false });
    if (fault !== null) observe({ kind: 'warning', path: MEMORY, detail: fault });
  }
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

/** One list in DER, or any number in PEM. @returns null when there is none, or one is broken */
function readCrls(bytes: Uint8Array): ParsedCrl[] | null {
  const reader = certificateReader();
  const blocks = bytes[0] === 0x30 ? [bytes] : readPem(bytes, 'X509 CRL');
  if (blocks === null || blocks.length === 0) return null;
  const crls = blocks.map((der) => reader.readCrl(der));
  return crls.every((crl) => crl !== null) ? crls : null;
}
