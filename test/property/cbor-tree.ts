/**
 * CBOR as a tree that can be bent and written again, wrong where it was bent. It shares nothing with the codec under test,
 * and looks into byte strings that hold CBOR themselves. @spec RFC 8949 §3
 */
import { concat } from '../../protocol/bytes.ts';

export interface CborNode {
  /** 0 to 7. */
  major: number;
  /** Of numbers and simple values; lengths are counted anew. */
  argument: bigint;
  /** Elements of an array, keys and values of a map in turn, or what a byte string holds. */
  children: CborNode[] | null;
  content: Uint8Array;
  /** Stands for the whole item, head and all. */
  raw: Uint8Array | null;
}

export interface CborPlace {
  readonly node: CborNode;
  readonly parent: CborNode | null;
  readonly index: number;
}

export const NUMBER = 0;
export const BYTES = 2;
export const TEXT = 3;
export const ARRAY = 4;
export const MAP = 5;

const NOTHING = new Uint8Array(0);

export const item = (major: number, argument: bigint, content: Uint8Array = NOTHING): CborNode => ({
  major,
  argument,
  children: null,
  content,
  raw: null,
});

/** @throws Error for what is not exactly one item of definite length in shortest form */
export function cborTree(bytes: Uint8Array): CborNode {
  const read = itemAt(bytes, 0);
  if (read === null || read.end !== bytes.length) throw new Error('no CBOR');
  return read.node;
}

function itemAt(bytes: Uint8Array, at: number): { node: CborNode; end: number } | null {
  const initial = bytes[at];
  if (initial === undefined) return null;
  const info = initial & 0x1f;
  const size = info < 24 ? 0 : info < 28 ? 1 << (info - 24) : -1;
  if (size < 0 || at + 1 + size > bytes.length) return null;
  let argument = size === 0 ? BigInt(info) : 0n;
  for (let i = 0; i < size; i++) argument = argument * 256n + BigInt(bytes[at + 1 + i]!);
  const major = initial >> 5;
  const start = at + 1 + size;
  const node = item(major, argument);
  if (major < BYTES || major > MAP) return { node, end: start };
  if (argument > bytes.length) return null;
  const count = Number(argument);
  if (major <= TEXT) {
    if (start + count > bytes.length) return null;
    node.content = bytes.subarray(start, start + count);
    if (major === BYTES) node.children = inside(node.content);
    return { node, end: start + count };
  }
  node.children = [];
  let end = start;
  for (let i = 0; i < (major === MAP ? 2 * count : count); i++) {
    const read = itemAt(bytes, end);
    if (read === null) return null;
    node.children.push(read.node);
    end = read.end;
  }
  return { node, end };
}

/** Only arrays and maps are looked for: any short byte string is a number. */
function inside(content: Uint8Array): CborNode[] | null {
  if (content.length < 2 || content[0]! >> 5 < ARRAY || content[0]! >> 5 > MAP) return null;
  const read = itemAt(content, 0);
  return read !== null && read.end === content.length ? [read.node] : null;
}

/** The head in shortest form. */
export function headOf(major: number, argument: bigint): Uint8Array {
  const first = major << 5;
  if (argument < 24n) return Uint8Array.of(first | Number(argument));
  const size = argument < 0x100n ? 1 : argument < 0x1_0000n ? 2 : argument < 0x1_0000_0000n ? 4 : 8;
  return headOfSize(major, argument, size);
}

/** @param size  bytes that the argument takes: 1, 2, 4 or 8 */
export function headOfSize(major: number, argument: bigint, size: number): Uint8Array {
  const digits = Array.from({ length: size }, (_, i) => Number((argument >> BigInt(8 * (size - 1 - i))) & 0xffn));
  return Uint8Array.of((major << 5) | (24 + Math.log2(size)), ...digits);
}

export function cborContent({ children, content }: CborNode): Uint8Array {
  if (children === null) return content;
  return concat(...children.map(cborBytes));
}

export function cborBytes(node: CborNode): Uint8Array {
  if (node.raw !== null) return node.raw;
  const { major, argument, children } = node;
  if (major < BYTES || major > MAP) return headOf(major, argument);
  const content = cborContent(node);
  const count = major <= TEXT || children === null ? content.length : children.length;
  return concat(headOf(major, BigInt(major === MAP && children !== null ? count >> 1 : count)), content);
}

export function copyOfItem(node: CborNode): CborNode {
  return { ...node, children: node.children?.map(copyOfItem) ?? null };
}

/** Every item, the root first. */
export function cborPlaces(root: CborNode): CborPlace[] {
  const places: CborPlace[] = [{ node: root, parent: null, index: 0 }];
  for (const { node } of places) {
    for (const [index, child] of (node.children ?? []).entries()) places.push({ node: child, parent: node, index });
  }
  return places;
}

/** The value at a number in a map; null when it is not there. */
export function valueAt(map: CborNode, key: number): CborNode | null {
  const keys = map.major === MAP ? (map.children ?? []) : [];
  for (let i = 0; i + 1 < keys.length; i += 2) {
    if (keys[i]!.major === NUMBER && keys[i]!.argument === BigInt(key)) return keys[i + 1]!;
  }
  return null;
}
