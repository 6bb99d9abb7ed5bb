/**
 * Revocation by full lists (CRLs) of the certificate's own issuer. A list that is partitioned, indirect, a delta, or
 * carries any other critical extension decides nothing. @spec RFC 5280 §5, §6.3
 */
import { equal, toHex } from './bytes.ts';
import type { ParsedCrl } from './certificate.ts';
import type { Crypto, PublicKey } from './crypto.ts';
import type { Revocation, RevocationSource } from './revocation.ts';
import type { EpochSeconds } from './units.ts';

/** Lists found by their issuer; each signature is checked once per issuing key, not once per question. */
export interface CrlSet extends RevocationSource {
  readonly size: number;
}

export function crlSet(crls: readonly ParsedCrl[]): CrlSet {
  const byIssuer = new Map<string, ParsedCrl[]>();
  for (const crl of crls) {
    const name = crl.issuer.rdns.join();
    byIssuer.set(name, [...(byIssuer.get(name) ?? []), crl]);
  }
  const signedBy = new Map<ParsedCrl, Uint8Array>();
  const authentic = (crypto: Crypto, crl: ParsedCrl, key: PublicKey): boolean => {
    const known = signedBy.get(crl);
    if (known !== undefined && equal(known, key.spki)) return true;
    if (crl.signatureAlgorithm === null) return false;
    if (!crypto.verify(crl.signatureAlgorithm, key, crl.signature, crl.tbs, 'der')) return false;
    signedBy.set(crl, key.spki);
    return true;
  };
  return {
    size: crls.length,
    status({ crypto, certificate, issuer, issuerKey: key, at }) {
      const serial = toHex(certificate.serial);
      const usage = issuer.extensions.keyUsage;
      let detail = 'no revocation list of its issuer';
      let until: EpochSeconds | null = null;
      for (const crl of byIssuer.get(certificate.issuer.rdns.join()) ?? []) {
        if (usage !== null && !usage.has('cRLSign')) detail = 'its issuer may not sign revocation lists';
        else if (!authentic(crypto, crl, key)) detail = 'the revocation list is not signed by its issuer';
        else if (crl.revoked.some(({ entries }) => entries.has(serial))) return listed(crl);
        else if (crl.unknownCritical.length > 0 || crl.scope !== null || crl.deltaBase !== null)
          detail = `the revocation list has a critical extension ${crl.unknownCritical[0]}`;
        else if (crl.thisUpdate > at) detail = 'the revocation list is from the future';
        else if (crl.nextUpdate === null || crl.nextUpdate < at) detail = 'the revocation list is out of date';
        else if (until === null || crl.nextUpdate > until) until = crl.nextUpdate;
      }
      return until === null ? { status: 'unknown', detail } : { status: 'good', until };
    },
  };
}

/** An entry means what it says, in an old list too; but in a delta it may unrevoke, and in an indirect list be another CA's. */
function listed(crl: ParsedCrl): Revocation {
  if (crl.deltaBase === null && crl.revoked.length === 1) return { status: 'revoked' };
  return { status: 'unknown', detail: 'a delta or indirect revocation list names its serial number' };
}
