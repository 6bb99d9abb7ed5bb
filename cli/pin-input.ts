/**
 * A PIN from a file, from standard input, or from the terminal, where it is not shown. Never from the command line, which
 * everybody on the machine can read.
 */
import { readPrivate } from '../platform/files.ts';
import { decodeUtf8, wipe } from '../protocol/bytes.ts';
import { Failure } from './failure.ts';

const MAX_PIN_BYTES = 64;
const CONTROL_C = 3;
const BACKSPACES: ReadonlySet<number> = new Set([8, 127]);
const ENDS: ReadonlySet<number> = new Set([4, 10, 13]);

/**
 * @param file    its first line; `-`: standard input; undefined: asked for
 * @param prompt  what the terminal shows
 * @throws Failure `pin`; FileFault
 */
export async function readPin(file: string | undefined, prompt: string): Promise<string> {
  const bytes =
    file === undefined
      ? await askTerminal(prompt)
      : file === '-'
        ? await readStandardInput()
        : readPrivate(file, MAX_PIN_BYTES + 2);
  const end = bytes.findIndex((byte) => byte === 10 || byte === 13);
  const line = end < 0 ? bytes : bytes.subarray(0, end);
  // PKCS#12 spells other characters in two ways, and every program takes the one that it likes
  const fits = line.length > 0 && line.length <= MAX_PIN_BYTES && line.every((byte) => byte >= 0x20 && byte < 0x7f);
  const pin = fits ? decodeUtf8(line) : null;
  wipe(bytes);
  if (pin === null) throw new Failure('usage', 'pin', `a PIN has 1 to ${MAX_PIN_BYTES} printable ASCII characters`);
  return pin;
}

/** For a PIN that is only now made: a terminal is asked twice. @throws as `readPin` */
export async function readNewPin(file: string | undefined, prompt: string): Promise<string> {
  const pin = await readPin(file, prompt);
  if (file !== undefined || (await readPin(file, 'once more: ')) === pin) return pin;
  throw new Failure('usage', 'pin', 'the two PINs differ: nothing was made, start again');
}

async function readStandardInput(): Promise<Uint8Array> {
  const bytes = new Uint8Array(MAX_PIN_BYTES + 2);
  let length = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    const part = chunk.subarray(0, bytes.length - length);
    bytes.set(part, length);
    length += part.length;
    wipe(chunk);
    if (length === bytes.length || bytes.subarray(0, length).includes(10)) break;
  }
  return bytes.subarray(0, length);
}

function askTerminal(prompt: string): Promise<Uint8Array> {
  const { stdin, stderr } = process;
  if (!stdin.isTTY) throw new Failure('usage', 'pin', 'no terminal to ask for the PIN: give it with --pin-file');
  return new Promise((resolve, reject) => {
    const bytes = new Uint8Array(MAX_PIN_BYTES + 2);
    let length = 0;
    const end = (settle: () => void): void => {
      stdin.off('data', receive).setRawMode(false).pause();
      stderr.write('\n');
      settle();
    };
    const receive = (chunk: Buffer): void => {
      for (const byte of chunk) {
        if (byte === CONTROL_C) return end(() => reject(new Failure('refused', 'pin', 'no PIN was given')));
        if (ENDS.has(byte)) return end(() => resolve(bytes.subarray(0, length)));
        if (BACKSPACES.has(byte)) length = Math.max(0, length - 1);
        else if (length < bytes.length) bytes[length++] = byte;
      }
      wipe(chunk);
    };
    stderr.write(prompt);
    stdin.setRawMode(true).on('data', receive).resume();
  });
}
