/**
 * Topic names of the wire (design §5.1) and the canonical spelling of ids inside them.
 */
import { decodeUtf8, encodeUtf8 } from './bytes.ts';
import { type DeviceId, type LinkId, Topic } from './units.ts';

/** Who stands in a topic's last segment: a device by its id, or a link that has not logged in yet. */
export type Party =
  | { readonly kind: 'device'; readonly id: DeviceId }
  | { readonly kind: 'link'; readonly link: LinkId };

/** What a topic is for. */
export type Place =
  | { readonly kind: 'to-manager'; readonly from: Party }
  | { readonly kind: 'to-device'; readonly to: Party }
  | { readonly kind: 'peer'; readonly to: DeviceId; readonly from: DeviceId }
  | { readonly kind: 'verifier-question'; readonly asker: Asker }
  | { readonly kind: 'verifier-answer'; readonly asker: Asker }
  | { readonly kind: 'verifier-event' }
  | { readonly kind: 'control-request' }
  | { readonly kind: 'control-report' };

/** A device, or the manager under its reserved name. */
export type Asker = DeviceId | typeof MANAGER;
export const MANAGER = '~manager';

/** Client ids of links: random, of these characters only. */
export const LINK_ID = /^[A-Za-z0-9_-]{16,32}$/;
const PLAIN = /^[A-Za-z0-9\-_.]$/;
/** Ids that are spelled as they are: nearly all, and they need neither bytes nor normalisation. */
const PLAIN_ID = /^[A-Za-z0-9\-_.]{1,64}$/;
const MAX_ID_BYTES = 64;

/**
 * The spelling of an id inside a topic: UTF-8, every byte outside `[A-Za-z0-9-_.]` as `%XX`.
 */
export function encodeId(id: DeviceId): string {
  if (PLAIN_ID.test(id)) return id;
  let spelled = '';
  for (const byte of encodeUtf8(id)) {
    const char = String.fromCharCode(byte);
    spelled += PLAIN.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return spelled;
}

/** @returns null for any spelling but the canonical one */
export function decodeId(spelled: string): DeviceId | null {
  if (PLAIN_ID.test(spelled)) return spelled as DeviceId;
  const bytes: number[] = [];
  for (let i = 0; i < spelled.length; i++) {
    const char = spelled[i]!;
    if (char !== '%') {
      if (!PLAIN.test(char)) return null;
      bytes.push(char.charCodeAt(0));
      continue;
    }
    const hex = spelled.slice(i + 1, i + 3);
    if (!/^[0-9A-F]{2}$/.test(hex)) return null;
    bytes.push(Number.parseInt(hex, 16));
    i += 2;
  }
  let text: string;
  try {
    text = decodeUtf8(Uint8Array.from(bytes));
  } catch {
    return null;
  }
  const id = deviceId(text);
  return id !== null && encodeId(id) === spelled ? id : null;
}

/** @returns null when the text is no device id: 1 to 64 bytes of UTF-8 in NFC, without control characters or a leading `~` */
export function deviceId(text: string): DeviceId | null {
  if (PLAIN_ID.test(text)) return text as DeviceId;
  if (text.length === 0 || /\p{Cc}/u.test(text) || text.startsWith('~') || text.normalize('NFC') !== text) return null;
  return encodeUtf8(text).length <= MAX_ID_BYTES ? (text as DeviceId) : null;
}

export interface Topics {
  readonly root: string;
  toManager(from: Party): Topic;
  toDevice(to: Party): Topic;
  peer(to: DeviceId, from: DeviceId): Topic;
  verifierQuestion(asker: Asker): Topic;
  verifierAnswer(asker: Asker): Topic;
  readonly verifierEvents: Topic;
  /** Manager to broker. */
  readonly controlRequests: Topic;
  /** Broker to manager. */
  readonly controlReports: Topic;
  /** @returns null for a topic outside the wire */
  parse(topic: string): Place | null;
}

const spellParty = (party: Party): string => (party.kind === 'device' ? encodeId(party.id) : `~${party.link}`);
const spellAsker = (asker: Asker): string => (asker === MANAGER ? MANAGER : encodeId(asker as DeviceId));

function parseParty(segment: string): Party | null {
  if (segment.startsWith('~')) {
    const link = segment.slice(1);
    return LINK_ID.test(link) ? { kind: 'link', link: link as LinkId } : null;
  }
  const id = decodeId(segment);
  return id === null ? null : { kind: 'device', id };
}

/** @param root first segment, `km1` by default; no slash, no wildcard */
export function topicsUnder(root = 'km1'): Topics {
  if (!/^[A-Za-z0-9_-]{1,32}$/.test(root)) throw new RangeError(`topic root ${root}: letters, digits, - and _ only`);
  const parseAsker = (segment: string): Asker | null => (segment === MANAGER ? MANAGER : decodeId(segment));
  return {
    root,
    toManager: (from) => Topic(`${root}/m/${spellParty(from)}`),
    toDevice: (to) => Topic(`${root}/d/${spellParty(to)}`),
    peer: (to, from) => Topic(`${root}/p/${encodeId(to)}/${encodeId(from)}`),
    verifierQuestion: (asker) => Topic(`${root}/v/q/${spellAsker(asker)}`),
    verifierAnswer: (asker) => Topic(`${root}/v/a/${spellAsker(asker)}`),
    verifierEvents: Topic(`${root}/v/e`),
    controlRequests: Topic(`${root}/c/q`),
    controlReports: Topic(`${root}/c/a`),
    parse(topic) {
      const [first, kind, a, b, ...rest] = topic.split('/');
      if (first !== root || kind === undefined || a === undefined || rest.length > 0) return null;
      if (b === undefined) {
        if (kind === 'c')
          return a === 'q' ? { kind: 'control-request' } : a === 'a' ? { kind: 'control-report' } : null;
        if (kind === 'v') return a === 'e' ? { kind: 'verifier-event' } : null;
        const party = parseParty(a);
        if (party === null) return null;
        if (kind === 'm') return { kind: 'to-manager', from: party };
        return kind === 'd' ? { kind: 'to-device', to: party } : null;
      }
      if (kind === 'p') {
        const to = decodeId(a);
        const from = decodeId(b);
        return to === null || from === null ? null : { kind: 'peer', to, from };
      }
      if (kind !== 'v') return null;
      const asker = parseAsker(b);
      if (asker === null) return null;
      if (a === 'q') return { kind: 'verifier-question', asker };
      return a === 'a' ? { kind: 'verifier-answer', asker } : null;
    },
  };
}
