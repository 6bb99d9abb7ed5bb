/**
 * The key store of a board without a secure element: one private key in a file that only its user can read.
 */
import { type OwnSigningKey, SigningKeyError, signingKey } from '../platform/crypto-node.ts';
import { FileFault, readBounded, readPrivate } from '../platform/files.ts';
import { wipe } from '../protocol/bytes.ts';
import type { PublicKeyCounter } from '../protocol/crypto.ts';

const MAX_KEY_FILE_BYTES = 64 * 1024;

/** Why there is no key to sign with; the message names the file and what to run. */
export class KeyStoreError extends Error {
  readonly path: string;
  constructor(path: string, detail: string) {
    super(detail);
    this.name = 'KeyStoreError';
    this.path = path;
  }
}

/**
 * Opens a private key file: PEM or DER, PKCS#8 or the traditional EC and RSA forms, unencrypted, mode 0600.
 * The key itself stays inside the returned object; the bytes of the file are wiped.
 * @param counter  every signature adds one to `sign`
 * @throws KeyStoreError
 */
export function openFileKeyStore(path: string, counter: PublicKeyCounter): OwnSigningKey {
  const swapped = swappedFault(path);
  if (swapped !== null) throw new KeyStoreError(path, `${path}: ${swapped}`);
  const contents = readKeyFile(path);
  try {
    return signingKey(contents, counter);
  } catch (error) {
    if (!(error instanceof SigningKeyError)) throw error;
    throw new KeyStoreError(path, `${path}: ${error.message}${remedyFor(error, path)}`);
  } finally {
    wipe(contents);
  }
}

/**
 * Told apart before the mode is looked at: `chmod` is no remedy for a certificate in the place of the key.
 * @returns what is wrong when the file holds certificates and no key, else null
 */
export function swappedFault(path: string): string | null {
  let contents: Uint8Array;
  try {
    contents = readBounded(path, MAX_KEY_FILE_BYTES);
  } catch (error) {
    if (error instanceof FileFault) return null;
    throw error;
  }
  const text = Buffer.from(contents.buffer, contents.byteOffset, contents.length);
  const swapped = text.includes('-----BEGIN CERTIFICATE-----') && !text.includes('PRIVATE KEY-----');
  wipe(contents);
  return swapped ? 'holds a certificate, not a private key: are certificateFile and keyFile swapped?' : null;
}

function readKeyFile(path: string): Uint8Array {
  try {
    return readPrivate(path, MAX_KEY_FILE_BYTES);
  } catch (error) {
    if (!(error instanceof FileFault)) throw error;
    const missing =
      error.fault === 'missing' ? ': give the path of the private key that belongs to the certificate' : '';
    throw new KeyStoreError(path, `private key ${error.message}${missing}`);
  }
}

function remedyFor(error: SigningKeyError, path: string): string {
  switch (error.fault) {
    case 'encrypted':
      return `; run \`(umask 077; openssl pkey -in ${path} -out ${path}.plain)\` and give that file`;
    case 'unreadable':
      return `; look at it with \`openssl pkey -in ${path} -noout -text\``;
    case 'unsupported':
      return '; make another key and have it certified';
    default:
      return error.fault satisfies never;
  }
}
