/**
 * What a running manager or agent says of devices that are kept out: copied cards, refusals, an enrolment that waits.
 */
import type { JsonValue } from '../../platform/control-socket.ts';
import { cell, isObject } from '../output.ts';
import { advice, type Finding, ill } from './finding.ts';

/** @param status  a running manager's answer to `status` */
export function checkCopies(status: JsonValue): readonly Finding[] {
  if (!isObject(status) || !isObject(status.duplicates)) return [];
  const { seen, quarantined } = {
    seen: namesIn(status.duplicates.seen),
    quarantined: namesIn(status.duplicates.quarantined),
  };
  return [
    ...quarantined.map((id) =>
      ill(
        `${id} is in quarantine: two machines came with its certificate`,
        `stop one of the two, then \`kagimori device release ${id}\``,
      ),
    ),
    ...seen
      .filter((id) => !quarantined.includes(id))
      .map((id) =>
        ill(
          `two machines run with the certificate of ${id}`,
          'stop one of the two, and enrol the copy anew: docs/operations.md, copied cards',
        ),
      ),
  ];
}

/** @param status  a running agent's answer to `status` */
export function checkAdmission(status: JsonValue): readonly Finding[] {
  if (!isObject(status)) return [];
  const findings: Finding[] = [];
  if (isObject(status.enrolment)) {
    findings.push(
      ill(`not enrolled yet: ${cell(status.enrolment, 'state')}`, 'it goes on by itself when that is mended'),
    );
  }
  if (typeof status.denied === 'string') {
    const remedy = 'docs/troubleshooting.md, "A device is not let in"; it is tried again by itself';
    findings.push(ill(`the manager does not let this device in: ${status.denied}`, remedy));
  }
  if (isObject(status.certificate) && typeof status.certificate.fault === 'string') {
    const remedy = 'docs/troubleshooting.md, "A certificate comes to its end"';
    findings.push(advice(`the certificate was not renewed: ${status.certificate.fault}`, remedy));
  }
  return findings;
}

function namesIn(value: JsonValue | undefined): readonly string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}
