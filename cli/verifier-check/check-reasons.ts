/**
 * Why `kagimori verifier check` finds a certificate not valid: the closed list, each with what to do about it.
 */
import type { PathFault } from '../../protocol/path-fault.ts';

export type CheckReason = PathFault['reason'];

export const CHECK_REASONS: Readonly<Record<CheckReason, string>> = {
  expired: 'renew it; for a check at another time give --at',
  'not-yet-valid': 'look at the clock of this machine; for a check at another time give --at',
  revoked: 'issue a new certificate with a new key',
  'unknown-issuer': 'give the certificates between it and the anchor with --intermediate, and the right --anchor',
  'bad-signature': 'it was altered, or another CA of the same name signed it: give that one',
  'wrong-purpose': 'issue a certificate for this use, or ask for its own use with --purpose',
  'not-a-leaf': 'give the certificate that the CA issued, not the one of the CA',
  malformed: 'have it issued again by software that keeps to RFC 5280',
  'weak-key': 'use P-256, P-384, Ed25519, or RSA of 2048 bits and more',
  'wrong-name': 'have it issued with this name in its subjectAltName',
  'chain-too-long': 'use at most 4 CAs between the certificate and the anchor',
  'constraint-violated': 'have it issued by a CA that may issue it',
  'unknown-critical-extension': 'have it issued without that extension, or with it not critical',
  'revocation-unknown': 'give a current revocation list of its issuer with --crl',
  'weak-signature': 'have it issued again with SHA-256 or stronger',
  'work-limit': 'give fewer certificates with --intermediate: those that belong to the path',
};
