/**
 * What a suite costs a device: what it measured itself, or a table where it measured nothing. [patent 0167]
 */
import type { HashName } from './crypto.ts';
import type { Cost } from './messages.ts';
import type { Cipher, Suite } from './suites.ts';

/** Costs that differ by less are the same. */
export const COST_TIE = 1.1;
/** For which costs are compared when neither rule nor caller names a size. */
export const DEFAULT_MESSAGE_BYTES = 1024;

/** Picoseconds for one record of so many bytes. */
export const costOf = ({ picosPerOp, picosPerByte }: Cost, messageBytes: number): number =>
  picosPerOp + picosPerByte * messageBytes;

/**
 * Picoseconds a byte of a processor without AES and SHA instructions. AES and SHA: `openssl speed` at 16 KiB on x64 with
 * AES, PCLMULQDQ, SHA, VAES and VPCLMULQDQ masked. ChaCha20-Poly1305 there profits from wide vectors that no small board
 * has; it stands at 1/4.5 of AES-128-GCM, as a Raspberry Pi 4 was reported (github.com/angristan/openvpn-install, issue 1244).
 */
const CIPHER_PICOS_PER_BYTE: Readonly<Record<Exclude<Cipher, 'hmac'>, Readonly<Record<number, number>>>> = {
  'aes-gcm': { 128: 3090, 192: 3440, 256: 3720 },
  'aes-ccm': { 128: 7760, 256: 11_630 },
  'chacha20-poly1305': { 256: 690 },
  'aes-ctr-hmac': { 128: 1680, 192: 1960, 256: 2330 },
};
const MAC_PICOS_PER_BYTE: Readonly<Record<HashName, number>> = { 'sha-256': 1460, 'sha-384': 930, 'sha-512': 930 };

/**
 * Picoseconds a record, whatever its length: one call of an AEAD; of AES-CTR, which has no authenticated data to take; of
 * HMAC. The node half on the same machine, as bench/suites measures it; a small board is slower in these as it is in bytes.
 */
const PICOS_PER_OP = { aead: 3_800_000, counterMode: 2_800_000, mac: 2_600_000 } as const;

/** Of a device that has measured nothing: taken for a small board without AES instructions. */
export function assumedCost({ cipher, keyBits, hash }: Omit<Suite, 'tagBits'>): Cost {
  const mac = { picosPerOp: PICOS_PER_OP.mac, picosPerByte: MAC_PICOS_PER_BYTE[hash] };
  if (cipher === 'hmac') return mac;
  const picosPerByte = CIPHER_PICOS_PER_BYTE[cipher][keyBits] ?? Number.MAX_SAFE_INTEGER;
  if (cipher !== 'aes-ctr-hmac') return { picosPerOp: PICOS_PER_OP.aead, picosPerByte };
  return { picosPerOp: PICOS_PER_OP.counterMode + mac.picosPerOp, picosPerByte: picosPerByte + mac.picosPerByte };
}

/**
 * How heavy a cipher is beside others, its authentication included; where that is HMAC, with SHA-256: the hash has a criterion
 * of its own.
 */
export const cipherWeight = ({ cipher, keyBits }: Pick<Suite, 'cipher' | 'keyBits'>): number =>
  assumedCost({ cipher, keyBits, hash: 'sha-256' }).picosPerByte;

/**
 * How heavy a hash is beside others: picoseconds of one compression, 64 bytes in 64 rounds or 128 bytes in 80, which is what
 * a key derivation and a short message cost. SHA-384 is SHA-512 cut.
 * @spec FIPS 180-4 §6
 */
export const HASH_WEIGHT: Readonly<Record<HashName, number>> = {
  'sha-256': 93_000,
  'sha-384': 119_000,
  'sha-512': 119_000,
};
