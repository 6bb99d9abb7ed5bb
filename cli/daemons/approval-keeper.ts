/**
 * Keeps the approval policy of a running agent as its file says: a change is taken up as a whole, or refused as a whole, and
 * then the policy before it stays in force.
 */
import type { ApprovalPolicy } from '../../device-agent/approval.ts';
import { approvalPolicyOf } from '../../device-agent/approval-policy.ts';
import { approvalConfig } from '../../device-agent/config.ts';
import type { PolicySource } from '../../device-agent/service.ts';
import { watchFiles } from '../../platform/file-watch.ts';
import type { Log } from '../../platform/log.ts';
import { readConfigFile } from '../config-file.ts';
import { shownFailure } from '../failure.ts';

export interface ApprovalKeeper extends PolicySource {
  close(): void;
}

/** So long a file has to rest before it is read: somebody may still be writing it. */
const REST_MS = 200;
/** Where the file system tells nothing. */
const POLL_MS = 1000;

export const readApprovalFile = (path: string): ApprovalPolicy =>
  approvalPolicyOf(readConfigFile(path, approvalConfig));

/** @throws Failure, FileFault: an agent must not start with another policy than it was given */
export function keepApproval(path: string, log: Log): ApprovalKeeper {
  const isoNow = (): string => new Date().toISOString();
  let loadedAt = isoNow();
  let refused: { readonly at: string; readonly problems: readonly string[] } | null = null;
  let take: (policy: ApprovalPolicy) => void = () => {};
  const reload = (): void => {
    let policy: ApprovalPolicy;
    try {
      policy = readApprovalFile(path);
    } catch (error) {
      const { lines: problems } = shownFailure(error);
      refused = { at: isoNow(), problems };
      const remedy = 'the policy before it stays in force: mend the file';
      return log.error('approval-policy.refused', { file: path, problems: problems.join('; '), remedy });
    }
    loadedAt = isoNow();
    refused = null;
    log.info('approval-policy.taken', { file: path, rules: policy.rules.length, otherwise: policy.otherwise });
    take(policy);
  };
  let resting: NodeJS.Timeout | undefined;
  // before it is read: what changes in between is seen
  const watch = watchFiles(
    [path],
    () => {
      clearTimeout(resting);
      resting = setTimeout(reload, REST_MS);
    },
    POLL_MS,
  );
  const close = (): void => {
    clearTimeout(resting);
    watch.close();
  };
  try {
    return {
      policy: readApprovalFile(path),
      shown: () => ({ file: path, loadedAt, refused }),
      follow(given) {
        take = given;
      },
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}
