/**
 * `bench halves`: every operation of the crypto seam in both halves, the portable one beside the one over OpenSSL.
 */
import { generateSigningKey, nodeCrypto } from '../platform/crypto-node.ts';
import { portableCrypto } from '../platform/crypto-portable.ts';
import { newPortableSigningKey } from '../platform/crypto-portable-keys.ts';
import type { Aead, Crypto, Curve, SignatureAlgorithm, SigningKey } from '../protocol/crypto.ts';
import { type Call, sideBySide } from './call-cost.ts';
import { figure, type Report } from './figures.ts';
import type { Progress } from './progress.ts';

const FULL = { rounds: 11, batches: 20 };
const QUICK = { rounds: 5, batches: 9 };

const AEADS: readonly Aead[] = [
  { cipher: 'aes-gcm', keyBytes: 16, nonceBytes: 12, tagBytes: 16 },
  { cipher: 'aes-ccm', keyBytes: 16, nonceBytes: 13, tagBytes: 8 },
  { cipher: 'chacha20-poly1305', keyBytes: 32, nonceBytes: 12, tagBytes: 16 },
];
const CURVES: readonly Curve[] = ['x25519', 'p256'];
const SIGNERS = [
  ['ed25519', 'ed25519'],
  ['p256', 'ecdsa-sha256'],
  ['p384', 'ecdsa-sha384'],
] as const;

export async function benchHalves(quick: boolean, progress: Progress): Promise<Report> {
  const node = operations(nodeCrypto(), (type) => generateSigningKey(type).key);
  const portable = operations(portableCrypto(), (type) => newPortableSigningKey(type, zero()).key);
  const calls = node.flatMap((call, i) => [call, portable[i]!]);
  const costs = sideBySide(calls, quick ? QUICK : FULL, (part, { name }) => progress.at(part, name));
  const figures = node.flatMap((call, i) => {
    const yardstick = { name: 'node', rounds: costs.get(call)! };
    return [
      figure(`${call.name}, node`, 'µs', yardstick.rounds),
      figure('  portable', 'µs', costs.get(portable[i]!)!, yardstick),
    ];
  });
  const how = ['One thread; each round goes through all rows, node and portable next to each other.'];
  return { sections: [{ title: 'One operation of the crypto seam', how, figures }], ledgers: [] };
}

const zero = () => ({ generate: 0, agree: 0, sign: 0, verify: 0 });

/** In the same order for every half. */
function operations(
  crypto: Crypto,
  newKey: (type: 'ed25519' | 'p256' | 'p384') => SigningKey & { readonly publicSpki: Uint8Array },
): Call[] {
  const text = crypto.random(200);
  const prk = crypto.hash('sha-256', text);
  const calls: Call[] = [
    call('SHA-256, 200 B', () => crypto.hash('sha-256', text)),
    call('HMAC-SHA-256, 200 B', () => crypto.hmac('sha-256', prk, text)),
    call('HKDF-Expand, 32 B', () => crypto.hkdfExpand('sha-256', prk, text, 32)),
    call('random, 16 B', () => crypto.random(16)),
  ];
  for (const aead of AEADS) {
    const [key, nonce] = [crypto.random(aead.keyBytes), crypto.random(aead.nonceBytes)];
    const sealed = crypto.seal(aead, key, nonce, text, text.subarray(0, 64));
    const name = `${aead.cipher}-${8 * aead.keyBytes}, 64 B`;
    calls.push(
      call(`seal ${name}`, () => crypto.seal(aead, key, nonce, text, text.subarray(0, 64))),
      call(`open ${name}`, () => crypto.open(aead, key, nonce, text, sealed)),
    );
  }
  for (const curve of CURVES) {
    const [own, peer] = [crypto.generateKey(curve), crypto.generateKey(curve)];
    calls.push(
      call(`generate ${curve}`, () => crypto.generateKey(curve)),
      call(`agree ${curve}`, () => crypto.agree(own, peer.publicKey)),
    );
  }
  for (const [type, algorithm] of SIGNERS) calls.push(...signatures(crypto, newKey(type), algorithm));
  return calls;
}

function signatures(
  crypto: Crypto,
  signer: SigningKey & { readonly publicSpki: Uint8Array },
  algorithm: SignatureAlgorithm,
): Call[] {
  const text = crypto.random(200);
  const signature = signer.sign(algorithm, text);
  const key = crypto.publicKey(signer.publicSpki);
  if (key === null) throw new Error(`the half takes no key of kind ${signer.algorithm}`);
  return [
    call(`sign ${algorithm}`, () => signer.sign(algorithm, text)),
    call(`verify ${algorithm}`, () => {
      if (!crypto.verify(algorithm, key, signature, text, 'raw')) throw new Error('an own signature was refused');
    }),
    call(`take in a public key, ${signer.algorithm}`, () => crypto.publicKey(key.spki)),
  ];
}

function call(name: string, operation: () => unknown): Call {
  return {
    name,
    run: () => {
      operation();
    },
  };
}
