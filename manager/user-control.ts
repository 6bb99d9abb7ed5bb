/**
 * What operators ask of the users who are at devices.
 */
import { ControlError, type ControlHandler, type JsonValue } from '../platform/control-socket.ts';
import { toHex } from '../protocol/bytes.ts';
import { canonicalUser } from '../protocol/user-name.ts';
import type { World } from '../protocol/world.ts';
import { bearerOf } from './bearer.ts';
import { text } from './control-arguments.ts';
import { commit } from './outbox.ts';
import { userChange } from './registry.ts';
import type { Done } from './retiring.ts';
import type { ManagerState } from './state.ts';
import { placesOfUser, type UserPlace } from './user-desk.ts';
import { takeAway } from './user-leaving.ts';
import { isJudged } from './verdict-age.ts';

export interface UserControlParts {
  readonly state: ManagerState;
  /** Resolved when it is on disk. */
  readonly stored: (change: (done: Done) => void) => Promise<void>;
  readonly world: () => World;
}

export function userControl({ state, stored, world }: UserControlParts): Readonly<Record<string, ControlHandler>> {
  const { users } = state;
  const placesNamed = (args: JsonValue): readonly UserPlace[] => {
    const user = canonicalUser(text(args, 'id').normalize('NFC'));
    const places = placesOfUser(users, user);
    if (places.length === 0) throw new ControlError('not-found', `${user} is at no device: kagimori user list`);
    return places;
  };
  return {
    'user.list': async () => [...users.at].map(([leaf, record]) => showPlace(state, { leaf, record }, world())),
    'user.show': async (args) => {
      const places = placesNamed(args);
      const waiting = [...users.parked.values()].filter(({ user }) => user === places[0]!.record.user).length;
      return { user: places[0]!.record.user, places: places.map((one) => showPlace(state, one, world())), waiting };
    },
    'user.remove': async (args) => {
      const places = placesNamed(args);
      const { user } = places[0]!.record;
      const leaves = [...(users.byUser.get(user) ?? [])];
      await stored((done) => {
        for (const leaf of leaves) takeAway(state, leaf, 'withdrawn', world());
        commit(
          state,
          leaves.map((leaf) => userChange(leaf, null)),
          { next: 'told', done },
        );
      });
      return { user, devices: places.map(({ record }) => record.device) };
    },
  };
}

/** The most recent last. */
function showPlace(
  state: ManagerState,
  { leaf, record }: UserPlace,
  world: World,
): { readonly [key: string]: JsonValue } {
  const { user, device, since, verdictUntil } = record;
  const sessions = [...(state.sessionsOf.get(device) ?? [])].filter((sid) => {
    const terms = state.sessions.get(sid)?.flow.terms;
    return terms?.user != null && terms.callee.id === device && toHex(terms.user.leaf) === leaf;
  });
  return {
    user,
    device,
    leaf,
    since: new Date(since * 1000).toISOString(),
    proven: state.users.proven.has(leaf),
    judged: isJudged(state, bearerOf(leaf), world),
    verdictUntil: new Date(verdictUntil * 1000).toISOString(),
    sessions,
  };
}
