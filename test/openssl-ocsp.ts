/**
 * OpenSSL's OCSP responder as a process, over an index that says what becomes of which certificate.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writePem } from '../platform/certificates.ts';
import { toHex } from '../protocol/bytes.ts';
import type { ParsedCertificate } from '../protocol/certificate.ts';
import { freePorts } from './mosquitto.ts';
import type { Holder } from './test-authority.ts';

const START_MS = 10_000;

export interface IndexEntry {
  readonly certificate: ParsedCertificate;
  /** Seconds since 1970, and a reason as OpenSSL names it. */
  readonly revoked?: { readonly at: number; readonly reason?: string };
}

const utc = (at: number): string => `${new Date(at * 1000).toISOString().slice(2, 19).replace(/[-:T]/g, '')}Z`;

/** What `openssl ca` writes: state, end, revocation, serial number, file, subject. */
export function indexOf(entries: readonly IndexEntry[]): string {
  return entries
    .map(({ certificate, revoked }) => {
      const reason = revoked?.reason === undefined ? '' : `,${revoked.reason}`;
      const revocation = revoked === undefined ? '' : `${utc(revoked.at)}${reason}`;
      const serial = toHex(certificate.serial).replace(/^00/, '').toUpperCase();
      const state = revoked === undefined ? 'V' : 'R';
      return `${[state, utc(certificate.notAfter), revocation, serial, 'unknown', '/CN=x'].join('\t')}\n`;
    })
    .join('');
}

export interface OpensslOcsp {
  readonly pid: number;
  readonly port: number;
  readonly url: string;
  stop(): Promise<void>;
}

/** @param options  such as `-nmin 5`, `-no_certs` of `openssl ocsp` */
export async function startOpensslOcsp(
  dir: string,
  issuer: Holder,
  signer: Holder,
  entries: readonly IndexEntry[],
  options: readonly string[] = [],
): Promise<OpensslOcsp> {
  writeFileSync(join(dir, 'index.txt'), indexOf(entries));
  writeFileSync(join(dir, 'issuer.pem'), writePem('CERTIFICATE', issuer.certificate.der));
  writeFileSync(join(dir, 'signer.pem'), writePem('CERTIFICATE', signer.certificate.der));
  writeFileSync(join(dir, 'signer.key'), signer.key.privatePkcs8Pem, { mode: 0o600 });
  const [port] = await freePorts(1);
  const files = ['-index', 'index.txt', '-CA', 'issuer.pem', '-rsigner', 'signer.pem', '-rkey', 'signer.key'];
  const args = ['ocsp', '-port', String(port), ...files, ...options];
  const child = spawn('openssl', args, { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] });
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  let written = '';
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`openssl ocsp does not start: ${written}`)), START_MS);
    const read = (chunk: Buffer): void => {
      written += chunk.toString();
      if (!/waiting for OCSP client|ACCEPT/.test(written)) return;
      clearTimeout(late);
      resolve();
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    void gone.then(() => {
      clearTimeout(late);
      reject(new Error(`openssl ocsp ended: ${written}`));
    });
  });
  return {
    pid: child.pid!,
    port: port!,
    url: `http://127.0.0.1:${port}/`,
    async stop() {
      child.kill('SIGKILL');
      await gone;
    },
  };
}
