/**
 * The topics by which people and programs outside of the fleet answer a device's questions: JSON, not CBOR, and no part of
 * the wire between device and manager (docs/approval-topics.md). @spec design §5.1
 */
import { decodeId, encodeId } from './topics.ts';
import { type DeviceId, Topic } from './units.ts';

/** First segment of every topic for integration, whatever the root of the others is. */
export const INTEGRATION_ROOT = 'kagimori';

/** `ask` and `settled` the device publishes, `answer` whoever may answer. */
export type ApprovalTopic = 'ask' | 'settled' | 'answer';

export const approvalTopic = (device: DeviceId, what: ApprovalTopic): Topic =>
  Topic(`${INTEGRATION_ROOT}/approval/${encodeId(device)}/${what}`);

/** The same of every device, for a subscription. */
export const approvalFilter = (what: ApprovalTopic): string => `${INTEGRATION_ROOT}/approval/+/${what}`;

/** @returns null for any other topic, and for any other spelling of the device */
export function parseApprovalTopic(topic: string): { readonly device: DeviceId; readonly what: ApprovalTopic } | null {
  const [root, kind, spelled, what, ...more] = topic.split('/');
  if (root !== INTEGRATION_ROOT || kind !== 'approval' || spelled === undefined || more.length > 0) return null;
  if (what !== 'ask' && what !== 'settled' && what !== 'answer') return null;
  const device = decodeId(spelled);
  return device === null ? null : { device, what };
}
