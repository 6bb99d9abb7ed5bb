/**
 * A token: found by its URI, logged in to once in this process, its faults in words. A PIN that was refused is not told
 * again, and the last try is never made: no token is locked from here.
 * @spec OASIS PKCS #11 v2.40 §3.2 (CK_TOKEN_INFO), §5.6
 */
import { FileFault, readPrivate } from '../platform/files.ts';
import { wipe } from '../protocol/bytes.ts';
import { KeyStoreError, type KeyStoreFault } from './key-store-error.ts';
import { Pkcs11Fault } from './pkcs11-library.ts';
import type { Pkcs11Module, TokenInfo } from './pkcs11-module.ts';
import { type Pkcs11Uri, TOKEN_FIELDS } from './pkcs11-uri.ts';

const FLAG = {
  loginRequired: 0x4,
  protectedPath: 0x100,
  initialized: 0x400,
  finalTry: 0x2_0000,
  locked: 0x4_0000,
} as const;

export interface TokenSession {
  readonly session: bigint;
  readonly token: TokenInfo;
  /** Of the module when it was opened. */
  readonly generation: number;
}

/** Tokens by module and serial number that refused the PIN, with what was said of it. */
const REFUSED = new Map<string, KeyStoreError>();

/** @throws KeyStoreError token, pin, locked, device */
export function openTokenSession(uri: Pkcs11Uri, module: Pkcs11Module, writable: boolean): TokenSession {
  return inWords(uri, 'its token cannot be used', () => {
    const token = findToken(uri, module);
    const session = module.openSession(token.slot, writable);
    try {
      login(uri, module, token, session);
    } catch (error) {
      module.closeSession(session);
      throw error;
    }
    return { session, token, generation: module.generation };
  });
}

function findToken(uri: Pkcs11Uri, module: Pkcs11Module): TokenInfo {
  const there = module.tokens().filter(({ flags }) => (flags & FLAG.initialized) !== 0);
  const fits = there.filter(
    (one) =>
      (uri.slot === null || one.slot === uri.slot) &&
      TOKEN_FIELDS.every((field) => uri.token[field] === undefined || uri.token[field] === one[field]),
  );
  const [token, second] = fits;
  if (token === undefined) {
    const labels = there.map((one) => `'${one.token}'`).join(', ');
    const seen = there.length === 0 ? 'none is there' : `there are ${labels}`;
    const remedy = 'put the token in, or correct the URI; a service needs the right to use it';
    throw new KeyStoreError('token', uri.shown, `${uri.shown}: no such token, ${seen}`, remedy);
  }
  if (second !== undefined) {
    const serials = fits.map(({ serial }) => serial).join(', ');
    throw new KeyStoreError(
      'token',
      uri.shown,
      `${uri.shown}: ${fits.length} tokens fit`,
      `add serial=, of ${serials}`,
    );
  }
  return token;
}

function login(uri: Pkcs11Uri, module: Pkcs11Module, token: TokenInfo, session: bigint): void {
  if ((token.flags & FLAG.loginRequired) === 0 || module.loggedIn.has(token.slot)) return;
  const { shown, pinFile } = uri;
  const key = `${module.path}\0${token.serial}\0${token.token}`;
  const before = REFUSED.get(key);
  if (before !== undefined) throw before;
  if ((token.flags & FLAG.locked) !== 0) throw lockedError(shown);
  if ((token.flags & FLAG.finalTry) !== 0) {
    const what = `${shown}: one try is left before the token locks itself, and it is not made here`;
    throw new KeyStoreError('locked', shown, what, 'correct the PIN file, then log in by hand: `pkcs11-tool --login`');
  }
  const asksItself = (token.flags & FLAG.protectedPath) !== 0;
  if (pinFile === null && !asksItself) {
    throw new KeyStoreError('pin', shown, `${shown}: the token wants a PIN`, 'add pin-source=file:/path to the URI');
  }
  const pin = pinFile === null ? null : readPin(pinFile, shown);
  try {
    module.login(session, pin);
    module.loggedIn.add(token.slot);
  } catch (error) {
    const refusal = error instanceof Pkcs11Fault ? pinError(error, shown, pinFile) : null;
    if (refusal === null) throw error;
    REFUSED.set(key, refusal);
    throw refusal;
  } finally {
    if (pin !== null) wipe(pin);
  }
}

const lockedError = (shown: string): KeyStoreError =>
  new KeyStoreError('locked', shown, `${shown}: the token is locked`, "unlock it with the security officer's PIN");

function pinError(fault: Pkcs11Fault, shown: string, pinFile: string | null): KeyStoreError | null {
  const where = pinFile === null ? 'at the token' : `in ${pinFile}`;
  switch (fault.rv) {
    case 160:
    case 161:
    case 162: {
      const what = `${shown}: the token refuses the PIN ${where} (${fault.message}), and is not asked again`;
      return new KeyStoreError('pin', shown, what, 'correct it and start again');
    }
    case 163:
      return new KeyStoreError('pin', shown, `${shown}: the PIN has expired`, 'set a new one');
    case 164:
      return lockedError(shown);
    case 258:
      return new KeyStoreError(
        'pin',
        shown,
        `${shown}: the token has no user PIN`,
        'set one up: `pkcs11-tool --init-pin`',
      );
    default:
      return null;
  }
}

const MAX_PIN_FILE_BYTES = 1024;

/** @returns the first line, a copy that the caller wipes */
function readPin(path: string, shown: string): Uint8Array {
  const refuse = (what: string, remedy: string): KeyStoreError =>
    new KeyStoreError('pin', shown, `${shown}: ${what}`, remedy);
  let contents: Uint8Array;
  try {
    contents = readPrivate(path, MAX_PIN_FILE_BYTES);
  } catch (error) {
    if (!(error instanceof FileFault)) throw error;
    throw refuse(`its PIN cannot be read: ${error.message}`, 'it needs a file of mode 0600 that belongs to this user');
  }
  const end = contents.findIndex((byte) => byte === 0x0a || byte === 0x0d);
  // by itself in its buffer: the module reads it there
  const pin = new Uint8Array(new ArrayBuffer(end < 0 ? contents.length : end));
  pin.set(contents.subarray(0, pin.length));
  wipe(contents);
  if (pin.length === 0) throw refuse(`the first line of ${path} is empty`, 'write the PIN there');
  return pin;
}

// ── Faults ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** CK_RVs after which sessions and handles of before are worth nothing, and a new start may help. */
const LOST: ReadonlySet<number> = new Set([3, 5, 6, 48, 50, 96, 130, 176, 179, 224, 225, 257, 400]);

export const isLost = (fault: Pkcs11Fault): boolean => LOST.has(fault.rv);

/** What the module says becomes a KeyStoreError. @param what  happened then */
export function inWords<T>({ shown }: Pkcs11Uri, what: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof Pkcs11Fault)) throw error;
    const [fault, remedy] = remedyFor(error.rv);
    throw new KeyStoreError(fault, shown, `${shown}: ${what} (${error.message})`, remedy);
  }
}

function remedyFor(rv: number): readonly [KeyStoreFault, string] {
  switch (rv) {
    case 50:
    case 224:
    case 225:
    case 3:
      return ['token', 'put the token in again'];
    case 49:
      return ['device', 'the token has no room left: delete an object that nobody needs'];
    case 177:
      return ['device', 'the token is in use by too many programs: end one of them'];
    case 84:
    case 99:
    case 104:
    case 112:
    case 113:
    case 208:
    case 209:
      return [
        'unsupported',
        'the token or this key does not do that: look at `kagimori key show`, use another kind of key',
      ];
    case 226:
      return ['device', 'the token is write-protected'];
    default:
      return ['device', "look at the token: is it in, does its module's daemon run, may this user reach it?"];
  }
}
