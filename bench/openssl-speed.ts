/**
 * `openssl speed` of the system: what its own loop in C makes of a cipher or a MAC.
 */
import { spawnSync } from 'node:child_process';
import { onOneCore } from './one-core.ts';

/** As `openssl speed` takes it: a cipher, as an AEAD with nonce and tag for each message, or HMAC with a hash. */
export type Speed =
  | { readonly evp: string; readonly aead: boolean }
  | { readonly hmac: 'sha256' | 'sha384' | 'sha512' };

const SECONDS = 1;

/** @returns µs of CPU for one message; null when there is no such openssl, or it does not know the algorithm */
export function opensslMicros(speed: Speed, sizeBytes: number): number | null {
  const what = 'hmac' in speed ? ['-hmac', speed.hmac] : ['-evp', speed.evp, ...(speed.aead ? ['-aead'] : [])];
  const args = ['speed', '-mr', '-seconds', String(SECONDS), '-bytes', String(sizeBytes), ...what];
  const { status, stdout } = spawnSync('openssl', args, { encoding: 'utf8' });
  if (status !== 0) return null;
  // +F:25:AES-128-GCM:4706992128.00, in bytes a second
  const found = /^\+F:\d+:[^:]+:(\d+(?:\.\d+)?)$/m.exec(stdout);
  return found === null ? null : (1e6 * sizeBytes) / Number(found[1]);
}

/** µs of one signature and of one check with ECDSA over P-256, on the core that the others run on; null without openssl. */
export function opensslEcdsa(): { readonly sign: number; readonly verify: number } | null {
  const args = ['speed', '-mr', '-seconds', String(SECONDS), 'ecdsap256'];
  const { status, stdout } = spawnSync(...onOneCore('openssl', args), { encoding: 'utf8' });
  if (status !== 0) return null;
  // +F4:3:256:66677.906977:20614.141414, in operations a second
  const found = /^\+F4:\d+:256:([\d.]+):([\d.]+)$/m.exec(stdout);
  return found === null ? null : { sign: 1e6 / Number(found[1]), verify: 1e6 / Number(found[2]) };
}

export function opensslVersion(): string | null {
  const { status, stdout } = spawnSync('openssl', ['version'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim().replace(/ *\d+ \w{3} \d{4} .*$/, '') : null;
}
