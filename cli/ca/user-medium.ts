/**
 * Makes a user's removable medium: key and chain as PKCS#12 under a PIN, and the user's id. The key is never on a disk
 * without the PIN.
 */
import { closeSync, existsSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { MEDIUM_FOLDER, PKCS12_FILE, USER_ID_FILE } from '../../hardware/removable-medium.ts';
import { readPem } from '../../platform/certificates.ts';
import { generateSigningKey } from '../../platform/crypto-node.ts';
import { writePkcs12 } from '../../platform/crypto-pkcs12.ts';
import { makePrivateDirectory, writeFault } from '../../platform/files.ts';
import { decodeUtf8, encodeUtf8, wipe } from '../../protocol/bytes.ts';
import { type CaWorld, certifyKey, checkSubject, type IssuedAlgorithm, type Subject } from './authority.ts';
import { CaError } from './ca-error.ts';

export interface IssuedMedium {
  readonly serial: string;
  readonly notAfter: number;
  readonly files: readonly string[];
}

/** @throws CaError exists, and those of `issueCertificate`; FileFault */
export async function issueMedium(
  dir: string,
  subject: Subject,
  algorithm: IssuedAlgorithm,
  medium: { readonly root: string; readonly pin: string },
  world: CaWorld,
): Promise<IssuedMedium> {
  checkSubject(dir, subject, algorithm, world);
  const folder = join(medium.root, MEDIUM_FOLDER);
  const [pkcs12File, idFile] = [join(folder, PKCS12_FILE), join(folder, USER_ID_FILE)];
  if (existsSync(pkcs12File)) throw new CaError('exists', `${pkcs12File} is there already: take another medium`);
  makePrivateDirectory(folder);
  const { privatePkcs8Pem, publicSpki } = generateSigningKey(algorithm, world.crypto.counter);
  const privateKey = derOf(privatePkcs8Pem);
  const pin = encodeUtf8(medium.pin);
  try {
    const { chain, serial, notAfter } = certifyKey(dir, subject, publicSpki, world);
    const certificates = readPem(chain, 'CERTIFICATE') ?? [];
    write(idFile, encodeUtf8(`${subject.name}\n`));
    write(pkcs12File, await writePkcs12({ privateKey, certificates }, pin));
    return { serial, notAfter, files: [pkcs12File, idFile] };
  } finally {
    wipe(privatePkcs8Pem, privateKey, pin);
  }
}

function derOf(pem: Uint8Array): Uint8Array {
  const text = decodeUtf8(pem).replace(/-----[^-]+-----|\s/g, '');
  return new Uint8Array(Buffer.from(text, 'base64'));
}

/** Media have file systems without permissions, on which a change of mode is refused. */
function write(path: string, bytes: Uint8Array): void {
  try {
    const fresh = `${path}.new`;
    const file = openSync(fresh, 'w', 0o600);
    try {
      for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(fresh, path);
  } catch (error) {
    throw writeFault(path, error);
  }
}
