/**
 * Where an invitation comes from: the command line, a file, or standard input. It is as secret as a password, so no error
 * repeats any of it.
 */
import { FileFault, readBounded } from '../../platform/files.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { ProtocolError } from '../../protocol/errors.ts';
import { type Invitation, readInvitation } from '../../protocol/invitation.ts';
import { textOf } from '../config-file.ts';
import { Failure } from '../failure.ts';

const MAX_BYTES = 4096;

/**
 * @param given  the text itself, or `-` for standard input
 * @throws Failure `usage`, `bad-invitation`; FileFault
 */
export async function takeInvitation(
  given: string | undefined,
  file: string | undefined,
  crypto: Crypto,
): Promise<Invitation> {
  if ((given === undefined) === (file === undefined)) {
    const ways = 'as an argument, in a file (--file F), or on standard input (-)';
    throw new Failure(
      'usage',
      'usage',
      `give one invitation, ${ways}: the operator makes it with \`kagimori device invite\``,
    );
  }
  if (file !== undefined) return readInvitationFile(file, crypto);
  return parsed(given === '-' ? await readInput(crypto) : (given ?? ''), crypto, 'the invitation');
}

/** @throws Failure `bad-invitation`; FileFault */
export function readInvitationFile(path: string, crypto: Crypto): Invitation {
  return parsed(textOf(readBounded(path, MAX_BYTES), path), crypto, path);
}

/** @returns null when there is no such file */
export function findInvitation(path: string, crypto: Crypto): Invitation | null {
  try {
    return readInvitationFile(path, crypto);
  } catch (error) {
    if (error instanceof FileFault && error.fault === 'missing') return null;
    throw error;
  }
}

function parsed(text: string, crypto: Crypto, what: string): Invitation {
  try {
    return readInvitation(crypto, text);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new Failure('usage', 'bad-invitation', `${what} cannot be read: ${error.message}`);
  }
}

/** Until its end; at a terminal until it is whole, or an empty line. */
async function readInput(crypto: Crypto): Promise<string> {
  const { stdin, stderr } = process;
  if (stdin.isTTY) stderr.write('Paste the invitation, then press Enter:\n');
  let text = '';
  stdin.setEncoding('utf8');
  for await (const chunk of stdin as AsyncIterable<string>) {
    text += chunk;
    if (text.length > MAX_BYTES) break;
    if (stdin.isTTY && (chunk.trim() === '' || isWhole(text, crypto))) break;
  }
  stdin.destroy();
  return text;
}

function isWhole(text: string, crypto: Crypto): boolean {
  try {
    readInvitation(crypto, text);
    return true;
  } catch (error) {
    if (error instanceof ProtocolError) return false;
    throw error;
  }
}
