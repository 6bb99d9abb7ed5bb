/**
 * The mixing hash under the model crypto: 128 bits of state, the block and final mix of MurmurHash3 x86_128 (Austin
 * Appleby, public domain), stretched to any length. It tells inputs apart and is fast in plain JavaScript; it withstands
 * nobody. Every step is a bijection of the state, so a change inside one block of 16 bytes never goes unseen.
 */

const C1 = 0x239b961b;
const C2 = 0xab0e9789;
const C3 = 0x38b34ae5;
const C4 = 0xa1e38b93;

/** Of one use after another, never of two at once: an array for each call would cost as much as the mixing. */
const tail = new Uint8Array(16);

/** Final mix of MurmurHash3, a bijection of 32 bits. */
function avalanche(word: number): number {
  let h = word ^ (word >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

export class ModelHash {
  #h1: number;
  #h2 = 0x2545f491;
  #h3 = 0x4f6cdd1d;
  #h4 = 0x1b873593;

  /** @param domain  tells uses apart: the same input under two domains has nothing in common */
  constructor(domain: number) {
    this.#h1 = domain | 0;
  }

  /** The same state once more, to go on from here in two ways. */
  copy(): ModelHash {
    const twin = new ModelHash(this.#h1);
    twin.#h2 = this.#h2;
    twin.#h3 = this.#h3;
    twin.#h4 = this.#h4;
    return twin;
  }

  /** Takes in a part. Its length counts: `ab`, `c` and `a`, `bc` are two inputs. */
  absorb(part: Uint8Array): this {
    const { length } = part;
    const whole = length & ~15;
    if (whole > 0) this.#blocks(part, whole);
    if (whole < length) {
      tail.fill(0);
      for (let i = whole; i < length; i++) tail[i - whole] = part[i]!;
      this.#blocks(tail, 16);
    }
    return this.absorbNumber(length);
  }

  absorbNumber(value: number): this {
    this.#h1 ^= value;
    this.#stir();
    return this;
  }

  /** @param length  any; a shorter output is the beginning of a longer one */
  squeeze(length: number): Uint8Array {
    const out = new Uint8Array(length);
    return this.maskInto(out, out);
  }

  /**
   * XORs the output into `target`, which may be `source` itself. Uses the state up. The output is the state after one
   * more mix, then the steps of xoshiro128 (Blackman, Vigna), all four words of each.
   */
  maskInto(target: Uint8Array, source: Uint8Array): Uint8Array {
    this.#stir();
    let h1 = this.#h1;
    let h2 = this.#h2;
    let h3 = this.#h3;
    let h4 = this.#h4;
    const { length } = source;
    for (let at = 0; at < length; at += 16) {
      if (at + 16 > length) {
        const words = [h1, h2, h3, h4];
        for (let i = at; i < length; i++) target[i] = source[i]! ^ (words[(i - at) >> 2]! >>> (8 * (i & 3)));
        break;
      }
      maskWord(target, source, at, h1);
      maskWord(target, source, at + 4, h2);
      maskWord(target, source, at + 8, h3);
      maskWord(target, source, at + 12, h4);
      const shifted = h2 << 9;
      h3 ^= h1;
      h4 ^= h2;
      h2 ^= h3;
      h1 ^= h4;
      h3 ^= shifted;
      h4 = (h4 << 11) | (h4 >>> 21);
    }
    return target;
  }

  #blocks(bytes: Uint8Array, end: number): void {
    let h1 = this.#h1;
    let h2 = this.#h2;
    let h3 = this.#h3;
    let h4 = this.#h4;
    for (let at = 0; at < end; at += 16) {
      h1 ^= scramble(wordAt(bytes, at), C1, C2, 15);
      h1 = (Math.imul(((h1 << 19) | (h1 >>> 13)) + h2, 5) + 0x561ccd1b) | 0;
      h2 ^= scramble(wordAt(bytes, at + 4), C2, C3, 16);
      h2 = (Math.imul(((h2 << 17) | (h2 >>> 15)) + h3, 5) + 0x0bcaa747) | 0;
      h3 ^= scramble(wordAt(bytes, at + 8), C3, C4, 17);
      h3 = (Math.imul(((h3 << 15) | (h3 >>> 17)) + h4, 5) + 0x96cd1c35) | 0;
      h4 ^= scramble(wordAt(bytes, at + 12), C4, C1, 18);
      h4 = (Math.imul(((h4 << 13) | (h4 >>> 19)) + h1, 5) + 0x32ac3b17) | 0;
    }
    this.#h1 = h1;
    this.#h2 = h2;
    this.#h3 = h3;
    this.#h4 = h4;
  }

  /** Every word into every other, in steps that can be undone. */
  #stir(): void {
    let h1 = (this.#h1 + this.#h2 + this.#h3 + this.#h4) | 0;
    const h2 = avalanche(this.#h2 + h1);
    const h3 = avalanche(this.#h3 + h1 + h2);
    const h4 = avalanche(this.#h4 + h1 + h3);
    h1 = avalanche(h1 + h2 + h3 + h4);
    this.#h1 = h1;
    this.#h2 = (h2 + h1) | 0;
    this.#h3 = (h3 + h1) | 0;
    this.#h4 = (h4 + h1) | 0;
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

function scramble(word: number, before: number, after: number, turn: number): number {
  const k = Math.imul(word, before);
  return Math.imul((k << turn) | (k >>> (32 - turn)), after);
}

function maskWord(target: Uint8Array, source: Uint8Array, at: number, word: number): void {
  target[at] = source[at]! ^ word;
  target[at + 1] = source[at + 1]! ^ (word >>> 8);
  target[at + 2] = source[at + 2]! ^ (word >>> 16);
  target[at + 3] = source[at + 3]! ^ (word >>> 24);
}
