/**
 * What the verifier knows of revocation lists beyond its own life, in its data directory: the lists in force, the numbers
 * seen, the CAs learnt. Lists and CAs in there are proven again before they count; what is damaged is set aside and told.
 */
import { existsSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { certificateReader, MAX_CRL_BYTES, readPem, writePem } from '../platform/certificates.ts';
import { FileFault, makePrivateDirectory, readBounded, writeAtomically } from '../platform/files.ts';

import { decodeUtf8, encodeUtf8, toHex } from '../protocol/bytes.ts';
import type { ParsedCertificate, ParsedCrl } from '../protocol/certificate.ts';
import type { Crypto } from '../protocol/crypto.ts';
import type { EpochSeconds } from '../protocol/units.ts';
import type { ProvenList, SeenList } from './list-keeping.ts';

export interface ListMemory {
  readonly seen: readonly SeenList[];
  readonly lists: readonly ParsedCrl[];
  readonly signers: readonly ParsedCertificate[];
  /** Files that were set aside, each with the reason. */
  readonly damaged: readonly { readonly path: string; readonly detail: string }[];
  /** Also their numbers. @throws FileFault */
  keepLists(proven: readonly ProvenList[]): void;
  /** @throws FileFault */
  keepSigners(learnt: readonly ParsedCertificate[]): void;
}

const NUMBERS_FILE = 'list-numbers.json';
const SIGNERS_FILE = 'known-cas.pem';
const LISTS = 'lists';
const LIST_NAME = /^[0-9a-f]{64}\.crl$/;
const MAX_NUMBERS_BYTES = 4 * 1024 * 1024;
const MAX_SIGNERS_BYTES = 4 * 1024 * 1024;
const MAX_LISTS = 1024;
const PRIVATE = 0o600;

/** Makes the directory when there is none. @throws FileFault when it cannot be used at all */
export function openListMemory(directory: string, crypto: Crypto): ListMemory {
  const folder = join(directory, LISTS);
  makePrivateDirectory(folder);
  const damaged: { path: string; detail: string }[] = [];
  /** @returns null when there is no such file, or it is damaged, and then set aside */
  const recall = <T>(path: string, maxBytes: number, read: (bytes: Uint8Array) => T | null): T | null => {
    if (!existsSync(path)) return null;
    const aside = `${path}.damaged`;
    const setAside = (why: string): null => {
      renameSync(path, aside);
      damaged.push({ path, detail: `${why}: set aside as ${aside}; what it held is not known any more` });
      return null;
    };
    try {
      return read(readBounded(path, maxBytes)) ?? setAside('damaged');
    } catch (error) {
      // what this user may not read is the operator's to mend; anything else is no content of ours
      if (!(error instanceof FileFault) || error.fault !== 'too-large') throw error;
      return setAside('too large');
    }
  };
  const numbersPath = join(directory, NUMBERS_FILE);
  const signersPath = join(directory, SIGNERS_FILE);
  const seen = recall(numbersPath, MAX_NUMBERS_BYTES, readNumbers) ?? [];
  const signers = recall(signersPath, MAX_SIGNERS_BYTES, readSigners) ?? [];
  const names = readdirSync(folder).filter((name) => LIST_NAME.test(name));
  const reader = certificateReader();
  const lists = names
    .slice(0, MAX_LISTS)
    .map((name) => recall(join(folder, name), MAX_CRL_BYTES, (der) => reader.readCrl(der)))
    .filter((crl) => crl !== null);
  const numbers = new Map(seen.map((one) => [one.key, one]));

  return {
    seen,
    lists,
    signers,
    damaged,
    keepLists(proven) {
      for (const { key, number, thisUpdate, digest, crl } of proven) {
        const name = toHex(crypto.hash('sha-256', encodeUtf8(key)));
        writeAtomically(join(folder, `${name}.crl`), crl.der, PRIVATE);
        numbers.set(key, { key, number, thisUpdate, digest });
      }
      writeAtomically(numbersPath, encodeUtf8(writeNumbers([...numbers.values()])), PRIVATE);
    },
    keepSigners(learnt) {
      writeAtomically(signersPath, encodeUtf8(writePem('CERTIFICATE', ...learnt.map(({ der }) => der))), PRIVATE);
    },
  };
}

function writeNumbers(seen: readonly SeenList[]): string {
  const rows = seen.map(({ number, ...one }) => ({ ...one, number: number === null ? null : String(number) }));
  return `${JSON.stringify({ seen: rows }, null, 1)}\n`;
}

/** @returns null for anything that was not written here */
function readNumbers(bytes: Uint8Array): SeenList[] | null {
  try {
    const value: unknown = JSON.parse(decodeUtf8(bytes));
    const rows = typeof value === 'object' && value !== null && 'seen' in value ? value.seen : null;
    if (!Array.isArray(rows)) return null;
    const seen = rows.map(readSeen);
    return seen.every((one) => one !== null) ? seen : null;
  } catch {
    return null; // no UTF-8, or no JSON
  }
}

function readSeen(row: unknown): SeenList | null {
  if (typeof row !== 'object' || row === null) return null;
  const { key, number, thisUpdate, digest } = row as Readonly<Record<string, unknown>>;
  if (typeof key !== 'string' || typeof digest !== 'string' || !Number.isSafeInteger(thisUpdate)) return null;
  if (number !== null && (typeof number !== 'string' || !/^\d{1,50}$/.test(number))) return null;
  return { key, digest, thisUpdate: thisUpdate as EpochSeconds, number: number === null ? null : BigInt(number) };
}

function readSigners(bytes: Uint8Array): ParsedCertificate[] | null {
  const reader = certificateReader();
  const found = readPem(bytes, 'CERTIFICATE')?.map((der) => reader.readCertificate(der)) ?? [];
  return found.length > 0 && found.every((one) => one !== null) ? found : null;
}
