/**
 * The answer of `kagimori verifier check` for people: the verdict first, then why, then on what it rests.
 */
import { printable } from '../output.ts';
import type { CheckResult } from './certificate-check.ts';

export function checkText(result: CheckResult): string {
  const { path, purpose, names, at, until, revocation, remarks } = result;
  const asked = [`purpose ${purpose}`, ...names.map((name) => `name ${name}`), `at ${at}`].join(', ');
  return [
    result.valid ? `valid until ${until}` : `not valid: ${result.reason}: ${result.detail}`,
    ...(result.valid ? [] : [`  what to do  ${result.remedy}`]),
    `  asked       ${printable(asked)}`,
    ...path.flatMap((one, i) => [
      `  ${one.anchor ? 'anchor' : i === 0 ? 'leaf  ' : `CA ${i}  `}${i === result.index ? ' ! ' : '   '}   ${printable(one.subject)}`,
      `              issued by ${printable(one.issuer)}, until ${one.until}`,
    ]),
    revocation === 'checked'
      ? '  revocation  checked with the lists given'
      : '  revocation  NOT checked: give the lists of every issuer with --crl',
    ...remarks.map((remark) => `  remark      ${remark}`),
  ].join('\n');
}
