/**
 * Certificates that the CA was asked for and has not answered yet.
 */
import type { World } from '../protocol/world.ts';
import type { CertificateWish, Certified, OnCertified } from './effects.ts';
import type { ManagerState } from './state.ts';

/** @param then  is called when the CA has answered, whatever has become of the exchange for which it was asked */
export function askForCertificateAlone(state: ManagerState, wish: CertificateWish, then: OnCertified): void {
  const number = state.nextCertificate++;
  state.certifying.set(number, then);
  state.out.push({ type: 'certify', number, wish });
}

export function receiveCertified(state: ManagerState, number: number, certified: Certified, world: World): void {
  const then = state.certifying.get(number);
  state.certifying.delete(number);
  then?.(certified, world);
}
