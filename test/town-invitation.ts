/**
 * Invitations to a town. @see test/town.ts
 */
import { type InvitationWish, type NewInvitation, newInvitation } from '../manager/invitations.ts';
import { commit } from '../manager/outbox.ts';
import type { Town } from './town-plan.ts';

/** An invitation of the manager, on disk. */
export function inviteInto(town: Town, name: string, wish: Partial<InvitationWish> = {}): NewInvitation {
  const whole = { name, class: null, groups: [], uses: 1, ttlSeconds: 3600, ...wish };
  const made = newInvitation(town.manager, whole, town.world());
  if ('code' in made) throw new Error(`${made.code}: ${made.detail}`);
  town.runManager((state) => {
    commit(state, [made.change], { next: 'told', done: (failure) => (failure === null ? made.adopt() : undefined) });
  });
  town.flush();
  return made;
}
