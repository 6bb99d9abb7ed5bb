/**
 * Where a benchmark ran: without it a figure means nothing.
 */
import { arch, availableParallelism, cpus, loadavg, platform, release } from 'node:os';

export interface Environment {
  readonly cpu: string;
  readonly cores: number;
  readonly os: string;
  readonly node: string;
  readonly openssl: string;
  /** ISO 8601 */
  readonly date: string;
  /** Of the last minute, at the start: other work on the machine widens the spread. */
  readonly load: number;
}

export function environment(): Environment {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    os: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    openssl: process.versions.openssl ?? 'unknown',
    date: new Date().toISOString(),
    load: Math.round(100 * loadavg()[0]!) / 100,
  };
}
