/**
 * Encryption of the messages: a key stream for message_2, an AEAD for message_3 and message_4.
 * @spec RFC 9528 §5.3.2, §5.4.2, §5.5.2
 */
import { EMPTY, wipe } from '../bytes.ts';
import { encode } from '../cbor.ts';
import type { Crypto } from '../crypto.ts';
import { ProtocolError } from '../errors.ts';
import type { CipherSuite } from './cipher-suites.ts';
import { edhocKdf, KDF_LABEL } from './kdf.ts';

/**
 * CIPHERTEXT_2 = PLAINTEXT_2 ⊕ EDHOC_KDF( PRK_2e, 0, TH_2, plaintext_length ), and back. It proves nothing: whoever
 * answers message_1 can make it.
 */
export function applyKeystream2(
  crypto: Crypto,
  suite: CipherSuite,
  prk2e: Uint8Array,
  th2: Uint8Array,
  text: Uint8Array,
): Uint8Array {
  const stream = edhocKdf(crypto, suite.hash, prk2e, KDF_LABEL.keystream2, th2, text.length);
  for (let at = 0; at < text.length; at++) stream[at]! ^= text[at]!;
  return stream;
}

/** The labels of one AEAD message. */
export interface AeadLabels {
  readonly key: number;
  readonly iv: number;
  readonly name: 'message_3' | 'message_4';
}
export const MESSAGE_3: AeadLabels = { key: KDF_LABEL.k3, iv: KDF_LABEL.iv3, name: 'message_3' };
export const MESSAGE_4: AeadLabels = { key: KDF_LABEL.k4, iv: KDF_LABEL.iv4, name: 'message_4' };

/** A_3, A_4 = [ "Encrypt0", h'', TH ]. @spec RFC 9052 §5.3 */
export function associatedData(th: Uint8Array): Uint8Array {
  return encode(['Encrypt0', EMPTY, th]);
}

/** K = EDHOC_KDF( PRK, 3 or 8, TH, key_length ), IV = EDHOC_KDF( PRK, 4 or 9, TH, iv_length ); the caller wipes both. */
export function messageKeys(
  crypto: Crypto,
  { hash, aead }: CipherSuite,
  labels: AeadLabels,
  prk: Uint8Array,
  th: Uint8Array,
): { key: Uint8Array; iv: Uint8Array } {
  return {
    key: edhocKdf(crypto, hash, prk, labels.key, th, aead.keyBytes),
    iv: edhocKdf(crypto, hash, prk, labels.iv, th, aead.nonceBytes),
  };
}

/** @returns the message: the ciphertext with its tag as one byte string */
export function sealMessage(
  crypto: Crypto,
  suite: CipherSuite,
  labels: AeadLabels,
  prk: Uint8Array,
  th: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  const { key, iv } = messageKeys(crypto, suite, labels, prk, th);
  const ciphertext = crypto.seal(suite.aead, key, iv, associatedData(th), plaintext);
  wipe(key, iv);
  return encode(ciphertext);
}

/** @throws ProtocolError badMac: altered, or the two sides' keys differ */
export function openMessage(
  crypto: Crypto,
  suite: CipherSuite,
  labels: AeadLabels,
  prk: Uint8Array,
  th: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array {
  const { key, iv } = messageKeys(crypto, suite, labels, prk, th);
  const plaintext = crypto.open(suite.aead, key, iv, associatedData(th), ciphertext);
  wipe(key, iv);
  if (plaintext === null) throw new ProtocolError('badMac', `${labels.name} does not open`);
  return plaintext;
}
