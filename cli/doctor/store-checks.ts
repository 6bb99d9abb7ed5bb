/**
 * What a running manager says of its store: whether it can be written, and whether it is what it was.
 */
import type { JsonValue } from '../../platform/control-socket.ts';
import { cell, isObject } from '../output.ts';
import { type Finding, ill, well } from './finding.ts';

/** @param status  the manager's answer to `status` */
export function checkStore(status: JsonValue): readonly Finding[] {
  if (!isObject(status) || !isObject(status.store)) return [];
  const { store, rollback } = status;
  const findings: Finding[] = [];
  if (store.state === 'good')
    findings.push(well(`the store takes commits, the last one at ${cell(store, 'lastCommit')}`));
  else {
    const what = `the store has refused ${cell(store, 'refusedCommits')} commits since ${cell(store, 'since')}`;
    findings.push(ill(what, cell(store, 'detail')));
  }
  if (isObject(rollback)) {
    const proof =
      rollback.what === 'restored'
        ? `the store was restored at ${cell(rollback, 'restoredAt')} from a backup of ${cell(rollback, 'backupAt')}`
        : `the store was rolled back: ${cell(rollback, 'device')} came under secret ${cell(rollback, 'shown')}, the store ` +
          `held ${cell(rollback, 'held')} and was last written at ${cell(rollback, 'storedUntil')}`;
    findings.push(ill(`${proof}: ${cell(rollback, 'meaning')}`, cell(rollback, 'remedy')));
  }
  return findings;
}
