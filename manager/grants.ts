/**
 * Makes the key, or the seed of it, for one session and writes the two grants (patent 2134–2138, claims 3 and 4).
 */
import { pinned } from '../protocol/bytes.ts';
import type { MessageOf } from '../protocol/messages.ts';
import { sessionSecretBytes } from '../protocol/session-key.ts';
import type { World } from '../protocol/world.ts';
import type { Terms } from './terms.ts';

export interface GrantPair {
  readonly caller: MessageOf<'Grant'>;
  readonly callee: MessageOf<'Grant'>;
  /** The secret that stands in both; wiped by whoever sealed them. */
  readonly secret: Uint8Array;
}

/** @param epoch counts the grants of this session; a new grant has a fresh secret */
export function makeGrants(terms: Terms, epoch: number, nonceB: Uint8Array, world: World): GrantPair {
  const { sid, caller, callee, suite, keyMode, nonceA, lifetimeSeconds } = terms;
  const secret = pinned(world.crypto.random(sessionSecretBytes(suite, keyMode)));
  const shared = {
    kind: 'Grant',
    sid,
    epoch,
    suite,
    keyMode,
    secret,
    nonceA,
    nonceB,
    lifetime: lifetimeSeconds,
  } as const;
  const route = terms.route === 0 ? undefined : terms.route;
  const userLeaf = terms.user?.leaf;
  return {
    secret,
    caller: {
      ...shared,
      role: 'caller',
      peer: callee.id,
      peerLeaf: callee.leaf,
      peerRegistration: callee.registration,
      addresses: callee.addresses,
      version: caller.version,
      route,
      userLeaf,
    },
    callee: {
      ...shared,
      role: 'callee',
      peer: caller.id,
      peerLeaf: caller.leaf,
      peerRegistration: caller.registration,
      addresses: caller.addresses,
      version: callee.version,
      route,
      userLeaf,
    },
  };
}
