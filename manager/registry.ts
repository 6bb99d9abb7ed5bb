/**
 * What the manager keeps on disk: devices, registrations, resumption secrets (sealed), sessions without a secret.
 * One schema a table; a record that no longer decodes is reported by table and key, never guessed at.
 */

import type { Change, Store } from '../platform/store.ts';
import { concat, equal, toHex } from '../protocol/bytes.ts';
import { type CborItem, encode } from '../protocol/cbor.ts';
import type { Aead, Crypto, HashName } from '../protocol/crypto.ts';
import { ProtocolError } from '../protocol/errors.ts';
import { INSTANCE_BYTES, MAX_CERTIFICATE_BYTES, MAX_CHAIN, NONCE_BYTES } from '../protocol/message-values.ts';
import { MAX_PROPOSALS, Proposal } from '../protocol/messages.ts';
import type { ResumptionSecret } from '../protocol/resumption.ts';
import { MARK_BYTES } from '../protocol/revocation-mark.ts';
import { array, bool, bytes, choice, message, optional, required, text, uint, type Value } from '../protocol/schema.ts';
import type { Criterion } from '../protocol/selection.ts';
import { CIPHER_WIRE, type Cipher, HASH_WIRE, type KeyMode, SuiteSchema } from '../protocol/suites.ts';
import { type DeviceId, EpochSeconds, MAX_MESSAGE_BYTES } from '../protocol/units.ts';
import { ENROLMENT_TABLES, type EnrolmentRecords, loadEnrolment } from './enrolment-records.ts';
import { type Retirement, readRetirement } from './retirement.ts';
import { loadVoid, VOID_TABLE, type VoidRecord } from './void-records.ts';

const device = text<DeviceId>(1, 64);
const epochSeconds = uint(0, 0xffff_ffff);

const DeviceRecord = message('DeviceRecord', null, 'a device that has logged in', {
  chain: required(1, array(bytes(1, MAX_CERTIFICATE_BYTES), 1, MAX_CHAIN), 'as sent at its last full login'),
  leaf: required(2, bytes(32), 'SHA-256 of the leaf'),
  names: required(3, array(text(1, 300), 0, 64), 'canonical names from its certificate'),
  verdictUntil: required(4, epochSeconds, 'end of the last good verdict'),
  instance: optional(5, bytes(INSTANCE_BYTES), 'its process as last seen: another one has lost its sessions'),
  marks: optional(6, bytes(0, 2 * MARK_BYTES * MAX_CHAIN), 'of each certificate of the chain: its own, its key’s'),
  revokedAt: optional(7, epochSeconds, 'when the verifier said that it is revoked; until a good verdict'),
  quarantinedAt: optional(8, epochSeconds, 'when it was seen as two machines, and both put out; until its release'),
});
export type DeviceRecord = Value<typeof DeviceRecord>;

const RegistrationRecord = message(
  'RegistrationRecord',
  null,
  'addresses and proposals of a device [patent 0145, 0153]',
  {
    version: required(1, uint(1), 'counts registrations'),
    requestId: required(2, bytes(NONCE_BYTES), 'of the Register: a repeat gets the same version'),
    hash: required(3, bytes(32), 'goes into the transcript of sessions'),
    addresses: required(4, array(text(1, 255), 0, 16), 'URIs'),
    proposals: required(5, array(Proposal.type, 1, MAX_PROPOSALS), 'as registered'),
  },
);
export type RegistrationRecord = Value<typeof RegistrationRecord>;

const ResumptionRecord = message('ResumptionRecord', null, 'one secret of the chain, sealed', {
  generation: required(1, uint(0, 64), 'place in the chain'),
  sealed: required(2, bytes(60), 'nonce 12 ‖ AES-256-GCM(secret 32) ‖ tag 16'),
  manager: required(3, text(1, 255), 'manager name it is bound to'),
  suite: required(4, uint(0, 23), 'channel suite'),
  authenticateOnly: required(5, bool, 'mode'),
  until: required(6, epochSeconds, 'end of the chain'),
});

const criterion = choice<Criterion>({
  strength: 1,
  'key-length': 2,
  'cipher-lightness': 3,
  'hash-lightness': 4,
  cost: 5,
  'callee-priority': 6,
  'caller-priority': 7,
});

const SelectionRecord = message('SelectionRecord', null, 'what a rule says of the choice', {
  minStrengthBits: required(1, uint(0, 256), 'of the suite'),
  minTagBits: required(2, uint(0, 256), 'of its tag'),
  ciphers: required(3, array(choice<Cipher>(CIPHER_WIRE), 0, 16), 'that are allowed'),
  hashes: required(4, array(choice<HashName>(HASH_WIRE), 0, 8), 'that are allowed'),
  prefer: required(5, array(criterion, 0, 16), 'criteria in order'),
  messageBytes: optional(6, uint(1, MAX_MESSAGE_BYTES), 'for which costs are compared'),
});

const DecisionRecord = message('DecisionRecord', null, 'on what the choice of a suite was made', {
  at: required(1, epochSeconds, 'when'),
  rules: optional(2, text(64, 64), 'SHA-256 of the rules file, in hex; absent: the built-in rule'),
  allowUnencrypted: required(3, bool, 'the caller wished for suites that do not encrypt too'),
  messageBytes: optional(4, uint(1, MAX_MESSAGE_BYTES), 'as the caller wished'),
  callerRegistration: required(5, bytes(32), 'SHA-256 of what the caller had registered'),
  calleeRegistration: required(6, bytes(32), 'SHA-256 of what the callee had registered'),
  selection: optional(7, SelectionRecord.type, 'what the deciding rule said then; its name stands in the session'),
});

const RetirementRecord = message('RetirementRecord', null, 'a suite that is to go; its key is its spelling', {
  by: required(1, epochSeconds, 'from when on it is not taken any more'),
});

const SessionRecord = message('SessionRecord', null, 'a granted session; never its secret', {
  caller: required(1, device, 'who asked'),
  callee: required(2, device, 'who approved'),
  name: required(3, text(1, 255), 'the name that was asked for'),
  suite: required(4, SuiteSchema.type, 'agreed'),
  keyMode: required(5, choice<KeyMode>({ key: 0, seed: 1 }), 'agreed'),
  epoch: required(6, uint(), 'last grant'),
  approvedUntil: required(7, epochSeconds, 'end of the approval'),
  rule: required(8, text(1, 64), 'that decided'),
  route: required(9, uint(0, 255), 'tells several sessions of the pair apart'),
  callerInstance: optional(10, bytes(INSTANCE_BYTES), 'process that holds the keys of the last grant'),
  calleeInstance: optional(11, bytes(INSTANCE_BYTES), 'process that holds the keys of the last grant'),
  callerConsent: optional(12, bytes(1, 64), 'opaque: given back to the device'),
  calleeConsent: optional(13, bytes(1, 64), 'opaque: given back to the device'),
  call: optional(14, bytes(NONCE_BYTES), 'nonce of the Connect that it began with'),
  decision: optional(15, DecisionRecord.type, 'on what the suite was chosen'),
  purpose: optional(16, text(1, 64), 'as the caller said'),
  user: optional(17, text(1, 255), 'who was asked for, where it was a user'),
  userLeaf: optional(18, bytes(32), 'SHA-256 of the certificate by which that user was at the callee'),
});
export type SessionRecord = Value<typeof SessionRecord>;

const UserRecord = message('UserRecord', null, 'a user at a device; its key is the SHA-256 of the leaf in hex', {
  user: required(1, text(1, 255), 'the name by which the user is asked for'),
  device: required(2, device, 'where the medium is in'),
  chain: required(3, array(bytes(1, MAX_CERTIFICATE_BYTES), 1, MAX_CHAIN), 'of the user, leaf first'),
  verdictUntil: required(4, epochSeconds, 'end of the last good verdict'),
  since: required(5, epochSeconds, 'when the user came there'),
  marks: required(6, bytes(0, 2 * MARK_BYTES * MAX_CHAIN), 'of each certificate of the chain: its own, its key’s'),
});
export type UserRecord = Value<typeof UserRecord>;

const EndedRecord = message('EndedRecord', null, 'a session that ended because a device was revoked', {
  until: required(1, epochSeconds, 'when nobody holds it any more'),
});

const SEAL: Aead = { cipher: 'aes-gcm', keyBytes: 32, nonceBytes: 12, tagBytes: 16 };

export const TABLES = {
  devices: 'devices',
  registrations: 'registrations',
  resumption: 'resumption',
  sessions: 'sessions',
  retirements: 'retirements',
  revocation: 'revocation',
  ended: 'ended',
  ...ENROLMENT_TABLES,
  ...VOID_TABLE,
  users: 'users',
};

export interface Loaded {
  readonly devices: Map<DeviceId, DeviceRecord>;
  readonly registrations: Map<DeviceId, RegistrationRecord>;
  /** Still sealed. */
  readonly resumption: Map<DeviceId, Uint8Array>;
  readonly sessions: Map<string, SessionRecord>;
  /** By the spelling of the suite. */
  readonly retirements: Map<string, Retirement>;
  /** Hex; the verifier's state in which every device was judged. */
  readonly revocationState: string | null;
  /** By sid: sessions that ended because a device was revoked, and when nobody holds them any more. */
  readonly endedAsRevoked: Map<string, EpochSeconds>;
  /** By SHA-256 of their certificate in hex. */
  readonly users: Map<string, UserRecord>;
  readonly enrolment: EnrolmentRecords;
  /** By SHA-256 of the key, in hex. */
  readonly voids: Map<string, VoidRecord>;
  /** Devices whose registration another version wrote: they register anew when their agent starts. */
  readonly outdated: readonly DeviceId[];
}

/**
 * Reads everything; secrets stay sealed. A registration of another version is left out: its device makes it anew.
 * @throws StoreError altered; ProtocolError malformed for any other record of another version
 */
export function loadRegistry(store: Store): Loaded {
  const read = <T>(table: string, type: { decode(bytes: Uint8Array): T }): [string, T][] => {
    const rows: [string, T][] = [];
    for (const [key, value] of store.entries(table)) rows.push([key, detach(type.decode(value))]);
    return rows;
  };
  const registrations = new Map<DeviceId, RegistrationRecord>();
  const outdated: DeviceId[] = [];
  for (const [key, value] of store.entries(TABLES.registrations)) {
    const record = readRegistration(value);
    if (record === null) outdated.push(key as DeviceId);
    else registrations.set(key as DeviceId, record);
  }
  return {
    devices: new Map(read(TABLES.devices, DeviceRecord) as [DeviceId, DeviceRecord][]),
    registrations,
    outdated,
    enrolment: loadEnrolment(store),
    voids: loadVoid(store),
    revocationState: revocationStateIn(store),
    endedAsRevoked: new Map(read(TABLES.ended, EndedRecord).map(([sid, { until }]) => [sid, EpochSeconds(until)])),
    resumption: new Map([...store.entries(TABLES.resumption)].map(([key, value]) => [key as DeviceId, value.slice()])),
    sessions: new Map(read(TABLES.sessions, SessionRecord)),
    users: new Map(read(TABLES.users, UserRecord)),
    retirements: new Map(
      read(TABLES.retirements, RetirementRecord).flatMap(([suite, { by }]) => {
        const retirement = readRetirement(suite, by);
        return retirement === null ? [] : [[suite, retirement] as const];
      }),
    ),
  };
}

/** @returns null for one that another version wrote; an altered one the store has refused before */
function readRegistration(value: Uint8Array): RegistrationRecord | null {
  try {
    return detach(RegistrationRecord.decode(value));
  } catch (error) {
    if (error instanceof ProtocolError) return null;
    throw error;
  }
}

const REVOCATION_STATE = 'state';

function revocationStateIn(store: Store): string | null {
  const held = store.get(TABLES.revocation, REVOCATION_STATE);
  return held === null ? null : toHex(held);
}

export const revocationStateChange = (value: Uint8Array): Change => ({
  table: TABLES.revocation,
  key: REVOCATION_STATE,
  value,
});

export const deviceChange = (id: DeviceId, record: DeviceRecord | null): Change => ({
  table: TABLES.devices,
  key: id,
  value: record === null ? null : DeviceRecord.encode(record),
});

export const registrationChange = (id: DeviceId, record: RegistrationRecord | null): Change => ({
  table: TABLES.registrations,
  key: id,
  value: record === null ? null : RegistrationRecord.encode(record),
});

/** @param leaf  SHA-256 in hex */
export const userChange = (leaf: string, record: UserRecord | null): Change => ({
  table: TABLES.users,
  key: leaf,
  value: record === null ? null : UserRecord.encode(record),
});

export const sessionChange = (sidHex: string, record: SessionRecord | null): Change => ({
  table: TABLES.sessions,
  key: sidHex,
  value: record === null ? null : SessionRecord.encode(record),
});

export const endedChange = (sidHex: string, until: EpochSeconds | null): Change => ({
  table: TABLES.ended,
  key: sidHex,
  value: until === null ? null : EndedRecord.encode({ until }),
});

export const retirementChange = (suite: string, by: EpochSeconds | null): Change => ({
  table: TABLES.retirements,
  key: suite,
  value: by === null ? null : RetirementRecord.encode({ by }),
});

/** @param sealingKey 32 bytes, kept beside the store in a file of mode 0600 */
export function resumptionChange(
  crypto: Crypto,
  sealingKey: Uint8Array,
  id: DeviceId,
  held: ResumptionSecret | null,
): Change {
  if (held === null) return { table: TABLES.resumption, key: id, value: null };
  const { generation, manager, suite, authenticateOnly, until } = held;
  const nonce = crypto.random(SEAL.nonceBytes);
  const sealed = concat(nonce, crypto.seal(SEAL, sealingKey, nonce, boundTo(held), held.secret));
  const value = ResumptionRecord.encode({ generation, sealed, manager, suite, authenticateOnly, until });
  return { table: TABLES.resumption, key: id, value };
}

/** @returns null when this key does not open it: a full login is due then @throws ProtocolError malformed */
export function unsealResumption(
  crypto: Crypto,
  sealingKey: Uint8Array,
  id: DeviceId,
  record: Uint8Array,
): ResumptionSecret | null {
  const { sealed, until, ...rest } = ResumptionRecord.decode(record);
  const bound = { ...rest, until: EpochSeconds(until), device: id };
  const nonce = sealed.subarray(0, SEAL.nonceBytes);
  const secret = crypto.open(SEAL, sealingKey, nonce, boundTo(bound), sealed.subarray(SEAL.nonceBytes));
  return secret === null ? null : { ...bound, secret };
}

const boundTo = (held: Omit<ResumptionSecret, 'secret'>): Uint8Array => {
  const item: CborItem = [held.device, held.manager, held.generation, held.suite, held.authenticateOnly, held.until];
  return encode(item);
};

/** Decoded byte strings are views of the database's page; they are copied before the page goes. */
function detach<T>(value: T): T {
  if (value instanceof Uint8Array) return value.slice() as T;
  if (Array.isArray(value)) return value.map(detach) as T;
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, detach(inner)])) as T;
  }
  return value;
}

/** A change that the disk refused, and what the disk holds instead. */
export interface RefusedChange {
  readonly change: Change;
  readonly held: Uint8Array | null;
}

/**
 * Memory follows the disk again where a commit failed: what was refused is replaced by what is held, unless something
 * newer has taken its place meanwhile.
 */
export function takeBack(
  memory: Pick<Loaded, 'devices' | 'registrations' | 'resumption'>,
  refused: readonly RefusedChange[],
): void {
  for (const { change, held } of refused) {
    const id = change.key as DeviceId;
    if (change.table === TABLES.devices) follow(memory.devices, id, change.value, held, DeviceRecord);
    if (change.table === TABLES.registrations) follow(memory.registrations, id, change.value, held, RegistrationRecord);
    if (change.table !== TABLES.resumption) continue;
    if (!sameBytes(memory.resumption.get(id) ?? null, change.value)) continue;
    if (held === null) memory.resumption.delete(id);
    else memory.resumption.set(id, held.slice());
  }
}

function follow<T>(
  map: Map<DeviceId, T>,
  id: DeviceId,
  refused: Uint8Array | null,
  held: Uint8Array | null,
  type: { encode(value: T): Uint8Array; decode(bytes: Uint8Array): T },
): void {
  const current = map.get(id);
  if (!sameBytes(current === undefined ? null : type.encode(current), refused)) return;
  if (held === null) map.delete(id);
  else map.set(id, detach(type.decode(held)));
}

const sameBytes = (a: Uint8Array | null, b: Uint8Array | null): boolean =>
  a === null || b === null ? a === b : equal(a, b);
