/**
 * OpenSSL as the third judge: asked about everything that was believed.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writePem } from '../../platform/certificates.ts';
import { AT } from '../test-authority.ts';
import { intermediateDer, leafDer, rootDer } from './mutation-house.ts';

const BATCH = 200;

/**
 * Each below the honest CAs. Names, purposes and revocation are not asked about.
 * @returns for each what OpenSSL says against it, or null
 */
export function objectionsOfOpenssl(dir: string, certificates: readonly Uint8Array[]): (string | null)[] {
  writeFileSync(join(dir, 'root.pem'), writePem('CERTIFICATE', rootDer));
  writeFileSync(join(dir, 'intermediate.pem'), writePem('CERTIFICATE', intermediateDer));
  const names = certificates.map((der, i) => {
    writeFileSync(join(dir, `${i}.der`), der);
    return `${i}.der`;
  });
  const said = new Map<string, string>();
  for (let from = 0; from < names.length; from += BATCH) {
    const trust = ['-CAfile', 'root.pem', '-untrusted', 'intermediate.pem', '-attime', String(AT)];
    const { stdout, stderr } = runOpenssl(dir, 'verify', ...trust, ...names.slice(from, from + BATCH));
    for (const [, name] of stdout.matchAll(/^(\d+\.der): OK$/gm)) said.set(name!, 'OK');
    for (const [, text, name] of stderr.matchAll(/^(error \d+ .*)\nerror (\d+\.der): verification failed$/gm))
      said.set(name!, text!);
  }
  return names.map((name) => {
    const text = said.get(name) ?? 'it says nothing';
    return text === 'OK' ? null : text;
  });
}

/** @returns what OpenSSL says of the honest device when this is its revocation list: OK, or why not */
export function opensslByList(dir: string, list: Uint8Array): string {
  for (const [name, bytes] of Object.entries({ root: rootDer, intermediate: intermediateDer, leaf: leafDer })) {
    writeFileSync(join(dir, `${name}.pem`), writePem('CERTIFICATE', bytes));
  }
  writeFileSync(join(dir, 'list.pem'), writePem('X509 CRL', list));
  const trust = ['-CAfile', 'root.pem', '-untrusted', 'intermediate.pem', '-attime', String(AT)];
  const { stdout, stderr } = runOpenssl(
    dir,
    'verify',
    '-crl_check',
    '-extended_crl',
    '-CRLfile',
    'list.pem',
    ...trust,
    'leaf.pem',
  );
  return /^leaf\.pem: OK$/m.test(stdout) ? 'OK' : (/^error \d+ .*$/m.exec(stderr)?.[0] ?? stderr);
}

export function runOpenssl(
  dir: string,
  ...args: readonly string[]
): { status: number | null; stdout: string; stderr: string } {
  return spawnSync('openssl', args, { cwd: dir, encoding: 'utf8', timeout: 60_000, maxBuffer: 64 * 1024 * 1024 });
}
