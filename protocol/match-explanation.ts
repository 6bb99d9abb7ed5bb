/**
 * Why a match came out as it did, for people and for programs, and what would change it. [B8]
 */
import { type Hint, hintSentence, hintsOf, type Question } from './match-hints.ts';
import { type Replay, replay } from './match-replay.ts';
import { type Side, sentencesOf } from './match-sentences.ts';
import { offersOf } from './proposal.ts';
import { DEFAULT_SELECTION, NO_WISHES, type Selection, type Wishes } from './selection.ts';

export interface MatchExplanation extends Replay {
  /** Short sentences, the most telling first; at most twelve. */
  readonly because: readonly string[];
  /** Each tried before it is told. */
  readonly hints: readonly Hint[];
  /** The same in words. */
  readonly whatWouldChange: readonly string[];
}

export function explainMatch(
  caller: Side,
  callee: Side,
  selection: Selection = DEFAULT_SELECTION,
  wishes: Wishes = NO_WISHES,
): MatchExplanation {
  const question: Question = { caller, callee, selection, wishes };
  const replayed = replay(offersOf(caller.proposals), offersOf(callee.proposals), selection, wishes);
  const hints = hintsOf(question, replayed);
  return {
    ...replayed,
    because: sentencesOf({ ...question, replay: replayed }),
    hints,
    whatWouldChange: hints.map(hintSentence),
  };
}
