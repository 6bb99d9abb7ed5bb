/**
 * What can be done to one element of DER: cut, stretched, flipped, taken for another type, spelled otherwise, moved,
 * or replaced by a piece of another structure.
 */
import { concat, encodeUtf8 } from '../../protocol/bytes.ts';
import type { SeededRandom } from '../../sim/seeded-random.ts';
import { oid } from '../test-der.ts';
import {
  become,
  bytesOf,
  contentOf,
  copyOf,
  type DerNode,
  leafNode,
  lengthBytes,
  type Place,
  placesIn,
  treeOf,
} from './der-tree.ts';

type Mutation = (place: Place, random: SeededRandom, donors: readonly DerNode[]) => void;

export const pick = <T>(random: SeededRandom, list: readonly T[]): T => list[random.below(list.length)]!;

/** The content as bytes from now on. */
function setContent(node: DerNode, content: Uint8Array): void {
  Object.assign(node, { content, children: null });
}

function setRaw(node: DerNode, ...parts: readonly Uint8Array[]): void {
  node.raw = concat(...parts);
}

const TAGS = [
  0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x12, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1a, 0x1c, 0x1e, 0x30,
].concat([0x31, 0x80, 0x81, 0x82, 0x86, 0x87, 0xa0, 0xa1, 0xa2, 0xa3, 0x00, 0x09, 0x1f, 0x24, 0x3f, 0x7f, 0xff]);
const INTEGERS = ['', '00', '01', '02', '7f', '80', 'ff', '0000', '0001', 'ff80', '7fffffff', '0080000000']
  .concat([
    '7fffffffffffffff',
    '00ffffffffffffffff',
    '7f'.repeat(20),
    'ff'.repeat(20),
    '7f'.repeat(21),
    '01'.repeat(300),
  ])
  .map((hex) => Uint8Array.from(Buffer.from(hex, 'hex')));
const OIDS = [
  '2.5.4.3',
  '2.5.4.10',
  '2.5.29.14',
  '2.5.29.15',
  '2.5.29.17',
  '2.5.29.18',
  '2.5.29.19',
  '2.5.29.20',
  '2.5.29.27',
]
  .concat([
    '2.5.29.28',
    '2.5.29.29',
    '2.5.29.30',
    '2.5.29.31',
    '2.5.29.32',
    '2.5.29.35',
    '2.5.29.36',
    '2.5.29.37',
    '2.5.29.37.0',
  ])
  .concat([
    '2.5.29.54',
    '1.2.840.10045.2.1',
    '1.2.840.10045.3.1.7',
    '1.3.132.0.34',
    '1.2.840.10045.4.3.2',
    '1.3.101.112',
  ])
  .concat([
    '1.2.840.113549.1.1.1',
    '1.2.840.113549.1.1.11',
    '1.3.6.1.5.5.7.3.1',
    '1.3.6.1.5.5.7.3.2',
    '1.3.6.1.5.5.7.3.9',
  ])
  .concat([
    '1.2.840.113549.1.9.14',
    '1.3.6.1.5.5.7.48.1.1',
    '1.3.6.1.5.5.7.48.1.2',
    '1.3.14.3.2.26',
    '2.16.840.1.101.3.4.2.1',
  ])
  .map((dotted) => oid(dotted).subarray(2));
const TIMES = [
  '500101000000Z',
  '491231235959Z',
  '270115075959Z',
  '270115080001Z',
  '280101000000Z',
  '270230000000Z',
  '270115080000',
]
  .concat([
    '2701150800Z',
    '270115080000+0000',
    '99991231235959Z',
    '20270115080000Z',
    '19491231235959Z',
    '20500101000000Z',
  ])
  .concat(['20270115080000.5Z', '00000101000000Z', '00010101000000Z', '270115246060Z', '27011a080000Z', '']);
const TEXTS = [
  '',
  'router-1',
  'Router-1',
  ' router-1 ',
  'router-1\0',
  'router-2',
  'roᴜter-1',
  '~manager',
  'a/b',
  '\u202erouter',
  'é',
  'e\u0301',
].concat([
  'example',
  'tv.home.example',
  '.home.example',
  '*.home.example',
  'a@b@c',
  'http://[',
  'urn:dev:mac:00',
  'x'.repeat(300),
]);
const ENCODINGS: readonly (readonly [number, (text: string) => Uint8Array])[] = [
  [0x0c, encodeUtf8],
  [0x13, (text) => Uint8Array.from(Buffer.from(text, 'latin1'))],
  [0x16, (text) => Uint8Array.from(Buffer.from(text, 'latin1'))],
  [0x14, (text) => Uint8Array.from(Buffer.from(text, 'latin1'))],
  [0x1e, (text) => Uint8Array.from(Buffer.from(text, 'utf16le').swap16())],
  [
    0x1c,
    (text) =>
      concat(...[...text].map((one) => Uint8Array.of(0, 0, one.codePointAt(0)! >> 8, one.codePointAt(0)! & 0xff))),
  ],
];

export const DER_MUTATIONS: Readonly<Record<string, Mutation>> = {
  'content cut': ({ node }, random) => {
    const content = contentOf(node);
    const from = random.below(content.length + 1);
    const count = 1 + random.below(4);
    setContent(
      node,
      pick(random, [
        content.subarray(0, from),
        content.subarray(from),
        concat(content.subarray(0, from), content.subarray(from + count)),
      ]),
    );
  },
  'content stretched': ({ node }, random) => {
    const content = contentOf(node);
    const at = pick(random, [0, content.length, random.below(content.length + 1)]);
    const more = pick(random, [Uint8Array.of(0), random.bytes(1 + random.below(8)), content, new Uint8Array(200)]);
    setContent(node, concat(content.subarray(0, at), more, content.subarray(at)));
  },
  'content flipped': ({ node }, random) => {
    const content = contentOf(node).slice();
    if (content.length > 0) content[random.below(content.length)]! ^= 1 << random.below(8);
    setContent(node, content);
  },
  'tag flipped': ({ node }, random) => {
    node.tag ^= 1 << random.below(8);
  },
  'length flipped': ({ node }, random) => {
    const bytes = bytesOf(node).slice();
    const size = bytes[1]! < 0x80 ? 1 : 1 + (bytes[1]! & 0x7f);
    bytes[1 + random.below(size)]! ^= 1 << random.below(8);
    setRaw(node, bytes);
  },
  'another type': ({ node }, random) => {
    node.tag = pick(random, TAGS);
  },
  deleted: ({ parent, index }) => {
    parent?.children?.splice(index, 1);
  },
  doubled: ({ node, parent, index }) => {
    parent?.children?.splice(index, 0, copyOf(node));
  },
  'changed places': ({ parent, index }, random) => {
    const siblings = parent?.children ?? [];
    const other = siblings.length > 0 ? random.below(siblings.length) : 0;
    if (siblings.length > 1) [siblings[index], siblings[other]] = [siblings[other]!, siblings[index]!];
  },
  'length spelled long': ({ node }, random) => {
    const content = contentOf(node);
    const size = 1 + random.below(4);
    const digits = Array.from({ length: size }, (_, i) => Math.floor(content.length / 256 ** (size - 1 - i)) & 0xff);
    setRaw(node, Uint8Array.of(node.tag, 0x80 | size, ...digits), content);
  },
  'length indefinite': ({ node }) => {
    setRaw(node, Uint8Array.of(node.tag | 0x20, 0x80), contentOf(node), new Uint8Array(2));
  },
  'length untrue': ({ node }, random) => {
    const content = contentOf(node);
    const length = pick(random, [content.length + 1, Math.max(0, content.length - 1), 0, 0xffff, 0xffffff, 0xffffffff]);
    setRaw(node, Uint8Array.of(node.tag), lengthBytes(length), content);
  },
  'tag of several bytes': ({ node }) => {
    setRaw(node, Uint8Array.of(node.tag | 0x1f, node.tag & 0x1f), bytesOf(node).subarray(1));
  },
  'string in pieces': ({ node }) => {
    const content = contentOf(node);
    const half = content.length >> 1;
    const pieces = [content.subarray(0, half), content.subarray(half)].map((piece) =>
      leafNode(node.tag & ~0x20, piece),
    );
    become(node, { ...leafNode(node.tag | 0x20, content), children: pieces });
  },
  wrapped: ({ node }, random) => {
    const inner = copyOf(node);
    become(node, {
      ...leafNode(pick(random, [0x30, 0x31, 0xa0, 0xa3, 0x24, 0x04]), contentOf(node)),
      children: [inner],
    });
  },
  'nested deep': ({ node }, random) => {
    let bytes = bytesOf(node);
    const tag = pick(random, [0x30, 0xa0]);
    for (let depth = 5 + random.below(40); depth > 0; depth--)
      bytes = concat(Uint8Array.of(tag), lengthBytes(bytes.length), bytes);
    setRaw(node, bytes);
  },
  'another number': ({ node }, random) => {
    setContent(node, pick(random, INTEGERS));
  },
  'another identifier': ({ node }, random) => {
    setContent(node, pick(random, OIDS));
  },
  'another time': ({ node }, random) => {
    setContent(node, encodeUtf8(pick(random, TIMES)));
    if (random.below(2) === 0) node.tag = node.content.length > 13 ? 0x18 : 0x17;
  },
  'another text': ({ node }, random) => {
    const [tag, write] = pick(random, ENCODINGS);
    setContent(node, write(pick(random, TEXTS)));
    if ((node.tag & 0xc0) === 0) node.tag = tag;
  },
  'another encoding': ({ node }, random) => {
    if ((node.tag & 0xc0) !== 0 || node.children !== null) return;
    const [tag, write] = pick(random, ENCODINGS);
    setContent(node, write(Buffer.from(node.content).toString()));
    node.tag = tag;
  },
  'another truth': ({ node }, random) => {
    become(node, leafNode(0x01, Uint8Array.from(pick(random, [[0], [1], [0xff], [], [0xff, 0xff]]))));
  },
  'other bits': ({ node }, random) => {
    setContent(node, concat(Uint8Array.of(random.below(10)), random.bytes(random.below(4))));
  },
  'grafted in': ({ node }, random, donors) => {
    const all = placesIn(pick(random, donors)).map((place) => place.node);
    const alike = all.filter(({ tag }) => tag === node.tag);
    become(node, pick(random, alike.length > 0 && random.below(4) > 0 ? alike : all));
  },
  'grafted beside': ({ parent, index }, random, donors) => {
    const all = placesIn(pick(random, donors));
    parent?.children?.splice(index, 0, copyOf(pick(random, all).node));
  },
};

/** Of which type an element has to be for a mutation to say much; it strikes others as well, more rarely. */
const BEST_FOR: Readonly<Record<string, readonly number[]>> = {
  'another number': [0x02, 0x0a, 0x80],
  'another identifier': [0x06],
  'another time': [0x17, 0x18],
  'another text': [0x0c, 0x13, 0x16, 0x81, 0x82, 0x86],
  'another encoding': [0x0c, 0x13, 0x16],
  'another truth': [0x01],
  'other bits': [0x03],
};
const KINDS = Object.keys(DER_MUTATIONS);

/** Does one thing to one element. @returns what */
export function mutateDer(root: DerNode, random: SeededRandom, donors: readonly DerNode[]): string {
  const kind = pick(random, KINDS);
  const places = placesIn(root);
  const best = places.filter(({ node }) => BEST_FOR[kind]?.includes(node.tag));
  const place = pick(random, best.length > 0 && random.below(8) > 0 ? best : places);
  DER_MUTATIONS[kind]!(place, random, donors);
  return kind;
}

/** Bends a whole paper, its signature and frame among it; nobody signs it again. */
export function bend(
  original: Uint8Array,
  random: SeededRandom,
  donors: readonly DerNode[],
): { readonly what: string; readonly bytes: Uint8Array } {
  const at = random.below(original.length);
  switch (random.below(16)) {
    case 0:
      return { what: 'cut off', bytes: original.subarray(0, at) };
    case 1:
      return { what: 'something behind', bytes: concat(original, random.bytes(1 + random.below(8))) };
    case 2:
      return { what: 'one behind the other', bytes: concat(original, bytesOf(pick(random, donors))) };
    case 3: {
      const bytes = original.slice();
      for (let flips = 1 + random.below(3); flips > 0; flips--)
        bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
      return { what: 'bits flipped', bytes };
    }
    case 4:
      return { what: 'another paper', bytes: bytesOf(pick(random, donors)) };
    case 5:
      return { what: 'noise', bytes: random.bytes(at) };
    default: {
      const tree = treeOf(original);
      const what = mutateDer(tree, random, donors);
      return { what, bytes: bytesOf(tree) };
    }
  }
}
