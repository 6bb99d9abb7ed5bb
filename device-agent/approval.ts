/**
 * The callee's decision on an Ask (P14, patent 2118): by its state and by its own policy, the first rule that matches.
 */
import type { Reason } from '../protocol/message-values.ts';
import type { DeviceId } from '../protocol/units.ts';

export type Decision = 'allow' | 'refuse' | 'ask';

export interface ApprovalPolicy {
  /** `from`: a caller's id, or `*`. */
  readonly rules: readonly { readonly from: string; readonly decision: Decision }[];
  readonly otherwise: Decision;
  /** How long a person is waited for, in seconds. */
  readonly askTimeoutSeconds: number;
  /** Refuses everybody with the reason `busy`. */
  readonly busy: boolean;
}

export type Approval =
  | { readonly decision: 'allow' }
  | { readonly decision: 'ask' }
  | { readonly decision: 'refuse'; readonly reason: Reason };

export function decideAsk(policy: ApprovalPolicy, from: DeviceId): Approval {
  const rule = policy.rules.find((candidate) => candidate.from === '*' || candidate.from === from);
  const decision = rule?.decision ?? policy.otherwise;
  return decision === 'refuse' ? { decision, reason: 'refused-by-policy' } : { decision };
}
