/**
 * The certificates of a house, made by the OpenSSL command: root, intermediate, leaves, a revocation list of each CA.
 */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EXTENDED_KEY_USAGE } from '../protocol/certificate.ts';
import type { Wanted } from './real-house.ts';
import { openssl } from './test-authority.ts';

export const KEY_KINDS = {
  'P-256': { key: ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'], digest: 'sha256' },
  Ed25519: { key: ['-algorithm', 'ED25519'], digest: 'null' },
} as const;
export type KeyKind = keyof typeof KEY_KINDS;

const PURPOSES: Readonly<Record<Wanted['kind'], string>> = {
  device: `${EXTENDED_KEY_USAGE.kagimoriDevice},clientAuth`,
  manager: EXTENDED_KEY_USAGE.kagimoriManager,
  verifier: EXTENDED_KEY_USAGE.kagimoriVerifier,
  server: 'serverAuth',
};

const SETTINGS = (ca: string, digest: string): string => `
[ca]
default_ca=own
[own]
dir=.
database=${ca}.index
new_certs_dir=.
certificate=${ca}.pem
private_key=${ca}.key
crlnumber=${ca}.number
rand_serial=yes
default_md=${digest}
default_days=60
default_crl_days=30
crl_extensions=list
policy=any
unique_subject=no
[any]
commonName=supplied
[list]
authorityKeyIdentifier=keyid
`;

/** Makes `ca/root.pem`, `ca/crl.pem` with both lists, and chain and key of everybody under `certificates/`. */
export function certifyByOpenssl(directory: string, wanted: readonly Wanted[], kind: KeyKind): void {
  const { key, digest } = KEY_KINDS[kind];
  const ca = join(directory, 'ca');
  mkdirSync(ca, { mode: 0o700 });
  const request = (name: string): void => {
    openssl(ca, 'genpkey', ...key, '-out', `${name}.key`);
    openssl(ca, 'req', '-new', '-key', `${name}.key`, '-subj', `/CN=${name}`, '-out', `${name}.csr`);
  };
  const sign = (name: string, by: readonly string[], extensions: readonly string[]): void => {
    writeFileSync(join(ca, `${name}.ext`), extensions.join('\n'));
    openssl(
      ca,
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      ...by,
      '-days',
      '60',
      '-extfile',
      `${name}.ext`,
      '-out',
      `${name}.pem`,
    );
  };
  const under = (issuer: string): string[] => ['-CA', `${issuer}.pem`, '-CAkey', `${issuer}.key`];
  const authority = [
    'basicConstraints=critical,CA:true',
    'keyUsage=critical,keyCertSign,cRLSign',
    'subjectKeyIdentifier=hash',
  ];
  request('root');
  sign('root', ['-signkey', 'root.key'], authority);
  request('middle');
  sign('middle', under('root'), authority);
  for (const { name, kind: role, sans } of wanted) {
    request(name);
    const names = sans.map(({ type, value }) => `${type.toUpperCase()}:${value}`);
    sign(name, under('middle'), [
      'basicConstraints=CA:false',
      'keyUsage=critical,digitalSignature',
      `extendedKeyUsage=${PURPOSES[role]}`,
      ...(names.length > 0 ? [`subjectAltName=${names.join(',')}`] : []),
    ]);
    const stem = join(directory, 'certificates', name);
    writeFileSync(
      `${stem}.chain.pem`,
      readFileSync(join(ca, `${name}.pem`), 'utf8') + readFileSync(join(ca, 'middle.pem'), 'utf8'),
    );
    writeFileSync(`${stem}.key.pem`, readFileSync(join(ca, `${name}.key`)), { mode: 0o600 });
  }
  const lists = ['root', 'middle'].map((tier) => {
    writeFileSync(join(ca, `${tier}.conf`), SETTINGS(tier, digest));
    writeFileSync(join(ca, `${tier}.index`), '');
    writeFileSync(join(ca, `${tier}.number`), '01');
    return openssl(ca, 'ca', '-config', `${tier}.conf`, '-gencrl');
  });
  writeFileSync(join(ca, 'crl.pem'), lists.join(''));
  chmodSync(join(ca, 'crl.pem'), 0o644);
}
