/**
 * What a suite is worth by each criterion that looks at the suite alone, worked out once for all of them: a match asks for it
 * wherever two proposals meet. Nothing here depends on the length of the tag.
 */
import type { HashName } from './crypto.ts';
import type { Cost } from './messages.ts';
import { assumedCost, cipherWeight, HASH_WEIGHT } from './suite-cost.ts';
import { CIPHERS, type Cipher, HASH_WIRE, type Suite, strengthBits } from './suites.ts';

export interface SuiteTraits extends Omit<Suite, 'tagBits'> {
  /** Of the key length in the cipher's row. */
  readonly keyPlace: number;
  /** Of the hash on the wire. */
  readonly hashNumber: number;
  readonly strengthBits: number;
  readonly cipherWeight: number;
  readonly hashWeight: number;
  /** Of a device that has measured nothing. */
  readonly assumed: Cost;
}

/** By the place of the key length in the cipher's row, then by the number of the hash on the wire. */
type TraitTable = readonly (readonly SuiteTraits[])[];

export const SUITE_TRAITS = Object.fromEntries(
  Object.keys(CIPHERS).map((cipher) => [cipher, tableOf(cipher as Cipher)]),
) as Readonly<Record<Cipher, TraitTable>>;

function tableOf(cipher: Cipher): TraitTable {
  const [tagBits] = CIPHERS[cipher].tagBits;
  return CIPHERS[cipher].keyBits.map((keyBits, keyPlace) => {
    const row: SuiteTraits[] = [];
    for (const [hash, number] of Object.entries(HASH_WIRE) as [HashName, number][]) {
      const suite = { cipher, keyBits, hash, tagBits: tagBits! };
      row[number] = {
        cipher,
        keyBits,
        hash,
        keyPlace,
        hashNumber: number,
        strengthBits: strengthBits(suite),
        cipherWeight: cipherWeight(suite),
        hashWeight: HASH_WEIGHT[hash],
        assumed: assumedCost(suite),
      };
    }
    return row;
  });
}
