/**
 * Requests for certificates (PKCS#10), written and signed with the key that is to be certified. @spec RFC 2986 §4
 */
import { Constructed, Integer, ObjectIdentifier, Sequence, Set as SetOf } from 'asn1js';
import { Extensions } from 'pkijs';
import type { SigningKey } from '../protocol/crypto.ts';
import { commonName, frame, schemaOf, type Usage, usageExtensions } from './certificate-issuing.ts';
import { EXTENSION_REQUEST } from './certificate-request.ts';

export interface RequestWishes extends Usage {
  /** Common name of the subject. */
  readonly name: string;
}

/** @param key  with its public half as SubjectPublicKeyInfo, DER @returns CertificationRequest, DER */
export function issueRequest(key: SigningKey & { readonly publicSpki: Uint8Array }, wishes: RequestWishes): Uint8Array {
  const extensions = usageExtensions(wishes);
  const attributes = extensions.length === 0 ? [] : [attribute(new Extensions({ extensions }).toSchema())];
  const info = new Sequence({
    value: [
      new Integer({ value: 0 }),
      schemaOf(commonName(wishes.name)).schema,
      schemaOf(key.publicSpki).schema,
      new Constructed({ idBlock: { tagClass: 3, tagNumber: 0 }, value: attributes }),
    ],
  });
  return frame(key, info);
}

function attribute(extensions: Sequence): Sequence {
  return new Sequence({
    value: [new ObjectIdentifier({ value: EXTENSION_REQUEST }), new SetOf({ value: [extensions] })],
  });
}
