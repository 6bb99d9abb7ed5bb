/**
 * The users' media of one device of a town, unlocked: what a process with the key is to a real agent.
 */
import { toHex } from '../protocol/bytes.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { userSignature } from '../protocol/user-proof.ts';
import type { Holder } from './test-authority.ts';
import type { TownDevice } from './town-plan.ts';

export interface TownMedia {
  insert(user: Holder, called?: string): void;
  pull(user: Holder): void;
  /** @returns null when the medium is out */
  sign(leaf: Uint8Array, toSign: Uint8Array): Uint8Array | null;
}

/** @param issuer  what goes with every certificate that another has issued */
export function townMedia(crypto: Crypto, issuer: Holder, feed: TownDevice['feed'], flush: () => void): TownMedia {
  const media = new Map<string, Holder>();
  const leafOf = (user: Holder): Uint8Array => crypto.hash('sha-256', user.certificate.der);
  return {
    insert(user, called = user.certificate.subject.commonName ?? '') {
      media.set(toHex(leafOf(user)), user);
      feed({ type: 'userInserted', user: called, chain: [user.certificate.der, issuer.certificate.der] });
      flush();
    },
    pull(user) {
      media.delete(toHex(leafOf(user)));
      feed({ type: 'userRemoved', leaf: leafOf(user) });
      flush();
    },
    sign(leaf, toSign) {
      const key = media.get(toHex(leaf))?.key.key;
      const algorithm = key === undefined ? null : userSignature(key.algorithm);
      return key === undefined || algorithm === null ? null : key.sign(algorithm, toSign);
    },
  };
}
