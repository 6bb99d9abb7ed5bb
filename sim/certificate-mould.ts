/**
 * Many certificates of one shape: one is made by the library, the others are its bytes with name, serial number, key,
 * key identifier and signature changed in place. All of these have a fixed length, so nothing else moves; building each
 * with pkijs takes twenty times as long.
 */
import { parseDer } from '../platform/asn1.ts';
import { commonName } from '../platform/certificate-issuing.ts';
import { readName } from '../platform/certificate-names.ts';
import { TAG } from '../platform/der.ts';
import { readSpki } from '../platform/key-encoding.ts';
import type { ParsedCertificate } from '../protocol/certificate.ts';
import type { Crypto, SigningKey } from '../protocol/crypto.ts';

/** @throws RangeError when a part has another length than in the pattern */
export type Mould = (name: string, spki: Uint8Array, serial: Uint8Array) => ParsedCertificate;

/** @param pattern  its parts are views of `pattern.der`, as the reader makes them; signed by an Ed25519 key */
export function certificateMould(crypto: Crypto, issuer: SigningKey, pattern: ParsedCertificate): Mould {
  const { subjectKeyId } = pattern.extensions;
  if (subjectKeyId === null || issuer.algorithm !== 'ed25519') throw new RangeError('no pattern for certificates');
  const viewIn = (der: Uint8Array, part: Uint8Array): Uint8Array => {
    const at = part.byteOffset - pattern.der.byteOffset;
    return der.subarray(at, at + part.length);
  };
  return (name, spki, serial) => {
    const der = pattern.der.slice();
    const put = (part: Uint8Array, content: Uint8Array): Uint8Array => {
      if (part.length !== content.length) throw new RangeError(`${name}: does not fit the pattern of its certificate`);
      const view = viewIn(der, part);
      view.set(content);
      return view;
    };
    const subject = put(pattern.subject.der, commonName(name));
    const parts = {
      der,
      tbs: viewIn(der, pattern.tbs),
      serial: put(pattern.serial, serial),
      subject: readName(parseDer(subject, TAG.sequence)),
      spki: put(pattern.spki, spki),
      extensions: { ...pattern.extensions, subjectKeyId: put(subjectKeyId, keyId(crypto, spki)) },
    };
    return { ...pattern, ...parts, signature: put(pattern.signature, issuer.sign('ed25519', parts.tbs)) };
  };
}

/** SHA-256 over the key's bits, the first 20 bytes, as the issuing library does it. [RFC 7093 §2 (1)] */
function keyId(crypto: Crypto, spki: Uint8Array): Uint8Array {
  const key = readSpki(spki);
  if (key === null) throw new RangeError('a key of another kind');
  const bits = key.algorithm === 'ed25519' ? key.raw : Uint8Array.of(4, ...key.raw);
  return crypto.hash('sha-256', bits).subarray(0, 20);
}
