/**
 * Names by which a device can be asked for (patent 0105): its id, FQDN, mail address, SIP URI, MAC address; each in one
 * canonical spelling.
 */
import { deviceId } from './topics.ts';

/** Canonical name with its kind in front: `id:…`, `fqdn:…`, `mail:…`, `sip:…`, `mac:…`. */
export type Name = string & { readonly __name: unique symbol };

const MAC = /^(?:[0-9a-f]{2}[:.-]?){5}[0-9a-f]{2}$/i;
const FQDN = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+$/;
const MAX_NAME = 255;

export const idName = (id: string): Name => `id:${id}` as Name;

export function fqdnName(text: string): Name | null {
  const lower = text.toLowerCase().replace(/\.$/, '');
  return FQDN.test(lower) ? (`fqdn:${lower}` as Name) : null;
}

/** The domain is compared without case, the local part as it stands. @spec RFC 5321 §2.4 */
export function mailName(text: string): Name | null {
  const at = text.lastIndexOf('@');
  if (at < 1 || at === text.length - 1 || text.length > MAX_NAME) return null;
  return `mail:${text.slice(0, at)}@${text.slice(at + 1).toLowerCase()}` as Name;
}

/** Scheme and host without case, user part as it stands; parameters and headers are no part of an identity. */
export function sipName(text: string): Name | null {
  const match = /^sips?:(?:([^@;?]+)@)?([^@;?]+)$/i.exec(text);
  if (match === null || text.length > MAX_NAME) return null;
  const user = match[1] === undefined ? '' : `${match[1]}@`;
  return `sip:${user}${match[2]!.toLowerCase()}` as Name;
}

/** Twelve lower-case hex digits, whatever the separators were. */
export function macName(text: string): Name | null {
  return MAC.test(text) ? (`mac:${text.replace(/[:.-]/g, '').toLowerCase()}` as Name) : null;
}

/**
 * What a caller's text may mean, best first; empty when it can mean nothing.
 * An explicit kind (`mac:…`, `mail:…`, `fqdn:…`, `sip:…`, `id:…`) allows just that one.
 */
export function namesMeant(text: string): readonly Name[] {
  const only = (name: Name | null): readonly Name[] => (name === null ? [] : [name]);
  const prefixed = /^(id|mac|mail|fqdn):(.*)$/s.exec(text);
  if (prefixed !== null) {
    const rest = prefixed[2]!;
    if (prefixed[1] === 'mac') return only(macName(rest));
    if (prefixed[1] === 'mail') return only(mailName(rest));
    if (prefixed[1] === 'fqdn') return only(fqdnName(rest));
    return only(deviceId(rest) === null ? null : idName(rest));
  }
  const meant: Name[] = [];
  const add = (name: Name | null): void => {
    if (name !== null && !meant.includes(name)) meant.push(name);
  };
  if (deviceId(text) !== null) add(idName(text));
  if (/^sips?:/i.test(text)) add(sipName(text));
  else if (text.includes('@')) add(mailName(text));
  add(macName(text));
  add(fqdnName(text));
  return meant;
}

/** Names that a certificate's subject alternative names prove (design §5.7). */
export function certifiedNames(san: {
  dns: readonly string[];
  email: readonly string[];
  uri: readonly string[];
}): Name[] {
  const names: (Name | null)[] = [...san.dns.map(fqdnName), ...san.email.map(mailName)];
  for (const uri of san.uri) {
    const mac = /^urn:dev:mac:([0-9a-f]+)$/i.exec(uri); // @spec RFC 9039 §4.1
    names.push(mac === null ? sipName(uri) : macName(mac[1]!));
  }
  return names.filter((name) => name !== null);
}
