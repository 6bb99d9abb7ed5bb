/**
 * The manager puts this device out and says why, authenticated by a login or a channel: another machine runs with its
 * certificate, or the operator has reset it. The device stays away for a while; one that was reset keeps nothing of its owner.
 * @spec docs/decisions/0027-copied-cards.md
 */
import { cancel, schedule } from '../protocol/deadlines.ts';
import { later, Millis, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { keepApprovals } from './approval-keeping.ts';
import { CONSENT_KEY_BYTES } from './consent.ts';
import { saveMemory } from './memory-keeping.ts';
import { logDenial, rest, tell } from './outbox.ts';
import { dropAllSessions } from './sessions.ts';
import type { AgentState } from './state.ts';

export type Dismissal = 'duplicate' | 'void';

export const isDismissal = (reason: string): reason is Dismissal => reason === 'duplicate' || reason === 'void';

/** Who had to make room for another machine leaves it alone for so long. */
const MADE_ROOM = seconds(600);
/** Who was kept out asks again after this at the latest, and not before half of it. */
const KEPT_OUT = seconds(60);

const REMEDIES: Readonly<Record<Dismissal, string>> = {
  duplicate:
    'another machine runs with this certificate: stop one of the two, enrol the copy anew: kagimori agent enrol; if both were put out: kagimori device release',
  void: 'this device was reset or has another owner: kagimori agent reset, then kagimori agent enrol with a new invitation',
};

/** @param by  `close`: it was in; `login`: it wanted to come in */
export function dismissed(state: AgentState, reason: Dismissal, by: 'close' | 'login', world: World): void {
  state.denied = reason;
  tell(state, { news: 'loginDenied', reason });
  if (reason === 'void') forgetOwner(state, world);
  if (by === 'close') dropAllSessions(state, reason);
  const share = new DataView(world.crypto.random(4).slice().buffer).getUint32(0) / 2 ** 32;
  const forMs = reason === 'duplicate' && by === 'close' ? MADE_ROOM : Millis(KEPT_OUT * (0.5 + share / 2));
  const fields = { remedy: REMEDIES[reason], awaySeconds: Math.round(forMs / 1000) };
  logDenial(state, `device.${reason}`, reason, fields, world);
  state.joining = null;
  cancel(state.deadlines, 'exchange');
  cancel(state.deadlines, 'repeat');
  state.restUntil = later(world.now, forMs);
  schedule(state.deadlines, 'join', state.restUntil);
  rest(state, forMs);
}

/** Whether the manager may not reach this device either: on a broker that is not ours two machines hear what is for one. */
export const isAway = ({ denied, restUntil }: AgentState, { now }: World): boolean =>
  denied !== null && isDismissal(denied) && restUntil !== null && now < restUntil;

/** Secret, consents, what people allowed: nothing that was agreed before counts for whoever has the device next. */
function forgetOwner(state: AgentState, world: World): void {
  dropAllSessions(state, 'void');
  state.secret?.secret.fill(0);
  state.secret = null;
  state.managerLeaf = null;
  state.chainHeld = false;
  state.consentKey.set(world.crypto.random(CONSENT_KEY_BYTES));
  const { remembered, given } = state.approvals;
  for (const caller of given.keys()) state.standing.delete(caller);
  given.clear();
  remembered.clear();
  state.registration.acknowledged = null;
  state.waiting.length = 0;
  state.riding.length = 0;
  saveMemory(state);
  keepApprovals(state, world);
}
