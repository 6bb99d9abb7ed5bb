/**
 * What must exist, row by row: the requirements P1 to P22 and B1 to B8, and every step and paragraph of the patent
 * (JP2007-184993) that says what somebody does. A test carries a row by its tag in the name: `[P4]`, `[patent 1100]`,
 * `[patent 1000-1006, 0054]`, `[claim 3]`, `[B5]`.
 */

export interface Row {
  /** `P4`, `B1`, `1100` or `0054` (patent step and paragraph), `claim 3`. */
  readonly tag: string;
  readonly text: string;
  /** Files or folders, from the project's root. */
  readonly code: readonly string[];
  /** `now`: without a passed test the run fails. Anything else names the work that brings it. */
  readonly due: 'now' | `later: ${string}`;
}

const LOGIN = ['protocol/login.ts', 'protocol/edhoc', 'manager/logins.ts', 'device-agent/joining.ts'];
const JUDGEMENT = ['device-agent/manager-judgement.ts', 'protocol/path-validation.ts'];
const OPENING = ['manager/openings.ts', 'device-agent/invited.ts'];
const CLOSE = ['protocol/channel.ts', 'manager/channels.ts', 'device-agent/channel.ts'];
const VERDICT = [
  'verifier/verifier.ts',
  'protocol/verdict.ts',
  'protocol/path-validation.ts',
  'protocol/revocation-list.ts',
  'protocol/ocsp-check.ts',
  'manager/questions.ts',
];
const REVOCATION = [
  'manager/revocations.ts',
  'manager/revocation-watch.ts',
  'verifier/event-stream.ts',
  'protocol/revocation-event.ts',
];
const REGISTER = ['manager/registrations.ts', 'manager/registry.ts', 'device-agent/registration.ts'];
const NETWORK = ['hardware/network-watch.ts', 'device-agent/registration.ts'];
const NAMES = ['protocol/names.ts', 'manager/connects.ts'];
const MATCH = ['protocol/matching.ts', 'protocol/proposal.ts'];
const RULES = ['manager/rules.ts', 'manager/selection.ts', 'protocol/matching.ts'];
const COSTS = ['hardware/suite-cost.ts', 'protocol/suite-cost.ts', 'manager/selection.ts'];
const EXPLAIN = ['protocol/match-explanation.ts', 'manager/explanation.ts'];
const FLOW = ['manager/connect-flow.ts', 'manager/connects.ts'];
const CALL = ['device-agent/calling.ts'];
const POLICY = [
  'device-agent/approval.ts',
  'device-agent/answering.ts',
  'device-agent/askers.ts',
  'device-agent/remembered.ts',
  'manager/cancelling.ts',
];
const GRANT = ['manager/grants.ts', 'protocol/session-key.ts', 'device-agent/calling.ts'];
const SESSION = ['device-agent/sessions.ts', 'protocol/session-key.ts', 'protocol/record.ts'];
const END = ['manager/connect-flow.ts', 'device-agent/sessions.ts'];
const RENEWAL = [
  'manager/renewal-flow.ts',
  'manager/renewals.ts',
  'device-agent/renewal.ts',
  'device-agent/consent.ts',
  'manager/openings.ts',
];
const USERS = ['manager/users.ts', 'manager/user-leaving.ts', 'manager/user-desk.ts', 'protocol/user-proof.ts'];
const USER_CALLED = ['manager/connects.ts', 'manager/user-desk.ts', 'device-agent/users.ts'];
const MEDIUM = ['hardware/removable-media.ts', 'device-agent/users.ts'];

const now = (tag: string, text: string, code: readonly string[]): Row => ({ tag, text, code, due: 'now' });
const later = (tag: string, text: string, due: `later: ${string}`, code: readonly string[] = []): Row => ({
  tag,
  text,
  code,
  due,
});

export const REQUIREMENTS: readonly Row[] = [
  now('P1', 'parameters device–manager: candidates, the manager picks one', LOGIN),
  now('P2', "certificates exchanged on the other's request; either side may end here", LOGIN),
  now('P3', "the device verifies the manager's certificate: period, signature, chain", JUDGEMENT),
  now('P4', 'the verifier checks the device certificate and signs its verdict, good or bad', VERDICT),
  now('P5', "the device may have the manager's certificate checked by the verifier too", VERDICT),
  now('P6', 'signatures over the exchanged information, both ways; then both derive the channel key', LOGIN),
  now('P7', 'mutual permission opens the channel and closes it, from either side, with the reason', CLOSE),
  now('P8', 'a channel that authenticates but does not encrypt, as an explicit choice', CLOSE),
  now('P9', 'register addresses and prioritised proposals; completion; update replaces; delete', REGISTER),
  now('P10', 'a device registers again by itself when its address may have changed', NETWORK),
  now('P11', 'connect by name, MAC, mail address, SIP URI or FQDN', NAMES),
  now('P12', 'address and suite search come first; no common suite is a refusal that says so', FLOW),
  now('P13', 'the manager opens the channel to the callee if none is open', OPENING),
  now('P14', 'the callee approves or refuses by state, user or policy; the caller learns the answer', POLICY),
  now('P15', 'key by the suite, or a seed from which both derive it; delivered with the suite to both', GRANT),
  now('P16', 'encrypted session between the devices by that suite', SESSION),
  now('P17', 'end through the manager, or without it, or with channels closed meanwhile', END),
  now('P18', 'exact match: every setting of a proposal equal', MATCH),
  now('P19', 'range match, with a fixed order among settings', MATCH),
  now('P20', 'several matches: side precedence, or a criterion of the manager', RULES),
  now('P21', 'a user as callee, on a removable medium', [...USERS, ...USER_CALLED, 'hardware/removable-media.ts']),
  now('P22', 'routers, PCs, phones, PDAs, televisions, refrigerators as devices', [
    'sim/device-classes.ts',
    'sim/household.ts',
  ]),
  now('B1', 'broker between all of them; CBOR on the wire; topics that others can integrate with', [
    'broker',
    'protocol/topics.ts',
  ]),
  later('B2', 'agent on Raspberry Pi-class devices', 'later: small boards'),
  later('B3', 'fleet simulator for load testing', 'later: fleet simulator'),
  now('B4', 'cheap suites by rules over measured cost', COSTS),
  now('B5', 'no public-key operation on either device per session, proven by a counter', [
    'protocol/crypto.ts',
    'platform/crypto-node.ts',
  ]),
  now('B6', 'a revoked device is out within 5 s', REVOCATION),
  now('B7', 'restart of any party loses no registration and no live session', RENEWAL),
  now('B8', '`explain A B`: which suite, which rule, why not another', EXPLAIN),
];

export const STEPS: readonly Row[] = [
  now('1000', 'device sends parameter candidates', LOGIN),
  now('1002', 'manager receives them', LOGIN),
  now('1004', 'manager picks one and sends it', LOGIN),
  now('1006', 'device receives the choice', LOGIN),
  now('1008', "device asks for the manager's certificate", LOGIN),
  now('1010', 'manager receives the request', LOGIN),
  now('1012', 'manager has the certificate, or ends', LOGIN),
  now('1014', "manager sends it and asks for the device's", LOGIN),
  now('1016', 'device receives both', LOGIN),
  now('1018', 'device has the certificate, or ends', LOGIN),
  now('1020', 'device sends its certificate', LOGIN),
  now('1022', 'manager receives it', LOGIN),
  now('1024', 'manager acknowledges it', LOGIN),
  now('1026', 'device receives the acknowledgement', LOGIN),
  now('1028', "device verifies the manager's certificate", JUDGEMENT),
  now('1030', 'it is good, or the device ends', JUDGEMENT),
  now('1100', 'manager sends the device certificate to the verifier', VERDICT),
  now('1102', 'verifier receives it', VERDICT),
  now('1104', 'verifier checks period, signature, revocation', VERDICT),
  now('1106', 'good or bad', VERDICT),
  now('1108', 'a signed notice of failure', VERDICT),
  now('1110', 'a signed notice of success', VERDICT),
  now('1112', "manager checks the verifier's signature; bad ends the channel", VERDICT),
  now('1200', 'device signs the shared information', LOGIN),
  now('1202', 'manager receives it', LOGIN),
  now('1204', 'manager verifies it with the key of the certificate', LOGIN),
  now('1206', 'it is good, or the manager ends', LOGIN),
  now('1208', 'manager signs the shared information', LOGIN),
  now('1210', 'device receives it', LOGIN),
  now('1212', 'device verifies it with the key of the certificate', LOGIN),
  now('1214', 'it is good, or the device ends', LOGIN),
  now('1216', 'device derives the channel key', LOGIN),
  now('1218', 'manager derives the channel key', LOGIN),
  now('1300', 'device asks for permission to transfer data', LOGIN),
  now('1302', 'manager receives the request', LOGIN),
  now('1304', 'manager permits and asks in turn', LOGIN),
  now('1306', 'device receives both', LOGIN),
  now('1308', 'device permits', LOGIN),
  now('1310', 'manager receives the permission', LOGIN),
  now('1312', 'the channel is open', LOGIN),
  now('1314', 'encrypted communication with the parameters and the key', ['protocol/record.ts']),
  now('1316', 'one side asks to close', CLOSE),
  now('1318', 'the other receives it', CLOSE),
  now('1320', 'the other permits and asks in turn', CLOSE),
  now('1322', 'the first receives both', CLOSE),
  now('1324', 'the first permits', CLOSE),
  now('1326', 'the other receives the permission', CLOSE),
  now('1328', 'the channel is closed', CLOSE),
  now('2000', 'a channel is opened', REGISTER),
  now('2002', 'device asks to register its addresses and proposals', REGISTER),
  now('2004', 'manager receives them', REGISTER),
  now('2006', 'manager stores the addresses', REGISTER),
  now('2008', 'manager stores the proposals', REGISTER),
  now('2010', 'manager sends the completion notice', REGISTER),
  now('2012', 'device receives it', REGISTER),
  now('2014', 'the channel may be closed', REGISTER),
  now('2100', "the caller's channel is opened", FLOW),
  now('2102', 'caller asks for the callee by its ID', [...CALL, 'protocol/names.ts']),
  now('2104', 'manager receives the request', FLOW),
  now('2106', 'manager searches the address', FLOW),
  now('2108', 'manager searches a common suite', MATCH),
  now('2110', 'there is one, or the caller is refused', FLOW),
  now('2112', "the callee's channel is opened", OPENING),
  now('2114', 'manager asks the callee', FLOW),
  now('2116', 'callee receives the question', POLICY),
  now('2118', 'callee decides by state, user and policy', POLICY),
  now('2120', 'callee answers', POLICY),
  now('2122', 'manager receives the answer', FLOW),
  now('2124', 'manager forwards it', FLOW),
  now('2126', 'caller receives it', CALL),
  now('2128', 'caller goes by the answer', CALL),
  now('2130', 'manager goes by the answer', FLOW),
  now('2132', 'callee goes by its answer', CALL),
  now('2134', 'manager makes the key, or its seed, by the suite', GRANT),
  now('2136', 'caller receives key or seed with the suite', GRANT),
  now('2138', 'manager delivers key or seed with the suite to both', GRANT),
  now('2140', 'callee receives key or seed with the suite', GRANT),
  now('2142', 'the devices open the session', SESSION),
  now('2144', 'encrypted communication', SESSION),
  now('2146', 'caller asks to end', END),
  now('2148', 'manager receives it', END),
  now('2150', 'manager forwards it', END),
  now('2152', 'callee receives it', END),
  now('2154', 'callee permits', END),
  now('2156', 'manager receives the permission', END),
  now('2158', 'manager forwards it', END),
  now('2160', 'caller receives it', END),
  now('2162', "the caller's side is closed", END),
  now('2164', "the callee's side is closed", END),
  now('2166', 'the session is closed', END),
];

export const PARAGRAPHS: readonly Row[] = [
  now('0054', 'either side ends the exchange when a certificate is missing or bad', LOGIN),
  now('0088', "the device has the manager's certificate checked by the verifier", VERDICT),
  now('0100', 'registrations can be deleted', REGISTER),
  now('0101', 'a changed address is registered again', REGISTER),
  now('0102', 'after boot, reset or a new network as well', NETWORK),
  now('0105', 'IDs: name, MAC, mail address, SIP URI, FQDN', NAMES),
  now('0109', 'towards the callee the manager takes the part of the device', OPENING),
  now('0110', "and has the callee's certificate checked by the verifier", OPENING),
  now('0111', 'no common suite: refused with that reason', FLOW),
  now('0113', 'the callee decides by its own state, its user, and its own policy', POLICY),
  now('0133', 'a session may end without the manager', END),
  now('0134', 'channels may be closed before the session begins', END),
  now('0135', 'channels may be closed during the session and opened again to end it', END),
  now('0136', 'no channel is needed while the session lasts', END),
  now('0139', 'the channel may authenticate without encrypting', CLOSE),
  now('0146', 'one entry per device; registering again replaces the address', REGISTER),
  now('0151', 'a device sends one or more candidates, with priorities when there are several', REGISTER),
  now('0155', 'registering again replaces the proposals', REGISTER),
  now('0158', 'entries whose contents match are taken out', MATCH),
  now('0159', 'no matching entry: the search fails', MATCH),
  now('0160', 'every setting of the entry must be equal', MATCH),
  now('0161', 'ranges that overlap match in their overlap', MATCH),
  now('0162', 'several overlaps: a fixed order among the settings', MATCH),
  now('0163', 'several matches: a fixed precedence between the sides', MATCH),
  now('0164', "callee before caller: the callee's priority decides", MATCH),
  now('0165', 'or a criterion of the manager', RULES),
  now('0166', 'which needs no priorities', RULES),
  now('0167', 'strength, key length, lightness of cipher or hash', RULES),
  now('0168', 'a user can be the callee', USER_CALLED),
  now('0169', 'certificate and user ID come on a removable medium', [...MEDIUM, 'manager/users.ts']),
  now('0170', 'taking it out ends it', ['manager/user-leaving.ts', 'device-agent/users.ts']),
  now('0171', 'inserted registers, removed deletes; the device in use is reached', [...USERS, ...USER_CALLED]),
  now('claim 3', 'the manager makes the key by the suite and sends it to both', GRANT),
  now('claim 4', 'the manager makes a seed, from which both make the key', GRANT),
  now('claim 5', 'the search goes by the registered priorities', MATCH),
];

const RECORDS = ['protocol/record.ts', 'protocol/replay-window.ts'];
const LINKS = ['broker/policy.ts'];

/** Attacks and accidents that each need a test (design §5.6); a test's tag names one or several. */
export const ATTACKS: readonly Row[] = [
  now('5.6 key reinstallation', 'a repeated grant does not set keys and counters back', CALL),
  now('5.6 manager impersonation', 'a device certificate does not make a manager', JUDGEMENT),
  now('5.6 a grant on an authenticate-only channel', 'never', CLOSE),
  now('5.6 unknown key share', 'both sides mean the same two devices', GRANT),
  now('5.6 reflection', 'what a device sent opens nothing when it comes back', SESSION),
  now('5.6 selfie', 'nobody talks to itself', SESSION),
  now('5.6 replay', 'of every message: it changes nothing', RECORDS),
  now('5.6 nonce reuse', 'no key seals twice with one nonce, also after kill −9', RECORDS),
  now('5.6 downgrade', 'of either negotiation is refused', LOGIN),
  now('5.6 stale', 'a verdict of yesterday does not count', VERDICT),
  now('5.6 swapped', 'a verdict on another certificate, or for another exchange, does not count', VERDICT),
  now('5.6 wrong-purpose', 'a verdict for another purpose does not count', VERDICT),
  now('5.6 malleated', 'signatures and certificates identify nobody; issuer, serial and key do', [
    'protocol/revocation-list.ts',
  ]),
  now('5.6 handshake floods', 'half-open exchanges are limited, the cheap check comes first', ['manager/half-open.ts']),
  now('5.6 link takeover', 'a link is given to nobody else', LINKS),
  now('5.6 wildcards', 'beyond its own topics nobody reads', LINKS),
  now('5.6 wills', 'are refused', LINKS),
  now('5.6 retained', 'messages are refused on the wire topics', LINKS),
  now('5.6 crossed handshakes', "the device's wins", OPENING),
  now('5.6 lost', 'messages at every step', [...LOGIN, ...CALL]),
  now('5.6 doubled', 'messages at every step', [...LOGIN, ...CALL]),
  now('5.6 reordered', 'messages at every step', [...LOGIN, ...CALL]),
  now('5.6 parser', 'differences: one spelling for each item', ['protocol/cbor.ts', 'platform/der.ts']),
];

export const ROWS: readonly Row[] = [...REQUIREMENTS, ...STEPS, ...PARAGRAPHS, ...ATTACKS];
