/**
 * Runs the verifier: its key, its revocation data, questions from the broker, events to it, answers over HTTP.
 */
import { isAbsolute } from 'node:path';
import { readCertificateFile } from '../platform/certificate-file.ts';
import { certificateReader } from '../platform/certificates.ts';
import type { ControlHandler } from '../platform/control-socket.ts';
import { watchFiles } from '../platform/file-watch.ts';
import { readBounded } from '../platform/files.ts';
import { ocspCodec } from '../platform/ocsp-codec.ts';
import type { Transport, TransportObserver } from '../platform/transport.ts';
import type { ParsedCertificate } from '../protocol/certificate.ts';
import { type Crypto, SigningFault } from '../protocol/crypto.ts';
import { EVENT_EVERY } from '../protocol/revocation-event.ts';
import { crlSet } from '../protocol/revocation-list.ts';
import { certificateMark, keyMark } from '../protocol/revocation-mark.ts';
import { type Asker, MANAGER, topicsUnder } from '../protocol/topics.ts';
import { type EpochSeconds, type LinkId, type Millis, Topic } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import type { VerifierConfig } from './config.ts';
import { type MixedRevocation, mixedRevocation, type RevocationNotes } from './mixed-revocation.ts';
import { ocspSource } from './ocsp-answers.ts';
import { type OcspAsking, type OcspPlace, placeFor, startOcspAsking } from './ocsp-asking.ts';
import { type OpenKey, readOwnKey } from './own-key.ts';
import { PAIR_REST_MS, type Responder, startResponder } from './responder.ts';
import { openRevocationData, type RevocationData, type RevocationEvent } from './revocation-data.ts';
import { staleWarnings } from './stale-warnings.ts';
import { type StatusParts, statusOf } from './status.ts';
import { type Answer, createVerifier, type Verifier, type VerifierCounters, type VerifierPolicy } from './verifier.ts';

export interface VerifierParts {
  readonly crypto: Crypto;
  readonly clock: { now(): Millis; wall(): EpochSeconds };
  readonly openKey: OpenKey;
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
  | RevocationEvent
  /** Another certificate, or another key, is in use from now on. */
  | { readonly kind: 'renewed'; readonly path: string; readonly name: string }
  /** So many verdicts were good although the data about certificates of that issuer is out of date. */
  | { readonly kind: 'stale'; readonly issuer: string; readonly since: EpochSeconds; readonly verdicts: number }
  /** A handler of the responder failed; the caller was told no more than that. */
  /** Events are not signed since now; null: they are again. */
  | { readonly kind: 'keyStore'; readonly fault: SigningFault | null }
  | { readonly kind: 'fault'; readonly path: string; readonly detail: string };

export interface VerifierService {
  readonly counters: VerifierCounters;
  /** The verifier's own leaf; its key is what others pin. */
  readonly certificate: ParsedCertificate;
  /** Where OCSP and metrics are answered; null: nowhere. */
  readonly responder: { readonly host: string; readonly port: number } | null;
  readonly control: Readonly<Record<string, ControlHandler>>;
  /** Looks at a revocation file now instead of when its change is noticed. */
  reload(path: string): void;
  /** Looks at everything now: files, URLs, the own key. */
  reloadAll(): Promise<void>;
  close(): Promise<void>;
}

const MAX_PEM_BYTES = 256 * 1024;
/** Questions that wait for OCSP answers; more are answered as things stand. */
const MAX_WAITING = 256;
const MAX_WAIT_MS = 4_500;
/** Of certificates that a responder called revoked. */
const MAX_ANSWERED_REVOKED = 100_000;

/** @throws VerifierError, FileFault, KeyStoreError, HttpListenFault when it cannot start with these settings */
export async function startVerifier(config: VerifierConfig, parts: VerifierParts): Promise<VerifierService> {
  const { crypto, clock, openTransport, observe = () => {} } = parts;
  const topics = topicsUnder(config.root);
  const startedAt = clock.wall();
  const { anchors, staleSeconds } = readAnchors(config);
  const own = readOwnKey(config, parts.openKey);
  const tellOddity = (): void => {
    const detail = own.oddity();
    if (detail !== null) observe({ kind: 'warning', path: config.certificateFile, detail });
  };
  tellOddity();
  const listed = config.crlFiles.length > 0 || config.crlUrls.length > 0;
  if (!listed && config.ocsp.length === 0) {
    const detail = 'neither is set: whether a certificate is revoked is not looked at';
    observe({ kind: 'warning', path: 'crlFiles, crlUrls, ocsp', detail });
  }

  const closers: (() => Promise<void> | void)[] = [() => own.close()];
  const close = async (): Promise<void> => {
    for (const one of closers.splice(0).reverse()) await one();
  };
  try {
    return await start();
  } catch (error) {
    await close();
    throw error;
  }

  async function start(): Promise<VerifierService> {
    const places = readPlaces(config);
    const answeredRevoked = new Set<string>();
    let marks: ReadonlySet<string> = new Set();
    const isDistrusted = (signer: ParsedCertificate): boolean =>
      marks.has(certificateMark(crypto, signer.issuer, signer.serial)) ||
      data.revokedKeys.has(keyMark(crypto, signer.spki));
    const source = ocspSource({
      crypto,
      codec: ocspCodec,
      responderOf: (issuer) => placeFor(places, issuer),
      isDistrusted,
    });
    const data: RevocationData = openRevocationData(config, {
      crypto,
      clock,
      anchors,
      passing: [...own.chain, ...places.map(({ issuer }) => issuer), ...chainsOf(config)],
      observe,
      changed: () => adopt(),
    });
    closers.push(() => data.close());
    let checkedAgainst: { readonly marks?: ReadonlySet<string>; readonly keys?: ReadonlySet<string> } = {};
    let version = 0;
    let mixed: MixedRevocation | null = null;
    const policy = (): VerifierPolicy => {
      version = Math.max(version + 1, clock.wall()); // grows across restarts too
      const lists = listed ? crlSet(data.keeping.lists(), data.signers.learnt) : null;
      mixed = listed || places.length > 0 ? mixedRevocation(crypto, lists, places.length > 0 ? source : null) : null;
      const fromLists = data.keeping.marks();
      const now = answeredRevoked.size === 0 ? fromLists : new Set([...fromLists, ...answeredRevoked]);
      marks = now;
      // an OCSP answer stands as long as nothing new is known against who signed it
      if (fromLists !== checkedAgainst.marks || data.revokedKeys !== checkedAgainst.keys) source.dropDistrusted();
      checkedAgainst = { marks: fromLists, keys: data.revokedKeys };
      return { anchors, revocation: mixed, staleSeconds, revokedKeys: data.revokedKeys, revokedMarks: marks, version };
    };

    let found: (readonly ParsedCertificate[])[] = [];
    const settings = {
      reader: certificateReader(),
      signingKey: own.key,
      maxAgeSeconds: config.verdictMaxAgeSeconds,
      questionsPerSecond: config.questionsPerSecond,
      onGood: (chain: readonly ParsedCertificate[]) => found.push(chain),
    };
    const verifier: Verifier = createVerifier(settings, policy());
    const world = (): World => ({ now: clock.now(), wall: clock.wall(), crypto });
    let responder: Responder | null = null;
    const adopt = (): void => {
      verifier.adopt(policy());
      responder?.dropHeld();
      tellEvents();
    };
    const stale = staleWarnings((warning) => observe({ kind: 'stale', ...warning }));

    const asking: OcspAsking = startOcspAsking(places, {
      crypto,
      codec: ocspCodec,
      clock,
      source,
      settled: ({ mark }, { status }) => {
        const before = answeredRevoked.has(mark);
        if (status === 'revoked' && !before && answeredRevoked.size < MAX_ANSWERED_REVOKED) answeredRevoked.add(mark);
        else if (status === 'good' && before) answeredRevoked.delete(mark);
        if (before !== answeredRevoked.has(mark)) adopt();
      },
      observe: (url, fault) =>
        observe(fault === null ? { kind: 'recovered', path: url } : { kind: 'refused', path: url, reason: fault }),
    });
    closers.push(() => asking.close());

    /** @returns with what is under way at the responders and would have helped */
    const judge = (asker: Asker, payload: Uint8Array, again: boolean) => {
      mixed?.takeNotes();
      const answer = verifier.answer(asker, payload, world(), again);
      const notes: RevocationNotes = mixed?.takeNotes() ?? { missing: [], stale: [] };
      const chains = found;
      found = [];
      asking.begin();
      const pending = notes.missing.map((mark) => asking.pending(mark)).filter((one) => one !== null);
      if (answer.kind === 'judged' && answer.reason === 'good') stale.add(notes.stale, clock.wall());
      for (const chain of chains) data.learn(chain);
      return { answer, pending };
    };
    const publish = (asker: Asker, answer: Answer): void => {
      if (answer.kind === 'judged') transport.publish(topics.verifierAnswer(asker), answer.payload, 1);
      observe({ kind: 'answered', asker, answer });
    };
    let waiting = 0;
    let closing = false;
    const answerLater = async (asker: Asker, payload: Uint8Array, first: ReturnType<typeof judge>): Promise<void> => {
      const until = performance.now() + MAX_WAIT_MS;
      let { answer, pending } = first;
      waiting++;
      while (isUndecided(answer) && pending.length > 0 && performance.now() < until) {
        await settledOrLate(pending, until - performance.now());
        if (closing) return;
        ({ answer, pending } = judge(asker, payload, true));
      }
      waiting--;
      publish(asker, answer);
    };

    const transport = openTransport({
      subscriptions: () => [Topic(`${topics.root}/v/q/+`)],
      observer: {
        up(link) {
          observe({ kind: 'up', link });
          tellEvents(); // nobody need wait a second for it
        },
        down: (reason) => observe({ kind: 'down', reason }),
        received(topic, payload) {
          const place = topics.parse(topic);
          if (place?.kind !== 'verifier-question') return;
          const first = judge(place.asker, payload, false);
          const waits = isUndecided(first.answer) && first.pending.length > 0 && waiting < MAX_WAITING;
          if (waits) void answerLater(place.asker, payload, first);
          else publish(place.asker, first.answer);
          // a manager that asks about itself has just come, and makes no grant before it hears an event
          const isNew = first.answer.kind === 'judged' && first.answer.purpose === 'manager';
          if (place.asker === MANAGER && isNew) tellEvents();
        },
      },
    });
    closers.push(() => transport.close());
    closers.push(() => {
      closing = true;
    });
    let keyFault: SigningFault | null = null;
    const tellEvents = (): void => {
      const before = keyFault;
      try {
        for (const event of verifier.events(world())) transport.publish(topics.verifierEvents, event, 1);
        keyFault = null;
      } catch (error) {
        if (!(error instanceof SigningFault)) throw error;
        keyFault = error;
      }
      if ((before === null) !== (keyFault === null)) observe({ kind: 'keyStore', fault: keyFault });
    };
    const beat = setInterval(() => {
      tellEvents();
      stale.tell(clock.wall());
    }, EVENT_EVERY).unref();
    closers.push(() => clearInterval(beat));

    let ownFault: string | null = null;
    const renew = (): void => {
      const before = own.certificate;
      try {
        own.renew();
      } catch (error) {
        const reason = `${error instanceof Error ? error.message : error}: the key in use stays`;
        if (reason !== ownFault) observe({ kind: 'refused', path: config.certificateFile, reason });
        ownFault = reason;
        return;
      }
      ownFault = null;
      if (before === own.certificate || Buffer.compare(before.der, own.certificate.der) === 0) return;
      observe({ kind: 'renewed', path: config.certificateFile, name: own.certificate.subject.commonName ?? '' });
      tellOddity();
      adopt(); // what the old key signed is not given out any more
    };
    let resting: NodeJS.Timeout | undefined;
    const pair = watchFiles([config.certificateFile, config.keyFile].filter(isAbsolute), () => {
      clearTimeout(resting);
      resting = setTimeout(renew, PAIR_REST_MS).unref();
    });
    closers.push(() => {
      clearTimeout(resting);
      pair.close();
    });

    const statusParts: StatusParts = {
      data,
      counters: verifier.counters,
      own: () => ({ certificate: own.certificate, fault: ownFault }),
      responders: () => asking.states(),
      answersHeld: () => source.size,
      responder: () => responder,
      policy: () => ({ version, marks: marks.size, keys: data.revokedKeys.size }),
      waiting: () => waiting,
      startedAt,
      anchors: anchors.length,
      looksAtRevocation: listed || places.length > 0,
    };
    if (config.responder !== undefined) {
      const known = () => [...anchors, ...data.signers.learnt];
      responder = await startResponder(config.responder, { crypto, clock, data, known, observe, statusParts });
      closers.push(() => responder?.close());
    }

    const reloadAll = async (): Promise<void> => {
      renew();
      responder?.renew();
      source.refreshHeld();
      await data.reloadAll();
    };
    return {
      counters: verifier.counters,
      get certificate() {
        return own.certificate;
      },
      responder: responder?.address ?? null,
      control: {
        status: async () => statusOf(statusParts, clock.wall()),
        reload: async () => {
          await reloadAll();
          return statusOf(statusParts, clock.wall());
        },
      },
      reload: (path) => data.reload(path),
      reloadAll,
      close,
    };
  }
}

/** A verdict for want of data. */
function isUndecided(answer: Answer): boolean {
  return answer.kind === 'judged' && answer.reason === 'revocation-unknown';
}

async function settledOrLate(pending: readonly Promise<void>[], ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([Promise.all(pending), late]);
  clearTimeout(timer);
}

function readAnchors({ trustAnchorFiles }: VerifierConfig) {
  const read = trustAnchorFiles.flatMap((one) => {
    const { file, staleSeconds } = typeof one === 'string' ? { file: one, staleSeconds: 0 } : one;
    return readCertificateFile(file).map((certificate) => ({ certificate, staleSeconds }));
  });
  const limits = new Map(read.map(({ certificate, staleSeconds }) => [certificate, staleSeconds]));
  const staleSeconds = (anchor: ParsedCertificate): number => limits.get(anchor) ?? 0;
  return { anchors: [...limits.keys()], staleSeconds };
}

/** CAs of those who sign the OCSP answers. */
function chainsOf({ responder }: VerifierConfig): ParsedCertificate[] {
  return (responder?.signers ?? []).flatMap(({ certificateFile }) => readCertificateFile(certificateFile));
}

function readPlaces({ ocsp }: VerifierConfig): OcspPlace[] {
  return ocsp.map(({ issuerFile, url, nonce, inside, anchorsFile }) => ({
    url,
    inside,
    issuer: readCertificateFile(issuerFile)[0],
    nonceRequired: nonce === 'required',
    ...(anchorsFile === undefined ? {} : { anchorPem: readBounded(anchorsFile, MAX_PEM_BYTES) }),
  }));
}
