/**
 * The registry of the running manager, fetched page by page: its devices and what they registered, the policy, the rules and
 * the retirements in force.
 */
import type { ConnectPolicy, Subject } from '../../manager/policy.ts';
import { type Retirement, readRetirement } from '../../manager/retirement.ts';
import type { Rule, Rules, When } from '../../manager/rules.ts';
import type { JsonValue } from '../../platform/control-socket.ts';
import type { Proposal } from '../../protocol/messages.ts';
import type { Selection } from '../../protocol/selection.ts';
import { timeWindow, type WindowBounds } from '../../protocol/time-window.ts';
import { EpochSeconds } from '../../protocol/units.ts';

export interface RegisteredDevice extends Subject {
  readonly proposals: readonly Proposal[];
}

export interface LiveRegistry {
  /** When the manager was asked. */
  readonly at: EpochSeconds;
  readonly devices: readonly RegisteredDevice[];
  readonly policy: ConnectPolicy;
  readonly rules: Rules;
  readonly retirements: readonly Retirement[];
}

/** As `rules.registry` gives it. */
interface Page {
  readonly devices: readonly (Subject & { readonly list: number })[];
  readonly lists: readonly (readonly Proposal[])[];
  readonly next: string | null;
}
interface FirstPage extends Page {
  readonly at: number;
  readonly policy: ConnectPolicy;
  readonly rules: {
    readonly digest: string | null;
    readonly rules: readonly {
      readonly when: Omit<When, 'time'> & { readonly time?: WindowBounds };
      readonly selection: Selection;
    }[];
    readonly otherwise: Selection;
  };
  readonly retirements: readonly { readonly suite: string; readonly by: number }[];
}

/** @param fetch asks the manager for the page behind an id, or for the first; @param told of how many there are so far */
export async function readRegistry(
  fetch: (after: string | null) => Promise<JsonValue>,
  told: (devices: number) => void = () => {},
): Promise<LiveRegistry> {
  const first = (await fetch(null)) as unknown as FirstPage;
  const devices: RegisteredDevice[] = [];
  for (let page: Page = first; ; ) {
    const { lists, next } = page;
    devices.push(...page.devices.map(({ list, ...subject }) => ({ ...subject, proposals: lists[list]! })));
    told(devices.length);
    if (next === null) break;
    page = (await fetch(next)) as unknown as Page;
  }
  const { at, policy, rules, retirements } = first;
  return {
    at: EpochSeconds(at),
    devices,
    policy,
    rules: { ...rules, rules: rules.rules.map(ruleOf) },
    retirements: retirements.flatMap(({ suite, by }) => readRetirement(suite, by) ?? []),
  };
}

function ruleOf({ when: { time, ...sides }, selection }: FirstPage['rules']['rules'][number]): Rule {
  return { when: time === undefined ? sides : { ...sides, time: timeWindow(time) }, selection };
}
