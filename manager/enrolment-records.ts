/**
 * What the store keeps of enrolment: invitations that may still be used, and the devices that were certified here.
 */
import type { Change, Store } from '../platform/store.ts';
import { array, bytes, message, optional, required, text, uint, type Value } from '../protocol/schema.ts';
import type { DeviceId } from '../protocol/units.ts';

export const ENROLMENT_TABLES = { invitations: 'invitations', enrolled: 'enrolled' } as const;

export const INVITATION_ID_BYTES = 8;
export const MAX_USES = 100_000;
const className = text(1, 64);
const groupNames = array(text(1, 64), 0, 64);
const epochSeconds = uint(0, 0xffff_ffff);

const InvitationRecord = message('InvitationRecord', null, 'an invitation; its key is its id in hex', {
  name: required(1, text(1, 64), 'the device’s id, or a pattern with one *'),
  class: optional(2, className, 'of every device that it lets in'),
  groups: required(3, groupNames, 'of every device that it lets in'),
  uses: required(4, uint(1, MAX_USES), 'as it was made'),
  left: required(5, uint(0, MAX_USES), 'that nobody has made'),
  secret: required(6, bytes(32), 'SHA-256 of the secret'),
  since: required(7, epochSeconds, 'when it was made'),
  until: required(8, epochSeconds, 'for how long'),
});
export type InvitationRecord = Value<typeof InvitationRecord>;

const EnrolledRecord = message('EnrolledRecord', null, 'a device that was certified here', {
  class: optional(1, className, 'from its invitation'),
  groups: required(2, groupNames, 'from its invitation'),
  since: required(3, epochSeconds, 'when'),
  invitation: optional(4, bytes(INVITATION_ID_BYTES), 'by which; absent: by a certificate of another CA'),
  key: required(5, bytes(32), 'SHA-256 of the SubjectPublicKeyInfo'),
});
export type EnrolledRecord = Value<typeof EnrolledRecord>;

export interface EnrolmentRecords {
  /** By id in hex. */
  readonly invitations: Map<string, InvitationRecord>;
  readonly enrolled: Map<DeviceId, EnrolledRecord>;
}

/** @throws StoreError altered; ProtocolError malformed for a record of another version */
export function loadEnrolment(store: Store): EnrolmentRecords {
  const records: EnrolmentRecords = { invitations: new Map(), enrolled: new Map() };
  for (const [id, value] of store.entries(ENROLMENT_TABLES.invitations)) {
    const record = InvitationRecord.decode(value);
    records.invitations.set(id, { ...record, secret: record.secret.slice() });
  }
  for (const [id, value] of store.entries(ENROLMENT_TABLES.enrolled)) {
    const { key, invitation, ...rest } = EnrolledRecord.decode(value);
    records.enrolled.set(id as DeviceId, { ...rest, key: key.slice(), invitation: invitation?.slice() });
  }
  return records;
}

export const invitationChange = (id: string, record: InvitationRecord | null): Change => ({
  table: ENROLMENT_TABLES.invitations,
  key: id,
  value: record === null ? null : InvitationRecord.encode(record),
});

export const enrolledChange = (id: DeviceId, record: EnrolledRecord | null): Change => ({
  table: ENROLMENT_TABLES.enrolled,
  key: id,
  value: record === null ? null : EnrolledRecord.encode(record),
});
