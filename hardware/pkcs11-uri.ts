/**
 * PKCS#11 URIs: which key of which token, through which module, and where its PIN is. What is not understood is refused:
 * an attribute that were passed over could name another key.
 * @spec RFC 7512 §2.3, §2.4
 */
import { decodeUtf8 } from '../protocol/bytes.ts';
import { KeyStoreError } from './key-store-error.ts';

export interface Pkcs11Uri {
  /** Absolute path of the shared object. */
  readonly modulePath: string;
  /** What of CK_TOKEN_INFO has to be equal; at least one is given, unless the slot is. */
  readonly token: Readonly<Partial<Record<TokenField, string>>>;
  readonly slot: bigint | null;
  /** CKA_LABEL. */
  readonly object: string | null;
  /** CKA_ID. */
  readonly id: Uint8Array | null;
  /** Absolute path of the file whose first line is the PIN; null: the token asks by itself, or needs none. */
  readonly pinFile: string | null;
  /** The URI for messages and logs: no PIN stands in it. */
  readonly shown: string;
}

export type TokenField = 'token' | 'manufacturer' | 'model' | 'serial';
export const TOKEN_FIELDS: readonly TokenField[] = ['token', 'manufacturer', 'model', 'serial'];

const SCHEME = 'pkcs11:';
const MAX_URI_CHARACTERS = 2048;
const PATH_ATTRIBUTES: ReadonlySet<string> = new Set([...TOKEN_FIELDS, 'slot-id', 'object', 'id', 'type']);
const EXAMPLE = 'pkcs11:token=T;object=O?module-path=/usr/lib/module.so&pin-source=file:/etc/kagimori/pin';

export const isPkcs11Uri = (text: string): boolean => /^pkcs11:/i.test(text);

/** @throws KeyStoreError uri */
export function parsePkcs11Uri(text: string): Pkcs11Uri {
  const shown = withoutPin(text);
  const refuse = (what: string, remedy: string): KeyStoreError =>
    new KeyStoreError('uri', shown, `${shown}: ${what}`, remedy);
  if (text.length > MAX_URI_CHARACTERS) throw refuse('too long', `at most ${MAX_URI_CHARACTERS} characters`);
  const question = text.indexOf('?');
  const path = attributesIn(text.slice(SCHEME.length, question < 0 ? undefined : question), ';', refuse);
  const query = attributesIn(question < 0 ? '' : text.slice(question + 1), '&', refuse);
  for (const name of path.keys()) {
    if (!PATH_ATTRIBUTES.has(name)) throw refuse(`'${name}' is not understood`, `known are ${listOf(PATH_ATTRIBUTES)}`);
  }
  for (const name of query.keys()) {
    if (name === 'pin-value') {
      throw refuse('a PIN among the settings is none', 'put it into a file of mode 0600: pin-source=file:/path');
    }
    if (name !== 'module-path' && name !== 'pin-source') {
      throw refuse(`'${name}' is not understood`, 'known are module-path, pin-source');
    }
  }
  const words = (name: string): string | null => {
    const bytes = path.get(name);
    if (bytes === undefined) return null;
    try {
      return decodeUtf8(bytes);
    } catch {
      throw refuse(`'${name}' is no UTF-8`, 'write it anew');
    }
  };
  const token = Object.fromEntries(TOKEN_FIELDS.flatMap((name) => (path.has(name) ? [[name, words(name)!]] : [])));
  const slot = words('slot-id');
  const object = words('object');
  const id = path.get('id') ?? null;
  const type = words('type');
  if (type !== null && type !== 'private') throw refuse(`type '${type}'`, 'type=private, or none');
  if (slot !== null && !/^\d{1,19}$/.test(slot)) throw refuse(`slot-id '${slot}'`, 'give its number');
  if (slot === null && Object.keys(token).length === 0) throw refuse('it names no token', `as in ${EXAMPLE}`);
  if (object === null && id === null) throw refuse('it names no key', `give object=, id= or both, as in ${EXAMPLE}`);
  if (id !== null && (id.length === 0 || id.length > 255)) throw refuse('an id of that length', '1 to 255 bytes');
  const modulePath = absolutePath(query, 'module-path', refuse);
  if (modulePath === null) throw refuse('it names no module', `give ?module-path=, as in ${EXAMPLE}`);
  return {
    modulePath,
    token,
    slot: slot === null ? null : BigInt(slot),
    object,
    id,
    pinFile: absolutePath(query, 'pin-source', refuse),
    shown,
  };
}

type Refuse = (what: string, remedy: string) => KeyStoreError;

function attributesIn(text: string, separator: ';' | '&', refuse: Refuse): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  for (const part of text.split(separator)) {
    if (part === '') continue;
    const equals = part.indexOf('=');
    const name = part.slice(0, Math.max(0, equals));
    if (!/^[a-z0-9_-]+$/i.test(name)) throw refuse('an attribute without a name', `as in ${EXAMPLE}`);
    if (found.has(name)) throw refuse(`'${name}' is given twice`, 'keep one of them');
    const bytes = percentDecoded(part.slice(equals + 1));
    if (bytes === null)
      throw refuse(`'${name}' has a % that no two hex digits follow`, 'write %25 for the sign itself');
    found.set(name, bytes);
  }
  return found;
}

/** @returns null for a broken escape */
function percentDecoded(text: string): Uint8Array | null {
  if (/%(?![0-9a-f]{2})/i.test(text)) return null;
  const bytes: number[] = [];
  for (let i = 0; i < text.length; ) {
    if (text[i] === '%') {
      bytes.push(Number.parseInt(text.slice(i + 1, i + 3), 16));
      i += 3;
    } else {
      const point = String.fromCodePoint(text.codePointAt(i)!);
      bytes.push(...Buffer.from(point));
      i += point.length;
    }
  }
  return Uint8Array.from(bytes);
}

/** `/path` or `file:/path`; a program to run (`|…`) is none. */
function absolutePath(query: ReadonlyMap<string, Uint8Array>, name: string, refuse: Refuse): string | null {
  const bytes = query.get(name);
  if (bytes === undefined) return null;
  const path = Buffer.from(bytes)
    .toString()
    .replace(/^file:(?:\/\/(?=\/))?/i, '');
  if (path.startsWith('/') && !path.includes('\0')) return path;
  throw refuse(`${name} is no absolute path`, `as in ${EXAMPLE}`);
}

/** Also of a URI that is wrong in other places: a PIN may hold what ends an attribute, so all that follows is left out. */
export function withoutPin(text: string): string {
  return text.slice(0, MAX_URI_CHARACTERS).replace(/((?:p|%70)in(?:-|%2d)value=).*/is, '$1***');
}

const listOf = (names: Iterable<string>): string => [...names].join(', ');
