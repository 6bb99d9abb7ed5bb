/**
 * Every message of the wire, once. Encoders, strict decoders, types, `docs/wire.md` and `docs/wire.cddl` come from here.
 * Labels never change their meaning; a new field gets a new label.
 */
import {
  certificateChain,
  device,
  INSTANCE_BYTES,
  LAST_EPOCH,
  MAX_CERTIFICATE_BYTES,
  nonce,
  Reason,
  sha256,
  sid,
  VerdictReason,
} from './message-values.ts';
import {
  array,
  bool,
  bytes,
  choice,
  family,
  message,
  type OneOf,
  openChoice,
  optional,
  required,
  text,
  uint,
  type Value,
} from './schema.ts';
import { CIPHER_WIRE, HASH_WIRE, type KeyMode, SuiteSchema } from './suites.ts';
import { type LinkId, MAX_MESSAGE_BYTES } from './units.ts';
import { Judgement, Question, RevocationEvent, Verdict } from './verifier-messages.ts';

export const MAX_PROPOSALS = 64;
/** Of a grant: in key mode two keys of cipher and MAC each, and an IV. */
const MAX_SECRET_BYTES = 256;
const lifetime = uint(1, 86_400);
const keyMode = choice<KeyMode>({ key: 0, seed: 1 });
const channelSuites = array(uint(0, 23), 1, 8);
const payload = bytes(1, 6_144);
const role = choice({ caller: 0, callee: 1 });
const epoch = uint(0, LAST_EPOCH);
const consent = bytes(1, 64);
const anchors = array(bytes(1, MAX_CERTIFICATE_BYTES), 1, 4);
const userId = text(1, 255);
const purposeText = text(1, 64);
/** Whose media one device takes at a time. */
export const MAX_USERS = 4;
/** 8 bytes name the invitation, 16 are its secret. */
export const TOKEN_BYTES = 24;
const consentMeaning = 'by this the device knows its consent again after a restart; opaque to everybody else';

const bits = uint(1, 4096);
export const MAX_COST_PICOS = 1e15;
const picos = uint(0, MAX_COST_PICOS);
export const CostSchema = message('Cost', null, 'what a suite costs this device, measured by itself', {
  picosPerOp: required(1, picos, 'picoseconds of CPU for a record, whatever its length'),
  picosPerByte: required(2, picos, 'picoseconds of CPU for each byte of it beside'),
});
export type Cost = Value<typeof CostSchema>;
export const MAX_KEY_LENGTHS = 16;
export const MAX_HASHES = 8;
const proposalMeaning =
  'one suite candidate that a device registers, its settings as values, sets or ranges [patent 0091, 0151, 0161]';
/** Label 1 stood for a suite with every setting fixed, before ranges. */
export const Proposal = message('Proposal', null, proposalMeaning, {
  keyMode: required(2, keyMode, 'whether this device wants the keys as they are or a seed'),
  priority: optional(3, uint(1, 1000), '1 is the first choice; without one it ranks after all that have one'),
  cipher: required(4, openChoice(CIPHER_WIRE, 255), 'the cipher; one that the reader does not know is passed over'),
  keyBits: optional(5, array(bits, 1, MAX_KEY_LENGTHS), 'key lengths that will do; absent: all within the range'),
  minKeyBits: optional(6, bits, 'least key length'),
  maxKeyBits: optional(7, bits, 'greatest key length'),
  hashes: required(8, array(openChoice(HASH_WIRE, 255), 1, MAX_HASHES), 'that will do, the preferred first'),
  tagBits: optional(9, bits, "length of the authentication tag in bits; absent: the cipher's longest"),
  cost: optional(10, CostSchema.type, 'orders suites above the floor of a rule, and does nothing else'),
});
export type Proposal = Value<typeof Proposal>;

// ── Login: the payloads of the EAD items ────────────────────────────────────────────────────────────────────────────

/** EAD labels, unassigned in the IANA registry, for message_1 to message_4; critical, hence negative on the wire. */
export const EAD_LABELS = { offer: 60_001, choice: 60_002, request: 60_003, answer: 60_004 } as const;

const sendChain = 'true: send the certificate chain; absent: the SHA-256 of the leaf is enough';
const instance = 'drawn at the start of the process; another value tells the peer that keys in memory are gone';
const verdict = bytes(1, 1024);

export const LoginOffer = message('LoginOffer', null, 'EAD_1: what the initiator can and wants [patent 1000, 1008]', {
  suites: required(
    1,
    channelSuites,
    'candidates for the record suite of the channel, numbers of the channel suite table',
  ),
  sendChain: optional(2, bool, sendChain),
  verdict: optional(
    3,
    choice({ cached: 1, fresh: 2 }),
    "the responder's verdict is wanted: any that is young enough, or one bound to SHA-256(G_X) (no trusted clock) [patent 0088]",
  ),
  authenticateOnly: optional(4, bool, 'true: authenticate and do not encrypt [patent 0139]'),
  enrol: optional(
    5,
    bool,
    'true: a certificate is asked for, and what a new device has to know; the chain must be shown',
  ),
});
export type LoginOffer = Value<typeof LoginOffer>;

export const LoginChoice = message('LoginChoice', null, 'EAD_2: what the responder picked [patent 1004, 1014]', {
  suite: required(1, uint(0, 23), 'the one of the candidates'),
  sendChain: optional(2, bool, sendChain),
  verdict: optional(3, verdict, "the verifier's verdict on the manager's certificate, COSE_Sign1"),
  authenticateOnly: optional(4, bool, 'true: granted'),
  instance: optional(5, bytes(INSTANCE_BYTES), instance),
  anchors: optional(
    6,
    anchors,
    'where the offer asks to enrol: what the manager stands under; to be known by its hash',
  ),
});
export type LoginChoice = Value<typeof LoginChoice>;

export const LoginRequest = message('LoginRequest', null, 'EAD_3: asks for data transfer [patent 1020, 1300]', {
  instance: optional(1, bytes(INSTANCE_BYTES), instance),
  verdict: optional(2, verdict, "the verifier's verdict on the manager's certificate, when the manager is initiator"),
  messages: optional(3, payload, 'channel messages that ride along (Register)'),
  certificateRequest: optional(4, bytes(1, MAX_CERTIFICATE_BYTES), 'PKCS#10, DER: this key is to be certified'),
  token: optional(5, bytes(TOKEN_BYTES), 'of an invitation; absent: the certificate shown speaks for the device'),
});
export type LoginRequest = Value<typeof LoginRequest>;

export const LoginAnswer = message(
  'LoginAnswer',
  null,
  'EAD_4: permits data transfer and asks for it [patent 1024, 1304]',
  {
    permitted: required(1, bool, 'false: the login ends here'),
    reason: optional(2, VerdictReason, "why not: the verifier's finding"),
    refusal: optional(3, Reason, 'why not, where the verifier was not the cause'),
    chainHeld: optional(4, bool, 'true: the SHA-256 of the leaf is enough from now on'),
    messages: optional(5, payload, 'channel messages that ride along (Registered)'),
    issued: optional(6, certificateChain, 'what was asked for; where it is not permitted the next login shows it'),
    anchors: optional(7, anchors, 'where the offer asked to enrol: all that the device is to trust'),
    verifiers: optional(8, anchors, 'where the offer asked to enrol: certificates of the verifiers'),
  },
);
export type LoginAnswer = Value<typeof LoginAnswer>;

// ── Resumption: frames D1 and D2 ────────────────────────────────────────────────────────────────────────────────────

export const ResumeRequest = message('ResumeRequest', null, 'D1: continues a channel without public-key work', {
  device: required(1, device, 'the device whose secret is meant, whoever of the two starts'),
  generation: required(2, uint(0, 64), 'which secret in the chain of secrets'),
  nonce: required(3, nonce, 'fresh'),
  instance: optional(4, bytes(INSTANCE_BYTES), instance),
  mac: required(5, bytes(16), 'HMAC over role, both identities, suite, mode and the fields above'),
});
export type ResumeRequest = Value<typeof ResumeRequest>;

export const ResumeAnswer = message('ResumeAnswer', null, 'D2: permits data transfer and asks for it', {
  nonce: required(1, nonce, 'fresh'),
  instance: optional(2, bytes(INSTANCE_BYTES), instance),
  mac: required(3, bytes(16), 'HMAC over the request and the fields above'),
});
export type ResumeAnswer = Value<typeof ResumeAnswer>;

export const MAX_BUSY_MS = 30_000;
export const Busy = message(
  'Busy',
  null,
  'D3: too much to do for a D1 or a message_1 now; unauthenticated, so it delays and does nothing else',
  { after: required(1, uint(1, MAX_BUSY_MS), 'milliseconds after which a new try has its turn') },
);
export type Busy = Value<typeof Busy>;

// ── Channel: what records between a device and the manager carry, one or several messages each ──────────────────────

export const Permit = message('Permit', 1, 'permits data transfer and opens the channel [patent 1308]', {});

export const Register = message(
  'Register',
  2,
  'addresses and proposals; replaces what was there [patent 2002, 0146, 0155]',
  {
    requestId: required(1, nonce, 'a repeat gets the stored answer'),
    addresses: required(2, array(text(1, 255), 0, 16), 'URIs: mqtt:, tcp:, udp:'),
    proposals: required(3, array(Proposal.type, 1, MAX_PROPOSALS), 'the suites this device can run'),
  },
);
export const Registered = message('Registered', 3, 'the registration is durable [patent 2010]', {
  requestId: required(1, nonce, 'of the Register'),
  version: required(2, uint(1), 'counts the registrations of this device'),
});
export const Delete = message('Delete', 4, 'removes addresses and proposals [patent 0100]', {
  requestId: required(1, nonce, 'a repeat gets the stored answer'),
});
export const Done = message('Done', 5, 'what was asked is done and durable', {
  requestId: required(1, nonce, 'of the request'),
});
export const Denied = message('Denied', 6, 'a request of a device is refused [patent 0111, 2124]', {
  requestId: required(1, nonce, 'of the request; for a Connect the nonce of the caller'),
  reason: required(2, Reason, 'why'),
  detail: optional(3, text(1, 255), 'for people, such as the setting on which no suite matched'),
});
export const Connect = message('Connect', 7, 'a caller asks for a callee [patent 2102]', {
  nonceA: required(1, nonce, 'request id, and the nonce of the caller in the grant'),
  callee: required(2, text(1, 255), 'terminal id: name, MAC, mail address, SIP URI, FQDN [patent 0105]'),
  lifetime: optional(3, lifetime, 'seconds that the caller wants; the manager may give less'),
  allowUnencrypted: optional(4, bool, 'true: integrity-only suites count too'),
  consent: optional(5, consent, consentMeaning),
  messageBytes: optional(6, uint(1, MAX_MESSAGE_BYTES), 'size of the messages to come: costs are compared for it'),
  purpose: optional(7, purposeText, 'what for, as the caller says; the policy of the callee may go by it'),
  wait: optional(8, lifetime, 'seconds to wait for a user who is nowhere'),
  device: optional(9, device, 'of a user with several devices: this one'),
});
export const Cancel = message('Cancel', 23, 'a caller takes its Connect back', {
  nonceA: required(1, nonce, 'of the Connect'),
});
export const Ask = message('Ask', 8, 'asks the callee for its approval [patent 2114]', {
  sid: required(1, sid, 'names the session to be'),
  from: required(2, device, 'the caller'),
  name: required(3, text(1, 255), 'the name by which the caller asked'),
  nonceA: required(4, nonce, 'of the caller'),
  suite: required(5, SuiteSchema.type, 'what the match gave'),
  keyMode: required(6, keyMode, 'what the match gave'),
  lifetime: required(7, lifetime, 'seconds from the grant'),
  class: optional(8, text(1, 64), 'of the caller, as the registry has it'),
  groups: optional(9, array(text(1, 64), 1, 64), 'of the caller, as the registry has them'),
  user: optional(10, userId, 'at the caller: whoever is proven there, else whose device it is'),
  purpose: optional(11, purposeText, 'as the caller says'),
  leaf: optional(12, sha256, "SHA-256 of the caller's leaf certificate: who is remembered"),
});
export const Answer = message('Answer', 9, "the callee's decision [patent 2120]", {
  sid: required(1, sid, 'of the Ask'),
  nonceB: optional(2, nonce, 'present: approved; goes into the grant'),
  reason: optional(3, Reason, 'present: refused'),
  consent: optional(4, consent, consentMeaning),
});
export const Grant = message('Grant', 10, 'suite and key for a session [patent 2138]', {
  sid: required(1, sid, 'of the session'),
  role: required(2, role, 'of the device that reads this'),
  epoch: required(3, epoch, 'counts the grants of this session'),
  peer: required(4, device, 'the other device'),
  peerLeaf: required(5, sha256, "SHA-256 of the peer's leaf certificate"),
  peerRegistration: required(6, sha256, "SHA-256 of the peer's last Register without its request id"),
  suite: required(7, SuiteSchema.type, 'the agreed result'),
  keyMode: required(8, keyMode, 'key: `secret` is the keys; seed: both derive them'),
  secret: required(
    9,
    bytes(16, MAX_SECRET_BYTES),
    'key mode: caller key ‖ callee key ‖ common IV; seed mode: 32 bytes',
  ),
  nonceA: required(10, nonce, 'drawn by the caller'),
  nonceB: required(11, nonce, 'drawn by the callee'),
  lifetime: required(12, lifetime, 'seconds from receipt'),
  addresses: required(13, array(text(1, 255), 0, 16), 'where the peer is'),
  route: optional(14, uint(1, 255), 'tells several sessions of one pair apart in records; absent for the first'),
  version: required(15, uint(1), "of the reader's own registration: which of its lists the suite was taken from"),
  userLeaf: optional(16, sha256, 'where a user was asked for: SHA-256 of the certificate by which the user is there'),
});
export const End = message('End', 11, 'ends a session through the manager [patent 2146, 2150]', {
  sid: required(1, sid, 'of the session'),
  reason: required(2, Reason, 'why'),
});
export const EndOk = message('EndOk', 12, 'the session is erased here [patent 2154, 2158]', {
  sid: required(1, sid, 'of the session'),
});
export const Close = message('Close', 13, 'asks to close the channel [patent 1316]', {
  reason: required(1, Reason, 'why'),
});
export const CloseOk = message('CloseOk', 14, 'permits the close; `ask` asks for the same [patent 1320, 1324]', {
  ask: optional(1, bool, 'true: permits and asks; absent: permits'),
});
export const Approve = message('Approve', 15, 'a standing approval: grants may ride with the ask', {
  requestId: required(1, nonce, 'a repeat gets the stored answer'),
  caller: required(2, device, 'whose sessions are approved beforehand'),
  lifetime: required(3, lifetime, 'longest lifetime of such a session, seconds'),
  nonces: required(4, array(nonce, 0, 16), 'one for each grant, drawn by this process'),
});
export const Withdraw = message('Withdraw', 16, 'takes a standing approval back', {
  requestId: required(1, nonce, 'a repeat gets the stored answer'),
  caller: required(2, device, 'whose approval ends'),
});
export const Up = message('Up', 17, 'these sessions are open here; rides on another record', {
  sids: required(1, array(sid, 1, 64), 'of the sessions'),
});

export const Renew = message(
  'Renew',
  18,
  'the keys of a live session are lost at a device, or its suite retires: asks for a nonce for a new grant',
  {
    sid: required(1, sid, 'of the session'),
    role: required(2, role, 'of the device that reads this'),
    epoch: required(3, epoch, 'at least this one will be granted'),
    peer: required(4, device, 'the other device'),
    name: required(5, text(1, 255), 'the name by which the caller asked'),
    suite: required(6, SuiteSchema.type, 'as agreed when the session began, or the one it moves to'),
    keyMode: required(7, keyMode, 'of that suite'),
    lifetime: required(8, lifetime, 'what is left of the approved one, seconds from the grant'),
    consent: optional(9, consent, "the reader's own, given back"),
    call: optional(10, nonce, "of the caller's Connect, for the caller to read"),
    handover: optional(11, bool, 'true: both hold keys, and the old ones serve until the new are seen at work'),
    class: optional(12, text(1, 64), 'of the caller, for the callee to read'),
    groups: optional(13, array(text(1, 64), 1, 64), 'of the caller, for the callee to read'),
    user: optional(14, userId, 'at the caller, for the callee to read'),
    purpose: optional(15, purposeText, 'of the Connect, for the callee to read'),
  },
);
export const Renewal = message('Renewal', 19, 'answers a Renew; said again on a new channel until the grant is there', {
  sid: required(1, sid, 'of the session'),
  epoch: required(2, epoch, 'the lowest that this device takes'),
  nonce: optional(3, nonce, 'present: agreed; goes into the grant'),
  reason: optional(4, Reason, 'present: refused, and the session ends'),
});
export const Holding = message(
  'Holding',
  20,
  'what stands on this device at the start of a channel; rides on its record',
  {
    open: required(1, array(sid, 0, 64), 'sessions that are open'),
    waiting: required(2, array(sid, 0, 64), 'sessions that wait for a grant or for the first record'),
    more: optional(3, bool, 'true: another Holding follows'),
  },
);

export const Probe = message('Probe', 21, 'manager to device: are you there, and who is with you', {
  nonce: required(1, nonce, 'told back'),
});
export const Present = message('Present', 22, 'answers a Probe at once', {
  nonce: required(1, nonce, 'of the Probe'),
  users: required(2, array(sha256, 0, MAX_USERS), 'SHA-256 of the certificates of users whose medium is in'),
});

export const RegisterUser = message('RegisterUser', 24, 'a user is at this device [patent 0169, 0171]', {
  requestId: required(1, nonce, 'a repeat gets the stored answer; goes into what is signed'),
  user: required(2, userId, 'one of the names in the certificate'),
  chain: required(3, certificateChain, 'of the user, leaf first'),
  signature: required(4, bytes(1, 512), "by the user's key over (channel binding, device, user, request id)"),
});
export const RemoveUser = message(
  'RemoveUser',
  25,
  'the medium of a user was taken out [patent 0170]; or the manager puts a user out',
  {
    requestId: required(1, nonce, 'of a device: a repeat gets the stored answer; of the manager: nobody answers'),
    leaf: required(2, sha256, "SHA-256 of the user's certificate"),
    reason: optional(3, Reason, 'manager to device: why'),
  },
);

export const channelMessages = family('ChannelMessage', {
  Permit,
  Register,
  Registered,
  Delete,
  Done,
  Denied,
  Connect,
  Ask,
  Answer,
  Grant,
  End,
  EndOk,
  Close,
  CloseOk,
  Approve,
  Withdraw,
  Up,
  Renew,
  Renewal,
  Holding,
  Probe,
  Present,
  Cancel,
  RegisterUser,
  RemoveUser,
});
export type ChannelMessage = OneOf<typeof channelMessages.messages>;
export type MessageOf<Kind extends ChannelMessage['kind']> = Extract<ChannelMessage, { kind: Kind }>;

// ── Session: what control records between two devices carry ─────────────────────────────────────────────────────────

export const Hello = message('Hello', 1, 'opens the session for whoever opens this record [patent 2142]', {});
export const Bye = message('Bye', 2, 'ends a session without the manager [patent 0133]', {
  reason: required(1, Reason, 'why'),
});
export const sessionMessages = family('SessionMessage', { Hello, Bye });
export type SessionMessage = OneOf<typeof sessionMessages.messages>;

// ── Broker control: what manager and broker tell each other ─────────────────────────────────────────────────────────

const link = text<LinkId>(16, 32);
const pair = message('Pair', null, 'two devices with a session', {
  a: required(1, device, 'one'),
  b: required(2, device, 'the other'),
});
const binding = message('Binding', null, 'a link and the device that logged in on it', {
  link: required(1, link, 'client id of the link'),
  device: optional(2, device, 'absent: nobody logged in yet'),
});

export const Attach = message('Attach', 1, 'manager to broker: I am here; tell me your links, forget your pairs', {});
export const Promote = message('Promote', 2, 'manager to broker: this link is that device; close its older link', {
  link: required(1, link, 'client id of the link'),
  device: required(2, device, 'who logged in there'),
});
export const Drop = message('Drop', 3, 'manager to broker: close this link', {
  link: required(1, link, 'client id of the link'),
});
export const Allow = message('Allow', 4, 'manager to broker: forward between these', {
  pairs: required(1, array(pair.type, 1, 100), 'both directions'),
});
export const Forbid = message('Forbid', 5, 'manager to broker: forward no more between these', {
  pairs: required(1, array(pair.type, 1, 100), 'both directions'),
});
export const brokerRequests = family('BrokerRequest', { Attach, Promote, Drop, Allow, Forbid });
export type BrokerRequest = OneOf<typeof brokerRequests.messages>;

export const Links = message('Links', 1, 'broker to manager: answers Attach, in several messages when there are many', {
  bindings: required(1, array(binding.type, 0, 100), 'living links'),
  last: required(2, bool, 'true: no more of them follow'),
});
export const Gone = message('Gone', 2, 'broker to manager: a link ended', {
  link: required(1, link, 'client id of the link'),
  device: optional(2, device, 'who had logged in there'),
});
export const brokerReports = family('BrokerReport', { Links, Gone });
export type BrokerReport = OneOf<typeof brokerReports.messages>;

/** The whole page for the generator of the wire documents: every place and what may stand there. */
export const WIRE = {
  login: { LoginOffer, LoginChoice, LoginRequest, LoginAnswer },
  resumption: { ResumeRequest, ResumeAnswer, Busy },
  channel: channelMessages.messages,
  session: sessionMessages.messages,
  verifier: { Question, Judgement, Verdict, RevocationEvent },
  'broker control': { ...brokerRequests.messages, ...brokerReports.messages },
  parts: { Suite: SuiteSchema, Cost: CostSchema, Proposal, Pair: pair, Binding: binding },
} as const;
