/**
 * NIST PKITS through our path validation, in order and searched: without its sections on certificate policies, which the
 * profile (design §5.7) leaves out, every path is judged as it says.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { type ParsedCertificate, type ParsedCrl, sameName } from '../../protocol/certificate.ts';
import { findPath } from '../../protocol/path-building.ts';
import { validatePath } from '../../protocol/path-validation.ts';
import { crlSet } from '../../protocol/revocation-list.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { crypto, reader } from '../test-authority.ts';

const folder = process.env.KAGIMORI_VECTORS ?? resolve(import.meta.dirname, '../../../shared/vectors');
const file = resolve(folder, 'pkits.json');
const skip = existsSync(file) ? false : 'vectors absent: pkits.json';

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
/** Sections about certificate policies. */
const POLICIES = /^4\.(8|9|10|11|12)\./;

interface Given {
  readonly anchor: ParsedCertificate;
  /** From the anchor down; signers of lists stand among them. */
  readonly others: readonly ParsedCertificate[];
  readonly leaf: ParsedCertificate;
  readonly lists: readonly ParsedCrl[];
}

type Judge = (given: Given) => boolean;

const common = { crypto, at: PKITS_TIME, purpose: 'any' } as const;

const inOrder: Judge = ({ anchor, others, leaf, lists }) => {
  const chain = [leaf];
  for (const one of others.toReversed()) if (sameName(one.subject, chain.at(-1)!.issuer)) chain.push(one);
  return validatePath({ ...common, chain, anchors: [anchor], revocation: crlSet(lists, others) }).ok;
};

const searched: Judge = ({ anchor, others: intermediates, leaf, lists }) =>
  findPath({ ...common, strict: true, leaf, intermediates, anchors: [anchor], revocation: crlSet(lists) }).ok;

/** The whole suite's certificates and lists at once, as somebody who searches may have them. */
function searchedAmongAll(vectors: Pkits): Judge {
  const known = <T>(one: T | null): one is T => one !== null;
  const intermediates = Object.values(vectors.certs)
    .map((der) => reader.readCertificate(bytes(der)))
    .filter(known);
  const lists = Object.values(vectors.crls)
    .map((der) => reader.readCrl(bytes(der)))
    .filter(known);
  return ({ anchor, leaf, others }) =>
    searched({ anchor, leaf, others: [...intermediates, ...others].reverse(), lists });
}

/** @returns ids of the tests that come out otherwise than PKITS says */
function differences(vectors: Pkits, judge: Judge): string[] {
  const { tests, certs, crls } = vectors;
  const wanted = tests.filter(({ id }) => !POLICIES.test(id));
  assert.ok(wanted.length > 60);
  return wanted
    .filter((given) => {
      const all = given.certs.map((name) => reader.readCertificate(bytes(certs[name]!)));
      const lists = given.crls.map((name) => reader.readCrl(bytes(crls[name]!))).filter((crl) => crl !== null);
      const [anchor, ...others] = all.filter((one) => one !== null);
      const leaf = others.pop();
      const readable = !all.includes(null) && anchor !== undefined && leaf !== undefined;
      return (readable && judge({ anchor, others, leaf, lists })) !== given.should_validate;
    })
    .map(({ id, title }) => `${id} ${title}`);
}

const load = (): Pkits => JSON.parse(readFileSync(file, 'utf8'));

test('[P3] [P4] NIST PKITS without policies, chains in order: no difference', { skip }, () => {
  assert.deepEqual(differences(load(), inOrder), []);
});

test('[P3] [P4] NIST PKITS without policies, paths searched: no difference', { skip }, () => {
  assert.deepEqual(differences(load(), searched), []);
});

test('[P3] [P4] NIST PKITS without policies, paths searched among all certificates and lists of the suite', {
  skip,
}, () => {
  const vectors = load();
  assert.deepEqual(differences(vectors, searchedAmongAll(vectors)), []);
});

test('the comparison sees a verdict that differs', { skip }, () => {
  const vectors = load();
  const valid = vectors.tests.filter(({ id, should_validate }) => should_validate && !POLICIES.test(id));
  assert.equal(differences(vectors, () => false).length, valid.length);
});
