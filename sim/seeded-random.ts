/**
 * Random numbers that are the same on every machine: sfc32 (Chris Doty-Humphrey's PractRand), 32-bit integer arithmetic
 * alone, its state taken from SHA-256 of the seed. For simulations; nothing secret may come of it.
 */
import { nodeCrypto } from '../platform/crypto-node.ts';
import { concat, encodeUtf8 } from '../protocol/bytes.ts';

export interface SeededRandom {
  bytes(length: number): Uint8Array;
  /** 0 to 2³² − 1. */
  uint32(): number;
  /** 0 included, 1 not; in steps of 2⁻³². */
  fraction(): number;
  /** 0 to n − 1, each equally likely. @throws RangeError unless n is a whole number from 1 to 2³² */
  below(n: number): number;
  /**
   * A stream of its own under a name. It depends on the seed and the names on the way alone, not on what was drawn: one
   * more draw in one place changes nothing in another. The same name gives the same stream again.
   */
  fork(name: string): SeededRandom;
}

const TWO_TO_32 = 0x1_0000_0000;
/** Until every bit of the state depends on every bit of the seed, 12 would do. */
const ROUNDS_BEFORE_USE = 20;

const { hash } = nodeCrypto();

/** @param seed  1 and '1' are two seeds */
export function seededRandom(seed: number | string): SeededRandom {
  return streamOf(hash('sha-256', encodeUtf8(`${typeof seed} ${seed}`)));
}

function streamOf(root: Uint8Array): SeededRandom {
  const words = new DataView(root.buffer, root.byteOffset, root.byteLength);
  let a = words.getInt32(0, true);
  let b = words.getInt32(4, true);
  let c = words.getInt32(8, true);
  let count = 1;
  const uint32 = (): number => {
    const drawn = (a + b + count) | 0;
    count = (count + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + drawn) | 0;
    return drawn >>> 0;
  };
  for (let round = 0; round < ROUNDS_BEFORE_USE; round++) uint32();
  return {
    uint32,
    bytes(length) {
      const drawn = new Uint8Array(length);
      for (let at = 0; at < length; at += 4) {
        const word = uint32();
        for (let i = at; i < length && i < at + 4; i++) drawn[i] = word >>> (8 * (i - at));
      }
      return drawn;
    },
    fraction: () => uint32() / TWO_TO_32,
    below(n) {
      if (!Number.isInteger(n) || n < 1 || n > TWO_TO_32) throw new RangeError(`no number below ${n} can be drawn`);
      const limit = TWO_TO_32 - (TWO_TO_32 % n);
      for (;;) {
        const drawn = uint32();
        if (drawn < limit) return drawn % n;
      }
    },
    fork: (name) => streamOf(hash('sha-256', concat(root, encodeUtf8(name)))),
  };
}
