/**
 * Searches memory, files and logs for secrets: each value raw, in hex and in base64, also as UTF-16, and every piece of
 * it that is long enough to count. All values are looked for in one pass: a core dump has a gigabyte.
 */

export interface Finding {
  readonly name: string;
  readonly form: string;
  /** Byte offset into what was searched. */
  readonly at: number;
}

/** Free lists and headers of an allocator overwrite the ends of what they are given back: the middle still tells. */
const PIECE_BYTES = 12;
const PIECE_STEP = 4;

interface Pattern {
  readonly name: string;
  readonly form: string;
  readonly bytes: Buffer;
}

/** Patterns by their first four bytes; `begins` says in one look that there is none. */
interface Index {
  readonly begins: Uint8Array;
  readonly byHead: ReadonlyMap<number, readonly Pattern[]>;
}

/** Secrets by a name for the report; 12 bytes at least. */
export type Secrets = Readonly<Record<string, Uint8Array>>;

/** @returns a search to be fed piece by piece; places count from the start of the piece */
export function searchFor(secrets: Secrets): (where: Uint8Array) => Finding[] {
  const index = indexOf(secrets);
  return (where) => scan(where, index);
}

function indexOf(secrets: Secrets): Index {
  const begins = new Uint8Array(1 << 24);
  const byHead = new Map<number, Pattern[]>();
  for (const [name, value] of Object.entries(secrets)) {
    if (value.length < PIECE_BYTES) throw new RangeError(`${name}: ${value.length} bytes are found anywhere`);
    for (const pattern of piecesOf(value).flatMap((piece) => formsOf(name, piece))) {
      const head = pattern.bytes.readUInt32BE(0);
      begins[slot(head)] = 1;
      const same = byHead.get(head);
      if (same === undefined) byHead.set(head, [pattern]);
      else same.push(pattern);
    }
  }
  return { begins, byHead };
}

const slot = (head: number): number => Math.imul(head, 0x9e37_79b1) >>> 8;

function piecesOf(value: Uint8Array): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at + PIECE_BYTES <= value.length; at += PIECE_STEP) {
    pieces.push(Buffer.from(value.subarray(at, at + PIECE_BYTES)));
  }
  if (value.length % PIECE_STEP !== 0) pieces.push(Buffer.from(value.subarray(-PIECE_BYTES)));
  return pieces;
}

/** Raw, hex in both cases, base64 in both alphabets wherever in a longer text the piece begins. */
function formsOf(name: string, piece: Buffer): Pattern[] {
  const hex = piece.toString('hex');
  const texts: [string, string][] = [
    ['hex', hex],
    ['HEX', hex.toUpperCase()],
  ];
  for (const shift of [0, 1, 2]) {
    const shifted = Buffer.concat([Buffer.alloc(shift), piece])
      .toString('base64')
      .replace(/=+$/, '');
    // the outermost characters also hold bits of the neighbours
    const ragged = (shift + piece.length) % 3 === 0 ? 0 : 1;
    const inner = shifted.slice(shift === 0 ? 0 : shift + 1, shifted.length - ragged);
    texts.push(['base64', inner], ['base64url', inner.replaceAll('+', '-').replaceAll('/', '_')]);
  }
  return [
    { name, form: 'raw', bytes: piece },
    ...texts.flatMap(([form, text]) => [
      { name, form, bytes: Buffer.from(text, 'latin1') },
      { name, form: `${form} in UTF-16`, bytes: Buffer.from(text, 'utf16le') },
    ]),
  ];
}

const ZEROES = Buffer.alloc(4096);

function scan(where: Uint8Array, { begins, byHead }: Index): Finding[] {
  const memory = Buffer.from(where.buffer, where.byteOffset, where.byteLength);
  const findings: Finding[] = [];
  for (let page = 0; page < memory.length; page += ZEROES.length) {
    const end = Math.min(page + ZEROES.length, memory.length);
    // most of a core dump was never touched
    if (memory.compare(ZEROES, 0, end - page, page, end) === 0) continue;
    // patterns that begin in this page, which may end in the next
    let head = 0;
    for (let at = page; at < Math.min(end + 3, memory.length); at++) {
      head = (head << 8) | memory[at]!;
      if (at < page + 3 || begins[slot(head)] === 0) continue;
      for (const { name, form, bytes } of byHead.get(head >>> 0) ?? []) {
        const from = at - 3;
        const to = Math.min(from + bytes.length, memory.length);
        if (memory.compare(bytes, 0, bytes.length, from, to) === 0) findings.push({ name, form, at: from });
      }
    }
  }
  return findings;
}

/** What was found, in a line for a failed assertion: names and forms, each with its first place. */
export function summaryOf(findings: readonly Finding[]): string {
  const first = new Map<string, number>();
  for (const { name, form, at } of findings) if (!first.has(`${name}, ${form}`)) first.set(`${name}, ${form}`, at);
  return [...first].map(([what, at]) => `${what} at ${at}`).join('; ');
}
