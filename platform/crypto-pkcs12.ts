/**
 * PKCS#12 files: a private key and its chain under one PIN, as `openssl pkcs12 -export` of OpenSSL 3 makes them: PBES2 with
 * AES-CBC, integrity by HMAC. The structure is pkijs's; what it demands in work is looked at before anything is derived.
 * @spec RFC 7292, RFC 8018
 */
import { OctetString } from 'asn1js';
import {
  type AlgorithmIdentifier,
  Attribute,
  AuthenticatedSafe,
  CertBag,
  Certificate,
  type ContentInfo,
  CryptoEngine,
  EncryptedContentInfo,
  EncryptedData,
  PBES2Params,
  PBKDF2Params,
  PFX,
  PKCS8ShroudedKeyBag,
  PrivateKeyInfo,
  SafeBag,
  SafeContents,
  setEngine,
} from 'pkijs';
import { wipe } from '../protocol/bytes.ts';

export type Pkcs12FaultKind = 'malformed' | 'unsupported' | 'too-dear' | 'wrong-pin' | 'no-key';

/** Why nothing came out of a PKCS#12 file. */
export class Pkcs12Fault extends Error {
  readonly fault: Pkcs12FaultKind;
  constructor(fault: Pkcs12FaultKind, detail: string) {
    super(detail);
    this.name = 'Pkcs12Fault';
    this.fault = fault;
  }
}

export interface Pkcs12Contents {
  /** PKCS#8, DER; whoever reads it wipes it. */
  readonly privateKey: Uint8Array;
  /** DER, in the order of the file. */
  readonly certificates: readonly Uint8Array[];
}

/** PBKDF2 runs in OpenSSL, a million rounds in half a second; the derivation for the MAC does not. */
const MAX_PBKDF2_ROUNDS = 2_000_000;
const MAX_MAC_ROUNDS = 200_000;
const MAX_SAFES = 8;
const MAX_BAGS = 16;

/** A PIN has few digits: every guess shall cost. */
const PBKDF2_ROUNDS = 600_000;
const MAC_ROUNDS = 50_000;

const OID = {
  data: '1.2.840.113549.1.7.1',
  encryptedData: '1.2.840.113549.1.7.6',
  pbes2: '1.2.840.113549.1.5.13',
  pbkdf2: '1.2.840.113549.1.5.12',
  shroudedKeyBag: '1.2.840.113549.1.12.10.1.2',
  certBag: '1.2.840.113549.1.12.10.1.3',
  localKeyId: '1.2.840.113549.1.9.21',
} as const;
const CONVERT = 'convert it with `openssl pkcs12` of OpenSSL 3: -legacy to read it, -export to write it anew';

/**
 * @param pin  printable ASCII; the caller wipes it
 * @throws Pkcs12Fault
 */
export async function openPkcs12(der: Uint8Array, pin: Uint8Array): Promise<Pkcs12Contents> {
  const pfx = readPfx(der);
  const password = bufferOf(pin);
  try {
    await checkMac(pfx, password);
    return await readSafes(pfx, password);
  } finally {
    wipe(new Uint8Array(password));
  }
}

/** @param contents  the leaf first */
export async function writePkcs12({ privateKey, certificates }: Pkcs12Contents, pin: Uint8Array): Promise<Uint8Array> {
  useEngine();
  const password = bufferOf(pin);
  const encryption = {
    password,
    contentEncryptionAlgorithm: { name: 'AES-CBC', length: 256 },
    hmacHashAlgorithm: 'SHA-256',
    iterationCount: PBKDF2_ROUNDS,
  };
  try {
    const bag = new PKCS8ShroudedKeyBag({ parsedValue: PrivateKeyInfo.fromBER(bufferOf(privateKey)) });
    await bag.makeInternalValues(encryption);
    const keyId = new Attribute({
      type: OID.localKeyId,
      values: [new OctetString({ valueHex: Uint8Array.of(1).buffer })],
    });
    const key = new SafeBag({ bagId: OID.shroudedKeyBag, bagValue: bag, bagAttributes: [keyId] });
    const chain = certificates.map((one, at) => {
      const bagValue = new CertBag({ parsedValue: Certificate.fromBER(bufferOf(one)) });
      return new SafeBag({ bagId: OID.certBag, bagValue, ...(at === 0 ? { bagAttributes: [keyId] } : {}) });
    });
    const safeContents = [
      { privacyMode: 1, value: new SafeContents({ safeBags: chain }) },
      { privacyMode: 0, value: new SafeContents({ safeBags: [key] }) },
    ];
    const authenticatedSafe = new AuthenticatedSafe({ parsedValue: { safeContents } });
    await authenticatedSafe.makeInternalValues({ safeContents: [encryption, {}] });
    const pfx = new PFX({ parsedValue: { integrityMode: 0, authenticatedSafe } });
    await pfx.makeInternalValues({
      password,
      iterations: MAC_ROUNDS,
      pbkdf2HashAlgorithm: 'SHA-256',
      hmacHashAlgorithm: 'SHA-256',
    });
    return new Uint8Array(pfx.toSchema().toBER());
  } finally {
    wipe(new Uint8Array(password));
  }
}

// ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function readPfx(der: Uint8Array): PFX {
  useEngine();
  const pfx = shaped(() => PFX.fromBER(bufferOf(der)));
  if (pfx.macData === undefined) {
    throw new Pkcs12Fault('unsupported', `it has no MAC, so nobody can tell a wrong PIN: ${CONVERT}`);
  }
  checkRounds(pfx.macData.iterations ?? 1, MAX_MAC_ROUNDS);
  return pfx;
}

async function checkMac(pfx: PFX, password: ArrayBuffer): Promise<void> {
  try {
    await pfx.parseInternalValues({ password, checkIntegrity: true });
  } catch (error) {
    const said = error instanceof Error ? error.message : '';
    if (said.startsWith('Integrity')) throw new Pkcs12Fault('wrong-pin', 'the PIN is wrong');
    throw new Pkcs12Fault('unsupported', `its MAC cannot be checked: ${CONVERT}`);
  }
}

async function readSafes(pfx: PFX, password: ArrayBuffer): Promise<Pkcs12Contents> {
  const safe = pfx.parsedValue?.authenticatedSafe;
  if (safe === undefined) throw new Pkcs12Fault('malformed', 'it holds nothing');
  if (safe.safeContents.length > MAX_SAFES) throw new Pkcs12Fault('malformed', 'it holds too much');
  for (const content of safe.safeContents) checkContent(content);
  await decrypted(safe.parseInternalValues({ safeContents: safe.safeContents.map(() => ({ password })) }));
  const parts = safe.parsedValue.safeContents as { readonly value: SafeContents }[];
  const bags = parts.flatMap(({ value }) => value.safeBags);
  if (bags.length > MAX_BAGS) throw new Pkcs12Fault('malformed', 'it holds too many keys and certificates');
  const certificates: Uint8Array[] = [];
  let privateKey: Uint8Array | null = null;
  for (const { bagValue } of bags) {
    if (bagValue instanceof CertBag && bagValue.parsedValue instanceof Certificate) {
      certificates.push(new Uint8Array(bagValue.parsedValue.toSchema(false).toBER()));
    } else if (bagValue instanceof PKCS8ShroudedKeyBag) {
      if (privateKey !== null) throw new Pkcs12Fault('no-key', 'it holds several private keys');
      checkCost(bagValue.encryptionAlgorithm);
      privateKey = await decryptKey(bagValue, password);
    }
  }
  if (privateKey === null) throw new Pkcs12Fault('no-key', 'it holds no private key under a PIN');
  return { privateKey, certificates };
}

/** pkijs marks the method of this class as protected, and means whoever opens the bag of another safe. */
async function decryptKey(bag: PKCS8ShroudedKeyBag, password: ArrayBuffer): Promise<Uint8Array> {
  const { encryptionAlgorithm: contentEncryptionAlgorithm, encryptedData } = bag;
  const box = new EncryptedData({
    encryptedContentInfo: new EncryptedContentInfo({
      contentType: OID.data,
      contentEncryptionAlgorithm,
      encryptedContent: encryptedData,
    }),
  });
  return new Uint8Array(await decrypted(box.decrypt({ password })));
}

function checkContent({ contentType, content }: ContentInfo): void {
  if (contentType === OID.data) return;
  if (contentType !== OID.encryptedData)
    throw new Pkcs12Fault('unsupported', `a part of it is of another kind: ${CONVERT}`);
  // from its bytes: pkijs takes apart what it reads, and will want it again
  const data = shaped(() => EncryptedData.fromBER(content.toBER(false)));
  checkCost(data.encryptedContentInfo.contentEncryptionAlgorithm);
}

/** Before anything is derived: a file may ask for years of work. */
function checkCost({ algorithmId, algorithmParams }: AlgorithmIdentifier): void {
  const old = `its encryption is older than PBES2 (RFC 8018): ${CONVERT}`;
  if (algorithmId !== OID.pbes2) throw new Pkcs12Fault('unsupported', old);
  const { keyDerivationFunc } = shaped(() => PBES2Params.fromBER(algorithmParams.toBER(false)));
  if (keyDerivationFunc.algorithmId !== OID.pbkdf2)
    throw new Pkcs12Fault('unsupported', `its key is not derived by PBKDF2: ${CONVERT}`);
  const { iterationCount } = shaped(() => PBKDF2Params.fromBER(keyDerivationFunc.algorithmParams.toBER(false)));
  checkRounds(iterationCount, MAX_PBKDF2_ROUNDS);
}

function checkRounds(rounds: number, most: number): void {
  if (Number.isSafeInteger(rounds) && rounds >= 1 && rounds <= most) return;
  throw new Pkcs12Fault('too-dear', `it asks for ${rounds} rounds of key derivation, at most ${most} are done`);
}

function shaped<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof Pkcs12Fault) throw error;
    throw new Pkcs12Fault('malformed', 'it is no PKCS#12 file, or a damaged one');
  }
}

/** The MAC was good: what cannot be decrypted now is under another PIN, or by another algorithm. */
async function decrypted<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Pkcs12Fault) throw error;
    throw new Pkcs12Fault('unsupported', `it cannot be decrypted: ${CONVERT}`);
  }
}

/** pkijs keeps one engine for the process. */
function useEngine(): void {
  setEngine('node', new CryptoEngine({ name: 'node', crypto: globalThis.crypto }));
}

/** A Buffer.slice would be the whole pool that it was cut from. */
const bufferOf = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer;
