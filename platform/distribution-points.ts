/**
 * Where lists are kept, as certificates and the lists themselves say it, out of DER. @spec RFC 5280 §4.2.1.13, §5.2.5
 */
import { toHex } from '../protocol/bytes.ts';
import type {
  DistinguishedName,
  DistributionPoint,
  DistributionPointName,
  IssuingDistributionPoint,
} from '../protocol/certificate.ts';
import { type Element, membersOf, namedBits, onlyMember, parseDer } from './asn1.ts';
import { addGeneralName, noNames, readName, readRdn } from './certificate-names.ts';
import { DerFault, explicit, implicit, TAG } from './der.ts';

/** @param list CRLDistributionPoints @throws DerFault */
export function readDistributionPoints({ members }: Element): DistributionPoint[] {
  if (members.length === 0) throw new DerFault('no distribution point');
  return members.map((element) => {
    const fields = membersOf(element);
    const name = fields.takeIf(explicit(0));
    const reasons = fields.takeIf(implicit(1));
    const issuer = fields.takeIf(explicit(2));
    fields.end();
    if (name === null && issuer === null) throw new DerFault('a distribution point without a place and an issuer');
    return {
      name: name === null ? null : readPointName(name),
      reasons: reasons === null ? null : readReasons(reasons),
      crlIssuer: issuer === null ? null : readIssuers(issuer),
    };
  });
}

/** @param value  content of the extension @throws DerFault */
export function readIssuingDistributionPoint(value: Uint8Array): IssuingDistributionPoint {
  const fields = membersOf(parseDer(value, TAG.sequence));
  const name = fields.takeIf(explicit(0));
  const user = flag(fields.takeIf(implicit(1)));
  const ca = flag(fields.takeIf(implicit(2)));
  const reasons = fields.takeIf(implicit(3));
  const indirect = flag(fields.takeIf(implicit(4)));
  const attribute = flag(fields.takeIf(implicit(5)));
  fields.end();
  const only = [user ? 'user' : null, ca ? 'ca' : null, attribute ? 'attribute' : null] as const;
  const kinds = only.filter((kind) => kind !== null);
  if (kinds.length > 1) throw new DerFault('a list for nothing: it excludes what it is for');
  return {
    der: value,
    name: name === null ? null : readPointName(name),
    only: kinds[0] ?? null,
    reasons: reasons === null ? null : readReasons(reasons),
    indirect,
  };
}

/** FALSE is the default and has to be left out. [X.690 §11.5] */
function flag(element: Element | null): boolean {
  if (element === null) return false;
  if (element.content.length !== 1 || element.content[0] !== 0xff) throw new DerFault('no boolean, or a default');
  return true;
}

function readReasons(element: Element): number {
  const bits = namedBits(element);
  return bits.reduce((mask, set, i) => (set ? mask | (1 << i) : mask), 0);
}

function readPointName(element: Element): DistributionPointName {
  const { members } = element;
  if (members.length !== 1) throw new DerFault('no single name of a distribution point');
  const [choice] = members as [Element];
  if (choice.tag === explicit(1)) return { relative: readRdn(choice, [], []) };
  if (choice.tag !== explicit(0) || choice.members.length === 0) throw new DerFault('no name of a distribution point');
  const directories: DistinguishedName[] = [];
  const others: string[] = [];
  for (const place of choice.members) {
    addGeneralName(noNames(), place, false);
    if (place.tag === explicit(4)) directories.push(readName(onlyMember(place, TAG.sequence)));
    else others.push(toHex(place.raw));
  }
  return { directories, others };
}

/** Only directory names can issue lists; other forms are passed over. */
function readIssuers({ members }: Element): DistinguishedName[] {
  if (members.length === 0) throw new DerFault('no issuer of a list');
  for (const one of members) addGeneralName(noNames(), one, false);
  const directory = members.filter(({ tag }) => tag === explicit(4));
  return directory.map((one) => readName(onlyMember(one, TAG.sequence)));
}
