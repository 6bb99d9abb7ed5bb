/**
 * Which revocation lists hold: each file's newest good state. A file that turns broken or older changes nothing.
 */
import { equal, toHex } from '../protocol/bytes.ts';
import { type ParsedCertificate, type ParsedCrl, sameName } from '../protocol/certificate.ts';
import type { Crypto } from '../protocol/crypto.ts';

/**
 * Why a file's new lists cannot replace the old ones.
 * @param held     what the file held before; empty at the start
 * @param anchors  a list that one of them issued has to carry its signature; others are checked when they are used
 * @returns        null when they can
 */
export function replacementFault(
  crypto: Crypto,
  held: readonly ParsedCrl[],
  fresh: readonly ParsedCrl[],
  anchors: readonly ParsedCertificate[],
): string | null {
  for (const crl of fresh) {
    const issuers = anchors.filter(({ subject }) => sameName(subject, crl.issuer));
    if (issuers.length > 0 && !issuers.some((issuer) => signs(crypto, issuer, crl))) {
      return `the list of ${nameOf(crl)} is not signed by its issuer`;
    }
  }
  for (const old of held) {
    const next = fresh.filter(({ issuer }) => sameName(issuer, old.issuer));
    if (next.length === 0) return `the list of ${nameOf(old)} is missing`;
    const outdated = next.every((crl) => isOlder(crl, old));
    if (outdated) return `the list of ${nameOf(old)} is older than number ${old.number ?? 'none'}, which is held`;
  }
  return null;
}

function nameOf({ issuer }: ParsedCrl): string {
  return issuer.commonName ?? toHex(issuer.der);
}

function signs(crypto: Crypto, issuer: ParsedCertificate, crl: ParsedCrl): boolean {
  const key = crypto.publicKey(issuer.spki);
  const algorithm = crl.signatureAlgorithm;
  return key !== null && algorithm !== null && crypto.verify(algorithm, key, crl.signature, crl.tbs, 'der');
}

/** By number; the same number twice, or none, leaves the date. */
function isOlder(crl: ParsedCrl, than: ParsedCrl): boolean {
  if (crl.number !== null && than.number !== null && crl.number !== than.number) return crl.number < than.number;
  return crl.thisUpdate < than.thisUpdate && !equal(crl.der, than.der);
}

/** @returns null when a line is no SHA-256 in hex; `#` begins a comment */
export function readRevokedKeys(text: string): ReadonlySet<string> | null {
  const lines = text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim().toLowerCase())
    .filter((line) => line !== '');
  return lines.every((line) => /^[0-9a-f]{64}$/.test(line)) ? new Set(lines) : null;
}
