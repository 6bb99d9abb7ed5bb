/**
 * The C interface of PKCS#11 modules through koffi: shared object, list of functions, and CK_ULONGs as bytes. koffi is loaded
 * with the first module, and never by whoever keeps the key in a file.
 * @spec OASIS PKCS #11 v2.40 §3.1 to 3.6; pkcs11f.h for the order of the functions
 */
import { statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { KeyStoreError } from './key-store-error.ts';

/** CK_RV of a call that did not give CKR_OK. */
export class Pkcs11Fault extends Error {
  readonly rv: number;
  constructor(call: string, rv: number) {
    super(`${call}: ${CKR[rv] ?? `0x${rv.toString(16)}`}`);
    this.name = 'Pkcs11Fault';
    this.rv = rv;
  }
}

export const CKR: Readonly<Record<number, string>> = {
  1: 'CKR_CANCEL',
  2: 'CKR_HOST_MEMORY',
  3: 'CKR_SLOT_ID_INVALID',
  5: 'CKR_GENERAL_ERROR',
  6: 'CKR_FUNCTION_FAILED',
  7: 'CKR_ARGUMENTS_BAD',
  48: 'CKR_DEVICE_ERROR',
  49: 'CKR_DEVICE_MEMORY',
  50: 'CKR_DEVICE_REMOVED',
  84: 'CKR_FUNCTION_NOT_SUPPORTED',
  96: 'CKR_KEY_HANDLE_INVALID',
  99: 'CKR_KEY_TYPE_INCONSISTENT',
  104: 'CKR_KEY_FUNCTION_NOT_PERMITTED',
  112: 'CKR_MECHANISM_INVALID',
  113: 'CKR_MECHANISM_PARAM_INVALID',
  130: 'CKR_OBJECT_HANDLE_INVALID',
  144: 'CKR_OPERATION_ACTIVE',
  145: 'CKR_OPERATION_NOT_INITIALIZED',
  160: 'CKR_PIN_INCORRECT',
  161: 'CKR_PIN_INVALID',
  162: 'CKR_PIN_LEN_RANGE',
  163: 'CKR_PIN_EXPIRED',
  164: 'CKR_PIN_LOCKED',
  176: 'CKR_SESSION_CLOSED',
  177: 'CKR_SESSION_COUNT',
  179: 'CKR_SESSION_HANDLE_INVALID',
  208: 'CKR_TEMPLATE_INCOMPLETE',
  209: 'CKR_TEMPLATE_INCONSISTENT',
  224: 'CKR_TOKEN_NOT_PRESENT',
  225: 'CKR_TOKEN_NOT_RECOGNIZED',
  226: 'CKR_TOKEN_WRITE_PROTECTED',
  256: 'CKR_USER_ALREADY_LOGGED_IN',
  257: 'CKR_USER_NOT_LOGGED_IN',
  258: 'CKR_USER_PIN_NOT_INITIALIZED',
  260: 'CKR_USER_ANOTHER_ALREADY_LOGGED_IN',
  400: 'CKR_CRYPTOKI_NOT_INITIALIZED',
  401: 'CKR_CRYPTOKI_ALREADY_INITIALIZED',
};
const OK = 0;

export type Koffi = typeof import('koffi');

function loadKoffi(shown: string): Koffi {
  try {
    return createRequire(import.meta.url)('koffi');
  } catch {
    const what = `${shown}: PKCS#11 needs the optional package koffi, which has no binary for this machine`;
    throw new KeyStoreError('module', shown, what, 'install with optional packages, or use a key file');
  }
}

/** Position in CK_FUNCTION_LIST, and the arguments; each gives a CK_RV. */
const CALLS = {
  C_Initialize: [0, ['void *']],
  C_Finalize: [1, ['void *']],
  C_GetSlotList: [4, ['uint8', 'void *', 'void *']],
  C_GetTokenInfo: [6, ['ulong', 'void *']],
  C_OpenSession: [12, ['ulong', 'ulong', 'void *', 'void *', 'void *']],
  C_CloseSession: [13, ['ulong']],
  C_Login: [18, ['ulong', 'ulong', 'void *', 'ulong']],
  C_GetAttributeValue: [24, ['ulong', 'ulong', 'void *', 'ulong']],
  C_FindObjectsInit: [26, ['ulong', 'void *', 'ulong']],
  C_FindObjects: [27, ['ulong', 'void *', 'ulong', 'void *']],
  C_FindObjectsFinal: [28, ['ulong']],
  C_SignInit: [42, ['ulong', 'void *', 'ulong']],
  C_Sign: [43, ['ulong', 'void *', 'ulong', 'void *', 'void *']],
  C_GenerateKeyPair: [59, ['ulong', 'void *', 'void *', 'ulong', 'void *', 'ulong', 'void *', 'void *']],
} as const;

type CallName = keyof typeof CALLS;
type Argument = bigint | number | Uint8Array | null;
export type Call = (name: CallName, args: readonly Argument[], alsoFine?: readonly number[]) => number;

/** It becomes part of this process. @throws KeyStoreError module */
function requireSafeModule(path: string, shown: string): void {
  const refuse = (what: string, remedy: string): KeyStoreError =>
    new KeyStoreError('module', shown, `${shown}: ${path} ${what}`, remedy);
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) throw refuse('is not there', "install the token's PKCS#11 module, or correct module-path");
  if (!stats.isFile()) throw refuse('is no file', 'give the shared object');
  if ((stats.mode & 0o002) !== 0) throw refuse('can be changed by every user', `run \`chmod o-w ${path}\``);
}

/** CK_ULONG values one after the other, as C has them on this machine. */
interface Words {
  readonly bytes: Uint8Array;
  get(at: number): bigint;
}
export interface WordKind {
  /** Of CK_ULONG, and of a pointer. */
  readonly size: number;
  of(values: readonly bigint[]): Words;
  read(bytes: Uint8Array, offset: number): bigint;
}

/** Held for good: koffi closes what is garbage, and every function taken out of it would point nowhere. */
const OPENED = new Map<string, ReturnType<Koffi['load']>>();

export interface Pkcs11Library {
  readonly koffi: Koffi;
  readonly call: Call;
  readonly words: WordKind;
}

/** @param shown  for messages @throws KeyStoreError module */
export function loadLibrary(path: string, shown: string): Pkcs11Library {
  requireSafeModule(path, shown);
  const koffi = loadKoffi(shown);
  const refuse = (why: string): KeyStoreError =>
    new KeyStoreError('module', shown, `${shown}: ${path} is no PKCS#11 module: ${why}`, 'correct module-path');
  const size = koffi.sizeof('ulong');
  const list: unknown[] = [null];
  try {
    const library = OPENED.get(path) ?? koffi.load(path);
    OPENED.set(path, library);
    const get = library.func('C_GetFunctionList', 'ulong', [koffi.out(koffi.pointer('void *'))]);
    const rv = Number(get(list));
    if (rv !== OK) throw new Pkcs11Fault('C_GetFunctionList', rv);
  } catch (error) {
    throw refuse(error instanceof Error ? error.message : String(error));
  }
  // CK_VERSION first, which takes the room of a pointer
  const functions = new Map<CallName, (...args: readonly Argument[]) => unknown>();
  const functionOf = (name: CallName): ((...args: readonly Argument[]) => unknown) => {
    const known = functions.get(name);
    if (known !== undefined) return known;
    const [place, args] = CALLS[name];
    const pointer: unknown = koffi.decode(list[0], size * (1 + place), 'void *');
    const found = koffi.decode(pointer, koffi.proto('ulong', [...args]));
    functions.set(name, found);
    return found;
  };
  const call: Call = (name, args, alsoFine = []) => {
    const rv = Number(functionOf(name)(...args));
    if (rv !== OK && !alsoFine.includes(rv)) throw new Pkcs11Fault(name, rv);
    return rv;
  };
  return { koffi, call, words: wordsOf(size) };
}

function wordsOf(size: number): WordKind {
  const littleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
  const read = (bytes: Uint8Array, offset: number): bigint => {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    return size === 8 ? view.getBigUint64(offset, littleEndian) : BigInt(view.getUint32(offset, littleEndian));
  };
  return {
    size,
    read,
    of(values) {
      const bytes = steady(size * values.length);
      const view = new DataView(bytes.buffer);
      for (const [i, value] of values.entries()) {
        if (size === 8) view.setBigUint64(8 * i, value, littleEndian);
        else view.setUint32(4 * i, Number(value), littleEndian);
      }
      return { bytes, get: (at) => read(bytes, size * at) };
    },
  };
}

/** Bytes that stay where they are: V8 moves what is small, unless its buffer was made by itself. */
export const steady = (length: number): Uint8Array<ArrayBuffer> => new Uint8Array(new ArrayBuffer(length));
