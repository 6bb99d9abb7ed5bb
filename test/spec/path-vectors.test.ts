/**
 * NIST PKITS and x509-limbo through our path validation: what they refuse and we accept, or the other way round, is
 * listed here case by case with the reason; the profile (design §5.7) leaves certificate policies out.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { readPem } from '../../platform/certificates.ts';
import type { ParsedCertificate, ParsedCrl } from '../../protocol/certificate.ts';
import { validatePath } from '../../protocol/path-validation.ts';
import { crlSet } from '../../protocol/revocation-list.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { crypto, reader } from '../test-authority.ts';

const folder = process.env.KAGIMORI_VECTORS ?? resolve(import.meta.dirname, '../../../shared/vectors');

function load<T>(name: string): { vectors: T | null; skip: string | false } {
  const path = resolve(folder, name);
  if (!existsSync(path)) return { vectors: null, skip: `vectors absent: ${name}` };
  return { vectors: JSON.parse(readFileSync(path, 'utf8')), skip: false };
}

interface Outcome {
  readonly id: string;
  readonly expected: boolean;
  readonly accepted: boolean;
}

/** Compares what differs with what is known to differ, both ways: a case that is mended leaves the list. */
function compare(
  outcomes: readonly Outcome[],
  accepted: Readonly<Record<string, string>>,
  refused: Readonly<Record<string, string>>,
): void {
  const ids = (wanted: boolean): string[] =>
    outcomes.filter((one) => one.expected !== one.accepted && one.accepted === wanted).map(({ id }) => id);
  assert.deepEqual(ids(true).sort(), Object.keys(accepted).sort(), 'accepted though they are to be refused');
  assert.deepEqual(ids(false).sort(), Object.keys(refused).sort(), 'refused though they are to be accepted');
}

// ── NIST PKITS ──────────────────────────────────────────────────────────────────────────────────────────────────────

interface Pkits {
  readonly tests: readonly {
    readonly id: string;
    readonly title: string;
    readonly certs: readonly string[];
    readonly crls: readonly string[];
    readonly should_validate: boolean;
  }[];
  readonly certs: Readonly<Record<string, string>>;
  readonly crls: Readonly<Record<string, string>>;
}

const bytes = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, 'base64'));
/** All certificates of PKITS hold then: 2023-11-14. */
const PKITS_TIME = EpochSeconds(1_700_000_000);
/** Sections about certificate policies, which the profile leaves out. */
const POLICIES = /^4\.(8|9|10|11|12)\./;

const LIST_KEY = 'the list is signed with another key than the certificate; only lists of the issuing key are taken';
const PARTITIONED = 'a partitioned or indirect list decides nothing';
const INDIRECT_ORDER = 'the certificate of an indirect list’s issuer stands in the middle of the chain';
const PKITS_REFUSED: Readonly<Record<string, string>> = {
  '4.5.1': LIST_KEY,
  '4.6.15': LIST_KEY,
  '4.6.17': LIST_KEY,
  '4.14.1': PARTITIONED,
  '4.14.4': PARTITIONED,
  '4.14.18': PARTITIONED,
  '4.14.22': PARTITIONED,
  '4.14.24': INDIRECT_ORDER,
  '4.14.28': INDIRECT_ORDER,
  '4.14.29': INDIRECT_ORDER,
  '4.14.30': INDIRECT_ORDER,
  '4.15.7': 'a delta list that names a serial number decides nothing',
};

const pkits = load<Pkits>('pkits.json');

test('[P3] [P4] NIST PKITS without policies: no bad path is accepted', { skip: pkits.skip }, () => {
  const { tests, certs, crls } = pkits.vectors!;
  const outcomes = tests
    .filter(({ id }) => !POLICIES.test(id))
    .map(({ id, should_validate: expected, ...given }) => {
      const all = given.certs.map((name) => reader.readCertificate(bytes(certs[name]!)));
      const lists = given.crls
        .map((name) => reader.readCrl(bytes(crls[name]!)))
        .filter((crl): crl is ParsedCrl => crl !== null);
      if (all.some((one) => one === null)) return { id, expected, accepted: false };
      const [anchor, ...path] = all as ParsedCertificate[];
      const chain = path.reverse();
      const input = {
        crypto,
        chain,
        anchors: [anchor!],
        revocation: crlSet(lists),
        at: PKITS_TIME,
        purpose: 'any',
      } as const;
      return { id, expected, accepted: validatePath(input).ok };
    });
  assert.ok(outcomes.length > 60);
  compare(outcomes, {}, PKITS_REFUSED);
});

// ── C2SP x509-limbo ─────────────────────────────────────────────────────────────────────────────────────────────────

interface Limbo {
  readonly testcases: readonly {
    readonly id: string;
    readonly trusted_certs: readonly string[];
    readonly untrusted_intermediates: readonly string[];
    readonly peer_certificate: string;
    readonly validation_time: string | null;
    readonly expected_result: 'SUCCESS' | 'FAILURE';
  }[];
}

const WEB = 'a rule of the CA/Browser forum for web servers';
const MADE_BADLY = 'a duty of the CA that endangers nobody: many home-made certificates break it';
const LIMBO_ACCEPTED: Readonly<Record<string, string>> = {
  'pathlen::max-chain-depth-0-exhausted': 'asks for a depth of its own; ours is fixed',
  'rfc5280::aki::leaf-missing-aki': MADE_BADLY,
  'rfc5280::eku::ee-wrong-eku': 'about TLS servers; the role is judged apart (path-validation.test.ts)',
  'rfc5280::nc::permitted-dns-match-noncritical': 'constraints that are not critical are obeyed just as well',
  'rfc5280::serial::zero': MADE_BADLY,
  'webpki::aki::root-with-aki-authoritycertissuer': WEB,
  'webpki::aki::root-with-aki-authoritycertserialnumber': WEB,
  'webpki::aki::root-with-aki-ski-mismatch': WEB,
  'webpki::ee-basicconstraints-ca':
    'asked for the path alone here; as a device it is not a leaf (path-validation.test.ts)',
  'webpki::eku::ee-anyeku': WEB,
  'webpki::eku::root-has-eku': WEB,
  'webpki::malformed-aia': WEB,
  'webpki::san::no-san': WEB,
  'webpki::san::san-critical-with-nonempty-subject': WEB,
  'webpki::san::wildcard-embedded-ulabel-san': WEB,
  'webpki::san::wildcard-not-in-leftmost-san': WEB,
};

const limbo = load<Limbo>('x509-limbo.json');
const LIMBO_TIME = '2023-12-02T00:00:00Z';

/** Limbo hands over a heap of intermediates; ours come in order: every order of up to three is sent. */
function* orders<T>(heap: readonly T[]): Generator<readonly T[]> {
  yield [];
  for (const [i, first] of heap.entries()) {
    for (const rest of orders(heap.filter((_, j) => j !== i))) yield [first, ...rest];
  }
}

test('[P3] [P4] x509-limbo: no bad chain is accepted in any order, but for those listed with their reason', {
  skip: limbo.skip,
}, () => {
  const read = (pem: string): ParsedCertificate | null => reader.readCertificate(readPem(pem, 'CERTIFICATE')![0]!);
  const known = (list: readonly string[]): ParsedCertificate[] => list.map(read).filter((one) => one !== null);
  const outcomes = limbo.vectors!.testcases.map((given) => {
    const leaf = read(given.peer_certificate);
    const anchors = known(given.trusted_certs);
    const at = EpochSeconds(Math.floor(Date.parse(given.validation_time ?? LIMBO_TIME) / 1000));
    const input = { crypto, anchors, revocation: null, at, purpose: 'any' } as const;
    let accepted = false;
    for (const order of orders(known(given.untrusted_intermediates))) {
      if (leaf !== null && validatePath({ ...input, chain: [leaf, ...order] }).ok) accepted = true;
    }
    return { id: given.id, expected: given.expected_result === 'SUCCESS', accepted };
  });
  compare(outcomes, LIMBO_ACCEPTED, {});
});
