/**
 * Asks people and programs outside of the fleet by MQTT topic, and takes their answers (docs/approval-topics.md).
 */
import { approvalTopic } from '../protocol/approval-topics.ts';
import { encodeUtf8, toHex } from '../protocol/bytes.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { ProtocolError } from '../protocol/errors.ts';
import type { DeviceId, Millis, Topic } from '../protocol/units.ts';
import { type Approver, readAnswer } from './approver-answer.ts';
import type { AskAnswer, Asker, AskQuestion } from './askers.ts';
import type { LogFields, News } from './effects.ts';

export interface ApproverDeskParts {
  readonly device: DeviceId;
  readonly approvers: readonly Approver[];
  readonly crypto: Crypto;
  readonly now: () => Millis;
  readonly publish: (topic: Topic, payload: Uint8Array) => void;
  readonly warn: (event: string, fields: LogFields) => void;
}

export interface ApproverDesk {
  readonly asker: Asker;
  /** Tells what became of a question. */
  readonly listener: (news: News) => void;
  /** Something on the topic for answers. */
  received(payload: Uint8Array): void;
}

/** Answers that are looked at in a second: each costs a MAC at most. So many that nobody's junk keeps an answer out. */
const LOOKS_PER_SECOND = 200;
/** Of those that are none. */
const LINES_PER_SECOND = 10;

interface Waiting {
  readonly from: string;
  /** SHA-256 of the question as it was published, in hex. */
  readonly asked: string;
  readonly answer: (answer: AskAnswer) => void;
}

export function approverDesk(parts: ApproverDeskParts): ApproverDesk {
  const { device, approvers, crypto, now, publish, warn } = parts;
  const waiting = new Map<string, Waiting>();
  const window = { second: -1, looks: 0, lines: 0 };
  const say = (what: 'ask' | 'settled', document: Uint8Array): void => publish(approvalTopic(device, what), document);
  const askOf = (sid: string): string | null => waiting.get(sid)?.asked ?? null;

  const isTooMany = (): boolean => {
    const second = Math.floor(now() / 1000);
    if (second !== window.second) Object.assign(window, { second, looks: 0, lines: 0 });
    return ++window.looks > LOOKS_PER_SECOND;
  };
  const settle = (sid: string, outcome: string): void => {
    const asked = waiting.get(sid);
    if (asked === undefined) return;
    waiting.delete(sid);
    say('settled', encodeUtf8(JSON.stringify({ version: 1, sid, device, from: asked.from, outcome })));
  };
  return {
    asker: {
      name: 'topic',
      ask(question, answer) {
        const document = encodeUtf8(JSON.stringify(askDocument(device, question)));
        waiting.set(question.sid, { from: question.from, asked: toHex(crypto.hash('sha-256', document)), answer });
        say('ask', document);
        return () => {}; // the listener hears what it came to
      },
    },
    listener(news) {
      if (news.news === 'askApproved') settle(news.sid, 'approved');
      else if (news.news === 'askRefused' || news.news === 'askWithdrawn') settle(news.sid, news.reason);
    },
    received(payload) {
      if (isTooMany()) return;
      try {
        const said = readAnswer(crypto, device, approvers, payload, askOf);
        if (said === null) return;
        const { sid, decision, rememberSeconds } = said;
        const remember = rememberSeconds === 0 ? {} : { rememberSeconds };
        waiting.get(sid)?.answer({ decision, ...remember });
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        if (++window.lines > LINES_PER_SECOND) return;
        const remedy = 'compare the keys of approver and device (approvers), and docs/approval-topics.md';
        warn('approval.answer-refused', { code: error.code, detail: error.message, remedy });
      }
    },
  };
}

/** What the manager does not say is left out. */
function askDocument(device: DeviceId, question: AskQuestion): object {
  const { sid, from, name, suite, class: kind, groups, user, purpose, secondsLeft } = question;
  return {
    version: 1,
    sid,
    device,
    from,
    name,
    suite,
    ...(kind === null ? {} : { class: kind }),
    ...(groups.length === 0 ? {} : { groups }),
    ...(user === null ? {} : { user }),
    ...(purpose === null ? {} : { purpose }),
    answerWithinSeconds: secondsLeft,
  };
}
