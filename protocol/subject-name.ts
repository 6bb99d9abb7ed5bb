/**
 * Whose certificate it has to be: a reference name, held against those of a certificate. Never against a common name.
 * @spec RFC 9525 §6, RFC 5280 §7
 */
import { equal } from './bytes.ts';
import type { GeneralNames } from './certificate.ts';
import { type HostName, readHost, readMailbox } from './host-name.ts';

export type ReferenceName =
  /** In lower case, A-labels. */
  | { readonly form: 'dns'; readonly host: string }
  /** 4 or 16 bytes. */
  | { readonly form: 'ip'; readonly address: Uint8Array }
  | { readonly form: 'email'; readonly local: string; readonly host: string }
  | { readonly form: 'uri'; readonly uri: string };

/**
 * @param text  `dns:…`, `ip:…`, `email:…` or `uri:…`; a dns name that is an address counts as one
 * @returns     null when it is none of them
 */
export function readReferenceName(text: string): ReferenceName | null {
  const [, form, value] = /^(dns|ip|email|uri):(.+)$/s.exec(text) ?? [];
  switch (form) {
    case 'dns':
      return readHostReference(value!);
    case 'ip': {
      const address = readAddress(value!);
      return address === null ? null : { form: 'ip', address };
    }
    case 'email': {
      const mailbox = readMailbox(value!);
      return mailbox === null ? null : { form: 'email', ...mailbox };
    }
    case 'uri':
      return /^[a-z][a-z0-9+.-]*:[!-~]+$/i.test(value!) ? { form: 'uri', uri: foldUri(value!) } : null;
    default:
      return null;
  }
}

function readHostReference(value: string): ReferenceName | null {
  const address = readAddress(value);
  if (address !== null) return { form: 'ip', address };
  const host = readHost(value.replace(/\.$/, '')); // the root's dot says that it is whole
  return host === null || host.wildcard ? null : { form: 'dns', host: host.text };
}

/** @param wildcards  whether `*.example.com` stands for each name with one label more */
export function holdsName(names: GeneralNames | null, wanted: ReferenceName, wildcards: boolean): boolean {
  if (names === null) return false;
  switch (wanted.form) {
    case 'dns':
      return names.dns.some((one) => {
        const held = readHost(one);
        return held !== null && (held.wildcard ? wildcards && isUnder(wanted.host, held) : held.text === wanted.host);
      });
    case 'ip':
      return names.ip.some((one) => equal(one, wanted.address));
    case 'email':
      return names.email.some((one) => {
        const held = readMailbox(one);
        return held?.local === wanted.local && held.host === wanted.host;
      });
    case 'uri':
      return names.uri.some((one) => foldUri(one) === wanted.uri);
    default:
      return wanted satisfies never;
  }
}

/** One label more, and not straight below the root: whoever holds `*.com` holds nothing. */
function isUnder(host: string, { text: parent }: HostName): boolean {
  return parent.includes('.') && host.slice(host.indexOf('.') + 1) === parent && host !== parent;
}

/** Scheme and host tell no two URIs apart by case. [RFC 5280 §7.4] */
function foldUri(uri: string): string {
  return uri.replace(/^[^:]*:(?:\/\/[^/?#]*@?)?/, (head) => {
    const at = head.lastIndexOf('@') + 1;
    const scheme = head.indexOf(':') + 1;
    if (at < scheme) return head.toLowerCase();
    return head.slice(0, scheme).toLowerCase() + head.slice(scheme, at) + head.slice(at).toLowerCase();
  });
}

/** Dotted decimal, or IPv6 in any spelling of RFC 4291 §2.2; no zone. @returns null for anything else */
export function readAddress(text: string): Uint8Array | null {
  const octet = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
  const dotted = new RegExp(`^(?:(.*:))?(${octet}(?:\\.${octet}){3})$`).exec(text);
  if (dotted !== null) {
    const bytes = dotted[2]!.split('.').map(Number);
    if (dotted[1] === undefined) return Uint8Array.from(bytes);
    const [a, b, c, d] = bytes as [number, number, number, number];
    return readAddress(`${dotted[1]}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`);
  }
  const halves = text.split('::');
  if (!text.includes(':') || halves.length > 2) return null;
  const [left = [], right] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const missing = 8 - left.length - (right?.length ?? 0);
  if (right === undefined ? missing !== 0 : missing < 1) return null;
  const groups = [...left, ...Array.from({ length: missing }, () => '0'), ...(right ?? [])];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return null;
  return Uint8Array.from(
    groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255]),
  );
}
