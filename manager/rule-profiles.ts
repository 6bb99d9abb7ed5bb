/**
 * Requirements that have a name: what a standard or a class of devices allows. A profile stands beside the other settings of
 * a rule, and both have to hold.
 */
import { CIPHER_ORDER, HASH_ORDER, NO_REQUIREMENT, type Requirement } from '../protocol/selection.ts';

/**
 * What FIPS 140-3 modules may use: AES in approved modes, HMAC, SHA-2; not ChaCha20-Poly1305.
 * @spec SP 800-38A (CTR), SP 800-38C (CCM), SP 800-38D (GCM), FIPS 198-1 (HMAC), FIPS 180-4 (SHA-2); SP 800-140C names them
 */
const FIPS: Requirement = {
  ...NO_REQUIREMENT,
  minStrengthBits: 128,
  ciphers: ['aes-gcm', 'aes-ccm', 'aes-ctr-hmac', 'hmac'],
};

/**
 * What small devices have in common: AES-CCM, of which radios bring the cipher along, with SHA-256.
 * @spec RFC 7925 §4.2, §4.3 (AES_128_CCM_8, SHA-256); RFC 8613 §3.2 (AES-CCM-16-64-128, HKDF with SHA-256)
 */
const CONSTRAINED: Requirement = { ...NO_REQUIREMENT, ciphers: ['aes-ccm'], hashes: ['sha-256'] };

/**
 * AES with 256-bit keys, SHA-384 or SHA-512.
 * @spec NSA, Commercial National Security Algorithm Suite 2.0 (2022): AES-256 for confidentiality, SHA-384 or SHA-512
 */
const CNSA: Requirement = {
  ...NO_REQUIREMENT,
  minStrengthBits: 256,
  ciphers: ['aes-gcm', 'aes-ccm', 'aes-ctr-hmac'],
  hashes: ['sha-384', 'sha-512'],
};

export const PROFILES = { fips: FIPS, constrained: CONSTRAINED, cnsa: CNSA } as const satisfies Record<
  string,
  Requirement
>;
export type ProfileName = keyof typeof PROFILES;
export const PROFILE_NAMES = Object.keys(PROFILES) as readonly ProfileName[];

/** What satisfies all of them; none: everything. */
export function allOf(requirements: readonly Requirement[]): Requirement {
  return {
    minStrengthBits: Math.max(0, ...requirements.map((one) => one.minStrengthBits)),
    minTagBits: Math.max(0, ...requirements.map((one) => one.minTagBits)),
    ciphers: CIPHER_ORDER.filter((cipher) => requirements.every(({ ciphers }) => ciphers.includes(cipher))),
    hashes: HASH_ORDER.filter((hash) => requirements.every(({ hashes }) => hashes.includes(hash))),
  };
}
