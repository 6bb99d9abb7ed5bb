/**
 * The approval policy that an agent's configuration names: whether the agent would take it, and could run its program.
 */
import { programFault } from '../../platform/program-run.ts';
import { readApprovalFile } from '../daemons/approval-keeper.ts';
import { shownFailure } from '../failure.ts';
import { type Finding, ill, well } from './finding.ts';

/** @param hook  the program that the configuration itself names */
export function checkApproval(file: string | undefined, hook: string | undefined): readonly Finding[] {
  if (file === undefined) return hookFault(hook);
  try {
    const policy = readApprovalFile(file);
    return [well(`approvalFile ${file} is good: ${policy.rules.length} rules`), ...hookFault(policy.hook?.command)];
  } catch (error) {
    return shownFailure(error).lines.map((line) => ill(line, 'mend it: `kagimori approval example` shows one'));
  }
}

function hookFault(command: string | undefined): readonly Finding[] {
  const fault = command === undefined ? null : programFault(command);
  return fault === null
    ? []
    : [ill(`the hook of the approval policy is not run: ${fault}`, 'docs/approval.md, a program')];
}
