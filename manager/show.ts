/**
 * What the manager shows of itself, for `status`, `device` and `session`: plain JSON, never a secret.
 */
import type { JsonValue } from '../platform/control-socket.ts';
import { toHex } from '../protocol/bytes.ts';
import { describeProposal } from '../protocol/proposal.ts';
import { suiteName } from '../protocol/suites.ts';
import { type DeviceId, type Millis, seconds } from '../protocol/units.ts';
import { showLine } from './admission.ts';
import { hearsVerifier } from './revocation-watch.ts';
import { listingOf, type ManagerState, type Session, type Settings } from './state.ts';

/** A verifier that ended is shown for so long. */
const SHOWN_FOR = seconds(60);

/** Whom the manager hears of revocations, and who waits to be judged anew. */
function showRevocation({ revocation }: ManagerState, now: Millis): JsonValue {
  return {
    heard: hearsVerifier(revocation, now),
    verifiers: [...revocation.sources]
      .filter(([, { heardAt }]) => now - heardAt < SHOWN_FOR)
      .map(([instance, { number, heardAt }]) => ({
        instance,
        events: number,
        secondsAgo: Math.round((now - heardAt) / 100) / 10,
      })),
    inDoubt: revocation.doubtful.size,
  };
}

/** Devices that were seen as two machines since the start, and those that are out for it. */
const showDuplicates = ({ sightings, devices }: ManagerState): JsonValue => ({
  seen: [...sightings.keys()],
  quarantined: [...devices].filter(([, { quarantinedAt }]) => quarantinedAt !== undefined).map(([id]) => id),
});

export function showStatus(
  state: ManagerState,
  settings: Settings,
  now: Millis,
): { readonly [key: string]: JsonValue } {
  return {
    name: settings.name,
    devices: state.devices.size,
    registered: state.registrations.size,
    linked: settings.broker === 'outside' ? null : state.links.size,
    channels: state.channels.size,
    sessions: state.sessions.size,
    users: state.users.at.size,
    halfOpen: state.handshakes.size,
    resumptions: showLine(state.admission.resumption),
    logins: showLine(state.admission.login),
    retiringSuites: [...state.retirements].map(([suite, { by }]) => `${suite} by ${new Date(by * 1000).toISOString()}`),
    duplicates: showDuplicates(state),
    verifier: state.ownVerdicts.size === 0 ? 'silent' : 'answers',
    revocation: showRevocation(state, now),
  };
}

export function showDevice(state: ManagerState, id: DeviceId): { readonly [key: string]: JsonValue } {
  const record = state.devices.get(id)!;
  const registration = state.registrations.get(id);
  const open = state.channels.get(id);
  return {
    id,
    ...listingOf(state, id),
    names: record.names,
    leaf: toHex(record.leaf),
    verdictUntil: record.verdictUntil === 0 ? null : new Date(record.verdictUntil * 1000).toISOString(),
    revokedAt: record.revokedAt === undefined ? null : new Date(record.revokedAt * 1000).toISOString(),
    quarantinedAt: record.quarantinedAt === undefined ? null : new Date(record.quarantinedAt * 1000).toISOString(),
    seenAsTwo: state.sightings.get(id)?.times ?? 0,
    linked: state.settings.broker === 'outside' ? null : state.links.has(id),
    channel:
      open === undefined
        ? null
        : {
            opened: open.how,
            by: open.by,
            suite: suiteName(open.channel.suite),
            encrypted: !open.channel.authenticateOnly,
            resumedBefore: open.how === 'resume',
          },
    registration:
      registration === undefined
        ? null
        : {
            version: registration.version,
            addresses: registration.addresses,
            proposals: registration.proposals.map((proposal) => ({
              suite: describeProposal(proposal),
              priority: proposal.priority ?? null,
              nsPerOp: proposal.cost === undefined ? null : proposal.cost.picosPerOp / 1000,
              nsPerByte: proposal.cost === undefined ? null : proposal.cost.picosPerByte / 1000,
            })),
          },
    sessions: [...(state.sessionsOf.get(id) ?? [])],
  };
}

export function showSession(sid: string, session: Session): { readonly [key: string]: JsonValue } {
  const { flow, until } = session;
  const { terms } = flow;
  return {
    sid,
    state: flow.state,
    caller: terms.caller.id,
    callee: terms.callee.id,
    name: terms.name,
    user: terms.user?.id ?? null,
    suite: suiteName(terms.suite),
    encrypted: terms.suite.cipher !== 'hmac',
    keyMode: terms.keyMode,
    rule: terms.rule,
    epoch: 'epoch' in flow ? flow.epoch : 0,
    up: flow.state === 'granted' ? flow.up : [],
    until: new Date(until * 1000).toISOString(),
  };
}
