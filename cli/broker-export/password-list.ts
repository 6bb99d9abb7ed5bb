/**
 * The users of a broker with their passwords: known ones keep theirs, new ones get one. @spec mosquitto_passwd(1)
 */
import { mosquittoHash, SALT_BYTES } from '../../platform/crypto-password.ts';
import type { Crypto } from '../../protocol/crypto.ts';

const PASSWORD_BYTES = 24;

export interface PasswordList {
  /** The file: `user:hash` lines. */
  readonly text: string;
  /** New users and their passwords, which are nowhere else. */
  readonly added: ReadonlyMap<string, string>;
  /** Users of before who are out. */
  readonly removed: readonly string[];
}

/** @param before  the file as it is, or null */
export function passwordList(
  users: readonly string[],
  before: string | null,
  crypto: Pick<Crypto, 'random'>,
): PasswordList {
  const known = new Map((before ?? '').split('\n').flatMap(entryOf));
  const added = new Map<string, string>();
  const lines = users.map((user) => {
    const hash = known.get(user);
    if (hash !== undefined) return `${user}:${hash}\n`;
    const password = Buffer.from(crypto.random(PASSWORD_BYTES)).toString('base64url');
    added.set(user, password);
    return `${user}:${mosquittoHash(password, crypto.random(SALT_BYTES))}\n`;
  });
  return { text: lines.join(''), added, removed: [...known.keys()].filter((user) => !users.includes(user)) };
}

/** No user name of ours has a colon. */
function entryOf(line: string): [string, string][] {
  const colon = line.indexOf(':');
  return colon < 1 ? [] : [[line.slice(0, colon), line.slice(colon + 1)]];
}
