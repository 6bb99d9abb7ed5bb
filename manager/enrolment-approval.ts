/**
 * What an operator says of those who wait to be enrolled.
 */
import type { World } from '../protocol/world.ts';
import { begin } from './enrolment.ts';
import type { HeldApplicant } from './enrolment-desk.ts';
import { isNameTaken } from './invitations.ts';
import { log } from './outbox.ts';
import type { ManagerState } from './state.ts';

/** Why a yes has no effect, for the operator; null: it has. */
export type ApprovalFault = 'unknown' | 'name-taken' | 'bad-token' | null;

/**
 * Certifies at once, so that the yes outlives a restart: the device gets what was issued when it next asks.
 * @param id  as `enrolment list` shows it
 */
export function allowHeld(state: ManagerState, id: string, world: World): ApprovalFault {
  const { held, underWay, invitations, reserved } = state.enrolment;
  const found = held.get(id);
  if (found === undefined) return 'unknown';
  const { applicant } = found;
  const { device, key, invitation } = applicant;
  if (underWay.has(key)) return null;
  if (isNameTaken(state, device, key, world)) return 'name-taken';
  if (invitation !== null) {
    const record = invitations.get(invitation);
    const left = (record?.left ?? 0) - (reserved.get(invitation) ?? 0);
    if (record === undefined || left <= 0 || record.until <= world.wall) return 'bad-token';
  }
  log(state, 'info', 'enrolment.allowed', { device, id });
  begin(state, applicant);
  return null;
}

/** @returns null: nobody of that id waits */
export function refuseHeld(state: ManagerState, id: string): HeldApplicant | null {
  const found = state.enrolment.held.get(id);
  if (found === undefined) return null;
  found.refused = true;
  log(state, 'info', 'enrolment.refused-by-operator', { device: found.applicant.device, id });
  return found;
}
