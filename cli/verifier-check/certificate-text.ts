/**
 * Names and times of certificates as people read them.
 */
import type { DistinguishedName } from '../../protocol/certificate.ts';

/** @spec RFC 4514 §3, and two that certificates have beside */
const ATTRIBUTES: Readonly<Record<string, string>> = {
  '2.5.4.3': 'CN',
  '2.5.4.5': 'serialNumber',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.9': 'STREET',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
  '0.9.2342.19200300.100.1.1': 'UID',
  '0.9.2342.19200300.100.1.25': 'DC',
  '1.2.840.113549.1.9.1': 'emailAddress',
};

/** One line, the common name as it stands, everything else folded as it is compared. */
export function nameText({ rdns, commonName }: DistinguishedName): string {
  if (rdns.length === 0) return '(no name)';
  return rdns
    .map((rdn) => rdn.replace(/^[\d.]+(?=[=#])/, (oid) => ATTRIBUTES[oid] ?? oid))
    .map((rdn) => (rdn.startsWith('CN=') && !rdn.includes('+') && commonName !== null ? `CN=${commonName}` : rdn))
    .map((rdn) => rdn.replace(/="([^"\\]*)"/g, '=$1'))
    .join(', ');
}

/** RFC 3339, in UTC. @param epochSeconds  within the years that a certificate can name */
export function timeText(epochSeconds: number): string {
  return new Date(epochSeconds * 1000).toISOString().replace('.000Z', 'Z');
}
