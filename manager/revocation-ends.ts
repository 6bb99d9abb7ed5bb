/**
 * Sessions that ended because one of the two was revoked, for as long as the other may still hold them: at its next contact,
 * after a restart of the manager too, it hears the reason.
 */
import type { Change } from '../platform/store.ts';
import type { EpochSeconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { endedChange } from './registry.ts';
import type { ManagerState } from './state.ts';

/** The oldest are forgotten, and their reason with them: the end itself is told all the same. */
const MAX_ENDED = 100_000;

/**
 * @param until  nobody holds the session longer
 * @returns      to be stored with the end
 */
export function noteRevokedEnd(state: ManagerState, sid: string, until: EpochSeconds, { wall }: World): Change[] {
  const { endedAsRevoked } = state.revocation;
  endedAsRevoked.set(sid, until);
  const changes = [endedChange(sid, until)];
  for (const [oldest, end] of endedAsRevoked) {
    if (endedAsRevoked.size <= MAX_ENDED && end >= wall) break;
    endedAsRevoked.delete(oldest);
    changes.push(endedChange(oldest, null));
  }
  return changes;
}
