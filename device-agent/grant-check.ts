/**
 * What a device checks in every grant, whichever it answers: the suite is one of its own, the peer is another, its own part
 * of the transcript is what it knows of itself (design §5.4).
 */
import { ProtocolError } from '../protocol/errors.ts';
import type { Reason } from '../protocol/message-values.ts';
import type { MessageOf } from '../protocol/messages.ts';
import { allows } from '../protocol/proposal.ts';
import type { Identity } from '../protocol/session-key.ts';
import type { World } from '../protocol/world.ts';
import { ownHash, register } from './registration.ts';
import type { AgentState } from './state.ts';

/** A device refuses a suite outside its own list, and an integrity-only one that it did not register. */
export function unacceptable(state: AgentState, offer: Pick<MessageOf<'Ask'>, 'suite' | 'keyMode'>): Reason | null {
  const lists = [state.registration.acknowledged?.content, state.registration.pending?.content];
  const mine = lists.some((list) => list !== undefined && allows(list.proposals, offer.suite, offer.keyMode));
  return mine ? null : 'no-common-suite';
}

/** What this device knows of itself stands in the transcript, not what a grant says of it. */
export function ownIdentity(state: AgentState, grant: MessageOf<'Grant'>, world: World): Identity {
  if (grant.peer === state.id) throw refused('ourselves as the peer');
  if (unacceptable(state, grant) !== null) throw refused('a suite that this device has not registered');
  const registration = ownHash(state, grant.version);
  if (registration === null) {
    // the manager holds another registration than we believe, from a backup say: it gets the present one
    register(state, state.registration.wanted, world);
    throw refused('a registration that is not ours');
  }
  return { id: state.id, leaf: state.leafHash, registration };
}

export const peerIdentity = ({ peer, peerLeaf, peerRegistration }: MessageOf<'Grant'>): Identity => ({
  id: peer,
  leaf: peerLeaf.slice(),
  registration: peerRegistration.slice(),
});

export const agreementOf = ({ sid, epoch, suite, keyMode, nonceB, lifetime, userLeaf }: MessageOf<'Grant'>) => ({
  sid: sid.slice(),
  epoch,
  suite,
  keyMode,
  nonceB: nonceB.slice(),
  user: userLeaf?.slice() ?? null,
  lifetimeSeconds: lifetime,
});

export const refused = (what: string): ProtocolError => new ProtocolError('unauthenticated', `a grant with ${what}`);
