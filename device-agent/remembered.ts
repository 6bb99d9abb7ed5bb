/**
 * Answers that count for later asks: of the same caller with the same certificate and the same user at it, for the same user
 * here, and where the person wanted it for the same purpose alone.
 */
import type { MessageOf } from '../protocol/messages.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { keepApprovals } from './approval-keeping.ts';
import { keyOf, MAX_REMEMBERED, type Remembered } from './approval-memory.ts';
import type { AgentState } from './state.ts';

export const LONGEST_REMEMBERED = 30 * 86_400;

export interface Memo {
  readonly seconds: number;
  readonly forPurpose: boolean;
}

type Ask = MessageOf<'Ask'>;

/** Whether there is a caller to be known again: an Ask without a certificate names nobody for sure. */
export const isMemorable = ({ leaf }: Ask): boolean => leaf !== undefined;

/** Nothing of an Ask without the caller's certificate. The one that ends first makes room. */
export function rememberAnswer(
  state: AgentState,
  ask: Ask,
  decision: 'allow' | 'refuse',
  { seconds, forPurpose }: Memo,
  world: World,
): void {
  const subject = subjectOf(ask, forPurpose ? ask.purpose : undefined);
  if (subject === null) return;
  const { remembered } = state.approvals;
  const key = keyOf(subject);
  if (remembered.size >= MAX_REMEMBERED && !remembered.has(key)) {
    const [first] = [...remembered].sort(([, a], [, b]) => a.until - b.until);
    if (first !== undefined) remembered.delete(first[0]);
  }
  const since = world.wall;
  remembered.set(key, { ...subject, decision, since, until: since + Math.min(seconds, LONGEST_REMEMBERED) });
  keepApprovals(state, world);
}

/** What was said of this purpose counts before what was said of all. */
export function recallAnswer(state: AgentState, ask: Ask, { wall }: World): 'allow' | 'refuse' | null {
  for (const purpose of ask.purpose === undefined ? [undefined] : [ask.purpose, undefined]) {
    const subject = subjectOf(ask, purpose);
    const found = subject === null ? undefined : state.approvals.remembered.get(keyOf(subject));
    if (found !== undefined && found.since <= wall && wall < found.until) return found.decision;
  }
  return null;
}

/** @returns how many there were */
export function forgetAnswers(state: AgentState, caller: DeviceId, world: World): number {
  const { remembered } = state.approvals;
  const before = remembered.size;
  for (const [key, one] of remembered) if (one.caller === caller) remembered.delete(key);
  const forgotten = before - remembered.size;
  if (forgotten > 0) keepApprovals(state, world);
  return forgotten;
}

/** @returns null for an Ask without the caller's certificate */
function subjectOf(
  { from: caller, leaf, user, name }: Ask,
  purpose: string | undefined,
): Omit<Remembered, 'decision' | 'since' | 'until'> | null {
  if (leaf === undefined) return null;
  const callee = name.startsWith('user:') ? name : undefined;
  return { caller, leaf: leaf.slice(), user, callee, purpose };
}
