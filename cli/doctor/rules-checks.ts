/**
 * The rules file that a manager's configuration names: whether the manager would take it.
 */
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { shownFailure } from '../failure.ts';
import { readRules, requirePassed } from '../rules/loaded-rules.ts';
import { advice, type Finding, ill, well } from './finding.ts';

export function checkRules(path: string): readonly Finding[] {
  try {
    const { rules, tests, warnings } = requirePassed(readRules(path, nodeCrypto()));
    const good = well(`rulesFile ${path} is good: ${rules.rules.length} rules, ${tests.length} tests passed`);
    return [good, ...warnings.map((one) => advice(one, 'correct it, unless it is meant so'))];
  } catch (error) {
    return shownFailure(error).lines.map((line) => ill(line, `correct it: kagimori rules check ${path}`));
  }
}
