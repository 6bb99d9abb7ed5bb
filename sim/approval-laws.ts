/**
 * The two laws of approval, told from the order of events: the callee's yes comes before the grant, and after a withdrawal
 * nothing is granted or installed. What counts as a yes is what people in this world have done, not what the agents say of
 * themselves.
 */
import type { DeviceParty } from './device-party.ts';
import { MANAGER } from './party.ts';
import type { SimWorld } from './world.ts';

/** What people do about approval. */
export interface ApprovalDeeds {
  /** A person at the device said yes to that session. */
  approved(device: string, sid: string): void;
  /** That person's yes counts for later asks of the caller; false: not any more. */
  remembered(device: string, caller: string, yes: boolean): void;
  /** A caller is approved beforehand; false: not any more. */
  stands(device: string, caller: string, yes: boolean): void;
  /** A program on the device that wanted a session has gone. @param call  hex of its nonce */
  cancelled(device: string, call: string): void;
}

export interface ApprovalWatch extends ApprovalDeeds {
  isApproved(device: string, sid: string): boolean;
}

type Look = (law: 'yes' | 'withdrawn', holds: boolean, what: () => string) => void;

export function watchApproval(world: SimWorld, look: Look): ApprovalWatch {
  /** By callee and sid. */
  const approvals = new Set<string>();
  /** By callee and caller. */
  const remembered = new Set<string>();
  const standing = new Set<string>();
  /** Those of which the manager has heard, and not that they were taken back. */
  const heard = new Set<string>();
  /** By sid. */
  const withdrawnAtManager = new Set<string>();
  /** By device and sid, or device and call. */
  const withdrawnAtDevice = new Set<string>();
  const installed = new Set<string>();
  const pair = (callee: string, caller: string): string => `${callee} ${caller}`;

  const hasYes = (callee: string, caller: string, sid: string): boolean =>
    approvals.has(pair(callee, sid)) || remembered.has(pair(callee, caller));

  world.observe({
    logged(party, { event, fields }) {
      const [sid, caller, callee] = [fields.sid, fields.caller, fields.callee].map(String) as [string, string, string];
      if (party !== MANAGER) {
        if (event !== 'ask.stands') return;
        if (standing.has(pair(party, String(fields.from)))) approvals.add(pair(party, sid));
        else look('withdrawn', false, () => `${party} takes ${sid} by an approval that was taken back`);
        return;
      }
      switch (event) {
        case 'standing.given':
          heard.add(pair(callee, caller));
          return;
        case 'standing.withdrawn':
          heard.delete(pair(callee, caller));
          return;
        case 'connect.withdrawn':
          if (fields.sid !== null) withdrawnAtManager.add(sid);
          return;
        case 'session.granted': {
          const isBeforehand = heard.has(pair(callee, caller));
          look('yes', isBeforehand || hasYes(callee, caller, sid), () => `${sid} is granted before ${callee} said yes`);
          look('withdrawn', !withdrawnAtManager.has(sid), () => `${sid} is granted after ${caller} took it back`);
          return;
        }
        case 'session.renewed':
          look('withdrawn', !withdrawnAtManager.has(sid), () => `${sid} is renewed after ${caller} took it back`);
          return;
        default:
          return;
      }
    },
    news(device, news) {
      if (news.news === 'askWithdrawn') withdrawnAtDevice.add(pair(device.id, news.sid));
      if (news.news !== 'askApproved' || news.by !== 'remembered') return;
      const isSo = remembered.has(pair(device.id, news.from));
      look('yes', isSo, () => `${device.id} remembers a yes to ${news.from} that nobody said`);
      if (isSo) approvals.add(pair(device.id, news.sid));
    },
    installed(device: DeviceParty, sid, session) {
      if (session === null) return;
      const { call, role, peer } = session;
      const isFirst = !installed.has(pair(device.id, sid));
      installed.add(pair(device.id, sid));
      const isTaken = (what: string | null): boolean => what !== null && withdrawnAtDevice.has(pair(device.id, what));
      look('withdrawn', !isTaken(sid) && !isTaken(call), () => `${device.id} installs ${sid}, which was withdrawn`);
      if (role === 'callee' && isFirst)
        look('yes', approvals.has(pair(device.id, sid)), () => `${device.id} has keys with ${peer} before its yes`);
    },
  });
  const put = (into: Set<string>) => (device: string, caller: string, yes: boolean) =>
    void (yes ? into.add(pair(device, caller)) : into.delete(pair(device, caller)));
  return {
    approved: (device, sid) => void approvals.add(pair(device, sid)),
    remembered: put(remembered),
    stands: put(standing),
    cancelled: (device, call) => void withdrawnAtDevice.add(pair(device, call)),
    isApproved: (device, sid) => approvals.has(pair(device, sid)),
  };
}
