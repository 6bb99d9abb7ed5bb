/**
 * PKCS#11 modules: tokens, sessions and objects. A module is one in its process by its specification, so those that run are
 * kept here, each as long as somebody uses it.
 * @spec OASIS PKCS #11 v2.40 §5
 */
import { KeyStoreError } from './key-store-error.ts';
import { type Call, type Koffi, loadLibrary, Pkcs11Fault, steady, type WordKind } from './pkcs11-library.ts';
import type { TokenField } from './pkcs11-uri.ts';

const USER_ALREADY_LOGGED_IN = 256;
const ALREADY_INITIALIZED = 401;

/** CK_TOKEN_INFO as far as it is of use. */
export interface TokenInfo extends Readonly<Record<TokenField, string>> {
  readonly slot: bigint;
  readonly flags: number;
}

/** A CK_ATTRIBUTE: its type and its value. */
export type Attribute = readonly [type: number, value: Uint8Array];

export interface Pkcs11Module {
  readonly path: string;
  /** Grows with each start: sessions and objects of an earlier one are gone. */
  readonly generation: number;
  /** Tokens that this process has logged in to, by slot; forgotten with a start. */
  readonly loggedIn: Set<bigint>;
  /** A CK_ULONG as the value of an attribute. */
  word(value: number): Uint8Array;
  /** False after a start that failed. */
  readonly isRunning: boolean;
  /** Ends the module and starts it again: how most of them find a token that came back. */
  restart(): void;
  /** Tokens that are there. */
  tokens(): readonly TokenInfo[];
  openSession(slot: bigint, writable: boolean): bigint;
  closeSession(session: bigint): void;
  /** @param pin  null: the token asks for it by itself */
  login(session: bigint, pin: Uint8Array | null): void;
  /** @returns handles of the objects that have these attributes, a few at most */
  find(session: bigint, template: readonly Attribute[]): readonly bigint[];
  /** @returns null for an attribute that the object does not have or show */
  attribute(session: bigint, object: bigint, type: number): Uint8Array | null;
  /** One part, by a mechanism without parameter. */
  sign(session: bigint, mechanism: number, key: bigint, data: Uint8Array): Uint8Array;
  generateKeyPair(
    session: bigint,
    mechanism: number,
    publicTemplate: readonly Attribute[],
    privateTemplate: readonly Attribute[],
  ): void;
}

/** Who uses a module, counted: the last one ends it. */
interface Loaded {
  readonly module: Pkcs11Module;
  readonly finalize: () => void;
  users: number;
}

const LOADED = new Map<string, Loaded>();

/** Loads and starts the module, unless it runs. Every call is to be followed by a `releaseModule`. @throws KeyStoreError module */
export function acquireModule(path: string, shown: string): Pkcs11Module {
  const held = LOADED.get(path);
  if (held !== undefined) {
    if (!held.module.isRunning) starting(held.module.restart, path, shown);
    held.users++;
    return held.module;
  }
  const loaded = { ...start(path, shown), users: 1 };
  LOADED.set(path, loaded);
  return loaded.module;
}

export function releaseModule({ path }: Pkcs11Module): void {
  const held = LOADED.get(path);
  if (held === undefined || --held.users > 0) return;
  LOADED.delete(path);
  held.finalize();
}

/** @throws KeyStoreError module */
function starting(act: () => void, path: string, shown: string): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof Pkcs11Fault)) throw error;
    const remedy = 'look at what the module needs: its configuration, its daemon, its permissions';
    throw new KeyStoreError('module', shown, `${shown}: ${path} does not start (${error.message})`, remedy);
  }
}

function start(path: string, shown: string): { readonly module: Pkcs11Module; readonly finalize: () => void } {
  const { koffi, call, words } = loadLibrary(path, shown);
  const initialize = (): void => void call('C_Initialize', [null], [ALREADY_INITIALIZED]);
  starting(initialize, path, shown);
  const finalize = (): void => {
    try {
      call('C_Finalize', [null]);
    } catch (error) {
      if (!(error instanceof Pkcs11Fault)) throw error; // it is over in any case
    }
  };
  let generation = 1;
  let isRunning = true;
  const loggedIn = new Set<bigint>();
  const module: Pkcs11Module = {
    path,
    get generation() {
      return generation;
    },
    get isRunning() {
      return isRunning;
    },
    loggedIn,
    word: (value) => words.of([BigInt(value)]).bytes,
    restart() {
      generation++;
      loggedIn.clear();
      if (isRunning) finalize();
      isRunning = false;
      initialize();
      isRunning = true;
    },
    ...tokenCalls(call, words),
    ...objectCalls(call, words, koffi),
  };
  return { module, finalize };
}

// ── Tokens ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const MAX_SLOTS = 64n;
const SERIAL_SESSION = 4;
const RW_SESSION = 2;
const USER = 1;

/** Offset and length of the texts in CK_TOKEN_INFO, padded with blanks; the flags follow them. */
const TOKEN_TEXTS: Readonly<Record<TokenField, readonly [number, number]>> = {
  token: [0, 32],
  manufacturer: [32, 32],
  model: [64, 16],
  serial: [80, 16],
};
const TOKEN_FLAGS_AT = 96;
/** Larger than it is with any size of CK_ULONG. */
const TOKEN_INFO_BYTES = 256;

type TokenCalls = Pick<Pkcs11Module, 'tokens' | 'openSession' | 'closeSession' | 'login'>;

function tokenCalls(call: Call, words: WordKind): TokenCalls {
  const infoOf = (slot: bigint): TokenInfo => {
    const bytes = steady(TOKEN_INFO_BYTES);
    call('C_GetTokenInfo', [slot, bytes]);
    const text = ([from, length]: readonly [number, number]): string =>
      Buffer.from(bytes.subarray(from, from + length))
        .toString()
        .replace(/[\0 ]+$/, '');
    return {
      slot,
      flags: Number(words.read(bytes, TOKEN_FLAGS_AT)),
      token: text(TOKEN_TEXTS.token),
      manufacturer: text(TOKEN_TEXTS.manufacturer),
      model: text(TOKEN_TEXTS.model),
      serial: text(TOKEN_TEXTS.serial),
    };
  };
  return {
    tokens() {
      // the count first: some modules look for tokens only then
      const count = words.of([0n]);
      call('C_GetSlotList', [1, null, count.bytes]);
      const most = count.get(0) < MAX_SLOTS ? count.get(0) : MAX_SLOTS;
      if (most === 0n) return [];
      const slots = words.of(Array.from({ length: Number(most) }, () => 0n));
      const room = words.of([most]);
      call('C_GetSlotList', [1, slots.bytes, room.bytes]);
      const found: TokenInfo[] = [];
      for (let i = 0; i < Number(room.get(0)) && i < Number(most); i++) {
        try {
          found.push(infoOf(slots.get(i)));
        } catch (error) {
          if (!(error instanceof Pkcs11Fault)) throw error; // pulled in this moment
        }
      }
      return found;
    },
    openSession(slot, writable) {
      const session = words.of([0n]);
      const flags = SERIAL_SESSION | (writable ? RW_SESSION : 0);
      call('C_OpenSession', [slot, flags, null, null, session.bytes]);
      return session.get(0);
    },
    closeSession: (session) => void call('C_CloseSession', [session]),
    login: (session, pin) => {
      call('C_Login', [session, USER, pin, pin?.length ?? 0], [USER_ALREADY_LOGGED_IN]);
    },
  };
}

// ── Objects ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const MAX_FOUND = 8;
const MAX_ATTRIBUTE_BYTES = 4096;
const MAX_SIGNATURE_BYTES = 1024;

type ObjectCalls = Pick<Pkcs11Module, 'find' | 'attribute' | 'sign' | 'generateKeyPair'>;

function objectCalls(call: Call, words: WordKind, koffi: Koffi): ObjectCalls {
  /** CK_ATTRIBUTEs and, behind them in the same bytes, what they point at: it lives as long as the call. */
  const templateOf = (attributes: readonly Attribute[]) => {
    const head = 3 * words.size * attributes.length;
    const bytes = steady(head + attributes.reduce((sum, [, { length }]) => sum + length, 0));
    const base = koffi.address(bytes);
    const fields: bigint[] = [];
    let at = head;
    for (const [type, value] of attributes) {
      bytes.set(value, at);
      fields.push(BigInt(type), base + BigInt(at), BigInt(value.length));
      at += value.length;
    }
    bytes.set(words.of(fields).bytes);
    return { bytes, head, count: attributes.length };
  };
  return {
    find(session, template) {
      const { bytes, count: attributes } = templateOf(template);
      call('C_FindObjectsInit', [session, bytes, attributes]);
      try {
        const found = words.of(Array.from({ length: MAX_FOUND }, () => 0n));
        const count = words.of([0n]);
        call('C_FindObjects', [session, found.bytes, MAX_FOUND, count.bytes]);
        return Array.from({ length: Number(count.get(0)) }, (_, i) => found.get(i));
      } finally {
        call('C_FindObjectsFinal', [session]);
      }
    },
    attribute(session, object, type) {
      const { bytes, head } = templateOf([[type, new Uint8Array(MAX_ATTRIBUTE_BYTES)]]);
      try {
        call('C_GetAttributeValue', [session, object, bytes, 1]);
      } catch (error) {
        if (error instanceof Pkcs11Fault && NOT_SHOWN.has(error.rv)) return null;
        throw error;
      }
      const length = words.read(bytes, 2 * words.size);
      return length > BigInt(MAX_ATTRIBUTE_BYTES) ? null : bytes.slice(head, head + Number(length));
    },
    sign(session, mechanism, key, data) {
      call('C_SignInit', [session, words.of([BigInt(mechanism), 0n, 0n]).bytes, key]);
      const input = steady(data.length);
      input.set(data);
      const signature = steady(MAX_SIGNATURE_BYTES);
      const length = words.of([BigInt(MAX_SIGNATURE_BYTES)]);
      call('C_Sign', [session, input, input.length, signature, length.bytes]);
      return signature.slice(0, Number(length.get(0)));
    },
    generateKeyPair(session, mechanism, publicTemplate, privateTemplate) {
      const [forPublic, forPrivate] = [templateOf(publicTemplate), templateOf(privateTemplate)];
      const handles = words.of([0n, 0n]).bytes;
      call('C_GenerateKeyPair', [
        session,
        words.of([BigInt(mechanism), 0n, 0n]).bytes,
        forPublic.bytes,
        forPublic.count,
        forPrivate.bytes,
        forPrivate.count,
        handles.subarray(0, words.size),
        handles.subarray(words.size),
      ]);
    },
  };
}

/** CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_BUFFER_TOO_SMALL. */
const NOT_SHOWN: ReadonlySet<number> = new Set([0x11, 0x12, 0x150]);
