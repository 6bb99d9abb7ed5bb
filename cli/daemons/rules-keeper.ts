/**
 * Keeps the rules of a running manager as its file says: a change is taken up as a whole, or refused as a whole, and then the
 * rules before it stay. The file is read and checked beside the manager, which goes on meanwhile.
 */
import type { ManagerConfig } from '../../manager/config.ts';
import type { Rules } from '../../manager/rules.ts';
import type { RulesCause } from '../../manager/service.ts';
import { ControlError, type ControlHandler, type JsonValue } from '../../platform/control-socket.ts';
import { watchFiles } from '../../platform/file-watch.ts';
import type { Log } from '../../platform/log.ts';
import { shownFailure } from '../failure.ts';
import { loadRules } from '../rules/rules-loading.ts';

export interface RulesKeeper {
  /** In force now; undefined: the configuration names no file. */
  readonly rules: Rules | undefined;
  /** From now on changes go to the manager. */
  tell(take: (rules: Rules, cause: RulesCause) => void): void;
  /** The manager's own control, with what concerns its rules. */
  withRules(control: Readonly<Record<string, ControlHandler>>): Readonly<Record<string, ControlHandler>>;
  close(): Promise<void>;
}

/** So long a file has to rest before it is read: somebody may still be writing it. */
const REST_MS = 300;
/** Where the file system tells nothing. */
const POLL_MS = 500;
const MAX_LOGGED_WARNINGS = 10;

/** @throws Failure, FileFault when the file cannot be used: a manager must not start with other rules than it was given */
export async function keepRules(
  { rulesFile: path, devices }: Pick<ManagerConfig, 'rulesFile' | 'devices'>,
  log: Log,
): Promise<RulesKeeper> {
  if (path === undefined) return { rules: undefined, tell: () => {}, withRules: withoutFile, close: async () => {} };
  const closing = new AbortController();
  const listings = Object.values(devices).map(({ class: kind, groups, user }) => ({ class: kind, groups, user }));
  const load = async (): Promise<Rules> => {
    const { rules, warnings, moreWarnings } = await loadRules(
      { path, listings, maxWarnings: MAX_LOGGED_WARNINGS },
      { signal: closing.signal },
    );
    for (const warning of warnings) log.warn('rules.warning', { warning });
    if (moreWarnings > 0) {
      log.warn('rules.warning', { warning: `and ${moreWarnings} more`, remedy: `kagimori rules check ${path}` });
    }
    return rules;
  };
  let resting: NodeJS.Timeout | undefined;
  // before it is read: what changes in between is seen
  const watch = watchFiles(
    [path],
    () => {
      clearTimeout(resting);
      resting = setTimeout(() => change('file'), REST_MS);
    },
    POLL_MS,
  );
  const first = load();
  /** What comes too early waits; without the first rules there is no manager that could change its own. */
  const change = (cause: RulesCause): void => {
    first.then(
      () => reload(cause),
      () => {},
    );
  };
  const hangUp = (): void => change('signal');
  process.on('SIGHUP', hangUp);
  const stopWatching = (): void => {
    clearTimeout(resting);
    watch.close();
    process.off('SIGHUP', hangUp);
  };
  const isoNow = (): string => new Date().toISOString();
  let inForce: Rules;
  try {
    inForce = await first;
  } catch (error) {
    stopWatching();
    throw error;
  }
  let loadedAt = isoNow();
  let refused: { readonly at: string; readonly problems: readonly string[] } | null = null;
  let take: (rules: Rules, cause: RulesCause) => void = () => {};

  /** @returns what is wrong with the file; nothing: it is in force */
  const reloadOnce = async (cause: RulesCause): Promise<readonly string[]> => {
    try {
      const rules = await load();
      if (closing.signal.aborted) return [];
      // touched, and nothing else
      if (cause === 'file' && refused === null && rules.digest === inForce.digest) return [];
      inForce = rules;
    } catch (error) {
      if (closing.signal.aborted) return [];
      const problems = shownFailure(error).lines;
      refused = { at: isoNow(), problems };
      const remedy = `the rules before it stay; kagimori rules check ${path}`;
      log.warn('rules.refused', { file: path, problems: problems.join('; '), cause, inForce: inForce.digest, remedy });
      return problems;
    }
    loadedAt = isoNow();
    refused = null;
    take(inForce, cause);
    return [];
  };
  // one after the other, for the later one has to win; of each cause one at most waits, and reads what stands there then
  let last: Promise<readonly string[]> = Promise.resolve([]);
  const waiting = new Map<RulesCause, Promise<readonly string[]>>();
  const reload = (cause: RulesCause): Promise<readonly string[]> => {
    const known = waiting.get(cause);
    if (known !== undefined) return known;
    last = last.then(() => {
      waiting.delete(cause);
      return reloadOnce(cause);
    });
    waiting.set(cause, last);
    return last;
  };
  const show = (): { readonly [key: string]: JsonValue } => ({
    file: path,
    digest: inForce.digest,
    loadedAt,
    count: inForce.rules.length,
    refused,
  });

  return {
    get rules() {
      return inForce;
    },
    tell(given) {
      take = given;
    },
    async close() {
      stopWatching();
      closing.abort();
      await last;
    },
    withRules: (control) => ({
      ...withStatus(control, show),
      'rules.reload': async () => {
        const problems = await reload('asked');
        return problems.length > 0 ? { ...show(), problems } : show();
      },
    }),
  };
}

const withoutFile: RulesKeeper['withRules'] = (control) => ({
  ...withStatus(control, () => ({ file: null, digest: null, loadedAt: null, count: 0, refused: null })),
  'rules.reload': async () => {
    throw new ControlError(
      'no-rules-file',
      "the manager's configuration names no rulesFile: add it, and restart the manager",
    );
  },
});

function withStatus(
  control: Readonly<Record<string, ControlHandler>>,
  show: () => JsonValue,
): Readonly<Record<string, ControlHandler>> {
  const { status } = control;
  if (status === undefined) throw new RangeError('the manager answers no status');
  return { ...control, status: async (...given) => ({ ...((await status(...given)) as object), rules: show() }) };
}
