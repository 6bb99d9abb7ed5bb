/**
 * What is wrong with a path before any signature is looked at: periods, contents, who may issue. @spec RFC 5280 §6.1.3, §6.1.4
 */
import { type ParsedCertificate, sameName } from './certificate.ts';
import type { VerdictReason } from './message-values.ts';
import type { EpochSeconds } from './units.ts';

export interface PathFault {
  readonly ok: false;
  readonly reason: Exclude<VerdictReason, 'good'>;
  /** For the log, without an ending full stop. */
  readonly detail: string;
  /** Place of the culprit in the chain, leaf = 0; chain.length = the anchor. */
  readonly index: number;
}

export function fault(reason: VerdictReason, detail: string, index: number): PathFault {
  return { ok: false, reason: reason as PathFault['reason'], detail, index };
}

/**
 * Of one certificate, whatever stands around it. The period includes both of its ends.
 * @param endOverlooked  true: it may have run out
 */
export function certificateFault(
  certificate: ParsedCertificate,
  at: EpochSeconds,
  index: number,
  endOverlooked = false,
): PathFault | null {
  const { notBefore, notAfter, extensions } = certificate;
  if (at < notBefore) return fault('not-yet-valid', `its period begins at ${notBefore}`, index);
  if (at > notAfter && !endOverlooked) return fault('expired', `its period ended at ${notAfter}`, index);
  const [unknown] = extensions.unknownCritical;
  if (unknown !== undefined) return fault('unknown-critical-extension', `a critical extension ${unknown}`, index);
  if (index === 0 && extensions.nameConstraints !== null && extensions.basicConstraints?.ca !== true) {
    return fault('constraint-violated', 'name constraints in a certificate that is no CA', index);
  }
  return null;
}

/** @param all  leaf first; the one at `index` issues what stands below it */
export function issuerFault(all: readonly ParsedCertificate[], index: number): PathFault | null {
  const { basicConstraints, keyUsage } = all[index]!.extensions;
  if (basicConstraints?.ca !== true) return fault('constraint-violated', 'an issuer that is no CA', index);
  if (keyUsage !== null && !keyUsage.has('keyCertSign')) {
    return fault('constraint-violated', 'an issuer whose key may not sign certificates', index);
  }
  if (basicConstraints.pathLength === null) return null;
  // Intermediates below, those aside that only roll over a key. [RFC 5280 §4.2.1.9]
  const below = all.slice(1, index).filter(({ issuer, subject }) => !sameName(issuer, subject)).length;
  if (below <= basicConstraints.pathLength) return null;
  return fault('constraint-violated', `${below} CAs below it, at most ${basicConstraints.pathLength}`, index);
}
