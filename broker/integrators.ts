/**
 * Programs outside of the fleet that may see and answer what devices ask (docs/approval-topics.md): who they are, which
 * devices are theirs. The broker decides who may speak; whether an answer counts the device decides by its own key.
 */
import { approvalFilter, approvalTopic, parseApprovalTopic } from '../protocol/approval-topics.ts';
import { equalInConstantTime } from '../protocol/bytes.ts';
import { matchesGlob } from '../protocol/id-pattern.ts';
import type { DeviceId, LinkId, Topic } from '../protocol/units.ts';

export interface Integrator {
  /** Its user name. */
  readonly name: string;
  readonly tokenSha256: Uint8Array;
  /** Ids of its devices, with `*`. */
  readonly devices: readonly string[];
  /** Its living links. */
  readonly links: Set<LinkId>;
}

export type Integrators = ReadonlyMap<string, Integrator>;

/** Of one integrator at a time: a program and the one that follows it, some screens. */
export const MAX_LINKS_PER_INTEGRATOR = 16;
/** Questions and answers are short. */
export const MAX_APPROVAL_BYTES = 2048;

/** @returns null when there is none of that name and token */
export function integratorOf(
  integrators: Integrators,
  username: string,
  passwordSha256: Uint8Array | null,
): Integrator | null {
  const found = integrators.get(username);
  if (found === undefined || passwordSha256 === null) return null;
  return equalInConstantTime(found.tokenSha256, passwordSha256) ? found : null;
}

const isIts = ({ devices }: Integrator, device: DeviceId): boolean =>
  devices.some((pattern) => matchesGlob(pattern, device));

/** Answers, to its own devices. */
export function integratorWrites(integrator: Integrator, topic: string): boolean {
  const place = parseApprovalTopic(topic);
  return place?.what === 'answer' && isIts(integrator, place.device);
}

/** One device of its own, or all: what is not its own is left out at delivery. */
export function integratorSubscribes(integrator: Integrator, filter: string): boolean {
  return (
    filter === approvalFilter('ask') || filter === approvalFilter('settled') || integratorReads(integrator, filter)
  );
}

export function integratorReads(integrator: Integrator, topic: string): boolean {
  const place = parseApprovalTopic(topic);
  return place !== null && place.what !== 'answer' && isIts(integrator, place.device);
}

/** What a device writes and reads there. */
export const approvalRights = (device: DeviceId): { readonly writes: readonly Topic[]; readonly reads: Topic } => ({
  writes: [approvalTopic(device, 'ask'), approvalTopic(device, 'settled')],
  reads: approvalTopic(device, 'answer'),
});
