/**
 * The two laws of revocation: who is revoked is out, and without a verifier nobody is let into anything new. What the manager
 * could know is told by what reached it: signs of life without a gap, over links that stand.
 */
import type { ManagerState } from '../manager/state.ts';
import { SILENCE } from '../protocol/revocation-event.ts';
import type { DeviceId } from '../protocol/units.ts';
import { MICROS_PER_MS } from './event-queue.ts';
import { MANAGER, VERIFIER } from './party.ts';
import type { SimWorld } from './world.ts';

export interface RevocationWatch {
  revoked(device: string): void;
  isRevoked(device: string): boolean;
  /** Whether the device ought to have been out for some time by now. */
  isOut(device: string): boolean;
}

type Look = (law: 'revoked' | 'silent', holds: boolean, what: () => string) => void;

/** [B6] */
const OUT_WITHIN_MS = 5000;
/** Between two signs of life of a verifier that runs and is linked. */
const LONGEST_GAP_MS = 1500;
const GRANTS: ReadonlySet<string> = new Set(['session.granted', 'session.renewed']);

export function watchRevocation(world: SimWorld, look: Look): RevocationWatch {
  const since = new Map<string, number>();
  /** The last event that reached the manager, and which process of it. */
  let heard: { readonly by: ManagerState; readonly at: number } | null = null;
  /** When it was last otherwise than that all three run and are linked. */
  let troubleAt = 0;
  const nowMs = (): number => world.now() / MICROS_PER_MS;

  const isOut = (device: string): boolean => {
    const at = since.get(device);
    const isCalm = heard !== null && heard.by === world.manager.state && nowMs() - heard.at <= LONGEST_GAP_MS;
    return at !== undefined && isCalm && nowMs() >= Math.max(at, troubleAt) + OUT_WITHIN_MS;
  };

  world.observe({
    traced({ sender, receiver, type, outcome }) {
      const isOfLink = type === 'link' && (sender === MANAGER || sender === VERIFIER);
      if (isOfLink || world.adversary !== null) troubleAt = nowMs();
      if (type !== 'revocationEvent' || receiver !== MANAGER || outcome !== 'delivered') return;
      const isLate = heard === null || heard.by !== world.manager.state || nowMs() - heard.at > LONGEST_GAP_MS;
      if (isLate) troubleAt = nowMs();
      heard = { by: world.manager.state, at: nowMs() };
      const { channels, sessionsOf } = world.manager.state;
      for (const device of since.keys()) {
        const id = device as DeviceId;
        if (isOut(device))
          look('revoked', !channels.has(id) && !sessionsOf.has(id), () => `${device} has a channel or a session`);
      }
    },
    logged(party, { event, fields }) {
      if (party !== MANAGER || !GRANTS.has(event)) return;
      const isHeard = heard !== null && heard.by === world.manager.state && nowMs() - heard.at <= SILENCE;
      look('silent', isHeard, () => `${event} for ${String(fields.sid)} in silence`);
      for (const device of [fields.caller, fields.callee])
        if (isOut(String(device))) look('revoked', false, () => `${event} for ${String(device)}`);
    },
  });
  return {
    revoked: (device) => void since.set(device, since.get(device) ?? nowMs()),
    isRevoked: (device) => since.has(device),
    isOut,
  };
}
