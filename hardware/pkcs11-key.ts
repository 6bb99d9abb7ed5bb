/**
 * Signing keys in tokens: the private half never leaves them. What is signed is hashed here and signed there. A session
 * that was lost is opened anew, once for each signature that is wanted.
 * @spec OASIS PKCS #11 v2.40 §2.3 (elliptic curves), v3.0 §2.3.10 (CKM_EDDSA); RFC 5480 §2.1.1, RFC 8410 §3
 */
import { nodeCrypto, type OwnSigningKey } from '../platform/crypto-node.ts';
import { type FixedKeyAlgorithm, writeSpki } from '../platform/key-encoding.ts';
import { equal, fromHex } from '../protocol/bytes.ts';
import type { Crypto, HashName, PublicKeyCounter, SignatureAlgorithm } from '../protocol/crypto.ts';
import { KeyStoreError } from './key-store-error.ts';
import { Pkcs11Fault } from './pkcs11-library.ts';
import { type Attribute, acquireModule, type Pkcs11Module, releaseModule, type TokenInfo } from './pkcs11-module.ts';
import { inWords, isLost, openTokenSession, type TokenSession } from './pkcs11-token.ts';
import { type Pkcs11Uri, parsePkcs11Uri } from './pkcs11-uri.ts';

/** A key in its home, until it is closed. */
export type KeyStore = OwnSigningKey & { close(): void };

export interface TokenKeyDescription {
  readonly algorithm: FixedKeyAlgorithm;
  readonly publicSpki: Uint8Array;
  readonly token: TokenInfo;
  /** Whether the token gives the private key away, wrapped or as it is. */
  readonly isExtractable: boolean;
}

const CKA = {
  class: 0x0,
  token: 0x1,
  private: 0x2,
  label: 0x3,
  id: 0x102,
  sensitive: 0x103,
  sign: 0x108,
  verify: 0x10a,
  extractable: 0x162,
  ecParams: 0x180,
  ecPoint: 0x181,
  alwaysAuthenticate: 0x202,
} as const;

const CLASS = { publicKey: 2, privateKey: 3 } as const;

interface Kind {
  readonly algorithm: FixedKeyAlgorithm;
  /** CKA_EC_PARAMS as tokens spell it: the OID, for Ed25519 also the curve's name; the first is what is asked for. */
  readonly params: readonly Uint8Array[];
  readonly mechanism: number;
  readonly generation: number;
  readonly publicBytes: number;
  readonly signatureBytes: number;
}

const CKM_ECDSA = 0x1041;
const CKM_EC_KEY_PAIR_GEN = 0x1040;
const KINDS: readonly Kind[] = [
  {
    algorithm: 'p256',
    params: [fromHex('06082a8648ce3d030107')],
    mechanism: CKM_ECDSA,
    generation: CKM_EC_KEY_PAIR_GEN,
    publicBytes: 64,
    signatureBytes: 64,
  },
  {
    algorithm: 'p384',
    params: [fromHex('06052b81040022')],
    mechanism: CKM_ECDSA,
    generation: CKM_EC_KEY_PAIR_GEN,
    publicBytes: 96,
    signatureBytes: 96,
  },
  {
    algorithm: 'ed25519',
    params: [fromHex('130c656477617264733235353139'), fromHex('06032b6570')],
    mechanism: 0x1057,
    generation: 0x1055,
    publicBytes: 32,
    signatureBytes: 64,
  },
];

const HASHES: Readonly<Partial<Record<SignatureAlgorithm, HashName>>> = {
  'ecdsa-sha256': 'sha-256',
  'ecdsa-sha384': 'sha-384',
  'ecdsa-sha512': 'sha-512',
};

/** @param counter  every signature adds one to `sign` @throws KeyStoreError */
export function openTokenKey(text: string, counter: PublicKeyCounter): KeyStore {
  const uri = parsePkcs11Uri(text);
  const module = acquireModule(uri.modulePath, uri.shown);
  try {
    const session = openTokenSession(uri, module, false);
    const found = inWords(uri, 'its key cannot be read', () => findKey(uri, module, session));
    if (found.description.isExtractable) {
      const what = `${uri.shown}: this key can be read out of its token`;
      throw new KeyStoreError('extractable', uri.shown, what, 'make one that cannot: `kagimori key create`');
    }
    return tokenKey(uri, module, { session, found }, nodeCrypto(counter));
  } catch (error) {
    releaseModule(module);
    throw error;
  }
}

/** What the token says of the key, extractable or not. @throws KeyStoreError */
export function describeTokenKey(text: string): TokenKeyDescription {
  const uri = parsePkcs11Uri(text);
  const module = acquireModule(uri.modulePath, uri.shown);
  try {
    const session = openTokenSession(uri, module, false);
    return inWords(uri, 'its key cannot be read', () => findKey(uri, module, session).description);
  } finally {
    releaseModule(module);
  }
}

/**
 * Makes a pair in the token, of which the private half cannot be read, and leaves what is there alone.
 * @throws KeyStoreError exists, unsupported, …
 */
export function createTokenKey(text: string, algorithm: FixedKeyAlgorithm, counter: PublicKeyCounter): KeyStore {
  const uri = parsePkcs11Uri(text);
  const module = acquireModule(uri.modulePath, uri.shown);
  try {
    const { session } = openTokenSession(uri, module, true);
    inWords(uri, 'no key was made', () => {
      if (privateKeys(uri, module, session).length > 0) {
        throw new KeyStoreError(
          'exists',
          uri.shown,
          `${uri.shown}: the token has this key`,
          'give another object or id',
        );
      }
      const kind = KINDS.find((one) => one.algorithm === algorithm)!;
      const crypto = nodeCrypto(counter);
      const named: readonly Attribute[] = [
        [CKA.token, TRUE],
        [CKA.id, uri.id ?? crypto.random(NEW_ID_BYTES)],
        ...(uri.object === null ? [] : [[CKA.label, Buffer.from(uri.object)] as const]),
      ];
      counter.generate++;
      module.generateKeyPair(
        session,
        kind.generation,
        [...named, [CKA.private, FALSE], [CKA.verify, TRUE], [CKA.ecParams, kind.params[0]!]],
        [...named, [CKA.private, TRUE], [CKA.sensitive, TRUE], [CKA.extractable, FALSE], [CKA.sign, TRUE]],
      );
    });
    return openTokenKey(text, counter);
  } finally {
    releaseModule(module);
  }
}

const TRUE = Uint8Array.of(1);
const FALSE = Uint8Array.of(0);
const NEW_ID_BYTES = 16;

interface FoundKey {
  readonly handle: bigint;
  readonly kind: Kind;
  readonly description: TokenKeyDescription;
}

interface Opened {
  readonly session: TokenSession;
  readonly found: FoundKey;
}

function tokenKey(uri: Pkcs11Uri, module: Pkcs11Module, first: Opened, crypto: Crypto): KeyStore {
  const { kind, description } = first.found;
  let opened: Opened | null = first;
  const closeSession = (): void => {
    if (opened === null) return;
    const { session } = opened;
    opened = null;
    if (session.generation !== module.generation) return;
    try {
      module.closeSession(session.session);
    } catch (error) {
      if (!(error instanceof Pkcs11Fault)) throw error; // it is gone in any case
    }
  };
  /** Of a token that was away the same key counts and no other, whatever bears its name now. */
  const openAgain = (): Opened => {
    closeSession();
    module.restart();
    const session = openTokenSession(uri, module, false);
    const found = findKey(uri, module, session);
    if (!equal(found.description.publicSpki, description.publicSpki)) {
      const what = `${uri.shown}: another key stands there now`;
      throw new KeyStoreError('object', uri.shown, what, 'put the right token in, or start again');
    }
    return { session, found };
  };
  const signIn = ({ session, found }: Opened, data: Uint8Array): Uint8Array =>
    module.sign(session.session, kind.mechanism, found.handle, data);
  const signAnywhere = (data: Uint8Array): Uint8Array => {
    if (opened !== null && opened.session.generation === module.generation) {
      try {
        return signIn(opened, data);
      } catch (error) {
        if (!(error instanceof Pkcs11Fault) || !isLost(error)) throw error;
      }
    }
    opened = openAgain();
    return signIn(opened, data);
  };
  let isOpen = true;
  return {
    algorithm: kind.algorithm,
    publicSpki: description.publicSpki,
    sign(algorithm, data) {
      if (!isOpen) throw new RangeError(`${uri.shown}: signs no more, it was closed`);
      const hash = kind.algorithm === 'ed25519' ? null : HASHES[algorithm];
      if (hash === undefined || (hash === null && algorithm !== 'ed25519')) {
        throw new RangeError(`a key of type ${kind.algorithm} makes no signature ${algorithm}`);
      }
      crypto.counter.sign++;
      const digest = hash === null ? data : crypto.hash(hash, data).subarray(0, kind.signatureBytes / 2);
      const signature = inWords(uri, 'it does not sign', () => signAnywhere(digest));
      if (signature.length === kind.signatureBytes) return signature;
      const what = `${uri.shown}: a signature of ${signature.length} bytes, not of ${kind.signatureBytes}`;
      throw new KeyStoreError('device', uri.shown, what, "look at the token and at its module's version");
    },
    close() {
      if (!isOpen) return;
      isOpen = false;
      closeSession();
      releaseModule(module);
    },
  };
}

// ── Finding ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function privateKeys(uri: Pkcs11Uri, module: Pkcs11Module, session: bigint): readonly bigint[] {
  return objects(module, session, CLASS.privateKey, uri.id, uri.object === null ? null : Buffer.from(uri.object));
}

/** @throws KeyStoreError object, unsupported; Pkcs11Fault */
function findKey(uri: Pkcs11Uri, module: Pkcs11Module, { session, token }: TokenSession): FoundKey {
  const { shown } = uri;
  const [handle, ...others] = privateKeys(uri, module, session);
  if (handle === undefined) {
    const remedy = 'look with `pkcs11-tool --login --list-objects`, or make it: `kagimori key create`';
    throw new KeyStoreError('object', shown, `${shown}: the token has no such private key`, remedy);
  }
  if (others.length > 0) {
    throw new KeyStoreError('object', shown, `${shown}: ${others.length + 1} private keys fit`, 'add id= to the URI');
  }
  const unsupported = (what: string, remedy: string): KeyStoreError =>
    new KeyStoreError('unsupported', shown, `${shown}: ${what}`, remedy);
  const is = (type: number): boolean => module.attribute(session, handle, type)?.[0] === 1;
  if (is(CKA.alwaysAuthenticate)) {
    throw unsupported('the token wants the PIN anew for each signature', 'use a key without CKA_ALWAYS_AUTHENTICATE');
  }
  const id = module.attribute(session, handle, CKA.id) ?? new Uint8Array();
  const label = module.attribute(session, handle, CKA.label);
  const [publicKey, second] = objects(
    module,
    session,
    CLASS.publicKey,
    id.length === 0 ? null : id,
    id.length === 0 ? label : null,
  );
  if (publicKey === undefined || second !== undefined) {
    const what = publicKey === undefined ? 'no public key stands beside it' : 'several public keys stand beside it';
    throw new KeyStoreError('object', shown, `${shown}: ${what}`, 'one is needed, with the same id');
  }
  const params = module.attribute(session, publicKey, CKA.ecParams);
  const kind = KINDS.find((one) => params !== null && one.params.some((known) => equal(known, params)));
  if (kind === undefined) throw unsupported('neither Ed25519, P-256 nor P-384', 'make another key');
  const raw = rawPoint(module.attribute(session, publicKey, CKA.ecPoint), kind);
  if (raw === null) throw unsupported('its public key is no point of that curve', 'make another key');
  const description: TokenKeyDescription = {
    algorithm: kind.algorithm,
    publicSpki: writeSpki(kind.algorithm, raw),
    token,
    isExtractable: is(CKA.extractable) || !is(CKA.sensitive),
  };
  return { handle, kind, description };
}

function objects(
  module: Pkcs11Module,
  session: bigint,
  kind: number,
  id: Uint8Array | null,
  label: Uint8Array | null,
): readonly bigint[] {
  // CK_ULONG as C has it here
  const wanted: Attribute[] = [[CKA.class, module.word(kind)]];
  if (id !== null) wanted.push([CKA.id, id]);
  if (label !== null) wanted.push([CKA.label, label]);
  return module.find(session, wanted);
}

/** CKA_EC_POINT: an OCTET STRING in DER, or what stands in it. @returns x ‖ y, or the Ed25519 key */
function rawPoint(value: Uint8Array | null, { algorithm, publicBytes }: Kind): Uint8Array | null {
  const point = algorithm === 'ed25519' ? publicBytes : publicBytes + 1;
  if (value === null || (value.length !== point && value.length !== point + 2)) return null;
  if (value.length === point + 2 && (value[0] !== 0x04 || value[1] !== point)) return null;
  const bytes = value.subarray(value.length - point);
  if (algorithm === 'ed25519') return bytes;
  return bytes[0] === 0x04 ? bytes.subarray(1) : null;
}
