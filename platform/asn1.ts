/**
 * The one door to asn1js: bytes that the strict scan has passed become a tree of elements.
 */
import { type BaseBlock, Constructed, fromBER, Integer, UTCTime } from 'asn1js';
import { DerFault, type Span, scanDer, spansOf, TAG } from './der.ts';

/** The library spends 4 to 6 µs on each. Certificates of public CAs have up to 100. */
export const MAX_ELEMENTS = 500;

/** One object of the tree. */
export class Element {
  readonly #block: BaseBlock;
  /** The first byte, class and form among it. */
  readonly tag: number;
  /** Tag, length and content, as they stand. */
  readonly raw: Uint8Array;

  constructor(block: BaseBlock) {
    this.#block = block;
    this.raw = block.valueBeforeDecodeView;
    this.tag = this.raw[0]!;
  }

  get content(): Uint8Array {
    return this.raw.subarray(this.#block.idBlock.blockLength + this.#block.lenBlock.blockLength);
  }

  /** Of a primitive element: none. */
  get members(): readonly Element[] {
    return this.#block instanceof Constructed ? this.#block.valueBlock.value.map((one) => new Element(one)) : [];
  }

  /** @throws DerFault for anything but an INTEGER */
  get integer(): bigint {
    if (!(this.#block instanceof Integer) || this.tag !== TAG.integer) throw new DerFault('no integer');
    return this.#block.toBigInt();
  }

  /** Seconds since 1970. @throws DerFault for anything but a time; the library alone takes any digits, the scan does not */
  get time(): number {
    if (!(this.#block instanceof UTCTime)) throw new DerFault('no time'); // GeneralizedTime is a subclass
    return this.#block.toDate().getTime() / 1000;
  }
}

/** Exactly one element in DER, nothing behind it. @throws DerFault */
export function parseDer(bytes: Uint8Array, tag: number): Element {
  return parsed(expect(scanDer(bytes, MAX_ELEMENTS), tag));
}

/** The tree of a span out of scanned bytes. @throws DerFault */
export function parsed({ raw }: Span): Element {
  const limits = { maxNodes: MAX_ELEMENTS, maxContentLength: raw.length };
  // Strings stay what they are: embedded, the library tries each as a tree of its own.
  const { offset, result } = orFault(() => fromBER(raw, { ...limits, parseEmbedded: false, copyInput: false }));
  if (offset !== raw.length) throw new DerFault(result.error || 'no ASN.1');
  return new Element(result);
}

function orFault<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new DerFault(`the library refuses: ${error instanceof Error ? error.message : 'no reason'}`);
  }
}

/** @throws DerFault when it is missing or of another tag */
export function expect<T extends { readonly tag: number }>(element: T | undefined, tag: number): T {
  if (element?.tag !== tag) throw new DerFault(`tag ${element?.tag ?? 'none'}, wanted ${tag}`);
  return element;
}

/** Members of a SEQUENCE that come in order and may be left out; `end` refuses what nobody took. */
export class Members<T extends { readonly tag: number }> {
  readonly #elements: readonly T[];
  #next = 0;

  constructor(elements: readonly T[]) {
    this.#elements = elements;
  }

  take(...tags: readonly number[]): T {
    const element = this.takeIf(...tags);
    if (element === null) throw new DerFault(`tag ${this.#elements[this.#next]?.tag ?? 'none'}, wanted ${tags}`);
    return element;
  }

  takeAny(): T {
    const element = this.#elements[this.#next++];
    if (element === undefined) throw new DerFault('a member is missing');
    return element;
  }

  takeIf(...tags: readonly number[]): T | null {
    const element = this.#elements[this.#next];
    if (element === undefined || !tags.includes(element.tag)) return null;
    this.#next++;
    return element;
  }

  end(): void {
    if (this.#next < this.#elements.length) throw new DerFault('a member too many');
  }
}

/** @throws DerFault for anything but a SEQUENCE */
export function membersOf(element: Element): Members<Element> {
  return new Members(expect(element, TAG.sequence).members);
}

/** The one member of an explicit tag. @throws DerFault */
export function onlyMember({ members }: Element, tag: number): Element {
  if (members.length !== 1) throw new DerFault('no single member under an explicit tag');
  return expect(members[0], tag);
}

/** The same of a span out of scanned bytes. @throws DerFault */
export function onlySpan({ content }: Span, tag: number): Span {
  const members = spansOf(content);
  if (members.length !== 1) throw new DerFault('no single member under an explicit tag');
  return expect(members[0], tag);
}

/** @returns an unsigned INTEGER below 2^31 */
export function smallInteger(element: Element): number {
  const value = element.integer;
  if (value < 0n || value >= 2n ** 31n) throw new DerFault('an integer out of range');
  return Number(value);
}

/** Bits of a named-bit list, first bit first. */
export function namedBits({ content }: Element): boolean[] {
  const unused = content[0]!;
  const bytes = content.subarray(1);
  // A named-bit list ends in a one. [X.690 §11.2.2]
  if (bytes.length > 4 || (bytes.length > 0 && (bytes.at(-1)! & (1 << unused)) === 0)) {
    throw new DerFault('a bit string with a tail of zeroes');
  }
  return Array.from({ length: bytes.length * 8 - unused }, (_, i) => (bytes[i >> 3]! & (0x80 >> (i & 7))) !== 0);
}

/**
 * Dotted decimal, arcs of any size: the library prints an arc beyond 2^53, such as a UUID's, as hex of its 7-bit groups.
 */
export function oidText({ content }: { readonly content: Uint8Array }): string {
  const arcs: bigint[] = [];
  let arc = 0n;
  for (const byte of content) {
    arc = (arc << 7n) | BigInt(byte & 0x7f);
    if (byte >= 0x80) continue;
    if (arcs.length === 0) {
      const top = arc < 40n ? 0n : arc < 80n ? 1n : 2n;
      arcs.push(top, arc - 40n * top);
    } else arcs.push(arc);
    arc = 0n;
  }
  return arcs.join('.');
}
