/**
 * How a party proves who it is: Signature_or_MAC_2 and _3, one rule for both sides.
 * @spec RFC 9528 §5.3.2, §5.4.2, RFC 9052 §4.4
 */
import { concat } from '../bytes.ts';
import { encode, encodeSequence } from '../cbor.ts';
import type { Crypto, PublicKey, SigningKey } from '../crypto.ts';
import { ProtocolError } from '../errors.ts';
import type { CipherSuite } from './cipher-suites.ts';
import { type IdCred, namesCredential } from './credential.ts';
import { edhocKdf, type KDF_LABEL } from './kdf.ts';

/** What a signature covers. */
export interface Statement {
  readonly label: typeof KDF_LABEL.mac2 | typeof KDF_LABEL.mac3;
  /** PRK_3e2m for MAC_2, PRK_4e3m for MAC_3. */
  readonly prk: Uint8Array;
  /** C_R as CBOR in message_2, empty in message_3. */
  readonly cR: Uint8Array;
  /** ID_CRED_R or ID_CRED_I as CBOR. */
  readonly idCred: Uint8Array;
  /** TH_2 or TH_3. */
  readonly th: Uint8Array;
  /** CRED_R or CRED_I: the leaf, DER. */
  readonly credential: Uint8Array;
  /** EAD_2 or EAD_3 as CBOR sequence. */
  readonly ead: Uint8Array;
}

/** What a party authenticates with. */
export interface OwnCredential {
  readonly idCred: IdCred;
  /** The leaf, DER, also when only its hash is sent. */
  readonly credential: Uint8Array;
  readonly signingKey: SigningKey;
}

/** The other side's leaf (DER) and the key in it, as the certificate store and parser gave them. */
export interface PeerCredential {
  readonly credential: Uint8Array;
  readonly publicKey: PublicKey;
}

/** external_aad = << TH, CRED, ? EAD >>. */
export function externalAad({ th, credential, ead }: Statement): Uint8Array {
  return concat(encodeSequence([th, credential]), ead);
}

/** context_2 = << C_R, ID_CRED_R, TH_2, CRED_R, ? EAD_2 >>, context_3 = << ID_CRED_I, TH_3, CRED_I, ? EAD_3 >>. */
export function macContext(statement: Statement): Uint8Array {
  return concat(statement.cR, statement.idCred, externalAad(statement));
}

/** MAC_2 = EDHOC_KDF( PRK_3e2m, 2, context_2, mac_length_2 ), MAC_3 = EDHOC_KDF( PRK_4e3m, 6, context_3, mac_length_3 ). */
export function macOf(crypto: Crypto, suite: CipherSuite, statement: Statement): Uint8Array {
  return edhocKdf(crypto, suite.hash, statement.prk, statement.label, macContext(statement), suite.hashBytes);
}

/** Sig_structure = [ "Signature1", << ID_CRED >>, << TH, CRED, ? EAD >>, MAC ]. @spec RFC 9052 §4.4 */
export function toBeSigned(crypto: Crypto, suite: CipherSuite, statement: Statement): Uint8Array {
  return encode(['Signature1', statement.idCred, externalAad(statement), macOf(crypto, suite, statement)]);
}

/** @throws RangeError when the key is of another type than the suite's: our bug */
export function signStatement(
  crypto: Crypto,
  suite: CipherSuite,
  statement: Statement,
  signingKey: SigningKey,
): Uint8Array {
  if (signingKey.algorithm !== suite.key) {
    throw new RangeError(`EDHOC suite ${suite.id} signs with ${suite.key}, the key is ${signingKey.algorithm}`);
  }
  return signingKey.sign(suite.signature, toBeSigned(crypto, suite, statement));
}

/** @throws ProtocolError badCertificate when another certificate was named or its key does not fit | badSignature */
export function verifyStatement(
  crypto: Crypto,
  suite: CipherSuite,
  statement: Statement,
  idCred: IdCred,
  publicKey: PublicKey,
  signature: Uint8Array,
): void {
  if (!namesCredential(crypto, idCred, statement.credential)) {
    throw new ProtocolError('badCertificate', 'the certificate is not the one that the peer named');
  }
  if (publicKey.algorithm !== suite.key) {
    throw new ProtocolError(
      'badCertificate',
      `the certificate holds a ${publicKey.algorithm} key, EDHOC suite ${suite.id} wants ${suite.key}`,
    );
  }
  if (!crypto.verify(suite.signature, publicKey, signature, toBeSigned(crypto, suite, statement), 'raw')) {
    throw new ProtocolError('badSignature', 'the signature over the exchange does not verify');
  }
}
