/**
 * Keeps the rules of a running manager as its file says: a change is taken up as a whole, or refused as a whole, and then the
 * rules before it stay.
 */
import type { ManagerConfig } from '../../manager/config.ts';
import type { Rules } from '../../manager/rules.ts';
import type { RulesCause } from '../../manager/service.ts';
import { ControlError, type ControlHandler, type JsonValue } from '../../platform/control-socket.ts';
import { watchFiles } from '../../platform/file-watch.ts';
import type { Log } from '../../platform/log.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { shownFailure } from '../failure.ts';
import { type LoadedRules, readRules, requirePassed } from '../rules/loaded-rules.ts';
import { strangersOf } from '../rules/rules-warnings.ts';

export interface RulesKeeper {
  /** In force now; undefined: the configuration names no file. */
  readonly rules: Rules | undefined;
  /** From now on changes go to the manager. */
  tell(take: (rules: Rules, cause: RulesCause) => void): void;
  /** The manager's own control, with what concerns its rules. */
  withRules(control: Readonly<Record<string, ControlHandler>>): Readonly<Record<string, ControlHandler>>;
  close(): void;
}

/** So long a file has to rest before it is read: somebody may still be writing it. */
const REST_MS = 300;
/** Where the file system tells nothing. */
const POLL_MS = 500;
const MAX_LOGGED_WARNINGS = 10;

/** @throws Failure, FileFault when the file cannot be used: a manager must not start with other rules than it was given */
export function keepRules(
  { rulesFile: path, devices }: Pick<ManagerConfig, 'rulesFile' | 'devices'>,
  crypto: Crypto,
  log: Log,
): RulesKeeper {
  if (path === undefined) return { rules: undefined, tell: () => {}, withRules: withoutFile, close: () => {} };
  const load = (): LoadedRules => {
    const loaded = requirePassed(readRules(path, crypto));
    const strangers = strangersOf(loaded.rules, Object.values(devices)).map(loaded.placed);
    const warnings = [...loaded.warnings, ...strangers];
    for (const warning of warnings.slice(0, MAX_LOGGED_WARNINGS)) log.warn('rules.warning', { warning });
    const left = warnings.length - MAX_LOGGED_WARNINGS;
    if (left > 0) log.warn('rules.warning', { warning: `and ${left} more`, remedy: `kagimori rules check ${path}` });
    return loaded;
  };
  let resting: NodeJS.Timeout | undefined;
  // before it is read: what changes in between is seen
  const watch = watchFiles(
    [path],
    () => {
      clearTimeout(resting);
      resting = setTimeout(() => reload('file'), REST_MS);
    },
    POLL_MS,
  );
  const first = (): Rules => {
    try {
      return load().rules;
    } catch (error) {
      watch.close();
      throw error;
    }
  };
  const isoNow = (): string => new Date().toISOString();
  let inForce = first();
  let loadedAt = isoNow();
  let refused: { readonly at: string; readonly problems: readonly string[] } | null = null;
  let take: (rules: Rules, cause: RulesCause) => void = () => {};

  /** @returns what is wrong with the file; nothing: it is in force */
  const reload = (cause: RulesCause): readonly string[] => {
    try {
      const { rules } = load();
      // touched, and nothing else
      if (cause === 'file' && refused === null && rules.digest === inForce.digest) return [];
      inForce = rules;
    } catch (error) {
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
  const show = (): { readonly [key: string]: JsonValue } => ({
    file: path,
    digest: inForce.digest,
    loadedAt,
    count: inForce.rules.length,
    refused,
  });

  const hangUp = (): void => void reload('signal');
  process.on('SIGHUP', hangUp);
  return {
    get rules() {
      return inForce;
    },
    tell(given) {
      take = given;
    },
    close() {
      clearTimeout(resting);
      watch.close();
      process.off('SIGHUP', hangUp);
    },
    withRules: (control) => ({
      ...withStatus(control, show),
      'rules.reload': async () => {
        const problems = reload('asked');
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
