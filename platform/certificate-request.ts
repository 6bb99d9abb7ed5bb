/**
 * Requests for certificates (PKCS#10) out of bytes, as strictly as certificates are read. @spec RFC 2986 §4, RFC 2985 §5.4.2
 */
import type { CertificateExtensions } from '../protocol/certificate.ts';
import type { ParsedRequest } from '../protocol/certificate-request.ts';
import { type Element, expect, MAX_ELEMENTS, membersOf, oidText, parsed, smallInteger } from './asn1.ts';
import { NO_EXTENSIONS, readCertificateExtensions } from './certificate-extensions.ts';
import { readName } from './certificate-names.ts';
import { DerFault, explicit, isBefore, TAG } from './der.ts';
import { readSignatureAlgorithm } from './signature-algorithms.ts';
import { orNull, readSigned, readSpki } from './signed-object.ts';

/** One with an RSA key of 8192 bits has 2.1 KiB without names. */
export const MAX_REQUEST_BYTES = 4096;
export const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';

/** @returns null for anything but exactly one well-formed request; never throws. What it proves: protocol/certificate-request.ts */
export function readRequest(der: Uint8Array): ParsedRequest | null {
  return der.length > MAX_REQUEST_BYTES ? null : orNull(() => requestOf(der));
}

function requestOf(der: Uint8Array): ParsedRequest {
  const { tbs, members, algorithm, signature } = readSigned(der, MAX_ELEMENTS);
  if (smallInteger(parsed(members.take(TAG.integer))) !== 0) throw new DerFault('an unknown version');
  const subject = readName(members.takeAny());
  const spki = readSpki(members.takeAny());
  const wishes = readAttributes(parsed(members.take(explicit(0))));
  members.end();
  return { der, tbs, subject, spki, wishes, signatureAlgorithm: readSignatureAlgorithm(algorithm), signature };
}

/** Of all attributes the wished extensions alone mean something here; the others are passed over. */
function readAttributes({ members: attributes }: Element): CertificateExtensions {
  let wishes = NO_EXTENSIONS;
  const types = new Set<string>();
  for (const [i, attribute] of attributes.entries()) {
    // The scan knows a set by its tag, which this one hides behind [0].
    if (i > 0 && !isBefore(attributes[i - 1]!.raw, attribute.raw)) throw new DerFault('a set out of order');
    const members = membersOf(attribute);
    const type = oidText(members.take(TAG.oid));
    const values = members.take(TAG.set).members;
    members.end();
    if (values.length === 0 || types.has(type)) throw new DerFault('an attribute without value, or twice');
    types.add(type);
    if (type !== EXTENSION_REQUEST) continue;
    if (values.length !== 1) throw new DerFault('two lists of extensions');
    wishes = readCertificateExtensions(expect(values[0], TAG.sequence));
  }
  return wishes;
}
