/**
 * DER as a tree that can be bent and written again, wrong where it was bent. It shares nothing with the readers under
 * test, and looks into strings that hold DER themselves.
 */
import { concat } from '../../protocol/bytes.ts';

export interface DerNode {
  tag: number;
  /** In front of the children: the first byte of a BIT STRING. */
  prefix: Uint8Array;
  /** null: the content is bytes. */
  children: DerNode[] | null;
  content: Uint8Array;
  /** Stands for the whole element, head and all. */
  raw: Uint8Array | null;
}

export interface Place {
  readonly node: DerNode;
  /** null for the root. */
  readonly parent: DerNode | null;
  readonly index: number;
}

const NOTHING = new Uint8Array(0);

export const leafNode = (tag: number, content: Uint8Array): DerNode => ({
  tag,
  prefix: NOTHING,
  children: null,
  content,
  raw: null,
});

/** @throws Error for what is not exactly one element with definite lengths in shortest form */
export function treeOf(bytes: Uint8Array): DerNode {
  const [node, ...more] = nodesIn(bytes, 0) ?? [];
  if (node === undefined || more.length > 0) throw new Error('no DER');
  return node;
}

const MAX_DEPTH = 30;

function nodesIn(bytes: Uint8Array, depth: number): DerNode[] | null {
  const nodes: DerNode[] = [];
  for (let at = 0; at < bytes.length; ) {
    const head = headAt(bytes, at);
    if (head === null || depth > MAX_DEPTH) return null;
    const content = bytes.subarray(head.start, head.end);
    nodes.push(nodeOf(bytes[at]!, content, depth));
    if ((bytes[at]! & 0x20) !== 0 && nodes.at(-1)!.children === null) return null;
    at = head.end;
  }
  return nodes;
}

function nodeOf(tag: number, content: Uint8Array, depth: number): DerNode {
  if ((tag & 0x20) !== 0) return { ...leafNode(tag, content), children: nodesIn(content, depth + 1) };
  const skipped = tag === 0x03 ? 1 : 0;
  // Only sequences are looked for inside strings: nearly any two bytes would be an element.
  const inside = content[skipped] === 0x30 && (tag === 0x04 || (tag === 0x03 && content[0] === 0));
  const children = inside ? nodesIn(content.subarray(skipped), depth + 1) : null;
  if (children === null) return leafNode(tag, content);
  return { ...leafNode(tag, content), children, prefix: content.subarray(0, skipped) };
}

function headAt(bytes: Uint8Array, at: number): { start: number; end: number } | null {
  const first = bytes[at + 1];
  if (first === undefined || (bytes[at]! & 0x1f) === 0x1f) return null;
  const size = first < 0x80 ? 0 : first & 0x7f;
  if (first === 0x80 || size > 3) return null;
  let length = size === 0 ? first : 0;
  for (let i = 0; i < size; i++) length = length * 256 + (bytes[at + 2 + i] ?? 0);
  const start = at + 2 + size;
  const end = start + length;
  if (end > bytes.length || (size > 0 && length < (size === 1 ? 0x80 : 256 ** (size - 1)))) return null;
  return { start, end };
}

export function lengthBytes(length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(length);
  const digits: number[] = [];
  for (let left = length; left > 0; left = Math.floor(left / 256)) digits.unshift(left % 256);
  return Uint8Array.of(0x80 | digits.length, ...digits);
}

export function contentOf(node: DerNode): Uint8Array {
  return node.children === null ? node.content : concat(node.prefix, ...node.children.map(bytesOf));
}

export function bytesOf(node: DerNode): Uint8Array {
  if (node.raw !== null) return node.raw;
  const content = contentOf(node);
  return concat(Uint8Array.of(node.tag), lengthBytes(content.length), content);
}

export function copyOf(node: DerNode): DerNode {
  return { ...node, children: node.children?.map(copyOf) ?? null };
}

/** Every element, the root first. */
export function placesIn(root: DerNode): Place[] {
  const places: Place[] = [{ node: root, parent: null, index: 0 }];
  for (const { node } of places) {
    for (const [index, child] of (node.children ?? []).entries()) places.push({ node: child, parent: node, index });
  }
  return places;
}

/** The element at a path of child numbers. @throws Error when there is none */
export function nodeAt(root: DerNode, ...path: readonly number[]): DerNode {
  let node = root;
  for (const step of path) {
    const next = node.children?.[step];
    if (next === undefined) throw new Error(`no element at ${path.join('.')}`);
    node = next;
  }
  return node;
}

/** Makes an element another one where it stands. */
export function become(node: DerNode, other: DerNode): void {
  Object.assign(node, copyOf(other));
}

/** The first element, whatever follows it. */
export function firstOf(bytes: Uint8Array): Uint8Array {
  const head = headAt(bytes, 0);
  return head === null ? bytes : bytes.subarray(0, head.end);
}
