/**
 * The manager's state at the start of its process, from what the store held.
 */
import { EMPTY, equal, fromHex, toHex } from '../protocol/bytes.ts';
import { noDeadlines, schedule } from '../protocol/deadlines.ts';
import { INSTANCE_BYTES } from '../protocol/message-values.ts';
import type { Name } from '../protocol/names.ts';
import { SILENCE } from '../protocol/revocation-event.ts';
import { type DeviceId, EpochSeconds, later, Millis, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { newAdmission } from './admission.ts';
import { noChoices } from './choices.ts';
import { claimNames } from './credentials.ts';
import { newEnrolmentDesk } from './enrolment-desk.ts';
import type { Flow } from './flow.ts';
import { watchEnds } from './invitations.ts';
import { noRefusals } from './refusals.ts';
import type { Loaded, SessionRecord } from './registry.ts';
import { newRenewingDesk } from './renewing-desk.ts';
import { marksOfChain, newRevocationWatch, noteBearer } from './revocation-watch.ts';
import { newRollbackWatch } from './rollback-record.ts';
import { callerOf } from './selection.ts';
import { addSession } from './sessions.ts';
import { isWelcome, type ManagerState } from './state.ts';
import type { Decision, Party, Terms } from './terms.ts';
import { isAt, newUserDesk } from './user-desk.ts';
import { usersRestored } from './user-leaving.ts';
import { newVoidDesk } from './void-records.ts';

type Identity = Pick<
  ManagerState,
  'settings' | 'identity' | 'otherIdentities' | 'verifierKeys' | 'reader' | 'readRequest' | 'sealingKey'
>;

/** @param loaded what the store held */
export function createManager(identity: Identity, loaded: Loaded, world: World): ManagerState {
  const state: ManagerState = {
    ...identity,
    instance: world.crypto.random(INSTANCE_BYTES),
    devices: loaded.devices,
    registrations: loaded.registrations,
    offers: new WeakMap(),
    choices: noChoices(),
    refusals: noRefusals(world.now),
    rules: identity.settings.rules,
    retirements: loaded.retirements,
    retirementsSeen: 0,
    resumption: loaded.resumption,
    names: new Map(),
    leaves: new Map(),
    links: new Map(),
    reported: new Set(),
    linkDevices: new Map(),
    channels: new Map(),
    handshakes: new Map(),
    admission: newAdmission(identity.settings.pace),
    toHint: new Set(),
    questions: new Map(),
    questionOf: new Map(),
    sessions: new Map(),
    sessionsOf: new Map(),
    sessionsBetween: new Map(),
    sessionsOfCall: new Map(),
    replies: new Map(),
    probes: new Map(),
    users: newUserDesk(loaded.users, world.now),
    hinted: new Map(),
    commits: new Map(),
    enrolment: newEnrolmentDesk(loaded.enrolment),
    voids: newVoidDesk(loaded.voids),
    certifying: new Map(),
    renewing: newRenewingDesk(),
    nextCertificate: 1,
    deadlines: noDeadlines(),
    ownVerdicts: new Map(),
    verifierHeardAt: null,
    verifierAway: null,
    verdictEnds: new Map(),
    revocation: newRevocationWatch(loaded.revocationState, loaded.endedAsRevoked),
    sightings: new Map(),
    rollback: newRollbackWatch(world.now),
    nextCommit: 1,
    nextHandshake: 1,
    toOpen: [],
    undelivered: [],
    out: [],
  };
  for (const [id, record] of loaded.devices) {
    state.leaves.set(toHex(record.leaf), id);
    const { chain, marks = marksOfChain(state.revocation, state.reader, world.crypto, chain) } = record;
    noteBearer(state.revocation, id, { ...record, marks });
    if (record.marks === undefined) state.devices.set(id, { ...record, marks });
    claimNames(state, id, record.names as readonly Name[]);
  }
  usersRestored(state, world);
  schedule(state.deadlines, 'silence', later(world.now, SILENCE));
  if (state.enrolment.invitations.size > 0) watchEnds(state, world);
  if (state.retirements.size > 0) schedule(state.deadlines, 'retirements', world.now);
  for (const [sid, record] of loaded.sessions) restoreSession(state, sid, record, world);
  return state;
}

/**
 * A granted session goes on after a restart: the devices hold its keys, the manager its terms. One whose device has another
 * process than was granted to waits for both and is granted again.
 */
function restoreSession(state: ManagerState, sid: string, record: SessionRecord, world: World): void {
  // one whose time ran out meanwhile is due at once, which takes it from the disk
  // and no wall clock that went back makes a life longer than any may be
  const { devices, settings } = state;
  // one of a device that was removed, revoked, or taken from the list, is over too: the next of that name is another
  const mayStay = (id: DeviceId): boolean => {
    const record = devices.get(id);
    return record !== undefined && record.revokedAt === undefined && record.quarantinedAt === undefined;
  };
  const user = record.user === undefined ? null : { id: record.user, leaf: record.userLeaf ?? EMPTY };
  const stays = user === null || isAt(state.users, toHex(user.leaf), user.id, record.callee);
  const known = stays && [record.caller, record.callee].every((id) => mayStay(id) && isWelcome(state, id));
  const left = known ? Math.max(0, Math.min(record.approvedUntil - world.wall, settings.lifetimeSeconds.atMost)) : 0;
  const terms: Terms = {
    sid: fromHex(sid),
    caller: restoreParty(state, record.caller, record.callerInstance, record.callerConsent),
    callee: restoreParty(state, record.callee, record.calleeInstance, record.calleeConsent),
    name: record.name,
    user,
    about: callerOf(state, record.caller, record.purpose ?? null),
    call: record.call ?? EMPTY,
    nonceA: EMPTY,
    suite: record.suite,
    keyMode: record.keyMode,
    rule: record.rule,
    decision: readDecision(record),
    lifetimeSeconds: left,
    route: record.route,
  };
  const { epoch } = record;
  const until = later(world.now, seconds(left));
  const keysStand = [terms.caller, terms.callee].every(({ id, instance }) => {
    const now = state.devices.get(id)?.instance;
    return instance === null || (now !== undefined && equal(now, instance));
  });
  const flow: Flow =
    keysStand && known
      ? { state: 'granted', terms, epoch, at: Millis(Number.NEGATIVE_INFINITY), until, up: [] }
      : { state: 'renewing', terms, epoch, until, ready: [], repeats: 0, from: null };
  addSession(state, sid, { flow, sealed: new Map(), until: record.approvedUntil as typeof world.wall });
  schedule(state.deadlines, `session:${sid}`, until);
}

function readDecision({ rule, decision }: SessionRecord): Decision | null {
  if (decision?.selection === undefined) return null;
  const { at, rules, messageBytes, allowUnencrypted, callerRegistration, calleeRegistration } = decision;
  const { prefer, messageBytes: ofRule, ...require } = decision.selection;
  return {
    at: EpochSeconds(at),
    rules: rules ?? null,
    selection: { name: rule, require, prefer, messageBytes: ofRule ?? null },
    allowUnencrypted,
    messageBytes: messageBytes ?? null,
    callerRegistration,
    calleeRegistration,
  };
}

function restoreParty(
  state: ManagerState,
  id: DeviceId,
  instance: Uint8Array | undefined,
  consent: Uint8Array | undefined,
): Party {
  const registration = state.registrations.get(id);
  return {
    id,
    leaf: state.devices.get(id)?.leaf ?? EMPTY,
    registration: registration?.hash ?? EMPTY,
    version: registration?.version ?? 1,
    addresses: registration?.addresses ?? [],
    instance: instance ?? null,
    consent: consent ?? null,
  };
}
