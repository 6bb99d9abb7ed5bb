/**
 * Certificates that the CA was asked for and has not answered yet.
 */
import type { LoginVerified } from '../protocol/login.ts';
import type { World } from '../protocol/world.ts';
import type { CertificateWish, Certified, OnCertified } from './effects.ts';
import { sameHandshake } from './half-open.ts';
import { type Handshake, partyKey } from './handshake.ts';
import type { ManagerState } from './state.ts';

/**
 * Asks for a certificate on behalf of an exchange, which waits in the step `certifying`.
 * @param then  is called when the CA has answered and the exchange is still waiting; it takes the exchange on from there
 */
export function askForCertificate(
  state: ManagerState,
  handshake: Handshake,
  login: LoginVerified,
  wish: CertificateWish,
  then: OnCertified,
): void {
  const waiting = { name: 'certifying', device: wish.device, login } as const;
  handshake.step = waiting;
  askForCertificateAlone(state, wish, (certified, world) => {
    if (sameHandshake(state, partyKey(handshake.party), handshake.id)?.step === waiting) then(certified, world);
  });
}

/** Asks for a certificate whatever becomes of an exchange. */
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
