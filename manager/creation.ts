/**
 * The manager's state at the start of its process, from what the store held.
 */
import { EMPTY, fromHex, toHex } from '../protocol/bytes.ts';
import { noDeadlines, schedule } from '../protocol/deadlines.ts';
import { INSTANCE_BYTES } from '../protocol/messages.ts';
import type { Name } from '../protocol/names.ts';
import { type DeviceId, later, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { newAdmission } from './admission.ts';
import { claimNames } from './logins.ts';
import type { Loaded, SessionRecord } from './registry.ts';
import { addSession } from './sessions.ts';
import type { ManagerState } from './state.ts';

type Identity = Pick<
  ManagerState,
  'settings' | 'identity' | 'otherIdentities' | 'verifierKey' | 'reader' | 'sealingKey'
>;

/** @param loaded what the store held */
export function createManager(identity: Identity, loaded: Loaded, world: World): ManagerState {
  const state: ManagerState = {
    ...identity,
    instance: world.crypto.random(INSTANCE_BYTES),
    devices: loaded.devices,
    registrations: loaded.registrations,
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
    sessionOfCall: new Map(),
    replies: new Map(),
    hinted: new Map(),
    commits: new Map(),
    deadlines: noDeadlines(),
    ownVerdicts: new Map(),
    verifierAway: null,
    replaced: new Map(),
    nextCommit: 1,
    nextHandshake: 1,
    toOpen: [],
    out: [],
  };
  for (const [id, record] of loaded.devices) {
    state.leaves.set(toHex(record.leaf), id);
    claimNames(state, id, record.names as readonly Name[]);
  }
  for (const [sid, record] of loaded.sessions) restoreSession(state, sid, record, world);
  return state;
}

/** A granted session goes on after a restart: the devices hold its keys, the manager its terms. */
function restoreSession(state: ManagerState, sid: string, record: SessionRecord, world: World): void {
  // one whose time ran out meanwhile is due at once, which takes it from the disk
  const left = Math.max(0, record.approvedUntil - world.wall);
  const party = (id: DeviceId) => {
    const registration = state.registrations.get(id);
    const leaf = state.devices.get(id)?.leaf ?? EMPTY;
    return {
      id,
      leaf,
      registration: registration?.hash ?? EMPTY,
      version: registration?.version ?? 1,
      addresses: registration?.addresses ?? [],
    };
  };
  const terms = {
    sid: fromHex(sid),
    caller: party(record.caller),
    callee: party(record.callee),
    name: record.name,
    nonceA: EMPTY,
    suite: record.suite,
    keyMode: record.keyMode,
    rule: record.rule,
    lifetimeSeconds: left,
    route: record.route,
  };
  const until = record.approvedUntil as typeof world.wall;
  addSession(state, sid, {
    flow: { state: 'granted', terms, epoch: record.epoch, up: [] },
    sealedForCaller: null,
    until,
  });
  schedule(state.deadlines, `session:${sid}`, later(world.now, seconds(left)));
}
