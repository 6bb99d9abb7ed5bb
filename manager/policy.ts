/**
 * Who may ask for whom: the operator's list, first match wins. Asked before it is known whether the callee exists, so
 * that unknown and forbidden look the same.
 */
import { matchesGlob } from '../protocol/id-pattern.ts';
import type { DeviceId } from '../protocol/units.ts';

/** A device for the policy: its id and what the operator's registry says of it, never what it says itself. */
export interface Subject {
  readonly id: DeviceId;
  readonly class: string | null;
  readonly groups: readonly string[];
  /** Who is there, else whose device it is; of a callee the user who is asked for. */
  readonly user: string | null;
}

/** `*`, an id pattern with `*`, `class:NAME`, `group:NAME`, or `user:ID` where `*` stands for any run of characters too. */
export type Pattern = string;

export interface ConnectRule {
  readonly from: Pattern;
  readonly to: Pattern;
  readonly allow: boolean;
}

export interface ConnectPolicy {
  readonly rules: readonly ConnectRule[];
  /** What holds when no rule matches. */
  readonly otherwise: 'allow' | 'deny';
}

export const ALLOW_ALL: ConnectPolicy = { rules: [], otherwise: 'allow' };

/** The first matching rule, else what holds otherwise. */
export function mayConnect(policy: ConnectPolicy, caller: Subject, callee: Subject): boolean {
  for (const rule of policy.rules) {
    if (matches(rule.from, caller) && matches(rule.to, callee)) return rule.allow;
  }
  return policy.otherwise === 'allow';
}

function matches(pattern: Pattern, subject: Subject): boolean {
  if (pattern === '*') return true;
  if (pattern.startsWith('class:')) return subject.class === pattern.slice('class:'.length);
  if (pattern.startsWith('group:')) return subject.groups.includes(pattern.slice('group:'.length));
  if (pattern.startsWith('user:'))
    return subject.user !== null && matchesGlob(pattern.slice('user:'.length), subject.user);
  return matchesGlob(pattern, subject.id);
}
