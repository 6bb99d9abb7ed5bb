/**
 * Asks that wait: for a person, or for the grant that follows the approval (patent 2116-2136).
 */
import { cancel, schedule } from '../protocol/deadlines.ts';
import { type DeviceId, later, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import type { AgentState, Questions } from './state.ts';

const MINUTE = seconds(60);
/** A caller that asks and takes back may not ring for ever, nor start a program each time. */
const QUESTIONS_A_MINUTE = 30;

/** Counts a question of this caller. @returns whether it is one too many; `first`: of those, to be told once */
export function countQuestion(
  questions: Questions,
  caller: DeviceId,
  { now }: World,
): { readonly tooMany: boolean; readonly first: boolean } {
  if (now - questions.since >= MINUTE) {
    questions.since = now;
    questions.counts.clear();
  }
  const count = (questions.counts.get(caller) ?? 0) + 1;
  questions.counts.set(caller, count);
  return { tooMany: count > QUESTIONS_A_MINUTE, first: count === QUESTIONS_A_MINUTE + 1 };
}

const EARLY_RECORD_TIME = seconds(2);
const MAX_EARLY_RECORDS = 4;

export function forgetAsk(state: AgentState, sid: string): void {
  state.asked.delete(sid);
  for (const kind of ['ask', 'grant', 'early']) cancel(state.deadlines, `${kind}:${sid}`);
}

/** A record of a caller that was approved and whose grant is still on its way: held, 4 records, 2 s. */
export function holdEarly(state: AgentState, from: string, record: Uint8Array, world: World): boolean {
  for (const [sid, asked] of state.asked) {
    if (asked.ask.from !== from || asked.nonceB === null || asked.early.length >= MAX_EARLY_RECORDS) continue;
    asked.early.push(record.slice());
    if (asked.early.length === 1) schedule(state.deadlines, `early:${sid}`, later(world.now, EARLY_RECORD_TIME));
    return true;
  }
  return false;
}
