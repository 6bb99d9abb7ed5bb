/**
 * What operators ask the manager over the control socket.
 */
import { ControlError, type ControlHandler, type JsonValue } from '../platform/control-socket.ts';
import type { Transport } from '../platform/transport.ts';
import { parseSuitePattern, type SuitePattern, spellSuitePattern } from '../protocol/suite-pattern.ts';
import type { World } from '../protocol/world.ts';
import { field, flag, momentOf, optionalNumber, text } from './control-arguments.ts';
import { deviceControl, type Revoke } from './device-control.ts';
import type { Effect } from './effects.ts';
import { enrolmentControl } from './enrolment-control.ts';
import { explainConnect } from './explanation.ts';
import { registryPage } from './registry-page.ts';
import { showDependents, showRetirements } from './retirement-report.ts';
import { type Done, reinstate, retire } from './retiring.ts';
import { acknowledge, showRollback } from './rollback.ts';
import { explainSession } from './session-explanation.ts';
import { stepSession } from './sessions.ts';
import { showSession, showStatus } from './show.ts';
import type { ManagerState } from './state.ts';
import { userControl } from './user-control.ts';

export interface ControlParts {
  readonly state: ManagerState;
  readonly counters: () => {
    readonly link: { readonly state: 'up' | 'down'; readonly reason: string | null };
    readonly steps: number;
    readonly cpuMicros: number;
    readonly traffic: Transport['traffic'];
  };
  /** Performs the effects of one act. */
  readonly run: (act: () => readonly Effect[]) => void;
  readonly world: () => World;
  /** Absent: no CA at hand. */
  readonly revoke?: Revoke | undefined;
}

export function controlOf({
  state,
  counters,
  run,
  world,
  revoke,
}: ControlParts): Readonly<Record<string, ControlHandler>> {
  const act = (change: () => void): void =>
    run(() => {
      state.out = [];
      change();
      return state.out;
    });
  /** Answers when it is on disk. */
  const stored = (change: (done: Done) => void): Promise<void> =>
    new Promise((resolve, reject) => {
      const failed = (why: string) => new ControlError('store', `not stored, and not in force: ${why}`);
      act(() => change((failure) => (failure === null ? resolve() : reject(failed(failure)))));
    });
  const session = (sid: string) => {
    const found = state.sessions.get(sid);
    if (found === undefined) throw new ControlError('not-found', `no session ${sid}: kagimori session list`);
    return found;
  };
  /** Without a link of its own the manager does not know who has one. */
  const heard = (shown: { readonly [key: string]: JsonValue }): { readonly [key: string]: JsonValue } =>
    counters().link.state === 'up' ? shown : { ...shown, linked: null };
  return {
    status: async () => ({
      ...heard(showStatus(state, state.settings, world().now)),
      ...counters(),
      rollback: showRollback(state),
    }),
    'store.acknowledge': async () => {
      const known = showRollback(state);
      act(() => acknowledge(state));
      return known;
    },
    ...deviceControl({ state, act, heard, world, revoke }),
    ...enrolmentControl({ state, act, stored, world }),
    ...userControl({ state, stored, world }),
    'rules.retire': async (args) => {
      const pattern = patternOf(args);
      const by = momentOf(args, 'by');
      const dependents = showDependents(state, pattern, world());
      if (!flag(args, 'dryRun')) await stored((done) => retire(state, pattern, by, done));
      return { suite: spellSuitePattern(pattern), by: new Date(by * 1000).toISOString(), ...dependents };
    },
    'rules.reinstate': async (args) => {
      const pattern = patternOf(args);
      const suite = spellSuitePattern(pattern);
      await stored((done) => {
        if (reinstate(state, pattern, done)) return;
        throw new ControlError('not-found', `${suite} is not being retired: kagimori rules retirements`);
      });
      return { suite };
    },
    'rules.retirements': async () => showRetirements(state, world()),
    'rules.explain': async (args) => {
      const question = {
        caller: text(args, 'caller'),
        callee: text(args, 'callee'),
        allowUnencrypted: flag(args, 'allowUnencrypted'),
        messageBytes: optionalNumber(args, 'messageBytes'),
        at: (field(args, 'at') ?? null) === null ? null : momentOf(args, 'at'),
      };
      const found = explainConnect(state, question, world());
      if (found.unknown === undefined) return found;
      const looks = 'a Connect for such a name gets forbidden, as for one that may not be asked for';
      throw new ControlError('not-found', `nobody is known as ${found.unknown} (${looks}): kagimori device list`);
    },
    'rules.registry': async (args) => {
      const after = field(args, 'after');
      return registryPage(state, typeof after === 'string' ? after : null, world());
    },
    'session.explain': async (args) => explainSession(state, text(args, 'sid'), session(text(args, 'sid')), world()),
    'session.list': async () => [...state.sessions].map(([sid, found]) => showSession(sid, found)),
    'session.show': async (args) => showSession(text(args, 'sid'), session(text(args, 'sid'))),
    'session.end': async (args) => {
      const sid = text(args, 'sid');
      session(sid);
      act(() => stepSession(state, sid, { type: 'endAsked', by: null, reason: 'withdrawn' }, world()));
      return { sid };
    },
  };
}

function patternOf(args: JsonValue): SuitePattern {
  const pattern = parseSuitePattern(text(args, 'suite'));
  if ('fault' in pattern) throw new ControlError('usage', pattern.fault);
  return pattern;
}
