/**
 * A session that moves to another suite while both devices hold keys: the old keys send until a record of the peer has opened
 * under the new ones, and open what is still on its way for a while after that, so that no message is lost.
 */
import { cancel, schedule } from '../protocol/deadlines.ts';
import { type RecordContext, wipeContext } from '../protocol/record.ts';
import { later, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import type { AgentState, Session } from './state.ts';

/** How long records under the old keys may still be on their way. */
const OVERLAP = seconds(60);

/** @returns the keys of a session that go on serving beside the new ones, or null: the epochs must differ in their bit */
export function keysToKeep(before: Session, epoch: number, handover: boolean): Session['before'] {
  if (before.before !== null) wipeContext(before.before.records);
  const epochBit = (before.epoch & 1) as 0 | 1;
  // the peer may have opened the session under them already, though this side has heard nothing yet
  if (handover && epochBit !== (epoch & 1)) {
    return { records: before.records, epochBit, sends: before.state.name === 'open' };
  }
  wipeContext(before.records);
  return null;
}

/** The keys that a message goes out under now; null: it cannot go. */
export function sendingRecords({ state, records, before }: Session): RecordContext | null {
  if (state.name === 'open') return records;
  return state.name === 'granted' && before?.sends === true ? before.records : null;
}

/** The new keys are seen at work on both sides, or the session is over. */
export function overlapEnds(state: AgentState, sid: string, session: Session, world: World): void {
  if (session.before !== null) schedule(state.deadlines, `old:${sid}`, later(world.now, OVERLAP));
}

export function dropOldKeys(state: AgentState, sid: string, session: Session | undefined): void {
  cancel(state.deadlines, `old:${sid}`);
  if (session === undefined || session.before === null) return;
  wipeContext(session.before.records);
  session.before = null;
}
