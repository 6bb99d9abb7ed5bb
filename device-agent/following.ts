/**
 * A session with a user ends where the user has left, and is asked for again where the user comes next (P21).
 */
import { toHex } from '../protocol/bytes.ts';
import type { Reason } from '../protocol/message-values.ts';
import { CIPHERS } from '../protocol/suites.ts';
import { userAsked } from '../protocol/user-name.ts';
import type { World } from '../protocol/world.ts';
import { startCall } from './calling.ts';
import { log } from './outbox.ts';
import type { AgentState, Session } from './state.ts';

/** So long the manager waits for the user to be anywhere; and the call for its answer. */
const WAIT_SECONDS = 60;
const ANSWER_SECONDS = 30;
/** In one row, without this device being asked again by anybody. */
const MOST_MOVES = 1000;

/** @param session  as it stood before the End */
export function followUser(state: AgentState, session: Session | undefined, reason: Reason, world: World): void {
  if (session === undefined || session.role !== 'caller' || reason !== 'user-moved') return;
  if (session.state.name === 'ending' || userAsked(session.name) === null) return;
  const { wishes, suite, name } = session;
  const moves = (wishes?.follows?.moves ?? 0) + 1;
  if (moves > MOST_MOVES) return;
  const wish = {
    callee: name,
    lifetimeSeconds: wishes?.lifetimeSeconds ?? null,
    allowUnencrypted: wishes?.allowUnencrypted ?? !CIPHERS[suite.cipher].encrypts,
    messageBytes: wishes?.messageBytes,
    waitSeconds: WAIT_SECONDS,
    timeoutSeconds: WAIT_SECONDS + ANSWER_SECONDS,
  };
  log(state, 'info', 'session.follows', { name, moves });
  startCall(state, wish, world, { sid: toHex(session.sid), moves });
}
