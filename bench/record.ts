/**
 * `bench record`: what protecting a record adds in bytes, and how many records a second are sealed and opened, by both
 * crypto halves, beside plain calls of node:crypto on the same payload.
 */
import { createCipheriv, createDecipheriv, createHmac, createSecretKey, timingSafeEqual } from 'node:crypto';
import { nodeCrypto } from '../platform/crypto-node.ts';
import { portableCrypto } from '../platform/crypto-portable.ts';
import { EMPTY } from '../protocol/bytes.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { deriveContext } from '../protocol/key-schedule.ts';
import {
  FIRST_ID,
  makeRecordContext,
  openRecord,
  type RecordContext,
  SECOND_ID,
  sealRecord,
} from '../protocol/record.ts';
import {
  AUTHENTICATE_ONLY_SUITE,
  CHANNEL_SUITES,
  CIPHERS,
  type RecordAlgorithm,
  resolveSuite,
  type Suite,
  sameSuite,
} from '../protocol/suites.ts';
import { type Call, sideBySide } from './call-cost.ts';
import { type Figure, figure, type Ledger, type Report, type Section } from './figures.ts';
import type { Progress } from './progress.ts';

const SIZES = [64, 1024, 16_384] as const;
const FULL = { rounds: 9, batches: 20 };
const QUICK = { rounds: 5, batches: 7 };

/** Every AEAD of the registry once, whatever its KDF hash, which no record sees; and each hash as a MAC. */
const SUITES: readonly Suite[] = (['aes-gcm', 'aes-ccm', 'chacha20-poly1305'] as const)
  .flatMap((cipher) =>
    CIPHERS[cipher].keyBits.flatMap((keyBits) =>
      CIPHERS[cipher].tagBits.map((tagBits): Suite => ({ cipher, keyBits, tagBits, hash: 'sha-256' })),
    ),
  )
  .concat((['sha-256', 'sha-384', 'sha-512'] as const).map((hash) => ({ ...AUTHENTICATE_ONLY_SUITE, hash })));

const shortName = ({ cipher, keyBits, tagBits, hash }: Suite): string =>
  `${cipher === 'hmac' ? `hmac ${hash}` : `${cipher}-${keyBits}`}, tag ${tagBits / 8} B`;

export async function benchRecord(quick: boolean, progress: Progress): Promise<Report> {
  const halves = [nodeCrypto(), portableCrypto()];
  const sections: Section[] = [];
  for (const [i, size] of SIZES.entries()) {
    const part = (inside: number, doing: string): void =>
      progress.at((i + inside) / SIZES.length, `${size} B: ${doing}`);
    sections.push(...sectionsOf(size, halves, quick ? QUICK : FULL, part));
  }
  return { sections, ledgers: [overhead()] };
}

// ── Bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What is longer than the payload, measured on sealed records. */
function overhead(): Ledger {
  const crypto = nodeCrypto();
  const sequences = [0, 256, 65_536] as const;
  const rows = SUITES.map((suite) => {
    const algorithm = resolved(suite);
    const added = (sequence: number, route: number | null): number => {
      const { sender } = ends(crypto, algorithm, route);
      sender.nextSequence = sequence;
      return sealRecord(crypto, sender, 'data', new Uint8Array(64)).length - 64;
    };
    const channel = CHANNEL_SUITES.concat(AUTHENTICATE_ONLY_SUITE).some((one) => sameSuite(one, suite));
    const first = sequences.map((sequence) => added(sequence, null));
    return [shortName(suite), channel ? 'channel, session' : 'session', ...first, added(0, 1)];
  });
  return {
    title: 'Bytes that a record adds to its payload',
    columns: ['', 'used for', 'records 0–255', 'to 65,535', 'to 16,777,215', 'second session of a pair'],
    rows,
    notes: [
      'Beside it: a TLS 1.3 record adds 22 bytes (head 5, content type 1, tag 16), a DTLS 1.3 record at least 19.',
    ],
  };
}

// ── Records a second ────────────────────────────────────────────────────────────────────────────────────────────────

interface Measured extends Call {
  readonly suite: Suite;
  readonly act: 'seal' | 'open';
  /** `plain`: node:crypto by itself. */
  readonly by: string;
}

function sectionsOf(
  size: number,
  halves: readonly Crypto[],
  scale: typeof FULL,
  part: (inside: number, doing: string) => void,
): Section[] {
  const calls = SUITES.flatMap((suite) => [
    ...plainCalls(suite, size),
    ...halves.flatMap((crypto) => recordCalls(crypto, suite, size)),
  ]);
  const costs = sideBySide(calls, scale, (inside, { name }) => part(inside, name));
  const perSecond = (by: string, suite: Suite, act: string): readonly number[] => {
    const call = calls.find((one) => one.by === by && one.suite === suite && one.act === act)!;
    return costs.get(call)!.map((micros) => 1e6 / micros);
  };
  const acts = ['seal', 'open'] as const;
  return [
    {
      title: `Records a second, payload ${size} B: plain calls of node:crypto, and both halves beside them`,
      how: [
        'One thread; each round goes through all rows, so a ratio compares one moment with itself. Plain: createCipheriv,',
        'createDecipheriv or createHmac on a KeyObject that is kept, nothing around it. A half: sealRecord, openRecord, that',
        'is head, sequence number, nonce, authenticated data, replay window and the cipher, the key as bytes.',
      ],
      figures: SUITES.flatMap((suite) =>
        acts.flatMap((act): Figure[] => {
          const plain = { name: 'plain', rounds: perSecond('plain', suite, act) };
          return [
            figure(`${act} ${shortName(suite)}, plain node:crypto`, '/s', plain.rounds),
            ...halves.map(({ name }) => figure(`  ${name} half`, '/s', perSecond(name, suite, act), plain)),
          ];
        }),
      ),
    },
  ];
}

function resolved(suite: Suite): RecordAlgorithm {
  const algorithm = resolveSuite(suite);
  if (algorithm === null) throw new RangeError('a suite outside the registry');
  return algorithm;
}

/** The two ends of a session: T in the authenticated data, as every session has it. */
function ends(crypto: Crypto, algorithm: RecordAlgorithm, route: number | null = null) {
  const masterSecret = new Uint8Array(32).fill(7);
  const transcript = new Uint8Array(32).fill(9);
  const end = (senderId: Uint8Array, recipientId: Uint8Array): RecordContext => {
    const ids = { algorithm, senderId, recipientId };
    const keys = deriveContext(crypto, { ...ids, masterSecret, masterSalt: EMPTY, idContext: transcript });
    return makeRecordContext({ ...ids, keys, epochBit: 0, route, transcript });
  };
  return { sender: end(FIRST_ID, SECOND_ID), receiver: end(SECOND_ID, FIRST_ID) };
}

function recordCalls(crypto: Crypto, suite: Suite, size: number): Measured[] {
  const algorithm = resolved(suite);
  const payload = crypto.random(size);
  let pair = ends(crypto, algorithm);
  let records: Uint8Array[] = [];
  const about = (act: 'seal' | 'open') => ({ suite, act, by: crypto.name, name: `${act} ${shortName(suite)}` });
  return [
    {
      ...about('seal'),
      prepare: () => {
        pair = ends(crypto, algorithm);
      },
      run: () => {
        sealRecord(crypto, pair.sender, 'data', payload);
      },
    },
    {
      ...about('open'),
      prepare: (calls) => {
        pair = ends(crypto, algorithm);
        records = Array.from({ length: calls }, () => sealRecord(crypto, pair.sender, 'data', payload));
      },
      run: (i) => {
        openRecord(crypto, pair.receiver, records[i]!);
      },
    },
  ];
}

/** As long as the authenticated data of a session's record. */
const AAD = new Uint8Array(59).fill(3);

function plainCalls(suite: Suite, size: number): Measured[] {
  const algorithm = resolved(suite);
  const { keyBytes, nonceBytes, tagBytes } = algorithm;
  const random = nodeCrypto().random;
  const [nonce, payload] = [random(nonceBytes), random(size)];
  const key = createSecretKey(random(keyBytes));
  const about = (act: 'seal' | 'open') => ({ suite, act, by: 'plain', name: `${act} ${shortName(suite)}, plain` });
  if (algorithm.kind === 'integrity-only') {
    const hash = suite.hash.replace('-', '');
    const mac = () => createHmac(hash, key).update(AAD).update(nonce).update(payload).digest().subarray(0, tagBytes);
    const good = mac();
    return [
      {
        ...about('seal'),
        run: () => {
          mac();
        },
      },
      {
        ...about('open'),
        run: () => {
          if (!timingSafeEqual(mac(), good)) throw new Error('the MAC changed');
        },
      },
    ];
  }
  const name = suite.cipher === 'chacha20-poly1305' ? suite.cipher : `aes-${suite.keyBits}-${suite.cipher.slice(4)}`;
  const options = { authTagLength: tagBytes };
  const seal = () => {
    // Typed apart for each mode; at run time all take these calls.
    const cipher = createCipheriv(name as 'aes-128-ccm', key, nonce, options);
    cipher.setAAD(AAD, { plaintextLength: size });
    const body = cipher.update(payload);
    cipher.final();
    return { body, tag: cipher.getAuthTag() };
  };
  const sealed = seal();
  return [
    {
      ...about('seal'),
      run: () => {
        seal();
      },
    },
    {
      ...about('open'),
      run: () => {
        const decipher = createDecipheriv(name as 'aes-128-ccm', key, nonce, options);
        decipher.setAuthTag(sealed.tag);
        decipher.setAAD(AAD, { plaintextLength: size });
        decipher.update(sealed.body);
        decipher.final();
      },
    },
  ];
}
