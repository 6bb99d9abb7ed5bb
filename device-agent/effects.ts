/**
 * What the agent wishes done, and what it tells programs on the device; the service does it.
 */
import type { Reason } from '../protocol/message-values.ts';
import type { Suite } from '../protocol/suites.ts';
import type { DeviceId, Topic } from '../protocol/units.ts';
import type { Cost } from './cost.ts';

export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** News for programs: whoever listens gets it. */
export type News =
  | { readonly news: 'channelOpened'; readonly how: 'edhoc' | 'resume'; readonly by: 'device' | 'manager' }
  | { readonly news: 'channelClosed'; readonly reason: Reason }
  | { readonly news: 'loginDenied'; readonly reason: string }
  | { readonly news: 'registered'; readonly version: number }
  | { readonly news: 'deleted' }
  | {
      readonly news: 'asked';
      readonly sid: string;
      readonly from: DeviceId;
      readonly name: string;
      readonly suite: Suite;
      readonly class?: string | undefined;
      readonly groups?: readonly string[] | undefined;
      readonly user?: string | undefined;
      readonly purpose?: string | undefined;
    }
  | { readonly news: 'askApproved'; readonly sid: string; readonly from: DeviceId; readonly by: AskDecider }
  /** Nobody need answer any more. */
  | { readonly news: 'askWithdrawn'; readonly sid: string; readonly from: DeviceId; readonly reason: Reason }
  | {
      readonly news: 'askRefused';
      readonly sid: string;
      readonly from: DeviceId;
      readonly reason: Reason;
      readonly by: AskDecider;
      readonly cost: Cost;
    }
  | {
      readonly news: 'callFailed';
      readonly call: string;
      readonly callee: string;
      readonly reason: Reason;
      readonly detail: string | null;
      readonly cost: Cost;
    }
  | {
      readonly news: 'sessionOpened';
      readonly sid: string;
      readonly call: string | null;
      readonly peer: DeviceId;
      readonly role: 'caller' | 'callee';
      /** Above 0: the same session under new keys, after a restart. */
      readonly epoch: number;
    }
  | {
      readonly news: 'sessionClosed';
      readonly sid: string;
      readonly call: string | null;
      readonly peer: DeviceId;
      readonly reason: Reason;
      readonly closedBy: ClosedBy;
    }
  /** The user's medium is in, and the manager knows it. */
  | { readonly news: 'userHere'; readonly user: string; readonly leaf: string }
  | {
      readonly news: 'userRefused';
      readonly user: string;
      readonly leaf: string;
      readonly reason: Reason;
      readonly detail: string | null;
    }
  | { readonly news: 'userGone'; readonly user: string; readonly leaf: string }
  /** The user went to another device, and the session with it: `to` is the new one. */
  | { readonly news: 'sessionMoved'; readonly from: string; readonly to: string }
  | { readonly news: 'received'; readonly sid: string; readonly from: DeviceId; readonly payload: Uint8Array };

/** Who decided on an Ask: `topic` is somebody behind the MQTT integration topic. */
export type AskDecider = 'policy' | 'remembered' | 'person' | 'hook' | 'topic';

export type ClosedBy = 'caller' | 'callee' | 'manager' | 'timeout';

export type Effect =
  | { readonly type: 'publish'; readonly topic: Topic; readonly payload: Uint8Array; readonly qos: 0 | 1 }
  /** What must survive this process; null: forget it. Answered by `saved` or `saveFailed` with the same number. */
  | { readonly type: 'save'; readonly number: number; readonly content: Uint8Array | null }
  /** What survives of approval; nobody waits for it. */
  | { readonly type: 'keep'; readonly content: Uint8Array }
  /** The chain, leaf first, takes the place of the present one. Answered by `certificateStored` or `certificateNotStored`. */
  | { readonly type: 'storeCertificate'; readonly number: number; readonly chain: readonly Uint8Array[] }
  | {
      readonly type: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly event: string;
      readonly fields: LogFields;
    }
  | { readonly type: 'tell'; readonly news: News }
  /** By the key of that user, as user-proof.ts has it. Answered by `userSigned` with the same number, or never. */
  | {
      readonly type: 'signAsUser';
      readonly number: number;
      readonly leaf: Uint8Array;
      readonly toSign: Uint8Array;
    }
  /** End the link; another one is of use only after so long. */
  | { readonly type: 'rest'; readonly forMs: number };
