/**
 * `bench suites`, what suites cost: each on both crypto halves beside `openssl speed`; what an agent finds out at its start;
 * and the turn of the ranking when the AES instructions are taken away.
 */
import { nodeCrypto } from '../platform/crypto-node.ts';
import { portableCrypto } from '../platform/crypto-portable.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { protect } from '../protocol/protection.ts';
import { CIPHERS, type Cipher, resolveSuite, type Suite } from '../protocol/suites.ts';
import { type Call, sideBySide } from './call-cost.ts';
import { agentLedger, turnOf } from './cost-turn.ts';
import { figure, type Report, type Section } from './figures.ts';
import { opensslMicros, opensslVersion, type Speed } from './openssl-speed.ts';
import type { Progress } from './progress.ts';

const SIZES = [64, 1024, 16_384] as const;
const FULL = { rounds: 3, batches: 20 };
const QUICK = { rounds: 1, batches: 7 };
const HASHES = ['sha-256', 'sha-384', 'sha-512'] as const;

/** Every suite whose records cost something of their own, with its longest tag: a tag is cut from what was made anyway. */
export const COSTLY_SUITES: readonly Suite[] = (Object.keys(CIPHERS) as Cipher[]).flatMap((cipher) => {
  const { keyBits, tagBits } = CIPHERS[cipher];
  const keys = cipher === 'hmac' ? [256] : keyBits; // HMAC fills every key up to a block
  const hashes = cipher === 'hmac' || cipher === 'aes-ctr-hmac' ? HASHES : HASHES.slice(0, 1);
  return keys.flatMap((bits) =>
    hashes.map((hash): Suite => ({ cipher, keyBits: bits, hash, tagBits: Math.max(...tagBits) })),
  );
});
/** One of each cipher. */
const QUICK_SUITES = COSTLY_SUITES.filter(({ cipher, keyBits, hash }) => {
  if (hash !== 'sha-256') return false;
  return keyBits === 128 || cipher === 'hmac' || cipher === 'chacha20-poly1305';
});

export const costName = ({ cipher, keyBits, hash }: Suite): string => {
  if (cipher === 'hmac') return `hmac ${hash}`;
  return `${cipher}-${keyBits}${cipher === 'aes-ctr-hmac' ? ` ${hash}` : ''}`;
};

export async function benchSuiteCosts(quick: boolean, progress: Progress): Promise<Report> {
  const turn = turnOf(quick, (part) => progress.at(0.1 * part, 'AES instructions taken away'));
  const agent = agentLedger(quick ? QUICK_SUITES : COSTLY_SUITES);
  const sections = besideOpenssl(quick, (part, doing) => progress.at(0.1 + 0.9 * part, doing));
  return { sections: [...sections, ...turn.sections], ledgers: [agent, ...turn.ledgers] };
}

// ── Beside openssl speed ────────────────────────────────────────────────────────────────────────────────────────────

/** What is done by `openssl speed` for a suite: AES-CTR with HMAC is the two, one after the other. */
function speedsOf({ cipher, keyBits, hash }: Suite): Speed[] {
  const mac: Speed = { hmac: hash.replace('-', '') as 'sha256' };
  switch (cipher) {
    case 'hmac':
      return [mac];
    case 'aes-ctr-hmac':
      return [{ evp: `aes-${keyBits}-ctr`, aead: false }, mac];
    case 'chacha20-poly1305':
      return [{ evp: cipher, aead: true }];
    default:
      return [{ evp: `aes-${keyBits}-${cipher.slice(4)}`, aead: true }];
  }
}

interface Row {
  readonly suite: Suite;
  readonly openssl: number[];
  readonly halves: readonly { readonly call: Call; readonly by: string; readonly micros: number[] }[];
}

function besideOpenssl(quick: boolean, at: (part: number, doing: string) => void): Section[] {
  const { rounds, batches } = quick ? QUICK : FULL;
  const halves = [nodeCrypto(), portableCrypto()];
  const version = opensslVersion();
  const tables = SIZES.map((size) => ({
    size,
    rows: (quick ? QUICK_SUITES : COSTLY_SUITES).map((suite) => rowOf(suite, size, halves)),
  }));
  const all = tables.flatMap(({ size, rows }) => rows.map((row) => ({ size, row })));
  for (let round = 0; round < rounds; round++) {
    const known = new Map<string, number | null>();
    for (const [i, { size, row }] of all.entries()) {
      at((round + i / all.length) / rounds, `${size} B: ${costName(row.suite)}`);
      if (version !== null) row.openssl.push(...opensslRound(row.suite, size, known));
      const costs = sideBySide(
        row.halves.map(({ call }) => call),
        { rounds: 1, batches },
        () => {},
      );
      for (const { call, micros } of row.halves) micros.push(...costs.get(call)!);
    }
  }
  const how = [
    'One thread, µs for sealing one record as a session does (protect: key import, nonce, 59 B of authenticated data, tag).',
    version === null
      ? 'There is no openssl here to stand beside.'
      : `Beside it, in the same round: ${version}, \`openssl speed\`, one second each: a loop in C under one key, AEADs with nonce`,
    ...(version === null ? [] : ['and tag for each message; AES-CTR with HMAC is the sum of the two.']),
  ];
  return tables.map(({ size, rows }) => ({
    title: `µs for a record of ${size} B: openssl speed, and both halves beside it`,
    how,
    figures: rows.flatMap(({ suite, openssl, halves: ours }) => {
      const name = costName(suite);
      const stick = openssl.length === rounds ? { name: 'openssl', rounds: openssl } : null;
      return [
        ...(stick === null ? [] : [figure(`${name}, openssl speed`, 'µs', openssl)]),
        ...ours.map(({ by, micros }) =>
          figure(`${stick === null ? `${name}, ` : '  '}${by} half`, 'µs', micros, stick),
        ),
      ];
    }),
  }));
}

/** @returns one value, or none where openssl does not know the suite */
function opensslRound(suite: Suite, size: number, known: Map<string, number | null>): number[] {
  let sum = 0;
  for (const speed of speedsOf(suite)) {
    const key = `${size} ${JSON.stringify(speed)}`;
    const micros = known.has(key) ? known.get(key)! : opensslMicros(speed, size);
    known.set(key, micros);
    if (micros === null) return [];
    sum += micros;
  }
  return [sum];
}

const AAD = new Uint8Array(59).fill(3);

function rowOf(suite: Suite, size: number, halves: readonly Crypto[]): Row {
  const algorithm = resolveSuite(suite)!;
  const [key, nonce] = [new Uint8Array(algorithm.keyBytes).fill(5), new Uint8Array(algorithm.nonceBytes).fill(7)];
  const payload = new Uint8Array(size).fill(9);
  const callOf = (half: Crypto): Call => ({
    name: `${costName(suite)}, ${half.name}`,
    run: () => {
      protect(half, algorithm, key, nonce, AAD, payload);
    },
  });
  return { suite, openssl: [], halves: halves.map((half) => ({ call: callOf(half), by: half.name, micros: [] })) };
}
