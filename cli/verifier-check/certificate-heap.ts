/**
 * The files of `kagimori verifier check`: certificates and revocation lists, as PEM with several blocks or as DER. What
 * cannot be read in a heap is passed over with a remark: a path through it does not exist, a list decides nothing.
 */
import { certificateReader, MAX_CRL_BYTES } from '../../platform/certificates.ts';
import { readBounded } from '../../platform/files.ts';
import type { ParsedCertificate, ParsedCrl } from '../../protocol/certificate.ts';
import { Failure } from '../failure.ts';
import { printable } from '../output.ts';

/** Of one certificate; the wire's limit does not hold here. */
const MAX_CERTIFICATE_BYTES = 64 * 1024;
const MAX_LEAF_FILE_BYTES = 1024 * 1024;
/** The certificates that a machine trusts take a quarter of a megabyte. */
const MAX_HEAP_FILE_BYTES = 8 * 1024 * 1024;
/** Base64 takes four characters for three bytes, and a line break for 64. */
const MAX_CRL_FILE_BYTES = MAX_CRL_BYTES * 1.5;

const reader = certificateReader(MAX_CERTIFICATE_BYTES);

export interface Leaf {
  /** null: it is there, and no certificate that the profile knows. */
  readonly certificate: ParsedCertificate | null;
  /** What stands behind it in the same file. */
  readonly chain: readonly ParsedCertificate[];
}

export interface Heap<T> {
  readonly items: readonly T[];
  /** One line for each item that was passed over. */
  readonly remarks: readonly string[];
}

/** @throws Failure, FileFault when the file holds no certificate, not even a broken one */
export function readLeaf(path: string): Leaf {
  const [first, ...rest] = blocksOf(path, readBounded(path, MAX_LEAF_FILE_BYTES), CERTIFICATE);
  if (first !== null && first!.length > MAX_CERTIFICATE_BYTES) {
    throw new Failure('usage', 'too-large', `${path}: a certificate of more than ${MAX_CERTIFICATE_BYTES} bytes`);
  }
  const read = (der: Uint8Array | null): ParsedCertificate | null =>
    der === null ? null : reader.readCertificate(der);
  return { certificate: read(first!), chain: rest.map(read).filter((one) => one !== null) };
}

/** @throws Failure, FileFault when a file holds no certificate, not even a broken one */
export function readAnchors(paths: readonly string[]): Heap<ParsedCertificate> {
  return readHeap(paths, MAX_HEAP_FILE_BYTES, CERTIFICATE, (der) => reader.readCertificate(der));
}

/** An empty file is an empty heap here: nobody stands between. @throws as `readAnchors` */
export function readIntermediates(paths: readonly string[]): Heap<ParsedCertificate> {
  const blank = paths.filter((path) => readBounded(path, MAX_HEAP_FILE_BYTES).every((byte) => byte <= SPACE));
  const { items, remarks } = readAnchors(paths.filter((path) => !blank.includes(path)));
  return { items, remarks: [...blank.map((path) => `${printable(path)}: empty`), ...remarks] };
}

/** @throws Failure, FileFault when a file holds no list, not even a broken one */
export function readLists(paths: readonly string[]): Heap<ParsedCrl> {
  return readHeap(paths, MAX_CRL_FILE_BYTES, REVOCATION_LIST, (der) => reader.readCrl(der));
}

interface Kind {
  readonly what: string;
  readonly passedOver: string;
  readonly labels: RegExp;
}

const CERTIFICATE: Kind = {
  what: 'certificate',
  passedOver: 'not in the form that the profile asks for; passed over',
  labels: /^(?:X509 )?CERTIFICATE$/,
};
const REVOCATION_LIST: Kind = {
  what: 'revocation list',
  passedOver: 'not in the form that the profile asks for; it decides nothing',
  labels: /^X509 CRL$/,
};

function readHeap<T extends { readonly der: Uint8Array }>(
  paths: readonly string[],
  maxBytes: number,
  kind: Kind,
  read: (der: Uint8Array) => T | null,
): Heap<T> {
  const items = new Map<string, T>();
  const remarks: string[] = [];
  for (const path of paths) {
    for (const [i, der] of blocksOf(path, readBounded(path, maxBytes), kind).entries()) {
      const item = der === null ? null : read(der);
      if (item === null) remarks.push(`${printable(path)}: ${kind.what} ${i + 1} is ${kind.passedOver}`);
      else items.set(Buffer.from(item.der).toString('latin1'), item);
    }
  }
  return { items: [...items.values()], remarks };
}

const SPACE = 0x20;
const DER_SEQUENCE = 0x30;
/** A block that does not end runs to the end of the file. */
const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----(.*?)(?:-----END \1-----|$)/gs;

/** @returns at least one; null for a block that holds no bytes in base64 @throws Failure */
function blocksOf(path: string, contents: Uint8Array, { what, labels }: Kind): (Uint8Array | null)[] {
  if (contents[0] === DER_SEQUENCE) return [contents];
  const found = [...Buffer.from(contents).toString('latin1').matchAll(BLOCK)];
  const blocks = found.filter(([, label]) => labels.test(label!)).map(([, , text]) => fromBase64(text!));
  if (blocks.length > 0) return blocks;
  const others = new Set(found.map(([, label]) => label!));
  const holds = contents.length === 0 ? 'it is empty' : others.size > 0 ? `it holds ${[...others].join(', ')}` : '';
  const why = holds === '' ? 'neither PEM nor DER' : holds;
  throw new Failure('usage', 'unreadable', `${printable(path)}: no ${what} in it (${why}): is it the right file?`);
}

function fromBase64(text: string): Uint8Array | null {
  const base64 = text.replace(/\s+/g, '');
  if (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return null;
  return new Uint8Array(Buffer.from(base64, 'base64'));
}
