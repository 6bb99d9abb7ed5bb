/**
 * What the verifier says of itself: for `kagimori verifier status`, and as metrics.
 */
import type { ParsedCertificate, ParsedCrl } from '../protocol/certificate.ts';
import type { EpochSeconds } from '../protocol/units.ts';
import { issuerOf, scopeOf } from './list-scope.ts';
import type { ResponderState } from './ocsp-asking.ts';
import type { PlaceState, RevocationData } from './revocation-data.ts';
import type { VerifierCounters } from './verifier.ts';

export interface StatusParts {
  readonly data: RevocationData;
  readonly counters: VerifierCounters;
  readonly own: () => { readonly certificate: ParsedCertificate; readonly fault: string | null };
  readonly responders: () => readonly ResponderState[];
  readonly answersHeld: () => number;
  readonly responder: () => RespondingState | null;
  readonly policy: () => { readonly version: number; readonly marks: number; readonly keys: number };
  /** Questions that wait for OCSP answers. */
  readonly waiting: () => number;
  readonly startedAt: EpochSeconds;
  readonly anchors: number;
  readonly looksAtRevocation: boolean;
}

export interface RespondingState {
  readonly address: { readonly host: string; readonly port: number };
  /** By outcome. */
  readonly answers: Readonly<Record<string, number>>;
  readonly signers: readonly {
    readonly path: string;
    readonly issuer: string | null;
    readonly ends: EpochSeconds;
    readonly fault: string | null;
  }[];
}

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** `problems` is empty when all is well; each reads `what: remedy`. */
export function statusOf(parts: StatusParts, now: EpochSeconds): { readonly [key: string]: Json } {
  const { data, counters, startedAt, anchors } = parts;
  const { certificate } = parts.own();
  const { version, marks, keys } = parts.policy();
  const responder = parts.responder();
  return {
    certificate: certificate.subject.commonName,
    certificateEnds: iso(certificate.notAfter),
    uptimeSeconds: now - startedAt,
    policyVersion: version,
    anchors,
    revokedCertificates: marks,
    revokedKeys: keys,
    verdicts: { ...counters, waiting: parts.waiting() },
    lists: listRows(data, now),
    places: data.places().map(({ kind, where, lastAt, fault, nextAt, lists }) => ({
      kind,
      where,
      lists: lists.length,
      last: isoOrNull(lastAt),
      next: isoOrNull(nextAt),
      fault,
    })),
    ocsp: parts.responders().map(({ url, issuer, asked, lastAt, fault }) => ({
      url,
      issuer: issuer.subject.commonName,
      asked,
      last: isoOrNull(lastAt),
      fault,
    })),
    ocspAnswersHeld: parts.answersHeld(),
    responder: responder === null ? null : respondingRow(responder),
    problems: problemsOf(parts, now),
  };
}

function respondingRow({ address, answers, signers }: RespondingState): Json {
  const rows = signers.map(({ path, issuer, ends }) => ({ path, issuer, ends: iso(ends) }));
  return { ...address, answers: { ...answers }, signers: rows };
}

interface ListRow {
  readonly [key: string]: Json;
  readonly issuer: string;
  readonly scope: string;
  readonly number: string | null;
  readonly thisUpdate: string;
  readonly nextUpdate: string | null;
  readonly ageSeconds: number;
  readonly stale: boolean;
  readonly entries: number;
  /** Whether it is known who signed it: otherwise it counts only for a certificate that proves that. */
  readonly proven: boolean;
  /** Hex SHA-256 of the signer's key, in part: two CAs may have one name. */
  readonly key: string | null;
}

function listRows({ keeping }: RevocationData, now: EpochSeconds): readonly ListRow[] {
  const proven = new Map(keeping.proven().map((list) => [list.crl, list]));
  return keeping.lists().map((crl) => ({
    issuer: issuerOf(crl),
    scope: scopeOf(crl),
    number: crl.number === null ? null : String(crl.number),
    thisUpdate: iso(crl.thisUpdate),
    nextUpdate: isoOrNull(crl.nextUpdate),
    ageSeconds: now - crl.thisUpdate,
    stale: isStale(crl, now),
    entries: crl.revoked.reduce((sum, { entries }) => sum + entries.size, 0),
    proven: proven.has(crl),
    key: proven.get(crl)?.key.slice(-64, -48) ?? null,
  }));
}

function problemsOf(parts: StatusParts, now: EpochSeconds): string[] {
  const { data, looksAtRevocation } = parts;
  const { certificate, fault } = parts.own();
  const problems: string[] = [];
  if (fault !== null) problems.push(fault);
  if (certificate.notAfter < now) problems.push('the own certificate has expired: issue a new one, and have it pinned');
  if (!looksAtRevocation) problems.push('revocation is not looked at: set crlFiles, crlUrls or ocsp');
  for (const { where, fault: why } of data.places()) if (why !== null) problems.push(toldOf(where, why));
  for (const { url, fault: why } of parts.responders()) if (why !== null) problems.push(toldOf(url, why));
  for (const { path, ends, fault: why } of parts.responder()?.signers ?? []) {
    if (why !== null) problems.push(toldOf(path, why));
    if (ends < now) problems.push(`${path}: this signer of OCSP answers has expired: issue a new one, with its key`);
  }
  for (const { issuer, nextUpdate, stale } of listRows(data, now)) {
    if (!stale) continue;
    problems.push(
      `the list of ${issuer} is out of date since ${nextUpdate ?? 'its beginning'}: have its CA issue a new one`,
    );
  }
  return problems;
}

/** Most reasons name the place already. */
const toldOf = (where: string, fault: string): string => (fault.startsWith(where) ? fault : `${where}: ${fault}`);

function isStale({ nextUpdate }: ParsedCrl, now: EpochSeconds): boolean {
  return nextUpdate === null || nextUpdate < now;
}

const iso = (at: EpochSeconds): string => new Date(at * 1000).toISOString();
const isoOrNull = (at: EpochSeconds | null): string | null => (at === null ? null : iso(at));

// ── metrics ─────────────────────────────────────────────────────────────────────────────────────────────────────────

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

/** @spec Prometheus text exposition format 0.0.4 */
export function metricsOf(parts: StatusParts, now: EpochSeconds): string {
  const { data, counters } = parts;
  const lists = data.keeping.proven();
  const ofLists = (value: (crl: ParsedCrl) => number): Sample[] =>
    lists.map(({ crl, key }) => [{ issuer: issuerOf(crl), scope: scopeOf(crl), key: key.slice(-64, -48) }, value(crl)]);
  const places: readonly Pick<PlaceState, 'where' | 'fault'>[] = [
    ...data.places(),
    ...parts.responders().map(({ url, fault }) => ({ where: url, fault })),
  ];
  const { version, marks } = parts.policy();
  return [
    family('kagimori_verifier_questions_total', 'counter', 'Questions, by what became of them', [
      ...Object.entries(counters).map(([outcome, count]): Sample => [{ outcome }, count]),
    ]),
    family(
      'kagimori_verifier_list_age_seconds',
      'gauge',
      'Seconds since thisUpdate',
      ofLists((crl) => now - crl.thisUpdate),
    ),
    family(
      'kagimori_verifier_list_left_seconds',
      'gauge',
      'Seconds until nextUpdate, below zero when it is past',
      ofLists((crl) => (crl.nextUpdate ?? crl.thisUpdate) - now),
    ),
    family(
      'kagimori_verifier_list_entries',
      'gauge',
      'Certificates that the list names',
      ofLists((crl) => crl.revoked.reduce((sum, { entries }) => sum + entries.size, 0)),
    ),
    family(
      'kagimori_verifier_place_failing',
      'gauge',
      '1 when the last look at a file, URL or responder failed',
      places.map(({ where, fault }): Sample => [{ where: where.replace(/\?.*/s, '') }, fault === null ? 0 : 1]),
    ),
    family('kagimori_verifier_revoked_certificates', 'gauge', 'Certificates that are known as revoked', [[{}, marks]]),
    family('kagimori_verifier_policy_version', 'gauge', 'Grows with every change of what counts', [[{}, version]]),
    family('kagimori_verifier_certificate_left_seconds', 'gauge', 'Seconds until the own certificate ends', [
      [{}, parts.own().certificate.notAfter - now],
    ]),
    family('kagimori_verifier_ocsp_answers_total', 'counter', 'OCSP answers given, by outcome', [
      ...Object.entries(parts.responder()?.answers ?? {}).map(([outcome, count]): Sample => [{ outcome }, count]),
    ]),
  ].join('');
}

function family(name: string, type: 'counter' | 'gauge', help: string, samples: readonly Sample[]): string {
  const lines = samples.map(([labels, value]) => {
    const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
    return `${name}${pairs.length === 0 ? '' : `{${pairs.join()}}`} ${value}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

const escaped = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
