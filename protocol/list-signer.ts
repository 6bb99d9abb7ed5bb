/**
 * Who may sign a revocation list for somebody else's key: the same CA under another key, or whom a CA above certified.
 * RFC 5280 asks for the same anchor alone; then any CA below it could certify a namesake of another one, or of whom that
 * one trusts with its lists, and clear whom the other has revoked. @spec RFC 5280 §6.3.3 (f)
 */
import { nameKey, type ParsedCertificate, sameName } from './certificate.ts';

/** A CA that is not forbidden to, or anybody who is told to. */
export function maySignLists({ extensions: { keyUsage, basicConstraints } }: ParsedCertificate): boolean {
  return keyUsage === null ? basicConstraints?.ca === true : keyUsage.has('cRLSign');
}

/**
 * Whether the CAs above the signer are CAs above the certificate, by their names. Who only rolls over its own key does not
 * count: a CA under its old and its new key stands at one place.
 * @param signerLine  the signer, its issuer, and so on up to the anchor
 * @param line        the same of the certificate that the list is about
 */
export function mayBeSigner(signerLine: readonly ParsedCertificate[], line: readonly ParsedCertificate[]): boolean {
  const [ofSigner, ofCertificate] = [issuersOf(signerLine), issuersOf(line)];
  const offset = ofCertificate.length - ofSigner.length;
  return offset >= 0 && ofSigner.every((name, i) => name === ofCertificate[offset + i]);
}

function issuersOf(line: readonly ParsedCertificate[]): string[] {
  const certified = line.slice(0, -1).filter(({ issuer, subject }) => !sameName(issuer, subject));
  return certified.map(({ issuer }) => nameKey(issuer));
}
