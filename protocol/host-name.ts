/**
 * Hosts as certificates write them: alone, behind the @ of a mailbox, in the authority of a URI. Strict: what two readers
 * could read in two ways is no host. @spec RFC 5280 §4.2.1.6, RFC 1034 §3.5, RFC 5321 §4.1.2, RFC 3986 §3.2
 */

export interface HostName {
  /** In lower case, without the wildcard. */
  readonly text: string;
  /** `*.` stood in front. */
  readonly wildcard: boolean;
}

/** Letters, digits, hyphens within; the underscore is none of them, and in use. */
const LABEL = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?';
const HOST = new RegExp(`^(\\*\\.)?(${LABEL}(?:\\.${LABEL})*)$`);
const MAX_HOST = 253;

/** @returns null for anything else: empty labels, dots at either end, characters beyond */
export function readHost(text: string): HostName | null {
  const match = text.length <= MAX_HOST ? HOST.exec(text.toLowerCase()) : null;
  return match === null ? null : { text: match[2]!, wildcard: match[1] !== undefined };
}

/** Whether `host` is `base` or lies below it; both in lower case. */
export function isHostBelow(host: string, base: string): boolean {
  return host === base || host.endsWith(`.${base}`);
}

export interface Mailbox {
  /** As it stands: only the host knows whether case matters there. */
  readonly local: string;
  /** In lower case. */
  readonly host: string;
}

const ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";
const LOCAL_PART = new RegExp(`^(?:${ATOM}(?:\\.${ATOM})*|"(?:[^"\\\\]|\\\\[ -~])*")$`);
const MAX_LOCAL_PART = 64;

/** @returns null for anything but one local part in ASCII at one host: a second @ outside of quotes, address literals */
export function readMailbox(text: string): Mailbox | null {
  const at = text.lastIndexOf('@');
  const local = text.slice(0, Math.max(at, 0));
  if (local.length > MAX_LOCAL_PART || !LOCAL_PART.test(local)) return null;
  const host = readHost(text.slice(at + 1));
  return host === null || host.wildcard ? null : { local, host: host.text };
}

/** The characters of a URI; a backslash is none, and some readers take it for a slash. @spec RFC 3986 §2 */
const URI = /^[A-Za-z0-9:/?#@!$&'()*+,;=._~%[\]-]+$/;
const AUTHORITY = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#]*@)?([^/?#:@]+)(?::\d*)?(?:[/?#]|$)/i;

/** @returns null without an authority that names a host: sip:, urn:, an IP address there */
export function readUriHost(uri: string): string | null {
  const host = readHost((URI.test(uri) ? AUTHORITY.exec(uri)?.[1] : null) ?? '');
  // A last label of digits makes an address of it, in any of its spellings. [WHATWG URL §3.5]
  if (host === null || host.wildcard || /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/.test(host.text)) return null;
  return host.text;
}
