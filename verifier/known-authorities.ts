/**
 * The CAs of chains that were found good: each is read once, its key taken in once, its signature checked once for each
 * issuing key. What is kept are facts about bytes, true under any policy and at any time: periods, revocation and purpose
 * are looked at with every question. A leaf of a known CA then costs its own reading and one signature check.
 */
import { equal, toHex } from '../protocol/bytes.ts';
import type { ParsedCertificate } from '../protocol/certificate.ts';
import type { Crypto, PublicKey } from '../protocol/crypto.ts';

export interface KnownAuthorities {
  /** @returns the same certificate as read before, or null */
  find(crypto: Crypto, der: Uint8Array): ParsedCertificate | null;
  /** The anchors from now on: their keys are taken in once. */
  anchor(anchors: readonly ParsedCertificate[]): void;
  /** A chain that was found good under an anchor, leaf first. */
  learn(crypto: Crypto, chain: readonly ParsedCertificate[], anchor: ParsedCertificate): void;
  /** The same cryptography, that does nothing twice for a known CA. */
  over(crypto: Crypto): Crypto;
}

/** Implementation limit; what was not met for longest goes first. Up to 20 KiB each. */
const MAX_AUTHORITIES = 256;

/** What is known of one CA beside its certificate. */
interface Authority {
  readonly certificate: ParsedCertificate;
  key: PublicKey | null;
  /** SubjectPublicKeyInfo of the key under which its signature holds. */
  provenBy: Uint8Array | null;
}

export function knownAuthorities(): KnownAuthorities {
  const byHash = new Map<string, Authority>();
  // By the very arrays that lie in a certificate that is kept: an equal array elsewhere is not known.
  let bySpki = new Map<Uint8Array, Authority>();
  let bySignature = new Map<Uint8Array, Authority>();
  let anchors: readonly Authority[] = [];
  const index = (): void => {
    const all = [...anchors, ...byHash.values()];
    bySpki = new Map(all.map((one) => [one.certificate.spki, one]));
    bySignature = new Map(all.map((one) => [one.certificate.signature, one]));
  };
  const hashOf = (crypto: Crypto, der: Uint8Array): string => toHex(crypto.hash('sha-256', der));

  return {
    find(crypto, der) {
      const hash = hashOf(crypto, der);
      const found = byHash.get(hash);
      if (found === undefined) return null;
      byHash.delete(hash); // to the end of the order of use
      byHash.set(hash, found);
      return found.certificate;
    },
    anchor(certificates) {
      anchors = certificates.map((certificate) => ({ certificate, key: null, provenBy: null }));
      index();
    },
    learn(crypto, chain, anchor) {
      for (const [i, certificate] of chain.entries()) {
        if (i === 0 || bySpki.has(certificate.spki) || equal(certificate.der, anchor.der)) continue;
        const provenBy = (chain[i + 1] ?? anchor).spki;
        byHash.set(hashOf(crypto, certificate.der), { certificate, key: null, provenBy });
        if (byHash.size > MAX_AUTHORITIES) byHash.delete(byHash.keys().next().value!);
        index();
      }
    },
    over: (crypto) => ({
      ...crypto,
      publicKey(spki) {
        const known = bySpki.get(spki);
        if (known === undefined) return crypto.publicKey(spki);
        known.key ??= crypto.publicKey(spki);
        return known.key;
      },
      verify(algorithm, key, signature, data, form) {
        const known = bySignature.get(signature);
        if (known?.certificate.tbs !== data || known.certificate.signatureAlgorithm !== algorithm || form !== 'der') {
          return crypto.verify(algorithm, key, signature, data, form);
        }
        if (known.provenBy !== null && equal(known.provenBy, key.spki)) return true;
        const good = crypto.verify(algorithm, key, signature, data, form);
        if (good) known.provenBy = key.spki;
        return good;
      },
    }),
  };
}
