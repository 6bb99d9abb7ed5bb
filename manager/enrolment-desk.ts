/**
 * What the manager has in hand of enrolment: invitations, who was enrolled, who is being enrolled, who waits for a yes.
 */
import type { LoginVerified } from '../protocol/login.ts';
import { type DeviceId, type EpochSeconds, Millis } from '../protocol/units.ts';
import type { EnrolledRecord, EnrolmentRecords } from './enrolment-records.ts';

/** Who asks to be certified; that it holds the key is proven. */
export interface Applicant {
  readonly device: DeviceId;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** SHA-256 of it, in hex. */
  readonly key: string;
  /** Id in hex; null: a certificate of its own speaks for it. */
  readonly invitation: string | null;
}

/** The exchange that is to hear how it ends; an applicant who asks again is answered on the newer one. */
export interface WaitingExchange {
  readonly party: string;
  readonly handshake: number;
  readonly login: LoginVerified;
  /** The chain that speaks for the device, leaf first; null: a token does. */
  readonly shown: readonly Uint8Array[] | null;
}

export interface UnderWay {
  readonly applicant: Applicant;
  waiting: WaitingExchange | null;
  /** What is being stored; null while the CA has not answered. */
  storing: { readonly chain: readonly Uint8Array[]; readonly record: EnrolledRecord } | null;
}

/** An applicant for whom a person has to say yes. */
export interface HeldApplicant {
  readonly applicant: Applicant;
  readonly since: EpochSeconds;
  /** When it last asked. */
  asked: Millis;
  /** A person said no; it is told so until it has not asked for an hour. */
  refused: boolean;
}

export interface EnrolmentDesk extends EnrolmentRecords {
  /** By SHA-256 of the key, in hex. */
  readonly underWay: Map<string, UnderWay>;
  /** Names of those, and under which key each. */
  readonly names: Map<DeviceId, string>;
  /** Uses of invitations that those hold, while the CA is asked. */
  readonly reserved: Map<string, number>;
  /** By the first digits of the key's hash. */
  readonly held: Map<string, HeldApplicant>;
  /** Tokens that were none, in the second under way, and since they were last told of. */
  readonly wrong: { second: Millis; count: number; untold: number };
}

export function newEnrolmentDesk({ invitations, enrolled }: EnrolmentRecords): EnrolmentDesk {
  return {
    invitations,
    enrolled,
    underWay: new Map(),
    names: new Map(),
    reserved: new Map(),
    held: new Map(),
    wrong: { second: Millis(Number.NEGATIVE_INFINITY), count: 0, untold: 0 },
  };
}
