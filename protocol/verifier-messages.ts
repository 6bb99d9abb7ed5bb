/**
 * What verifiers are asked and what they sign: questions, verdicts, revocation events. Part of the one page of messages.ts.
 */
import { certificateChain, INSTANCE_BYTES, nonce, Purpose, sha256, VerdictReason } from './message-values.ts';
import { array, bool, bytes, message, optional, required, uint, type Value } from './schema.ts';

const verdict = bytes(1, 1024);

export const Question = message('Question', null, 'asks the verifier about a certificate [patent 1100]', {
  requestId: required(1, nonce, 'told back in the answer'),
  purpose: required(2, Purpose, 'what the certificate is to be good for'),
  chain: required(3, certificateChain, 'leaf first, each issued by the next; DER'),
  nonce: optional(4, bytes(16, 32), 'to be signed with the verdict'),
});
export type Question = Value<typeof Question>;

export const Judgement = message('Judgement', null, "the verifier's answer [patent 1108, 1110]", {
  requestId: required(1, nonce, 'of the question'),
  verdict: required(2, verdict, 'COSE_Sign1 over Verdict'),
});
export type Judgement = Value<typeof Judgement>;

export const Verdict = message('Verdict', null, 'what the verifier signs', {
  purpose: required(1, Purpose, 'of the question'),
  leaf: required(2, sha256, 'SHA-256 of the leaf certificate'),
  issuerAndSerial: required(
    3,
    bytes(1, 512),
    'DER issuer Name ‖ DER serialNumber; empty certificates have none: one byte 00',
  ),
  reason: required(4, VerdictReason, 'good, or what is wrong'),
  time: required(5, uint(0, 0xffff_ffff), "the verifier's time, seconds since 1970"),
  maxAge: required(6, uint(1, 604_800), 'seconds from `time` for which it holds'),
  nonce: optional(7, bytes(16, 32), 'of the question'),
  policy: required(8, uint(0, 0xffff_ffff), "version of the verifier's policy"),
});
export type Verdict = Value<typeof Verdict>;

export const MAX_MARKS = 100;
export const RevocationEvent = message(
  'RevocationEvent',
  null,
  'what the verifier signs once a second, and at once when something is revoked: news, or a sign of life',
  {
    instance: required(1, bytes(INSTANCE_BYTES), 'drawn at the start of the process; each counts for itself'),
    beat: required(7, uint(0), 'one more with each event'),
    number: required(2, uint(0), 'one more with each event that brings news; a sign of life repeats the last'),
    time: required(3, uint(0, 0xffff_ffff), "the verifier's time, seconds since 1970"),
    state: required(4, sha256, 'over everything that is revoked now, all events of this change told'),
    marks: optional(5, array(sha256, 1, MAX_MARKS), 'newly revoked certificates (issuer and serial number) and keys'),
    more: optional(6, bool, 'true: the next event goes on with the same change'),
  },
);
export type RevocationEvent = Value<typeof RevocationEvent>;
