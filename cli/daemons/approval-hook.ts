/**
 * Asks the operator's program about each Ask (docs/approval.md). Whatever is no answer leaves the decision to the others who
 * are asked, and to the time-out, which refuses.
 */
import { z } from 'zod';
import type { ApprovalPolicy, HookSettings } from '../../device-agent/approval.ts';
import type { AskAnswer, Asker, AskQuestion } from '../../device-agent/askers.ts';
import { LONGEST_REMEMBERED } from '../../device-agent/remembered.ts';
import type { Log } from '../../platform/log.ts';
import { runProgram } from '../../platform/program-run.ts';
import { decodeUtf8 } from '../../protocol/bytes.ts';

const MAX_OUTPUT_BYTES = 4096;
/** Further asks are not put to the program. */
const MAX_WAITING = 64;

const hookAnswer = z.strictObject({
  decision: z.enum(['allow', 'refuse', 'ask']),
  rememberSeconds: z.int().min(1).max(LONGEST_REMEMBERED).optional(),
});

interface Wish {
  readonly question: AskQuestion;
  readonly answer: (answer: AskAnswer) => void;
  readonly stop: AbortController;
}

/** @param policy  the one in force: its hook is the one that is run */
export function hookAsker(policy: () => ApprovalPolicy, log: Log): Asker {
  const waiting: Wish[] = [];
  let running = 0;
  const next = (): void => {
    const { hook } = policy();
    while (hook !== undefined && running < hook.atOnce) {
      const wish = waiting.shift();
      if (wish === undefined) return;
      running++;
      void run(wish, hook, log).finally(() => {
        running--;
        next();
      });
    }
  };
  return {
    name: 'hook',
    ask(question, answer) {
      const wish: Wish = { question, answer, stop: new AbortController() };
      if (policy().hook === undefined) return () => {};
      if (waiting.length >= MAX_WAITING) {
        const remedy = 'a person may still answer; make it quicker, or raise approval.hook.atOnce';
        log.warn('hook.no-answer', { sid: question.sid, fault: 'too-many', remedy });
        return () => {};
      }
      waiting.push(wish);
      next();
      return () => {
        wish.stop.abort();
        const at = waiting.indexOf(wish);
        if (at >= 0) waiting.splice(at, 1);
      };
    },
  };
}

async function run({ question, answer, stop }: Wish, hook: HookSettings, log: Log): Promise<void> {
  const { sid } = question;
  const outcome = await runProgram(
    {
      command: hook.command,
      args: hook.args,
      input: `${JSON.stringify({ version: 1, ...question })}\n`,
      timeoutMs: hook.timeoutSeconds * 1000,
      maxOutputBytes: MAX_OUTPUT_BYTES,
    },
    stop.signal,
  );
  if (stop.signal.aborted) return;
  const said = 'output' in outcome ? readAnswer(outcome.output) : outcome;
  if ('fault' in said) {
    const remedy = 'a person may still answer; see docs/approval.md for what the program has to do';
    log.warn('hook.no-answer', { sid, command: hook.command, fault: said.fault, detail: said.detail, remedy });
    return;
  }
  const { decision, rememberSeconds } = said;
  log.info('hook.answered', { sid, decision });
  if (decision !== 'ask') answer({ decision, rememberSeconds });
}

/** One line of JSON. */
function readAnswer(output: Uint8Array): z.output<typeof hookAnswer> | { fault: 'malformed'; detail: string } {
  try {
    const text = decodeUtf8(output).trim();
    const read = hookAnswer.safeParse(JSON.parse(text));
    return read.success ? read.data : { fault: 'malformed', detail: 'not { decision, rememberSeconds? }' };
  } catch {
    return { fault: 'malformed', detail: 'no JSON on its standard output' };
  }
}
