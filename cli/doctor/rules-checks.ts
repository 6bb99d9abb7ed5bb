/**
 * The rules file that a manager's configuration names: whether the manager would take it.
 */
import { shownFailure } from '../failure.ts';
import { loadRules } from '../rules/rules-loading.ts';
import { advice, type Finding, ill, well } from './finding.ts';

const MAX_WARNINGS = 10;

export async function checkRules(path: string): Promise<readonly Finding[]> {
  try {
    const task = { path, listings: null, maxWarnings: MAX_WARNINGS };
    const { rules, tests, warnings, moreWarnings } = await loadRules(task);
    const good = well(`rulesFile ${path} is good: ${rules.rules.length} rules, ${tests} tests passed`);
    const more =
      moreWarnings === 0 ? [] : [advice(`${path}: and ${moreWarnings} more`, `kagimori rules check ${path}`)];
    return [good, ...warnings.map((one) => advice(one, 'correct it, unless it is meant so')), ...more];
  } catch (error) {
    return shownFailure(error).lines.map((line) => ill(line, `correct it: kagimori rules check ${path}`));
  }
}
