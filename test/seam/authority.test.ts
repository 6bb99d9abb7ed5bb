/**
 * The small CA on a real directory, its products judged by our path validation and by OpenSSL.
 */
import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type AuthorityOptions,
  initAuthority,
  issueCertificate,
  type LeafOptions,
  listCertificates,
  revokeCertificate,
  writeCrl,
} from '../../cli/ca/authority.ts';
import { CaError, type CaFault } from '../../cli/ca/ca-error.ts';
import { readPem } from '../../platform/certificates.ts';
import { signingKey } from '../../platform/crypto-node.ts';
import { EXTENDED_KEY_USAGE, type ParsedCertificate } from '../../protocol/certificate.ts';
import { validatePath } from '../../protocol/path-validation.ts';
import { crlSet } from '../../protocol/revocation-list.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { readRevokedKeys } from '../../verifier/revoked-keys.ts';
import { AT, crypto, DAY, inDirectory, openssl, opensslAbsent, parse, reader } from '../test-authority.ts';

const world = { crypto, now: AT };
const HOME: AuthorityOptions = { name: 'Home', algorithm: 'p256', years: 10, withIntermediate: true };
const leaf = (dir: string, name: string, wishes: Partial<LeafOptions> = {}): LeafOptions => ({
  name,
  kind: 'device',
  sans: [],
  days: 365,
  algorithm: 'p256',
  outDir: join(dir, 'out'),
  ...wishes,
});

const certificates = (path: string): ParsedCertificate[] => readPem(readFileSync(path), 'CERTIFICATE')!.map(parse);
const lists = (dir: string) =>
  readPem(readFileSync(join(dir, 'crl.pem')), 'X509 CRL')!.map((der) => reader.readCrl(der)!);

function judge(dir: string, chainFile: string, purpose: 'device' | 'manager' | 'verifier' | 'user' | 'any'): string {
  const anchors = certificates(join(dir, 'root.pem'));
  const chain = certificates(chainFile);
  const finding = validatePath({
    crypto,
    chain,
    anchors,
    revocation: crlSet(lists(dir)),
    at: EpochSeconds(AT + DAY),
    purpose,
  });
  return finding.ok ? 'good' : finding.reason;
}

function refuses(code: CaFault, act: () => unknown): void {
  assert.throws(act, (error) => error instanceof CaError && error.code === code);
}

test('a signer of OCSP answers is nobody else, needs no check of its own, and answers for one CA', () =>
  inDirectory((dir) => {
    initAuthority(dir, HOME, world);
    for (const issuer of ['root', 'intermediate'] as const) {
      const wished = leaf(dir, `ocsp of the ${issuer}`, { kind: 'ocsp', days: 90, issuer });
      const { chainFile } = issueCertificate(dir, wished, world);
      const [signer, ...above] = certificates(chainFile);
      assert.deepEqual(signer!.extensions.extendedKeyUsage, [EXTENDED_KEY_USAGE.ocspSigning]);
      assert.equal(signer!.extensions.ocspNoCheck, true);
      assert.equal(signer!.issuer.commonName, issuer === 'root' ? 'Home' : 'Home intermediate');
      assert.equal(above.length, issuer === 'root' ? 0 : 1);
      for (const other of ['device', 'manager', 'verifier', 'user'] as const) {
        assert.equal(judge(dir, chainFile, other), 'wrong-purpose');
      }
    }
    refuses('bad-option', () => issueCertificate(dir, leaf(dir, 'a device', { issuer: 'root' }), world));
  }));

test('without an intermediate nobody can be certified by it', () =>
  inDirectory((dir) => {
    initAuthority(dir, { ...HOME, withIntermediate: false }, world);
    refuses('bad-option', () =>
      issueCertificate(dir, leaf(dir, 'ocsp', { kind: 'ocsp', issuer: 'intermediate' }), world),
    );
  }));

for (const algorithm of ['p256', 'p384', 'ed25519'] as const) {
  for (const withIntermediate of [false, true]) {
    test(`the small CA, ${algorithm}${withIntermediate ? ' with an intermediate' : ''}: every kind is good for itself alone`, () =>
      inDirectory((dir) => {
        initAuthority(dir, { ...HOME, algorithm, withIntermediate }, world);
        for (const kind of ['device', 'manager', 'verifier', 'user'] as const) {
          const key = algorithm === 'p384' && (kind === 'device' || kind === 'manager') ? 'p256' : algorithm;
          const wished = leaf(dir, `a ${kind}`, { kind, algorithm: key });
          const { chainFile, keyFile } = issueCertificate(dir, wished, world);
          assert.equal(judge(dir, chainFile, kind), 'good');
          for (const other of ['device', 'manager', 'verifier', 'user'] as const) {
            if (other !== kind) assert.equal(judge(dir, chainFile, other), 'wrong-purpose');
          }
          assert.equal(certificates(chainFile).length, withIntermediate ? 2 : 1);
          assert.deepEqual(
            signingKey(readFileSync(keyFile), crypto.counter).publicSpki,
            certificates(chainFile)[0]!.spki,
          );
        }
      }));
  }
}

test('devices and managers get no key that no cipher suite of the login can use', () =>
  inDirectory((dir) => {
    initAuthority(dir, HOME, world);
    for (const kind of ['device', 'manager'] as const) {
      refuses('bad-option', () => issueCertificate(dir, leaf(dir, kind, { kind, algorithm: 'p384' }), world));
    }
  }));

test('[P4] a revoked certificate is on the list, under a new number, and its key in the list of keys', () =>
  inDirectory((dir) => {
    initAuthority(dir, HOME, world);
    const router = issueCertificate(dir, leaf(dir, 'router'), world);
    const phone = issueCertificate(dir, leaf(dir, 'phone'), world);
    const before = lists(dir).map(({ number }) => number!);
    assert.deepEqual(revokeCertificate(dir, 'router', world).serials, [router.serial]);
    assert.equal(judge(dir, router.chainFile, 'device'), 'revoked');
    assert.equal(judge(dir, phone.chainFile, 'device'), 'good');
    for (const [i, { number }] of lists(dir).entries()) assert.ok(number! > before[i]!);
    const keys = readRevokedKeys(readFileSync(join(dir, 'revoked-keys.txt'), 'utf8'))!;
    assert.deepEqual([...keys], [listCertificates(dir).find(({ name }) => name === 'router')!.publicKey]);
    revokeCertificate(dir, phone.serial.toUpperCase(), world);
    assert.equal(judge(dir, phone.chainFile, 'device'), 'revoked');
    refuses('already-revoked', () => revokeCertificate(dir, 'phone', world));
    refuses('unknown-certificate', () => revokeCertificate(dir, 'nobody', world));
  }));

test('[P4] a revocation that was booked and never listed, since its process was killed, is listed when it is asked for again', () =>
  inDirectory((dir) => {
    initAuthority(dir, HOME, world);
    const router = issueCertificate(dir, leaf(dir, 'router'), world);
    const listed = readFileSync(join(dir, 'crl.pem'));
    revokeCertificate(dir, 'router', world);
    writeFileSync(join(dir, 'crl.pem'), listed);
    assert.equal(judge(dir, router.chainFile, 'device'), 'good');
    refuses('already-revoked', () => revokeCertificate(dir, 'router', world));
    assert.equal(judge(dir, router.chainFile, 'device'), 'revoked');
  }));

test('a name has one living certificate: a second is refused unless asked for, or the first is revoked or over', () =>
  inDirectory((dir) => {
    initAuthority(dir, HOME, world);
    issueCertificate(dir, leaf(dir, 'tv', { days: 10 }), world);
    refuses('name-taken', () => issueCertificate(dir, leaf(dir, 'tv'), world));
    issueCertificate(dir, leaf(dir, 'tv', { days: 10, allowSecond: true }), world);
    assert.equal(revokeCertificate(dir, 'tv', world).serials.length, 2);
    issueCertificate(dir, leaf(dir, 'tv', { days: 10 }), world);
    issueCertificate(dir, leaf(dir, 'tv', { days: 10 }), { crypto, now: AT + 11 * DAY });
  }));

test('keys are their owner’s alone, and none goes into a directory that holds a CA', () =>
  inDirectory((dir) => {
    const { files } = initAuthority(dir, HOME, world);
    const { keyFile } = issueCertificate(dir, leaf(dir, 'a/../b'), world);
    assert.equal(keyFile, join(dir, 'out', 'a%2F..%2Fb.key.pem'));
    const keys = [keyFile, ...files.filter((file) => file.endsWith('.key.pem'))];
    assert.equal(keys.length, 3);
    for (const file of keys) assert.equal(statSync(file).mode & 0o777, 0o600);
    refuses('exists', () => initAuthority(dir, HOME, world));
  }));

test('what makes no sense is refused with its code', () =>
  inDirectory((dir) => {
    refuses('no-authority', () => issueCertificate(dir, leaf(dir, 'a'), world));
    refuses('bad-name', () => initAuthority(dir, { ...HOME, name: '' }, world));
    refuses('bad-option', () => initAuthority(dir, { ...HOME, years: 0 }, world));
    initAuthority(dir, HOME, world);
    for (const name of ['', '~manager', 'a\nb', 'x'.repeat(65)])
      refuses('bad-name', () => issueCertificate(dir, leaf(dir, name), world));
    refuses('bad-option', () => issueCertificate(dir, leaf(dir, 'a', { days: 0.5 }), world));
    const wrong = [
      ['dns', 'a b'],
      ['email', 'nobody'],
      ['uri', 'no scheme'],
      ['mac', '00:11'],
      ['ip', '1.2.3.999'],
    ] as const;
    for (const [type, value] of wrong) {
      refuses('bad-name', () => issueCertificate(dir, leaf(dir, 'a', { sans: [{ type, value }] }), world));
    }
    assert.equal(listCertificates(dir).filter(({ kind }) => kind === 'device').length, 0);
    writeFileSync(join(dir, 'index.json'), '{"version":');
    refuses('broken-index', () => writeCrl(dir, world));
  }));

test('a leaf ends no later than its issuer', () =>
  inDirectory((dir) => {
    initAuthority(dir, { ...HOME, years: 1 }, world);
    const { notAfter } = issueCertificate(dir, leaf(dir, 'a', { days: 5000 }), world);
    assert.ok(notAfter <= AT + 366 * DAY);
  }));

test(
  'OpenSSL accepts the chain, its key, its list, and a server certificate for its name',
  { skip: opensslAbsent },
  () =>
    inDirectory((dir) => {
      initAuthority(dir, HOME, world);
      const server = issueCertificate(dir, leaf(dir, 'broker.example', { kind: 'server' }), world);
      const verify = (): string =>
        openssl(
          dir,
          'verify',
          '-x509_strict',
          '-attime',
          String(AT + DAY),
          '-CAfile',
          'root.pem',
          '-crl_check_all',
          '-CRLfile',
          'crl.pem',
          '-untrusted',
          'intermediate.pem',
          '-purpose',
          'sslserver',
          '-verify_hostname',
          'broker.example',
          server.chainFile,
        );
      assert.match(verify(), /OK/);
      openssl(dir, 'pkey', '-in', server.keyFile, '-check', '-noout');
      revokeCertificate(dir, 'broker.example', world);
      assert.throws(verify, /certificate revoked/);
    }),
);
