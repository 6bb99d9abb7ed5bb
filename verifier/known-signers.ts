/**
 * Whose revocation lists can be proven: the anchors, and what was proven under them (given as files, or seen in a chain that
 * was judged good).
 */
import { equal } from '../protocol/bytes.ts';
import { type ParsedCertificate, type ParsedCrl, sameName } from '../protocol/certificate.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { validatePath } from '../protocol/path-validation.ts';
import type { EpochSeconds } from '../protocol/units.ts';

export interface KnownSigners {
  /** Without the anchors, in the order in which they came. */
  readonly learnt: readonly ParsedCertificate[];
  /** Whether an anchor has the name of the list's issuer. */
  isAnchor(crl: ParsedCrl): boolean;
  /** @returns whose signature the list carries, or null */
  signerOf(crl: ParsedCrl): ParsedCertificate | null;
  /**
   * Whether a list of that signer may name certificates of an issuer: not when whoever is known to bear the issuer's name
   * stands under another anchor, as no verdict would count it there (protocol/list-signer.ts).
   */
  mayName(signer: ParsedCertificate, issuer: ParsedCertificate['subject']): boolean;
  /** What can be proven of these, whatever their order. @returns those that cannot */
  prove(candidates: readonly ParsedCertificate[], at: EpochSeconds): readonly ParsedCertificate[];
  /** A chain that was judged good, leaf first. @returns whether somebody in it is new */
  learn(chain: readonly ParsedCertificate[]): boolean;
}

/** Implementation limit. */
const MAX_LEARNT = 512;

export function knownSigners(crypto: Crypto, anchors: readonly ParsedCertificate[]): KnownSigners {
  const learnt: ParsedCertificate[] = [];
  /** By subject; what stands above each, up to the anchor. */
  const byName = new Map<string, { readonly certificate: ParsedCertificate; readonly above: ParsedCertificate[] }[]>();
  const nameOf = ({ rdns }: ParsedCertificate['subject']): string => JSON.stringify(rdns);
  const named = (name: ParsedCertificate['subject']) => byName.get(nameOf(name)) ?? [];
  const knows = (one: ParsedCertificate): boolean =>
    named(one.subject).some(({ certificate }) => equal(certificate.der, one.der));
  const add = (certificate: ParsedCertificate, above: ParsedCertificate[]): void => {
    byName.set(nameOf(certificate.subject), [...named(certificate.subject), { certificate, above }]);
  };
  for (const anchor of anchors) add(anchor, []);
  /** By name. */
  const anchorsOf = (name: ParsedCertificate['subject'], who?: ParsedCertificate): Set<string> =>
    new Set(
      named(name)
        .filter(({ certificate }) => who === undefined || equal(certificate.der, who.der))
        .map(({ certificate, above }) => {
          const top = above.at(-1) ?? certificate;
          return nameOf(anchors.includes(top) ? top.subject : top.issuer);
        }),
    );

  const isProven = (candidate: ParsedCertificate, at: EpochSeconds): boolean => {
    for (const { certificate, above } of named(candidate.issuer)) {
      const isAnchor = anchors.includes(certificate);
      const chain = isAnchor ? [candidate] : [candidate, certificate, ...above];
      const period = Math.max(candidate.notBefore, Math.min(at, candidate.notAfter)) as EpochSeconds;
      const found = validatePath({ crypto, chain, anchors, revocation: null, at: period, purpose: 'any' });
      if (!found.ok) continue;
      add(candidate, chain.slice(1));
      learnt.push(candidate);
      return true;
    }
    return false;
  };

  return {
    learnt,
    isAnchor: ({ issuer }) => anchors.some(({ subject }) => sameName(subject, issuer)),
    signerOf(crl) {
      const found = named(crl.issuer).find(({ certificate }) => signs(crypto, certificate, crl));
      return found?.certificate ?? null;
    },
    mayName(signer, issuer) {
      const ofIssuer = anchorsOf(issuer);
      if (ofIssuer.size === 0) return true; // nobody of that name is known, nor what he would stand under
      return [...anchorsOf(signer.subject, signer)].some((anchor) => ofIssuer.has(anchor));
    },
    prove(candidates, at) {
      let open = candidates.filter((one) => isListSigner(one) && !knows(one));
      for (;;) {
        const left = open.filter((one) => learnt.length >= MAX_LEARNT || !isProven(one, at));
        if (left.length === open.length) return left;
        open = left;
      }
    },
    learn(chain) {
      let grown = false;
      for (let i = chain.length - 1; i > 0; i--) {
        const one = chain[i]!;
        if (!signsLists(one) || knows(one) || learnt.length >= MAX_LEARNT) continue;
        add(one, chain.slice(i + 1));
        learnt.push(one);
        grown = true;
      }
      return grown;
    },
  };
}

/** A leaf without any key usage is none. */
function isListSigner({ extensions: { keyUsage, basicConstraints } }: ParsedCertificate): boolean {
  return keyUsage === null ? basicConstraints?.ca === true : keyUsage.has('cRLSign');
}

function signsLists({ extensions: { keyUsage } }: ParsedCertificate): boolean {
  return keyUsage === null || keyUsage.has('cRLSign');
}

function signs(crypto: Crypto, issuer: ParsedCertificate, crl: ParsedCrl): boolean {
  if (!signsLists(issuer) || crl.signatureAlgorithm === null) return false;
  const key = crypto.publicKey(issuer.spki);
  return key !== null && crypto.verify(crl.signatureAlgorithm, key, crl.signature, crl.tbs, 'der');
}
