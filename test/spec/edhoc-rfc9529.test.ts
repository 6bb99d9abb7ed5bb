/**
 * RFC 9529 §2, the EDHOC trace with two signatures, value by value, through the functions that production runs.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeCrypto, signingKey } from '../../platform/crypto-node.ts';
import { portableCrypto } from '../../platform/crypto-portable.ts';
import { portableSigningKey } from '../../platform/crypto-portable-keys.ts';
import { concat, EMPTY, fromHex, toHex, wipe } from '../../protocol/bytes.ts';
import { type CborItem, decode, encode, encodeSequence } from '../../protocol/cbor.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import {
  externalAad,
  macContext,
  macOf,
  type OwnCredential,
  type PeerCredential,
  toBeSigned,
} from '../../protocol/edhoc/authentication.ts';
import { cipherSuite } from '../../protocol/edhoc/cipher-suites.ts';
import { connectionIdItem } from '../../protocol/edhoc/connection-id.ts';
import { encodeIdCred, parseIdCred } from '../../protocol/edhoc/credential.ts';
import { applyKeystream2, associatedData, MESSAGE_3, MESSAGE_4, messageKeys } from '../../protocol/edhoc/encryption.ts';
import {
  readMessage2,
  readMessage4,
  startInitiator,
  statement2,
  verifyMessage2,
  writeMessage3,
} from '../../protocol/edhoc/initiator.ts';
import { derivePrkOut, edhocKdf, exporterOf, exportKey, KDF_LABEL, kdfInfo } from '../../protocol/edhoc/kdf.ts';
import {
  readMessage1,
  readMessage3,
  statement3,
  verifyMessage3,
  writeMessage2,
  writeMessage4,
} from '../../protocol/edhoc/responder.ts';

const path = join(
  process.env.KAGIMORI_VECTORS ?? join(import.meta.dirname, '../../../shared/vectors'),
  'rfc9529-method0.json',
);
const skip = existsSync(path) ? false : `vectors absent: ${path}`;

interface Block {
  readonly sub: string;
  readonly name: string;
  readonly kind: string;
  readonly hex: string;
}

/** The published values; every one that a test looked at is remembered, so that none is forgotten. */
class Trace {
  readonly #blocks: readonly Block[];
  readonly #seen = new Set<Block>();
  constructor() {
    const { blocks }: { blocks: readonly Block[] } = JSON.parse(readFileSync(path, 'utf8'));
    this.#blocks = blocks;
  }
  /** @param kind  given where a name stands for a raw value and for its CBOR form */
  value(name: string, kind?: string): Uint8Array {
    const found = this.#blocks.filter((block) => block.name === name && (kind === undefined || block.kind === kind));
    assert.ok(found.length === 1, `${found.length} blocks named ${name} ${kind ?? ''}`);
    this.#seen.add(found[0]!);
    return fromHex(found[0]!.hex);
  }
  is(name: string, actual: Uint8Array, kind?: string): void {
    assert.equal(toHex(actual), toHex(this.value(name, kind)), name);
  }
  /** A value that is published raw and as CBOR. */
  isBoth(name: string, actual: Uint8Array, item: CborItem = actual): void {
    this.is(name, actual, 'Raw Value');
    this.is(name, encode(item), 'CBOR Data Item');
  }
  unseen(): string[] {
    return this.#blocks
      .filter((block) => !this.#seen.has(block))
      .map(({ sub, name, kind }) => `${sub}/${name}/${kind}`);
  }
}

const spki = (raw: Uint8Array): Uint8Array => concat(fromHex('302a300506032b6570032100'), raw);

const HALVES = [
  { crypto: nodeCrypto(), readKey: signingKey },
  { crypto: portableCrypto(), readKey: portableSigningKey },
] as const;
type Half = (typeof HALVES)[number];

/** A party of the trace: Ed25519, its certificate named by x5t with SHA-256/64. */
function party({ crypto, readKey }: Half, trace: Trace, side: 'R' | 'I'): { own: OwnCredential; seen: PeerCredential } {
  const secret = concat(fromHex('302e020100300506032b657004220420'), trace.value(`SK_${side}`));
  const key = readKey(secret, crypto.counter);
  assert.ok(key);
  wipe(secret);
  trace.is(`PK_${side}`, key.publicSpki.slice(12));
  const credential = trace.value(`CRED_${side}`, 'Raw Value');
  trace.is(`CRED_${side}`, encode(credential), 'CBOR Data Item');
  const idCred = parseIdCred(decode(trace.value(`ID_CRED_${side}`)));
  trace.is(`ID_CRED_${side}`, encodeIdCred(idCred));
  const publicKey = crypto.publicKey(spki(trace.value(`PK_${side}`)));
  assert.ok(publicKey);
  return { own: { idCred, credential, signingKey: key }, seen: { credential, publicKey } };
}

for (const half of HALVES) {
  const name = `[P1] [P6] RFC 9529 §2: every value of the trace comes out of both roles, half ${half.crypto.name}`;
  test(name, { skip }, () => replay(half));
}

function replay(half: Half): void {
  const trace = new Trace();
  const crypto: Crypto = half.crypto;
  const suite = cipherSuite(0)!;
  const { own: ownR, seen: seenR } = party(half, trace, 'R');
  const { own: ownI, seen: seenI } = party(half, trace, 'I');

  // message_1
  const x = crypto.ephemeralKey('x25519', trace.value('X'));
  trace.isBoth('G_X', x.publicKey);
  trace.is('METHOD', encode(0));
  trace.is('SUITES_I', encode(suite.id));
  const cI = trace.value('C_I', 'Raw Value');
  trace.is('C_I', encode(connectionIdItem(cI)), 'CBOR Data Item');
  trace.is('EAD_1', EMPTY);
  const start = startInitiator(crypto, { suites: [0], selected: 0, ephemeral: x, cI, ead1: [] });
  trace.is('message_1', start.message1);
  trace.isBoth('H(message_1)', start.state.hashMessage1);

  // message_2
  const first = readMessage1(crypto, start.message1, [0]);
  assert.ok(first.outcome === 'accepted');
  assert.deepEqual([first.state.cI, first.state.gX, first.state.ead1], [cI, x.publicKey, []]);
  const y = crypto.ephemeralKey('x25519', trace.value('Y'));
  trace.isBoth('G_Y', y.publicKey);
  const cR = trace.value('C_R', 'Raw Value');
  trace.is('C_R', encode(connectionIdItem(cR)), 'CBOR Data Item');
  trace.is('EAD_2', EMPTY);
  trace.is('G_XY (Raw Value)', crypto.agree(x, y.publicKey)!);
  trace.is('G_XY (Raw Value)', crypto.agree(y, x.publicKey)!);
  const second = writeMessage2(crypto, first.state, { ephemeral: y, cR, own: ownR, ead2: [] });
  trace.is('message_2', second.message2);

  const read2 = readMessage2(crypto, start.state, second.message2);
  trace.is('Input to calculate TH_2', encodeSequence([y.publicKey, start.state.hashMessage1]));
  trace.isBoth('TH_2', read2.th2);
  trace.is('salt', read2.th2);
  trace.is('PRK_2e', read2.prk2e);
  trace.is('PRK_3e2m', read2.prk2e);
  trace.is('PLAINTEXT_2', read2.plaintext2);
  assert.deepEqual([read2.cR, read2.idCredR, read2.ead2], [cR, ownR.idCred, []]);
  const length = read2.plaintext2.length;
  trace.is('info for KEYSTREAM_2', kdfInfo(KDF_LABEL.keystream2, read2.th2, length));
  trace.is('KEYSTREAM_2', applyKeystream2(crypto, suite, read2.prk2e, read2.th2, new Uint8Array(length)));
  trace.is('CIPHERTEXT_2', applyKeystream2(crypto, suite, read2.prk2e, read2.th2, read2.plaintext2));
  const said2 = statement2(read2, seenR.credential);
  trace.is('context_2', macContext(said2), 'CBOR Sequence');
  trace.is('context_2', encode(macContext(said2)), 'CBOR byte string');
  trace.is('info for MAC_2', kdfInfo(KDF_LABEL.mac2, macContext(said2), 32));
  trace.isBoth('MAC_2', macOf(crypto, suite, said2));
  trace.is('Message to be signed 2', toBeSigned(crypto, suite, said2));
  trace.isBoth('Signature_or_MAC_2', read2.proof.signature);

  // message_3
  const verified2 = verifyMessage2(crypto, read2, seenR);
  trace.is('PRK_4e3m', verified2.prk3e2m);
  trace.is(
    'Input to calculate TH_3',
    concat(encode(read2.th2), read2.plaintext2, encode(trace.value('CRED_R', 'Raw Value'))),
  );
  trace.isBoth('TH_3', verified2.th3);
  assert.deepEqual(second.state.th3, verified2.th3);
  trace.is('EAD_3', EMPTY);
  const third = writeMessage3(crypto, verified2, ownI, []);
  trace.is('message_3', third.message3);
  const read3 = readMessage3(crypto, second.state, third.message3);
  trace.is('PLAINTEXT_3', read3.plaintext3);
  assert.deepEqual([read3.idCredI, read3.ead3], [ownI.idCred, []]);
  const said3 = statement3(read3, seenI.credential);
  assert.deepEqual(concat(said3.idCred, externalAad(said3)), macContext(said3), 'context_3 has no C_R');
  trace.is('context_3', macContext(said3), 'CBOR Sequence');
  trace.is('context_3', encode(macContext(said3)), 'CBOR byte string');
  trace.is('info for MAC_3', kdfInfo(KDF_LABEL.mac3, macContext(said3), 32));
  trace.isBoth('MAC_3', macOf(crypto, suite, said3));
  trace.is('Message to be signed 3', toBeSigned(crypto, suite, said3));
  trace.isBoth('Signature_or_MAC_3', read3.proof.signature);
  trace.is('A_3', associatedData(verified2.th3));
  trace.is('info for K_3', kdfInfo(KDF_LABEL.k3, verified2.th3, 16));
  trace.is('info for IV_3', kdfInfo(KDF_LABEL.iv3, verified2.th3, 13));
  const keys3 = messageKeys(crypto, suite, MESSAGE_3, verified2.prk3e2m, verified2.th3);
  trace.is('K_3', keys3.key);
  trace.is('IV_3', keys3.iv);
  trace.is('CIPHERTEXT_3', third.message3.slice(2));

  // message_4
  const verified3 = verifyMessage3(crypto, read3, seenI);
  trace.is(
    'Input to calculate TH_4',
    concat(encode(verified2.th3), read3.plaintext3, encode(trace.value('CRED_I', 'Raw Value'))),
  );
  trace.isBoth('TH_4', verified3.th4);
  assert.deepEqual(third.state.th4, verified3.th4);
  trace.is('EAD_4', EMPTY);
  trace.is('PLAINTEXT_4', EMPTY);
  trace.is('A_4', associatedData(verified3.th4));
  trace.is('info for K_4', kdfInfo(KDF_LABEL.k4, verified3.th4, 16));
  trace.is('info for IV_4', kdfInfo(KDF_LABEL.iv4, verified3.th4, 13));
  const keys4 = messageKeys(crypto, suite, MESSAGE_4, verified3.prk4e3m, verified3.th4);
  trace.is('K_4', keys4.key);
  trace.is('IV_4', keys4.iv);
  const fourth = writeMessage4(crypto, verified3, []);
  trace.is('message_4', fourth.message4);
  const done = readMessage4(crypto, third.state, fourth.message4);
  assert.deepEqual(done, { ead4: [], exporter: fourth.exporter });

  // exporter
  trace.is('info for PRK_out', kdfInfo(KDF_LABEL.prkOut, verified3.th4, 32));
  const prkOut = derivePrkOut(crypto, suite, verified3.prk4e3m, verified3.th4);
  trace.is('PRK_out', prkOut);
  trace.is('info for PRK_exporter', kdfInfo(KDF_LABEL.prkExporter, EMPTY, 32));
  trace.is('PRK_exporter', done.exporter.prkExporter);
  trace.is("Client's OSCORE Sender ID", third.state.cR);
  trace.is("Server's OSCORE Sender ID", verified3.cI);
  trace.is('info for OSCORE Master Secret', kdfInfo(0, EMPTY, 16));
  trace.is('OSCORE Master Secret', exportKey(crypto, done.exporter, 0, EMPTY, 16));
  trace.is('info for OSCORE Master Salt', kdfInfo(1, EMPTY, 8));
  trace.is('OSCORE Master Salt', exportKey(crypto, done.exporter, 1, EMPTY, 8));

  // Appendix H, EDHOC_KeyUpdate: PRK_out = EDHOC_KDF( PRK_out, 11, context, hash_length )
  const context = trace.value('context for KeyUpdate', 'Raw Value');
  trace.is('context for KeyUpdate', encode(context), 'CBOR Data Item');
  const updated = edhocKdf(crypto, suite.hash, prkOut, KDF_LABEL.prkOutUpdate, context, 32);
  trace.is('PRK_out after KeyUpdate', updated);
  const after = exporterOf(crypto, suite, updated);
  trace.is('PRK_exporter after KeyUpdate', after.prkExporter);
  trace.is('OSCORE Master Secret after KeyUpdate', exportKey(crypto, after, 0, EMPTY, 16));
  trace.is('OSCORE Master Salt after KeyUpdate', exportKey(crypto, after, 1, EMPTY, 8));

  assert.deepEqual(trace.unseen(), [], 'no published value was left out');
}
