/**
 * Where this machine swaps memory out to, and whether somebody who has the disk can read it there. @spec proc_swaps(5)
 */
import { readFileSync, statSync } from 'node:fs';

export interface Swap {
  readonly path: string;
  /** `memory`: compressed and kept there; `encrypted`: a mapping of dm-crypt; `open`: as far as can be told, readable. */
  readonly kind: 'memory' | 'encrypted' | 'open';
}

/** @returns null where the system does not tell */
export function activeSwaps(read: (path: string) => string | null = readOrNull): readonly Swap[] | null {
  const table = read('/proc/swaps');
  if (table === null) return null;
  const paths = table
    .split('\n')
    .slice(1)
    .filter(Boolean)
    .map((line) => line.split(/\s/, 1)[0]!.replaceAll('\\040', ' '));
  return paths.map((path) => ({ path, kind: kindOf(path, read) }));
}

function kindOf(path: string, read: (path: string) => string | null): Swap['kind'] {
  if (/^\/dev\/zram\d+$/.test(path)) return 'memory';
  const device = /^\/dev\/(dm-\d+)$/.exec(path)?.[1] ?? deviceNumberOf(path);
  if (device === null) return 'open';
  const sys = device.includes(':') ? `/sys/dev/block/${device}` : `/sys/block/${device}`;
  // dm-crypt says so in the uuid of its mapping, whatever it is called
  return read(`${sys}/dm/uuid`)?.startsWith('CRYPT-') === true ? 'encrypted' : 'open';
}

/** Of a block device by another name, or of the disk below a swap file: `major:minor`. */
function deviceNumberOf(path: string): string | null {
  try {
    const { rdev, dev } = statSync(path);
    const number = rdev === 0 ? dev : rdev;
    return `${(number >> 8) & 0xfff}:${(number & 0xff) | ((number >> 12) & 0xfff00)}`;
  } catch {
    return null;
  }
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
