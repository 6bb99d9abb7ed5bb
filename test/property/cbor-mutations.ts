/**
 * What can be done to one item of CBOR: cut, stretched, flipped, taken for another type, spelled otherwise, moved, or
 * replaced by a piece of another message.
 */
import { concat, encodeUtf8 } from '../../protocol/bytes.ts';
import type { SeededRandom } from '../../sim/seeded-random.ts';
import {
  ARRAY,
  BYTES,
  type CborNode,
  type CborPlace,
  cborBytes,
  cborContent,
  cborPlaces,
  copyOfItem,
  headOf,
  headOfSize,
  item,
  MAP,
  NUMBER,
  TEXT,
} from './cbor-tree.ts';
import { pick } from './der-mutations.ts';

type Mutation = (place: CborPlace, random: SeededRandom, donors: readonly CborNode[]) => void;

const NUMBERS = [0n, 1n, 2n, 16n, 17n, 23n, 24n, 255n, 256n, 65535n, 65536n, 0xffff_ffffn, 0x1_0000_0000n].concat([
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
  604_800n,
  604_801n,
  1_800_000_000n,
]);
const TEXTS = ['', 'device', 'x'.repeat(300), 'é', 'e\u0301', '\u202e', '\0']
  .map(encodeUtf8)
  .concat([Uint8Array.of(0xff), Uint8Array.of(0xc0, 0x80)]);
const SIMPLE = [
  'f4',
  'f5',
  'f6',
  'f7',
  'f0',
  'f818',
  'f8ff',
  'f93c00',
  'fa3f800000',
  'fb3ff0000000000000',
  'ff',
  '9fff',
  'bfff',
  '5fff',
]
  .concat(['c000', 'd818', 'dc', 'fc', '1c', '5c', 'a0', '80', '40', '60'])
  .map((hex) => Uint8Array.from(Buffer.from(hex, 'hex')));

function setContent(node: CborNode, content: Uint8Array): void {
  Object.assign(node, { content, children: null });
  if (node.major < BYTES || node.major > MAP) node.major = BYTES;
}

export const CBOR_MUTATIONS: Readonly<Record<string, Mutation>> = {
  'content cut': ({ node }, random) => {
    const content = cborContent(node);
    setContent(
      node,
      content.subarray(...((random.below(2) === 0 ? [0, random.below(content.length + 1)] : [1]) as [number, number?])),
    );
  },
  'content stretched': ({ node }, random) => {
    const content = cborContent(node);
    const more = pick(random, [Uint8Array.of(0), random.bytes(1 + random.below(40)), content, new Uint8Array(600)]);
    setContent(node, random.below(2) === 0 ? concat(content, more) : concat(more, content));
  },
  'content flipped': ({ node }, random) => {
    const content = cborContent(node).slice();
    if (content.length === 0) node.argument ^= 1n << BigInt(random.below(33));
    else {
      content[random.below(content.length)]! ^= 1 << random.below(8);
      setContent(node, content);
    }
  },
  'head flipped': ({ node }, random) => {
    const bytes = cborBytes(node).slice();
    bytes[0]! ^= 1 << random.below(8);
    node.raw = bytes;
  },
  'another type': ({ node }, random) => {
    const content = cborContent(node);
    node.major = random.below(8);
    if (node.major <= MAP && node.major >= BYTES) Object.assign(node, { content, children: node.children });
  },
  deleted: ({ parent, index }) => {
    parent?.children?.splice(index, 1);
  },
  'deleted with its key': ({ parent, index }) => {
    if (parent?.major === MAP) parent.children?.splice(index & ~1, 2);
  },
  doubled: ({ node, parent, index }) => {
    parent?.children?.splice(index, 0, copyOfItem(node));
  },
  'doubled with its key': ({ parent, index }) => {
    const list = parent?.children ?? [];
    if (parent?.major === MAP) list.splice(index & ~1, 0, ...list.slice(index & ~1, (index & ~1) + 2).map(copyOfItem));
  },
  'changed places': ({ parent, index }, random) => {
    const list = parent?.children ?? [];
    const other = list.length > 0 ? random.below(list.length) : 0;
    if (list.length > 1) [list[index], list[other]] = [list[other]!, list[index]!];
  },
  'pairs changed places': ({ parent }, random) => {
    const list = parent?.children ?? [];
    if (parent?.major !== MAP || list.length < 4) return;
    const [a, b] = [random.below(list.length >> 1) * 2, random.below(list.length >> 1) * 2];
    [list[a], list[a + 1], list[b], list[b + 1]] = [list[b]!, list[b + 1]!, list[a]!, list[a + 1]!];
  },
  'head spelled long': ({ node }, random) => {
    const bytes = cborBytes(node);
    const short = headOf(node.major, countOf(node));
    const size = pick(random, [1, 2, 4, 8]);
    node.raw = concat(headOfSize(node.major, countOf(node), size), bytes.subarray(short.length));
  },
  'length indefinite': ({ node }) => {
    if (node.major < BYTES || node.major > MAP) return;
    node.raw = concat(Uint8Array.of((node.major << 5) | 31), cborContent(node), Uint8Array.of(0xff));
  },
  'length untrue': ({ node }, random) => {
    const count = pick(random, [
      countOf(node) + 1n,
      countOf(node) > 0n ? countOf(node) - 1n : 5n,
      0xffffn,
      0xffff_ffffn,
      2n ** 64n - 1n,
    ]);
    node.raw = concat(headOf(node.major, count), cborContent(node));
  },
  'another number': ({ node }, random) => {
    Object.assign(node, item(random.below(8) === 0 ? 1 : NUMBER, pick(random, NUMBERS)));
  },
  'another text': ({ node }, random) => {
    Object.assign(node, item(random.below(2) === 0 ? TEXT : BYTES, 0n, pick(random, TEXTS)));
  },
  'another simple value': ({ node }, random) => {
    node.raw = pick(random, SIMPLE);
  },
  wrapped: ({ node }, random) => {
    Object.assign(node, { ...item(pick(random, [BYTES, ARRAY]), 0n), children: [copyOfItem(node)] });
  },
  'nested deep': ({ node }, random) => {
    node.raw = concat(new Uint8Array(4 + random.below(60)).fill(0x81), cborBytes(node));
  },
  tagged: ({ node }, random) => {
    node.raw = concat(headOf(6, BigInt(pick(random, [0, 1, 18, 24, 55799]))), cborBytes(node));
  },
  'grafted in': ({ node }, random, donors) => {
    const all = cborPlaces(pick(random, donors)).map((place) => place.node);
    const alike = all.filter(({ major }) => major === node.major);
    Object.assign(node, copyOfItem(pick(random, alike.length > 0 && random.below(4) > 0 ? alike : all)));
  },
  'grafted beside': ({ parent, index }, random, donors) => {
    parent?.children?.splice(index, 0, copyOfItem(pick(random, cborPlaces(pick(random, donors))).node));
  },
};
const KINDS = Object.keys(CBOR_MUTATIONS);

function countOf(node: CborNode): bigint {
  const { major, argument, children } = node;
  if (major < BYTES || major > MAP) return argument;
  if (major <= TEXT || children === null) return BigInt(cborContent(node).length);
  return BigInt(major === MAP ? children.length >> 1 : children.length);
}

/** Does one thing to one item. @returns what */
export function mutateCbor(root: CborNode, random: SeededRandom, donors: readonly CborNode[]): string {
  const kind = pick(random, KINDS);
  CBOR_MUTATIONS[kind]!(pick(random, cborPlaces(root)), random, donors);
  return kind;
}
