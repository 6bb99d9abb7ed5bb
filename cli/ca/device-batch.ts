/**
 * Certificates for many devices at once, as a manager asks for them: the index is read and written once, so that a
 * thousand devices that come in the same minute cost a thousand signatures and little else.
 */
import {
  type AlternativeName,
  type CertificateRequest,
  freshSerial,
  issueCertificate,
} from '../../platform/certificate-issuing.ts';
import { fromHex, toHex } from '../../protocol/bytes.ts';
import {
  type CaWorld,
  checkName,
  entryOf,
  indexPath,
  issuingTier,
  loadTier,
  PURPOSES,
  period,
  readTier,
} from './authority.ts';
import { CaError } from './ca-error.ts';
import { withLock } from './ca-lock.ts';
import { type CertificateEntry, type CertificateIndex, isLive, readIndex, writeIndex } from './certificate-index.ts';

/** Of whom the key was proven to be. */
export interface DeviceWish {
  readonly name: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** true: only where this CA has certified this key before: who came with a certificate of another CA has to enrol. */
  readonly renews: boolean;
  readonly alternativeNames?: readonly AlternativeName[];
}

/** Chain in DER, leaf first, or why not. */
export type DeviceAnswer = { readonly chain: readonly Uint8Array[] } | { readonly refused: string };

/** So long a repeated wish gets the same certificate: the first answer may have been lost. */
const REPEAT_SECONDS = 600;

/**
 * Certifies devices whose keys can log in; each is booked before anything leaves.
 * @returns an answer for each wish, in their order
 * @throws CaError no-authority, broken-index, in-use; FileFault: nobody was certified
 */
export function certifyDevices(
  dir: string,
  wishes: readonly DeviceWish[],
  days: number,
  world: CaWorld,
): readonly DeviceAnswer[] {
  readIndex(indexPath(dir)); // whether there is a CA at all
  return withLock(dir, () => {
    const index = readIndex(indexPath(dir));
    const tier = issuingTier(dir);
    const { issuer, notAfter: issuerEnds } = loadTier(dir, tier, world);
    const above = tier === 'root' ? [] : [readTier(dir, 'intermediate')];
    const book = bookOf(index);
    let isChanged = forgetOld(index, world.now);
    const answers = wishes.map((wish): DeviceAnswer => {
      const key = toHex(world.crypto.hash('sha-256', wish.spki));
      const found = lookUp(book, wish, key, world.now);
      if ('refused' in found) return found;
      if (found.again !== null) return { chain: [fromHex(found.again), ...above] };
      const { notBefore, notAfter } = period(days, world);
      const request: CertificateRequest = {
        name: wish.name,
        spki: wish.spki,
        serial: freshSerial(world.crypto),
        notBefore,
        notAfter: Math.min(notAfter, issuerEnds),
        keyUsage: ['digitalSignature'],
        extendedKeyUsage: PURPOSES.device,
        ...(wish.alternativeNames === undefined ? {} : { alternativeNames: wish.alternativeNames }),
      };
      const der = issueCertificate(world.crypto, issuer, request);
      const entry = { ...entryOf(request, 'device', tier, world), answer: { der: toHex(der), at: world.now } };
      index.certificates.push(entry);
      enter(book, entry);
      isChanged = true;
      return { chain: [der, ...above] };
    });
    if (isChanged) writeIndex(indexPath(dir), index);
    return answers;
  });
}

/** The index by what is asked of it. */
interface Book {
  readonly byName: Map<string, CertificateEntry[]>;
  readonly byKey: Map<string, CertificateEntry[]>;
}

function bookOf({ certificates }: CertificateIndex): Book {
  const book: Book = { byName: new Map(), byKey: new Map() };
  for (const entry of certificates) enter(book, entry);
  return book;
}

function enter({ byName, byKey }: Book, entry: CertificateEntry): void {
  const places = [
    [byKey, entry.publicKey] as const,
    ...(entry.kind === 'device' ? [[byName, entry.name] as const] : []),
  ];
  for (const [map, key] of places) {
    const entries = map.get(key);
    if (entries === undefined) map.set(key, [entry]);
    else entries.push(entry);
  }
}

const ENROL = 'kagimori device invite, and kagimori agent enrol on the device';

/** @returns the certificate to give out again, in hex; null: a new one may be made */
function lookUp(
  { byName, byKey }: Book,
  { name, renews }: DeviceWish,
  key: string,
  now: number,
): { readonly again: string | null } | { readonly refused: string } {
  try {
    checkName(name, 64);
  } catch (error) {
    if (error instanceof CaError) return { refused: error.message };
    throw error;
  }
  const bearers = byKey.get(key) ?? [];
  const revoked = bearers.find(({ revokedAt }) => revokedAt !== null);
  if (revoked !== undefined) return { refused: `its key was revoked with ${revoked.kind} ${revoked.name}` };
  const other = bearers.find((one) => one.name !== name || one.kind !== 'device');
  if (other !== undefined) return { refused: `its key is that of ${other.kind} ${other.name}` };
  if (renews && bearers.length === 0) return { refused: `its certificate is of another CA: ${ENROL}` };
  const living = (byName.get(name) ?? []).filter((one) => isLive(one, now));
  const taken = living.find(({ publicKey }) => publicKey !== key);
  if (taken !== undefined && !renews) {
    const remedy = 'kagimori ca revoke it, and let the device ask again';
    return { refused: `device ${name} has a living certificate over another key, serial ${taken.serial}: ${remedy}` };
  }
  const again = living.findLast(({ publicKey, answer }) => publicKey === key && answer !== undefined);
  return { again: again?.answer?.der ?? null };
}

/** @returns whether there were any */
function forgetOld({ certificates }: CertificateIndex, now: number): boolean {
  const old = certificates.filter(({ answer }) => answer !== undefined && Math.abs(now - answer.at) > REPEAT_SECONDS);
  for (const entry of old) delete entry.answer;
  return old.length > 0;
}
