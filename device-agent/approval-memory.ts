/**
 * What of approval survives the process: answers that a person wants remembered, standing approvals that were given or taken
 * back at run time, the mode. One small file of mode 0600, written when it changes and never otherwise.
 */
import { device, sha256 } from '../protocol/message-values.ts';
import { array, choice, message, optional, required, text, uint, type Value } from '../protocol/schema.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { Mode } from './approval.ts';

/** In the state directory. */
export const APPROVALS_FILE = 'approvals.cbor';
export const MAX_APPROVALS_BYTES = 256 * 1024;
export const MAX_REMEMBERED = 256;
/** Of the configuration, and given at run time. */
export const MAX_STANDING = 64;

const epochSeconds = uint(0, 0xffff_ffff);

const Remembered = message('Remembered', null, 'an answer that counts for later asks of the same', {
  caller: required(1, device, 'who asked'),
  leaf: required(2, sha256, 'SHA-256 of its certificate: whoever bears the name with another is somebody else'),
  user: optional(3, text(1, 255), 'who was at it'),
  callee: optional(4, text(1, 255), 'the user who was asked for'),
  purpose: optional(5, text(1, 64), 'for which alone it counts'),
  decision: required(6, choice<'allow' | 'refuse'>({ allow: 0, refuse: 1 }), 'what was answered'),
  since: required(7, epochSeconds, 'when: an earlier clock is wrong'),
  until: required(8, epochSeconds, 'until when'),
});
export type Remembered = Value<typeof Remembered>;

const Standing = message('Standing', null, 'given at run time', {
  caller: required(1, device, 'whose sessions are approved beforehand'),
  lifetime: required(2, uint(1, 86_400), 'longest lifetime of such a session, seconds'),
});

const Approvals = message('Approvals', null, 'what of approval survives the process', {
  remembered: required(1, array(Remembered.type, 0, MAX_REMEMBERED), 'answers'),
  standing: required(2, array(Standing.type, 0, MAX_STANDING), 'beside those of the configuration'),
  withdrawn: required(3, array(device, 0, MAX_STANDING), 'of the configuration, and do not count'),
  mode: optional(4, choice<Mode>({ normal: 0, busy: 1, 'do-not-disturb': 2 }), 'absent: as the policy says'),
  until: optional(5, epochSeconds, 'when the mode ends'),
});

export interface ApprovalMemory {
  readonly remembered: readonly Remembered[];
  readonly standing: readonly { readonly caller: DeviceId; readonly lifetimeSeconds: number }[];
  readonly withdrawn: readonly DeviceId[];
  /** null: as the policy says. */
  readonly mode: { readonly mode: Mode; readonly until: number | null } | null;
}

export const NO_APPROVALS: ApprovalMemory = { remembered: [], standing: [], withdrawn: [], mode: null };

export function encodeApprovals({ remembered, standing, withdrawn, mode }: ApprovalMemory): Uint8Array {
  return Approvals.encode({
    remembered,
    standing: standing.map(({ caller, lifetimeSeconds }) => ({ caller, lifetime: lifetimeSeconds })),
    withdrawn,
    mode: mode?.mode,
    until: mode?.until ?? undefined,
  });
}

/** @throws ProtocolError malformed */
export function decodeApprovals(content: Uint8Array): ApprovalMemory {
  const { remembered, standing, withdrawn, mode, until } = Approvals.decode(content);
  return {
    remembered: remembered.map((one) => ({ ...one, leaf: one.leaf.slice() })),
    standing: standing.map(({ caller, lifetime }) => ({ caller, lifetimeSeconds: lifetime })),
    withdrawn,
    mode: mode === undefined ? null : { mode, until: until ?? null },
  };
}

/** What a running agent knows of it. */
export interface ApprovalState {
  /** By whom and what it is for. */
  readonly remembered: Map<string, Remembered>;
  /** Given at run time: longest lifetime in seconds. */
  readonly given: Map<DeviceId, number>;
  /** Of the configuration. */
  readonly withdrawn: Set<DeviceId>;
  mode: ApprovalMemory['mode'];
}

export function approvalState({ remembered, standing, withdrawn, mode }: ApprovalMemory): ApprovalState {
  return {
    remembered: new Map(remembered.map((one) => [keyOf(one), one])),
    given: new Map(standing.map(({ caller, lifetimeSeconds }) => [caller, lifetimeSeconds])),
    withdrawn: new Set(withdrawn),
    mode,
  };
}

export const keyOf = ({
  caller,
  leaf,
  user,
  callee,
  purpose,
}: Omit<Remembered, 'decision' | 'since' | 'until'>): string =>
  JSON.stringify([caller, [...leaf], user ?? null, callee ?? null, purpose ?? null]);
