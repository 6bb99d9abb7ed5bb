/**
 * The match (patent 0156–0164): which entry of the caller's and the callee's proposals agree, and which of several
 * agreements wins. Pure and deterministic: the order of a list means nothing, priorities and the suite table decide.
 */
import type { Proposal } from './messages.ts';
import { CIPHERS, type Cipher, type KeyMode, resolveSuite, type Suite } from './suites.ts';

/** The manager's word on what may be chosen and who is asked first. */
export interface Rule {
  readonly name: string;
  /** Whose priorities decide among several agreements. [patent 0163] */
  readonly precedence: 'callee' | 'caller';
  /** false: integrity-only suites do not count. */
  readonly allowUnencrypted: boolean;
}

/** [patent 0164] the side that is asked comes before the side that asks. */
export const DEFAULT_RULE: Rule = { name: 'default', precedence: 'callee', allowUnencrypted: false };

/** The settings of a proposal in the order in which they are compared. */
export type Setting = 'cipher' | 'keyBits' | 'hash' | 'tagBits' | 'keyMode' | 'encryption';

export type Match =
  | { readonly matched: true; readonly suite: Suite; readonly keyMode: KeyMode; readonly rule: string }
  /** `failedOn`: the setting that kept the closest two entries apart. */
  | { readonly matched: false; readonly failedOn: Setting };

const LAST = Number.MAX_SAFE_INTEGER;
const cipherOrder = Object.keys(CIPHERS) as Cipher[];
const COMPARED: readonly Setting[] = ['cipher', 'keyBits', 'hash', 'tagBits', 'keyMode'];

export function match(caller: readonly Proposal[], callee: readonly Proposal[], rule: Rule = DEFAULT_RULE): Match {
  let best: { readonly callee: Proposal; readonly rank: readonly number[] } | null = null;
  let closest = 0;
  let unencrypted = false;
  for (const theirs of callee) {
    if (resolveSuite(theirs.suite) === null) continue; // an entry outside the registry is passed over
    for (const ours of caller) {
      const equalSettings = countEqual(ours, theirs);
      if (equalSettings < COMPARED.length) {
        closest = Math.max(closest, equalSettings);
        continue;
      }
      if (!rule.allowUnencrypted && !CIPHERS[theirs.suite.cipher].encrypts) {
        unencrypted = true;
        continue;
      }
      const rank = rankOf(ours, theirs, rule);
      if (best === null || precedes(rank, best.rank)) best = { callee: theirs, rank };
    }
  }
  if (best !== null) return { matched: true, suite: best.callee.suite, keyMode: best.callee.keyMode, rule: rule.name };
  return { matched: false, failedOn: unencrypted ? 'encryption' : COMPARED[closest]! };
}

/** [patent 0160] An entry agrees only when every setting is equal; how many are, counted from the front. */
function countEqual(a: Proposal, b: Proposal): number {
  if (a.suite.cipher !== b.suite.cipher) return 0;
  if (a.suite.keyBits !== b.suite.keyBits) return 1;
  if (a.suite.hash !== b.suite.hash) return 2;
  if (a.suite.tagBits !== b.suite.tagBits) return 3;
  return a.keyMode === b.keyMode ? 5 : 4;
}

/** Lower is better: the preferred side's priority, the other's, then the place in the suite table. */
function rankOf(caller: Proposal, callee: Proposal, rule: Rule): readonly number[] {
  const [first, second] = rule.precedence === 'callee' ? [callee, caller] : [caller, callee];
  const { cipher, keyBits, hash, tagBits } = callee.suite;
  return [
    first.priority ?? LAST,
    second.priority ?? LAST,
    cipherOrder.indexOf(cipher),
    keyBits,
    Number(hash.slice(4)),
    -tagBits,
    callee.keyMode === 'seed' ? 0 : 1,
  ];
}

function precedes(a: readonly number[], b: readonly number[]): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! < b[i]!;
  return false;
}
