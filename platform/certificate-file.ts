/**
 * Certificates as operators keep them: one or several in a PEM file.
 */
import type { ParsedCertificate } from '../protocol/certificate.ts';
import type { Crypto, PublicKey } from '../protocol/crypto.ts';
import { certificateReader, MAX_CERTIFICATE_BYTES, readPem } from './certificates.ts';
import { FileFault, readBounded } from './files.ts';

const MAX_PEM_BYTES = 256 * 1024;

/** @returns at least one, in the order of the file @throws FileFault */
export function readCertificateFile(path: string): [ParsedCertificate, ...ParsedCertificate[]] {
  const reader = certificateReader();
  const blocks = readPem(readBounded(path, MAX_PEM_BYTES), 'CERTIFICATE') ?? [];
  const certificates = blocks.map((der, i) => {
    const certificate = reader.readCertificate(der);
    if (certificate !== null) return certificate;
    const what = `certificate ${i + 1} is no X.509 certificate of at most ${MAX_CERTIFICATE_BYTES} bytes`;
    throw new FileFault('unreadable', path, what);
  });
  const [first, ...rest] = certificates;
  if (first === undefined) throw new FileFault('unreadable', path, 'no certificate in PEM form: is it the right file?');
  return [first, ...rest];
}

const MAX_PINNED = 8;

/**
 * The keys of those certificates in a file that are no CA's, for those who pin them: chain files, one behind the other.
 * @returns one to 8 keys @throws FileFault
 */
export function readPinnedKeys(path: string, crypto: Crypto): PublicKey[] {
  const [first, ...rest] = readCertificateFile(path);
  const leaves = [first, ...rest.filter(({ extensions }) => extensions.basicConstraints?.ca !== true)];
  if (leaves.length > MAX_PINNED) {
    throw new FileFault('unreadable', path, `${leaves.length} certificates to pin, at most ${MAX_PINNED}`);
  }
  return leaves.map(({ spki }) => {
    const key = crypto.publicKey(spki);
    if (key === null) throw new FileFault('unreadable', path, 'its key is of no kind that is known here');
    return key;
  });
}
