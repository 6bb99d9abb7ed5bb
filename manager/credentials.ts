/**
 * Whose certificate a login shows, in either direction; whether it may have the name, and how it gets into the registry.
 */
import type { Change } from '../platform/store.ts';
import { equal, toHex } from '../protocol/bytes.ts';
import { deviceNames } from '../protocol/certificate.ts';
import type { IdCred } from '../protocol/edhoc/credential.ts';
import { ProtocolError } from '../protocol/errors.ts';
import { MAX_CERTIFICATE_BYTES, type Reason } from '../protocol/message-values.ts';
import type { Name } from '../protocol/names.ts';
import { MAX_AGE_SECONDS, type ResumptionSecret } from '../protocol/resumption.ts';
import type { Party } from '../protocol/topics.ts';
import { type DeviceId, EpochSeconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { enrolledChange } from './enrolment-records.ts';
import type { Proven } from './handshake.ts';
import { log } from './outbox.ts';
import { type DeviceRecord, deviceChange, resumptionChange } from './registry.ts';
import { forgetBearer, marksOfChain, noteBearer } from './revocation-watch.ts';
import { stepSessionsOf } from './sessions.ts';
import { isWelcome, listingOf, type ManagerState } from './state.ts';

/** As many as the registry keeps, and as long. */
const MAX_NAMES = 64;
const MAX_NAME_LENGTH = 300;

/** @returns the chain that a credential names, or null when only its hash was sent and nobody has it */
export function chainOf(state: ManagerState, peer: IdCred): readonly Uint8Array[] | null {
  if (peer.kind === 'x5chain') return peer.certificates.map((certificate) => certificate.slice());
  if (peer.hash.length !== 32) return null;
  const id = state.leaves.get(toHex(peer.hash));
  return id === undefined ? null : (state.devices.get(id)?.chain ?? null);
}

/** @throws ProtocolError badCertificate */
export function readLeaf(state: ManagerState, chain: readonly Uint8Array[], world: World) {
  // the verifier takes none that is larger, and nobody has signed for the size yet
  if (chain.some((one) => one.length > MAX_CERTIFICATE_BYTES)) {
    throw new ProtocolError('badCertificate', `a certificate of more than ${MAX_CERTIFICATE_BYTES} bytes in the chain`);
  }
  const der = chain[0]!;
  const certificate = state.reader.readCertificate(der);
  const names = certificate === null ? null : deviceNames(certificate);
  const publicKey = certificate === null ? null : world.crypto.publicKey(certificate.spki);
  if (certificate === null || names === null || publicKey === null) {
    throw new ProtocolError('badCertificate', 'the leaf does not parse, names no device, or has a key of another kind');
  }
  if (names.names.length > MAX_NAMES || names.names.some((name) => name.length > MAX_NAME_LENGTH)) {
    throw new ProtocolError('badCertificate', `the leaf has more than ${MAX_NAMES} names, or one that is too long`);
  }
  const leaf = world.crypto.hash('sha-256', der);
  const proven: Proven = { id: names.id, names: names.names, chain, leaf, notAfter: certificate.notAfter };
  return { proven, peer: { der, publicKey } };
}

/** @returns why a device with a good certificate may not come in, or null */
export function admission(state: ManagerState, party: Party, proven: Proven, world: World): Reason | null {
  if (!maySpeakAs(state, party, proven.id) || !isWelcome(state, proven.id)) return 'forbidden';
  if (
    !state.settings.listings.has(proven.id) &&
    state.settings.admit === 'listed' &&
    isEnrolledByOther(state, proven, world)
  )
    return 'forbidden';
  if (state.voids.underWay.has(proven.id)) return 'busy';
  const known = state.devices.get(proven.id);
  if (known?.quarantinedAt !== undefined) return 'duplicate';
  if (known === undefined || equal(known.leaf, proven.leaf)) return null;
  return !isLiving(state, known, world) || sameKey(state, known.chain, proven.chain) ? null : 'name-taken';
}

/** false: the topic, or the link, belongs to somebody else. */
export function maySpeakAs(state: ManagerState, party: Party, id: DeviceId): boolean {
  const bound = party.kind === 'device' ? party.id : state.linkDevices.get(party.link);
  return bound === undefined || bound === id;
}

/** A name held by a living certificate is refused to another key. One that was revoked or has run out does not live. */
export function isLiving(state: ManagerState, { revokedAt, chain }: DeviceRecord, world: World): boolean {
  if (revokedAt !== undefined) return false;
  const leaf = state.reader.readCertificate(chain[0]!);
  return leaf !== null && leaf.notAfter >= world.wall;
}

export function sameKey(state: ManagerState, before: readonly Uint8Array[], now: readonly Uint8Array[]): boolean {
  const [old, fresh] = [before, now].map(([leaf]) => state.reader.readCertificate(leaf!));
  return old != null && fresh != null && equal(old.spki, fresh.spki);
}

/** Whether it was another key that was enrolled under this name: class, groups and welcome were meant for that one. */
function isEnrolledByOther({ enrolment, reader }: ManagerState, { id, chain }: Proven, { crypto }: World): boolean {
  const enrolled = enrolment.enrolled.get(id);
  if (enrolled === undefined) return false;
  const leaf = reader.readCertificate(chain[0]!);
  return leaf === null || !equal(crypto.hash('sha-256', leaf.spki), enrolled.key);
}

/** Takes a device into the registry, in memory at once and on disk with the change returned. */
export function enterDevice(state: ManagerState, proven: Proven, verdictUntil: EpochSeconds, world: World): Change {
  const { id, chain, leaf, names } = proven;
  const old = state.devices.get(id);
  if (old !== undefined) {
    state.leaves.delete(toHex(old.leaf));
    forgetBearer(state.revocation, id, old);
  }
  const isSame = old !== undefined && (equal(old.leaf, leaf) || sameKey(state, old.chain, chain));
  // whoever has another key is another device under the same name: what was agreed with the one before is not renewed
  if (old !== undefined && !isSame) stepSessionsOf(state, id, { type: 'lost', device: id, reason: 'peer-gone' }, world);
  // an alias that the new leaf no longer proves is free again; one that another device holds is not taken
  for (const name of old?.names ?? []) if (!names.includes(name as Name)) releaseName(state, id, name as Name);
  const claimed = claimNames(state, id, names);
  const marks = marksOfChain(state.revocation, state.reader, world.crypto, chain);
  // who was put out while the CA was at work stays out
  const quarantinedAt = isSame ? old.quarantinedAt : undefined;
  const record: DeviceRecord = {
    chain,
    leaf,
    names: claimed,
    verdictUntil,
    instance: old?.instance,
    marks,
    quarantinedAt,
  };
  // the new process is noted by adoptChannel, which compares it with this one
  // set before the disk has it: a second login in the same moment must not take the name
  state.devices.set(id, record);
  state.leaves.set(toHex(leaf), id);
  noteBearer(state.revocation, id, record);
  return deviceChange(id, record);
}

/** Takes a device that logs in into the registry, in memory at once and on disk with the changes returned. */
export function admit(
  state: ManagerState,
  proven: Proven,
  verdictUntil: EpochSeconds,
  secret: Uint8Array,
  mode: { readonly suite: number; readonly authenticateOnly: boolean },
  world: World,
): Change[] {
  const { id } = proven;
  const changes = [enterDevice(state, proven, verdictUntil, world)];
  if (isEnrolledByOther(state, proven, world)) {
    state.enrolment.enrolled.delete(id);
    changes.push(enrolledChange(id, null));
    log(state, 'warn', 'enrolment.over', { device: id, detail: 'another key has its name now: it has no class by it' });
  }
  const held: ResumptionSecret = {
    generation: 0,
    secret,
    device: id,
    manager: state.settings.name,
    suite: mode.suite,
    authenticateOnly: mode.authenticateOnly,
    until: EpochSeconds(Math.min(world.wall + MAX_AGE_SECONDS, proven.notAfter)),
  };
  const resumption = resumptionChange(world.crypto, state.sealingKey, id, held);
  secret.fill(0);
  if (resumption.value !== null) state.resumption.set(id, resumption.value);
  return [...changes, resumption];
}

/**
 * An alias belongs to one device; it is refused to the second, whose login goes on without it.
 * @returns the names that are its own; only they are stored, so that a restart gives them to nobody else
 */
export function claimNames(state: ManagerState, id: DeviceId, names: readonly Name[]): Name[] {
  return names.filter((name) => {
    const holder = state.names.get(name);
    if (holder === undefined || holder === id) {
      state.names.set(name, id);
      return true;
    }
    log(state, 'warn', 'name.taken', { device: id, name, holder, listed: listingOf(state, id).class });
    return false;
  });
}

function releaseName(state: ManagerState, id: DeviceId, name: Name): void {
  if (state.names.get(name) === id) state.names.delete(name);
}
