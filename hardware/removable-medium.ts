/**
 * One removable medium as a user carries it: a folder `kagimori-user` with the files `user.p12` and `user-id`. Whoever made
 * it may have put anything there: reads are bounded, links are not followed, and only regular files are opened.
 */
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '../platform/files.ts';
import { decodeUtf8 } from '../protocol/bytes.ts';

export const MEDIUM_FOLDER = 'kagimori-user';
export const PKCS12_FILE = 'user.p12';
export const USER_ID_FILE = 'user-id';

const MAX_PKCS12_BYTES = 64 * 1024;
/** A user id has 255 at most. */
const MAX_ID_BYTES = 257;

/** What is wrong with the files of a user's medium. */
export class MediumFault extends Error {
  constructor(detail: string) {
    super(detail);
    this.name = 'MediumFault';
  }
}

/**
 * @param root  where the medium is mounted
 * @returns what tells this medium from another one, or from itself with other files; null: it is no user's, or away
 */
export async function markOf(root: string): Promise<string | null> {
  return within(root, async (inside) => {
    const [key, id] = [await lstat(inside(PKCS12_FILE), BIG), await lstat(inside(USER_ID_FILE), BIG)];
    return [key, id].map(({ dev, size, mtimeNs }) => `${dev}:${size}:${mtimeNs}`).join(' ');
  }).catch((error: unknown) => {
    if (errnoOf(error) !== null) return null;
    throw error;
  });
}

export interface MediumContents {
  readonly user: string;
  /** Encrypted under the PIN. */
  readonly pkcs12: Uint8Array;
}

/** @throws MediumFault */
export async function readMedium(root: string): Promise<MediumContents> {
  try {
    return await within(root, async (inside, device) => {
      const id = await readWhole(inside(USER_ID_FILE), device, USER_ID_FILE, MAX_ID_BYTES);
      const pkcs12 = await readWhole(inside(PKCS12_FILE), device, PKCS12_FILE, MAX_PKCS12_BYTES);
      return { user: userOf(id), pkcs12 };
    });
  } catch (error) {
    const code = errnoOf(error);
    if (code === null) throw error;
    throw new MediumFault(`${MEDIUM_FOLDER} cannot be read: ${code}`);
  }
}

/** Names inside of the folder that was opened, whatever becomes of its own name meanwhile. */
async function within<T>(
  root: string,
  use: (inside: (name: string) => string, device: bigint) => Promise<T>,
): Promise<T> {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
  const folder = await open(join(root, MEDIUM_FOLDER), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    const { dev } = await folder.stat(BIG);
    return await use((name) => `/proc/self/fd/${folder.fd}/${name}`, dev);
  } finally {
    await folder.close();
  }
}

const BIG = { bigint: true } as const;

async function readWhole(path: string, device: bigint, name: string, maxBytes: number): Promise<Uint8Array> {
  requireFile(await lstat(path, BIG), device, name); // to open a device file may do something already
  const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = constants;
  const file = await open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  try {
    requireFile(await file.stat(BIG), device, name);
    return await readAtMost(file, name, maxBytes);
  } finally {
    await file.close();
  }
}

function requireFile(stats: BigIntStats, device: bigint, name: string): void {
  if (!stats.isFile()) throw new MediumFault(`${name} is not a regular file`);
  if (stats.dev !== device) throw new MediumFault(`${name} lies on another medium`);
}

async function readAtMost(file: FileHandle, name: string, maxBytes: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(maxBytes + 1);
  for (let length = 0; ; ) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, null);
    length += bytesRead;
    if (length > maxBytes) throw new MediumFault(`${name} has more than ${maxBytes} bytes`);
    if (bytesRead === 0) return buffer.slice(0, length);
  }
}

function userOf(bytes: Uint8Array): string {
  let text: string;
  try {
    text = decodeUtf8(bytes)
      .replace(/\r?\n$/, '')
      .normalize('NFC');
  } catch {
    throw new MediumFault(`${USER_ID_FILE} is not UTF-8`);
  }
  if (text.length > 0 && text.length <= 255 && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text)) return text;
  throw new MediumFault(`${USER_ID_FILE} has to hold one line with the user's id`);
}
