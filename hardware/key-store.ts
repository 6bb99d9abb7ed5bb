/**
 * Key stores: where a private key is that signs and never shows itself. A file that only its user can read, or a PKCS#11
 * token, told apart by the name. [patent 0113]
 */
import { lstatSync } from 'node:fs';
import { generateSigningKey, SigningKeyError, signingKey } from '../platform/crypto-node.ts';
import { FileFault, readBounded, readPrivate, writeDurably, writeFault } from '../platform/files.ts';
import { wipe } from '../protocol/bytes.ts';
import type { KeyAlgorithm, PublicKeyCounter } from '../protocol/crypto.ts';
import { KeyStoreError } from './key-store-error.ts';
import { createTokenKey, describeTokenKey, type KeyStore, openTokenKey } from './pkcs11-key.ts';
import { isPkcs11Uri, withoutPin } from './pkcs11-uri.ts';

const MAX_KEY_FILE_BYTES = 64 * 1024;

/**
 * @param keyFileOrUri  path of a private key file, or `pkcs11:…`
 * @param counter       every signature adds one to `sign`
 * @returns             what a token was asked for ends with `close`
 * @throws              KeyStoreError
 */
export function openKeyStore(keyFileOrUri: string, counter: PublicKeyCounter): KeyStore {
  return isPkcs11Uri(keyFileOrUri) ? openTokenKey(keyFileOrUri, counter) : openFileKeyStore(keyFileOrUri, counter);
}

/** Path or URI, for messages. */
export const shownKeyPlace = (keyFileOrUri: string): string =>
  isPkcs11Uri(keyFileOrUri) ? withoutPin(keyFileOrUri) : keyFileOrUri;

export interface KeyDescription {
  readonly algorithm: KeyAlgorithm;
  readonly publicSpki: Uint8Array;
  /** Null for a file. */
  readonly token: {
    readonly label: string;
    readonly manufacturer: string;
    readonly model: string;
    readonly serial: string;
  } | null;
  readonly shown: string;
  /** Whether somebody who may use it can also have it. */
  readonly isExtractable: boolean;
}

/** Looks at a key, also one that `openKeyStore` refuses because it can be read out of its token. @throws KeyStoreError */
export function describeKey(keyFileOrUri: string, counter: PublicKeyCounter): KeyDescription {
  const shown = shownKeyPlace(keyFileOrUri);
  if (!isPkcs11Uri(keyFileOrUri)) {
    const { algorithm, publicSpki } = openFileKeyStore(keyFileOrUri, counter);
    return { algorithm, publicSpki, token: null, shown, isExtractable: true };
  }
  const { algorithm, publicSpki, isExtractable, token } = describeTokenKey(keyFileOrUri);
  const { token: label, manufacturer, model, serial } = token;
  return { algorithm, publicSpki, token: { label, manufacturer, model, serial }, shown, isExtractable };
}

/** Makes a key where there is none, and opens it. @throws KeyStoreError exists, … */
export function createKeyStore(
  keyFileOrUri: string,
  algorithm: 'p256' | 'p384' | 'ed25519',
  counter: PublicKeyCounter,
): KeyStore {
  if (isPkcs11Uri(keyFileOrUri)) return createTokenKey(keyFileOrUri, algorithm, counter);
  if (lstatSync(keyFileOrUri, { throwIfNoEntry: false }) !== undefined) {
    throw new KeyStoreError('exists', keyFileOrUri, `${keyFileOrUri}: is there already`, 'give another path');
  }
  const { privatePkcs8Pem, key } = generateSigningKey(algorithm, counter);
  try {
    writeDurably(keyFileOrUri, privatePkcs8Pem, 0o600);
  } catch (error) {
    throw writeFault(keyFileOrUri, error);
  } finally {
    wipe(privatePkcs8Pem);
  }
  return { ...key, close() {} };
}

/** Opens the key; makes it first in a token that has none of that name. @throws KeyStoreError */
export function openOrCreateTokenKey(
  uri: string,
  algorithm: 'p256' | 'p384' | 'ed25519',
  counter: PublicKeyCounter,
): KeyStore {
  try {
    return openTokenKey(uri, counter);
  } catch (error) {
    if (!(error instanceof KeyStoreError) || error.fault !== 'object') throw error;
    return createTokenKey(uri, algorithm, counter);
  }
}

/**
 * A private key file: PEM or DER, PKCS#8 or the traditional EC and RSA forms, unencrypted, mode 0600, of this user or root.
 * Links are followed: mode and owner are those of the file that was opened, under whatever name.
 * The key itself stays inside the returned object; the bytes of the file are wiped.
 */
function openFileKeyStore(path: string, counter: PublicKeyCounter): KeyStore {
  const swapped = holdsCertificate(path);
  if (swapped) throw new KeyStoreError('file', path, `${path}: ${SWAPPED}`, SWAPPED_REMEDY);
  const contents = readKeyFile(path);
  try {
    return { ...signingKey(contents, counter), close() {} };
  } catch (error) {
    if (!(error instanceof SigningKeyError)) throw error;
    throw new KeyStoreError('file', path, `${path}: ${error.message}`, remedyFor(error, path));
  } finally {
    wipe(contents);
  }
}

export const SWAPPED = 'holds a certificate, not a private key';
export const SWAPPED_REMEDY = 'are certificateFile and keyFile swapped?';

/**
 * Told apart before the mode is looked at: `chmod` is no remedy for a certificate in the place of the key.
 * @returns whether the file holds certificates and no key
 */
export function holdsCertificate(path: string): boolean {
  let contents: Uint8Array;
  try {
    contents = readBounded(path, MAX_KEY_FILE_BYTES);
  } catch (error) {
    if (error instanceof FileFault) return false;
    throw error;
  }
  const text = Buffer.from(contents.buffer, contents.byteOffset, contents.length);
  const swapped = text.includes('-----BEGIN CERTIFICATE-----') && !text.includes('PRIVATE KEY-----');
  wipe(contents);
  return swapped;
}

function readKeyFile(path: string): Uint8Array {
  try {
    return readPrivate(path, MAX_KEY_FILE_BYTES);
  } catch (error) {
    if (!(error instanceof FileFault)) throw error;
    const remedy =
      error.fault === 'missing'
        ? 'give the path of the private key that belongs to the certificate'
        : 'the user that runs this, and nobody else, has to be able to read it';
    throw new KeyStoreError('file', path, `private key ${error.message}`, remedy);
  }
}

function remedyFor(error: SigningKeyError, path: string): string {
  switch (error.fault) {
    case 'encrypted':
      return `run \`(umask 077; openssl pkey -in ${path} -out ${path}.plain)\` and give that file`;
    case 'unreadable':
      return `look at it with \`openssl pkey -in ${path} -noout -text\``;
    case 'unsupported':
      return 'make another key and have it certified';
    default:
      return error.fault satisfies never;
  }
}
