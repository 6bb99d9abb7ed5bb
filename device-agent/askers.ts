/**
 * Who is asked beside the person at the command line: programs of this device, people behind the integration topic. Whoever
 * answers first decides; who does not answer changes nothing.
 */
import { toHex } from '../protocol/bytes.ts';
import { suiteName } from '../protocol/suites.ts';
import type { World } from '../protocol/world.ts';
import { approveAsk, refuseAsk } from './answering.ts';
import type { AskDecider, News } from './effects.ts';
import { LONGEST_REMEMBERED, type Memo } from './remembered.ts';
import type { AgentState } from './state.ts';

/** What is told of an Ask; null: the manager does not say, or there is none. */
export interface AskQuestion {
  readonly sid: string;
  readonly from: string;
  readonly class: string | null;
  readonly groups: readonly string[];
  readonly user: string | null;
  readonly purpose: string | null;
  /** The name that was asked for. */
  readonly name: string;
  readonly suite: string;
  readonly lifetimeSeconds: number;
  /** The time for an answer. */
  readonly secondsLeft: number;
}

export interface AskAnswer {
  readonly decision: 'allow' | 'refuse';
  /** For so long it counts for later asks of the same as well. */
  readonly rememberSeconds?: number | undefined;
}

export interface Asker {
  readonly name: AskDecider;
  /**
   * @param answer  once at most, and never within this call
   * @returns       what stops the asking: somebody else has answered, or nobody need any more
   */
  ask(question: AskQuestion, answer: (answer: AskAnswer) => void): () => void;
}

export interface AskingParts {
  readonly state: AgentState;
  readonly world: () => World;
  /** Runs in a turn of the agent's loop. */
  readonly wish: (act: () => void) => void;
}

export interface Asking {
  /** Hears the agent's news. */
  readonly hear: (news: News) => void;
  /** Nobody is asked any more. */
  stop(): void;
}

export function askAll(askers: readonly Asker[], { state, world, wish }: AskingParts): Asking {
  const underWay = new Map<string, (() => void)[]>();
  const decide = (sid: string, by: AskDecider, { decision, rememberSeconds }: AskAnswer): void =>
    wish(() => {
      const memo: Memo | null =
        rememberSeconds === undefined
          ? null
          : { seconds: Math.min(rememberSeconds, LONGEST_REMEMBERED), forPurpose: false };
      if (decision === 'allow') approveAsk(state, sid, world(), by, memo);
      else refuseAsk(state, sid, 'refused-by-user', world(), by, memo);
    });
  const stopOne = (sid: string): void => {
    for (const stop of underWay.get(sid) ?? []) stop();
    underWay.delete(sid);
  };
  const hear = (news: News): void => {
    switch (news.news) {
      case 'asked': {
        const { sid } = news;
        const question = questionOf(state, sid, world());
        if (question === null) return;
        const stops = askers.map((asker) => asker.ask(question, (answer) => decide(sid, asker.name, answer)));
        underWay.set(sid, stops);
        return;
      }
      case 'askApproved':
      case 'askRefused':
      case 'askWithdrawn':
        return stopOne(news.sid);
      default:
        return;
    }
  };
  return { hear, stop: () => [...underWay.keys()].forEach(stopOne) };
}

/** @returns null when nobody need answer any more */
export function questionOf(state: AgentState, sid: string, { now }: World): AskQuestion | null {
  const asked = state.asked.get(sid);
  if (asked === undefined || asked.nonceB !== null) return null;
  const { from, class: kind, groups, user, purpose, name, suite, lifetime, sid: raw } = asked.ask;
  const due = state.deadlines.current.get(`ask:${sid}`) ?? now;
  return {
    sid: toHex(raw),
    from,
    class: kind ?? null,
    groups: groups ?? [],
    user: user ?? null,
    purpose: purpose ?? null,
    name,
    suite: suiteName(suite),
    lifetimeSeconds: lifetime,
    secondsLeft: Math.max(0, Math.ceil((due - now) / 1000)),
  };
}
