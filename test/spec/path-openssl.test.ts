/**
 * Certificates and lists that OpenSSL made, judged by us: chains with an intermediate, revocation by `openssl ca`.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { certificateReader, readPem } from '../../platform/certificates.ts';
import { EXTENDED_KEY_USAGE, type ParsedCertificate, type ParsedCrl } from '../../protocol/certificate.ts';
import type { VerdictReason } from '../../protocol/message-values.ts';
import { type PathQuestion, validatePath } from '../../protocol/path-validation.ts';
import { crlSet } from '../../protocol/revocation-list.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { crypto, inDirectory, openssl, opensslAbsent } from '../test-authority.ts';

const EXTENSIONS = `
[ca]
basicConstraints=critical,CA:true
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
[device]
basicConstraints=CA:false
keyUsage=critical,digitalSignature
extendedKeyUsage=${EXTENDED_KEY_USAGE.kagimoriDevice},clientAuth
subjectAltName=URI:urn:dev:mac:001122aabbcc
[manager]
basicConstraints=CA:false
keyUsage=critical,digitalSignature
extendedKeyUsage=${EXTENDED_KEY_USAGE.kagimoriManager}
subjectAltName=DNS:manager.example
`;

const CA_SETTINGS = (name: string): string => `
[ca]
default_ca=own
[own]
database=${name}.index
new_certs_dir=.
certificate=${name}.pem
private_key=${name}.key
crlnumber=${name}.number
serial=${name}.serial
default_md=sha256
default_crl_days=30
crl_extensions=list
policy=any
[any]
commonName=supplied
[list]
authorityKeyIdentifier=keyid
`;

interface Made {
  readonly certificates: Readonly<Record<string, ParsedCertificate>>;
  readonly lists: readonly ParsedCrl[];
  readonly at: EpochSeconds;
}

/** root → middle → router (good), phone (revoked), manager */
function makeChain(dir: string, keyOptions: readonly string[], digest: readonly string[]): Made {
  writeFileSync(join(dir, 'extensions'), EXTENSIONS);
  const request = (name: string, subject: string): void => {
    openssl(dir, 'genpkey', ...keyOptions, '-out', `${name}.key`);
    openssl(dir, 'req', '-new', '-key', `${name}.key`, '-subj', `/CN=${subject}`, '-out', `${name}.csr`);
  };
  const sign = (name: string, by: readonly string[], section: string): void => {
    const extensions = ['-extfile', 'extensions', '-extensions', section, '-days', '60'];
    openssl(dir, 'x509', '-req', '-in', `${name}.csr`, ...by, ...extensions, ...digest, '-out', `${name}.pem`);
  };
  const under = (ca: string): string[] => ['-CA', `${ca}.pem`, '-CAkey', `${ca}.key`, '-CAcreateserial'];
  request('root', 'OpenSSL root');
  sign('root', ['-signkey', 'root.key'], 'ca');
  request('middle', 'OpenSSL middle');
  sign('middle', under('root'), 'ca');
  for (const [name, section] of [
    ['router', 'device'],
    ['phone', 'device'],
    ['manager', 'manager'],
  ] as const) {
    request(name, name);
    sign(name, under('middle'), section);
  }
  for (const ca of ['root', 'middle']) {
    writeFileSync(join(dir, `${ca}.conf`), CA_SETTINGS(ca));
    writeFileSync(join(dir, `${ca}.index`), '');
    writeFileSync(join(dir, `${ca}.number`), '01');
  }
  openssl(dir, 'ca', '-config', 'middle.conf', '-revoke', 'phone.pem');
  for (const ca of ['root', 'middle']) {
    openssl(
      dir,
      'ca',
      '-config',
      `${ca}.conf`,
      '-gencrl',
      ...(digest.length > 0 ? ['-md', 'sha256'] : ['-md', 'null']),
      '-out',
      `${ca}.crl`,
    );
  }
  const reader = certificateReader();
  const load = (name: string): ParsedCertificate => {
    const certificate = reader.readCertificate(readPem(readFileSync(join(dir, `${name}.pem`)), 'CERTIFICATE')![0]!);
    assert.ok(certificate !== null, `${name}.pem is read`);
    return certificate;
  };
  const names = ['root', 'middle', 'router', 'phone', 'manager'];
  const lists = ['root', 'middle'].map((ca) => {
    const crl = reader.readCrl(readPem(readFileSync(join(dir, `${ca}.crl`)), 'X509 CRL')![0]!);
    assert.ok(crl !== null, `${ca}.crl is read`);
    return crl;
  });
  const at = EpochSeconds(Math.max(...lists.map(({ thisUpdate }) => thisUpdate)) + 1);
  return { certificates: Object.fromEntries(names.map((name) => [name, load(name)])), lists, at };
}

const KINDS = {
  'P-256': [['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'], ['-sha256']],
  'P-384': [['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384'], ['-sha384']],
  'RSA-2048': [['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'], ['-sha256']],
  Ed25519: [['-algorithm', 'ED25519'], []],
} as const;

for (const [kind, [keyOptions, digest]] of Object.entries(KINDS)) {
  let made: Made;
  before(() =>
    inDirectory((dir) => {
      if (opensslAbsent === false) made = makeChain(dir, keyOptions, digest);
    }),
  );

  const judge = (chain: readonly string[], wishes: Partial<PathQuestion> = {}): VerdictReason => {
    const finding = validatePath({
      crypto,
      chain: chain.map((name) => made.certificates[name]!),
      anchors: [made.certificates.root!],
      revocation: crlSet(made.lists),
      at: made.at,
      purpose: 'device',
      ...wishes,
    });
    return finding.ok ? 'good' : finding.reason;
  };
  const rule = (name: string, check: () => void): void => {
    test(`[P3] [P4] [patent 1100-1106] OpenSSL, ${kind}: ${name}`, { skip: opensslAbsent }, check);
  };

  rule('a device under an intermediate is good, with or without the root', () => {
    assert.equal(judge(['router', 'middle']), 'good');
    assert.equal(judge(['router', 'middle', 'root']), 'good');
  });
  rule('the manager is good as the manager alone', () => {
    assert.equal(judge(['manager', 'middle'], { purpose: 'manager', name: 'manager.example' }), 'good');
    assert.equal(judge(['manager', 'middle']), 'wrong-purpose');
    assert.equal(judge(['router', 'middle'], { purpose: 'manager' }), 'wrong-purpose');
  });
  rule('a device on the list of `openssl ca` is revoked', () => assert.equal(judge(['phone', 'middle']), 'revoked'));
  rule('without the list of the intermediate nothing is known', () => {
    assert.equal(judge(['router', 'middle'], { revocation: crlSet(made.lists.slice(0, 1)) }), 'revocation-unknown');
  });
  rule('expired and not yet valid', () => {
    const year = 365 * 86_400;
    assert.equal(judge(['router', 'middle'], { at: EpochSeconds(made.at + year) }), 'expired');
    assert.equal(judge(['router', 'middle'], { at: EpochSeconds(made.at - year) }), 'not-yet-valid');
  });
  rule('a CA certificate as a device, a missing intermediate, an unknown CA', () => {
    assert.equal(judge(['middle']), 'not-a-leaf');
    assert.equal(judge(['router']), 'unknown-issuer');
    assert.equal(judge(['router', 'middle'], { anchors: [] }), 'unknown-issuer');
  });
}
