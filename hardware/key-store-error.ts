/**
 * Why there is no key to sign with, at the start or later; the message names the key, never a PIN, and what to do.
 */
import { SigningFault } from '../protocol/crypto.ts';

export type KeyStoreFault =
  /** The file: not there, not private, no key. */
  | 'file'
  /** The URI of a token's key cannot be used as it stands. */
  | 'uri'
  /** The PKCS#11 module cannot be loaded, or does not start. */
  | 'module'
  /** No such token, or it was taken away. */
  | 'token'
  /** The token has no such key, or more than one. */
  | 'object'
  /** The token refused the PIN; it is not told again. */
  | 'pin'
  /** The token takes no PIN any more, or one try is left. */
  | 'locked'
  /** A key that can be read out of its token. */
  | 'extractable'
  /** A kind of key, or a habit of the token, that is not served here. */
  | 'unsupported'
  /** There is one already. */
  | 'exists'
  /** The token failed for a reason of its own. */
  | 'device';

export class KeyStoreError extends SigningFault {
  readonly fault: KeyStoreFault;
  /** Path, or URI without PIN. */
  readonly place: string;
  /** @param what  names the place */
  constructor(fault: KeyStoreFault, place: string, what: string, remedy: string) {
    super(what, remedy);
    this.name = 'KeyStoreError';
    this.fault = fault;
    this.place = place;
  }
}
