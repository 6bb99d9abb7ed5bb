/**
 * Distinguished names and general names out of DER. @spec RFC 5280 §4.1.2.4, §4.2.1.6, §7.1
 */
import { decodeUtf8, toHex } from '../protocol/bytes.ts';
import type { DistinguishedName, GeneralNames, SMTP_UTF8_MAILBOX } from '../protocol/certificate.ts';
import { type Element, expect, Members, oidText, onlyMember } from './asn1.ts';
import { DerFault, explicit, implicit, type Span, spansOf, TAG } from './der.ts';

const COMMON_NAME = '2.5.4.3';
const EMAIL_ADDRESS = '1.2.840.113549.1.9.1';
const SMTP_UTF8 = '1.3.6.1.5.5.7.8.9';
const MAILBOX: typeof SMTP_UTF8_MAILBOX = 0x100;

/**
 * Cut by the spans of the scan: all that stands in a name is read here, and the library would take 5 µs for each element.
 * @throws DerFault
 */
export function readName(name: Span): DistinguishedName {
  const rdns: string[] = [];
  const commonNames: string[] = [];
  const emails: string[] = [];
  for (const set of spansOf(expect(name, TAG.sequence).content))
    rdns.push(readRdn(expect(set, TAG.set), commonNames, emails));
  return { der: name.raw, rdns, commonName: commonNames.length === 1 ? commonNames[0]! : null, emails };
}

/** @returns its text, folded for comparison @throws DerFault */
export function readRdn({ content }: Pick<Span, 'content'>, commonNames: string[], emails: string[]): string {
  const attributes = spansOf(content).map((attribute) => {
    const members = new Members(spansOf(expect(attribute, TAG.sequence).content));
    const type = oidText(members.take(TAG.oid));
    const value = members.takeAny();
    members.end();
    const text = stringValue(value);
    if (text !== null && type === COMMON_NAME) commonNames.push(text);
    if (text !== null && type === EMAIL_ADDRESS) emails.push(text);
    return text === null ? `${type}#${toHex(value.raw)}` : `${type}=${JSON.stringify(fold(text))}`;
  });
  if (attributes.length === 0) throw new DerFault('an RDN without attributes');
  return attributes.sort().join('+');
}

/** Case, compatibility forms and runs of white space do not tell names apart. */
function fold(text: string): string {
  return text.normalize('NFKC').toLowerCase().replace(/\s+/g, ' ').trim();
}

/**
 * Decoded here, not by the library: it strips byte order marks and replaces what is no UTF-8, so that two names that
 * differ would read alike.
 * @returns null for a value that is no string
 */
function stringValue({ tag, content }: Pick<Span, 'tag' | 'content'>): string | null {
  switch (tag) {
    case TAG.utf8:
      return utf8(content);
    case TAG.printable:
    case TAG.ia5:
    case TAG.numeric:
    case TAG.visible:
      return ia5(content);
    case TAG.teletex:
      return Array.from(content, (byte) => String.fromCharCode(byte)).join('');
    case TAG.bmp:
      return wide(content, 2);
    case TAG.universal:
      return wide(content, 4);
    default:
      return null;
  }
}

function utf8(content: Uint8Array): string {
  try {
    return decodeUtf8(content);
  } catch {
    throw new DerFault('a string that is not UTF-8');
  }
}

function ia5(content: Uint8Array): string {
  if (content.some((byte) => byte >= 0x80)) throw new DerFault('a string that is not ASCII');
  return utf8(content);
}

function wide(content: Uint8Array, size: 2 | 4): string {
  if (content.length % size !== 0) throw new DerFault('a string of half characters');
  let text = '';
  for (let i = 0; i < content.length; i += size) {
    let point = 0;
    for (let j = 0; j < size; j++) point = point * 256 + content[i + j]!;
    if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) throw new DerFault('a string outside Unicode');
    text += String.fromCodePoint(point);
  }
  return text;
}

type Mutable = { -readonly [K in keyof GeneralNames]: GeneralNames[K][number][] };
export const noNames = (): Mutable => ({ dns: [], email: [], uri: [], ip: [], directory: [], other: [] });

/**
 * Adds one GeneralName.
 * @param subtree  true: it stands in name constraints, where IP addresses carry a mask
 * @throws DerFault
 */
export function addGeneralName(names: Mutable, element: Element, subtree: boolean): void {
  const { tag, content } = element;
  if (tag === implicit(1)) names.email.push(printableAscii(content));
  else if (tag === implicit(2)) names.dns.push(printableAscii(content));
  else if (tag === implicit(6)) names.uri.push(printableAscii(content));
  else if (tag === implicit(7)) {
    const lengths = subtree ? [8, 32] : [4, 16];
    if (!lengths.includes(content.length)) throw new DerFault('an IP address of a wrong length');
    names.ip.push(content);
  } else if (tag === explicit(4)) names.directory.push(readName(onlyMember(element, TAG.sequence)));
  else if (tag === explicit(0)) names.other.push(isMailbox(element) ? MAILBOX : 0);
  else if ([explicit(3), explicit(5), implicit(8)].includes(tag)) names.other.push(tag & 0x1f);
  else throw new DerFault('no general name');
}

/** Of an otherName. @spec RFC 9598 §3 */
function isMailbox({ members: [type, value, ...more] }: Element): boolean {
  const whole = expect(value, explicit(0)).members.length === 1 && more.length === 0;
  if (!whole) throw new DerFault('another name that is not a type and a value');
  return oidText(expect(type, TAG.oid)) === SMTP_UTF8;
}

/** No control character is part of any name: NUL in the middle has fooled many a reader. */
function printableAscii(content: Uint8Array): string {
  if (content.some((byte) => byte < 0x20 || byte > 0x7e)) throw new DerFault('a name with characters outside ASCII');
  return utf8(content);
}
