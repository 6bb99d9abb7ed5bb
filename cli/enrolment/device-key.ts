/**
 * The key of a device that enrols: made here before anything is sent, and kept if it is there.
 */
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { openKeyStore, openOrCreateTokenKey } from '../../hardware/key-store.ts';
import type { KeyStore } from '../../hardware/pkcs11-key.ts';
import { isPkcs11Uri } from '../../hardware/pkcs11-uri.ts';
import { generateSigningKey } from '../../platform/crypto-node.ts';
import { makePrivateDirectory, writeAtomically } from '../../platform/files.ts';
import { wipe } from '../../protocol/bytes.ts';
import type { PublicKeyCounter } from '../../protocol/crypto.ts';

export type DeviceKeyAlgorithm = 'p256' | 'ed25519';

/**
 * A repeat after an end in the middle goes on with the same key, and never meets half a file.
 * @param place  path of a file, or `pkcs11:…`
 * @throws KeyStoreError; FileFault
 */
export function openOrMakeKey(place: string, algorithm: DeviceKeyAlgorithm, counter: PublicKeyCounter): KeyStore {
  if (isPkcs11Uri(place)) return openOrCreateTokenKey(place, algorithm, counter);
  if (!existsSync(place)) {
    makePrivateDirectory(dirname(place));
    const { privatePkcs8Pem } = generateSigningKey(algorithm, counter);
    writeAtomically(place, privatePkcs8Pem, 0o600);
    wipe(privatePkcs8Pem);
  }
  return openKeyStore(place, counter);
}
