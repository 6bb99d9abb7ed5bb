/**
 * Good verdicts on data that is out of date, told at once and then at most once a minute of each issuer, with their number.
 */
import { nameKey } from '../protocol/certificate.ts';
import type { EpochSeconds } from '../protocol/units.ts';
import type { RevocationNotes } from './mixed-revocation.ts';

export interface StaleWarning {
  readonly issuer: string;
  readonly since: EpochSeconds;
  readonly verdicts: number;
}

export interface StaleWarnings {
  /** One verdict rests on these. */
  add(stale: RevocationNotes['stale'], now: EpochSeconds): void;
  /** Tells what is due. */
  tell(now: EpochSeconds): void;
}

const EVERY_SECONDS = 60;

export function staleWarnings(warn: (warning: StaleWarning) => void): StaleWarnings {
  const counts = new Map<string, { told: number; verdicts: number; since: EpochSeconds; readonly issuer: string }>();
  const tell = (now: EpochSeconds): void => {
    for (const [key, one] of counts) {
      if (now - one.told < EVERY_SECONDS) continue;
      if (one.verdicts === 0) {
        counts.delete(key);
        continue;
      }
      warn({ issuer: one.issuer, since: one.since, verdicts: one.verdicts });
      one.told = now;
      one.verdicts = 0;
    }
  };
  return {
    tell,
    add(stale, now) {
      for (const { issuer, since } of stale) {
        const key = nameKey(issuer);
        const name = issuer.commonName ?? key;
        const one = counts.get(key) ?? { told: Number.NEGATIVE_INFINITY, verdicts: 0, since, issuer: name };
        one.verdicts++;
        one.since = since;
        counts.set(key, one);
      }
      tell(now);
    },
  };
}
