/**
 * Enrolment and renewal: a login that brings a certificate (design §5.2, P3).
 */
import type { World } from '../protocol/world.ts';
import type { Certified } from './effects.ts';
import type { ManagerState } from './state.ts';

export function receiveCertified(_state: ManagerState, number: number, _certified: Certified, _world: World): void {
  throw new RangeError(`no certificate was asked for under ${number}`);
}
