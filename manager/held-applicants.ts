/**
 * Applicants for whom an operator has to say yes. They ask again every few seconds, so they are kept in memory alone.
 */
import type { Reason } from '../protocol/message-values.ts';
import type { World } from '../protocol/world.ts';
import type { Applicant, HeldApplicant } from './enrolment-desk.ts';
import { watchEnds } from './invitations.ts';
import { log } from './outbox.ts';
import type { ManagerState } from './state.ts';

/** Of the hash of the key: enough for people to compare, and for a command to name one. */
const ID_DIGITS = 16;
const MAX_HELD = 1000;
/** By one invitation beyond its uses, or by certificates of one name: one that was stolen shall not keep out all others. */
const MAX_OF_ONE = 16;

/** @param key  SHA-256 of the SubjectPublicKeyInfo in hex; what is left the device shows too */
export const heldId = (key: string): string => key.slice(0, ID_DIGITS);

/** @returns what the device is told */
export function hold(state: ManagerState, applicant: Applicant, world: World): Reason {
  const { held } = state.enrolment;
  const id = heldId(applicant.key);
  const known = held.get(id);
  if (known !== undefined && known.applicant.key === applicant.key && known.applicant.device === applicant.device) {
    known.asked = world.now;
    return known.refused ? 'forbidden' : 'held';
  }
  // a person may be looking at the other name: nothing takes its place behind this id before that person said no
  if (known !== undefined && !known.refused) {
    const other = known.applicant.device;
    const remedy = `to let it ask under the other name: kagimori enrolment refuse ${id}`;
    log(state, 'warn', 'enrolment.refused', { device: applicant.device, id, detail: `it waits as ${other}`, remedy });
    return 'forbidden';
  }
  if (known === undefined && (held.size >= MAX_HELD || isTooManyOfOne(state, applicant))) return 'too-many';
  held.set(id, { applicant, since: world.wall, asked: world.now, refused: false });
  watchEnds(state, world);
  const remedy = `compare the key with what the device shows, then: kagimori enrolment allow ${id}`;
  log(state, 'warn', 'enrolment.held', { device: applicant.device, id, remedy });
  return 'held';
}

function isTooManyOfOne(
  { enrolment: { held, invitations } }: ManagerState,
  { invitation, device }: Applicant,
): boolean {
  const isAlike = ({ applicant }: HeldApplicant): boolean =>
    applicant.invitation === invitation && (invitation !== null || applicant.device === device);
  const uses = invitation === null ? 0 : (invitations.get(invitation)?.left ?? 0);
  return [...held.values()].filter(isAlike).length >= MAX_OF_ONE + uses;
}

/** It has got its certificate. */
export function release({ enrolment: { held } }: ManagerState, key: string): void {
  held.delete(heldId(key));
}
