/**
 * `kagimori approval …`: who may open sessions with this device, answered and settled by a person.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import type { JsonValue } from '../../platform/control-socket.ts';
import type { AskedAbout } from '../approval-check.ts';
import { type CommonOptions, collect, noun, verb } from '../command.ts';
import { ask } from '../control-client.ts';
import { momentOf } from '../moment.ts';
import { cell, createOutput, isObject, type Output, objects, table } from '../output.ts';
import { timeSpan } from '../time-span.ts';
import { type AgentOptions, agentOptions, ofAgent } from './agent-options.ts';
import { standingNoun } from './approval-standing.ts';

export function approvalCommand(): Command {
  return noun('approval', 'who may open sessions with this device: ask, answer, remember', [
    listVerb(),
    answerVerb('allow'),
    answerVerb('refuse'),
    rememberedVerb(),
    forgetVerb(),
    standingNoun(),
    modeVerb(),
    checkVerb(),
    exampleVerb(),
  ]);
}

function exampleVerb(): Command {
  return verb('example', 'print an approval file', 'kagimori approval example > kagimori-approval.yaml').action(
    ({ json }: CommonOptions) => {
      const text = exampleApproval();
      createOutput(json === true).result({ yaml: text }, text.trimEnd());
    },
  );
}

export const exampleApproval = (): string =>
  readFileSync(join(import.meta.dirname, '../examples/kagimori-approval.yaml'), 'utf8');

const WATCH_MS = 1000;

function listVerb(): Command {
  type Options = AgentOptions & { watch?: boolean };
  return agentOptions(verb('list', 'show the callers that wait for an answer', 'kagimori approval list --watch'))
    .option('--watch', 'show it anew every second, until Ctrl-C')
    .action(async (options: Options) => {
      const output = createOutput(options.json === true);
      const show = async (): Promise<void> => {
        const list = await ask('agent', 'approval.list', {}, ofAgent(options));
        const clear = options.watch === true && !output.json && process.stdout.isTTY ? '\u001b[2J\u001b[H' : '';
        output.item(list, `${clear}${listText(list)}`);
      };
      await show();
      while (options.watch === true) {
        await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
        await show();
      }
    });
}

function listText(list: JsonValue): string {
  const { mode, policy, asked } = isObject(list) ? list : {};
  const until = isObject(mode) && typeof mode.until === 'string' ? ` until ${cell(mode, 'until')}` : '';
  const lines = isObject(mode) && mode.mode !== 'normal' ? [`this device is ${cell(mode, 'mode')}${until}`] : [];
  if (isObject(policy) && isObject(policy.refused))
    lines.push(
      `${cell(policy, 'file')} is broken, the policy before it is in force: ${cell(policy.refused, 'problems')}`,
    );
  const waiting = objects(asked ?? []);
  if (waiting.length === 0) return [...lines, 'nobody waits for an answer'].join('\n');
  const head = ['SESSION', 'FROM', 'CLASS', 'GROUPS', 'USER', 'FOR', 'ASKS FOR', 'SECONDS LEFT'];
  const keys = ['sid', 'from', 'class', 'groups', 'user', 'purpose', 'name', 'secondsLeft'];
  lines.push(
    table(
      head,
      waiting.map((one) => keys.map((key) => cell(one, key))),
    ),
  );
  return lines.join('\n');
}

function answerVerb(decision: 'allow' | 'refuse'): Command {
  type Options = AgentOptions & { remember?: number; forPurpose?: boolean };
  const done = decision === 'allow' ? 'may open the session' : 'is refused';
  return agentOptions(
    verb(
      `${decision} <sid>`,
      `${decision} a session that a caller asks for`,
      `kagimori approval ${decision} 3f2a --remember 24h`,
    ),
  )
    .description(`${decision} a session that a caller asks for; the first characters of its id are enough`)
    .option('--remember <time>', 'answer the same caller so for a while: 30m, 24h, 7d', timeSpan(1, 30 * 86_400))
    .option('--for-purpose', 'remember it for calls of the same purpose alone')
    .action(async (sid: string, { remember, forPurpose, ...options }: Options) => {
      const args = {
        sid,
        ...(remember === undefined ? {} : { rememberSeconds: remember }),
        ...(forPurpose === true ? { forPurpose } : {}),
      };
      const result = await ask('agent', `approval.${decision}`, args, ofAgent(options));
      createOutput(options.json === true).result(result, `${cell(result, 'from')} ${done}`);
    });
}

function rememberedVerb(): Command {
  return agentOptions(
    verb('remembered', 'show the answers that count for later calls', 'kagimori approval remembered'),
  ).action(async (options: AgentOptions) => {
    const list = await ask('agent', 'approval.remembered', {}, ofAgent(options));
    const keys = ['caller', 'decision', 'user', 'callee', 'purpose', 'until'];
    const rows = objects(list).map((one) => keys.map((key) => cell(one, key)));
    const head = ['CALLER', 'ANSWER', 'USER AT IT', 'USER HERE', 'FOR', 'UNTIL'];
    createOutput(options.json === true).result(list, rows.length === 0 ? 'nothing is remembered' : table(head, rows));
  });
}

function forgetVerb(): Command {
  return agentOptions(verb('forget <caller>', 'ask about a caller again', 'kagimori approval forget doorbell')).action(
    async (caller: string, options: AgentOptions) => {
      const result = await ask('agent', 'approval.forget', { caller }, ofAgent(options));
      createOutput(options.json === true).result(result, `${cell(result, 'caller')} will be asked about again`);
    },
  );
}

function modeVerb(): Command {
  type Options = AgentOptions & { for?: number };
  return agentOptions(verb('mode [mode]', 'show or set the mode', 'kagimori approval mode do-not-disturb --for 2h'))
    .description(
      'show or set the mode. normal: the policy decides; busy: everybody is refused; do-not-disturb: whoever would be ' +
        'asked about is refused, what the policy allows stays allowed; policy: as the policy says, which is the beginning',
    )
    .option('--for <time>', 'for so long: 30m, 2h; then as the policy says', timeSpan(1, 7 * 86_400))
    .action(async (mode: string | undefined, { for: seconds, ...options }: Options, command: Command) => {
      if (mode === undefined && seconds !== undefined) command.error('error: --for needs a mode');
      const args = {
        ...(mode === undefined ? {} : { mode }),
        ...(seconds === undefined ? {} : { forSeconds: seconds }),
      };
      const shown = await ask('agent', 'approval.mode', args, ofAgent(options));
      const until = isObject(shown) && typeof shown.until === 'string' ? ` until ${cell(shown, 'until')}` : '';
      createOutput(options.json === true).result(shown, `${cell(shown, 'mode')}${until}`);
    });
}

interface CheckOptions extends AgentOptions {
  readonly from: string;
  readonly class?: string;
  readonly group?: readonly string[];
  readonly user?: string;
  readonly purpose?: string;
  readonly callee?: string;
  readonly at?: number;
  readonly file?: string;
}

function checkVerb(): Command {
  return agentOptions(
    verb(
      'check',
      'show what a caller would be told, and by which rule',
      'kagimori approval check --from doorbell --purpose video --at 2026-12-24T23:00',
    ),
  )
    .description(
      'show what a caller would be told, and by which rule: of the policy in force at the agent, or of a file that is ' +
        'not in force yet. What was remembered of a caller is left out',
    )
    .requiredOption('--from <id>', "the caller's id")
    .option('--class <class>', 'of the caller')
    .option('--group <group>', 'of the caller; may stand several times', collect)
    .option('--user <user>', 'at the caller')
    .option('--purpose <purpose>', 'as the caller says')
    .option('--callee <name>', 'the name that is asked for, such as user:anna')
    .option('--at <moment>', "by this machine's clock, or with a zone; now when absent", localMoment)
    .option('--file <file>', 'an approval file, in place of what is in force')
    .action(async (options: CheckOptions) => {
      const { from, class: kind, group, user, purpose, callee, at, file } = options;
      const about = { from, class: kind ?? null, groups: [...(group ?? [])], user: user ?? null };
      const asked = { ...about, purpose: purpose ?? null, callee: callee ?? null };
      const output = createOutput(options.json === true);
      const result =
        file === undefined
          ? await ask('agent', 'approval.check', { ...asked, ...(at === undefined ? {} : { at }) }, ofAgent(options))
          : await checkFile(file, asked, at);
      showCheck(output, result);
    });
}

async function checkFile(file: string, asked: AskedAbout, at: number | undefined): Promise<JsonValue> {
  const { checkApprovalFile } = await import('../approval-check.ts');
  return checkApprovalFile(file, asked, at);
}

function showCheck(output: Output, result: JsonValue): void {
  const { decision, reason, standing } = isObject(result) ? result : {};
  const said = typeof reason === 'string' ? `${cell(result, 'decision')} (${reason})` : cell(result, 'decision');
  const also =
    standing === true && decision !== 'allow' ? '; but a standing approval for this caller counts before it' : '';
  output.result(result, `${said}: ${groundText(result)}${also}`);
}

function groundText(result: JsonValue): string {
  switch (isObject(result) ? result.ground : null) {
    case 'rule':
      return `rule ${cell(result, 'rule')} is the first that matches`;
    case 'mode':
      return `the mode is ${cell(result, 'mode')}`;
    case 'hours':
      return 'the policy would ask, and these are hours in which nobody is disturbed';
    default:
      return 'no rule matches, so `otherwise` counts';
  }
}

/** With a zone, or as the clocks here show it. @throws InvalidArgumentError */
function localMoment(text: string): number {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?$/.test(text)) return momentOf(text);
  const moment = Date.parse(text);
  if (Number.isNaN(moment)) throw new InvalidArgumentError('It has to be a moment such as 2026-12-24T23:00.');
  return Math.floor(moment / 1000);
}
