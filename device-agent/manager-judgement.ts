/**
 * Whether the manager is the manager: chain, period, its own extended key usage, the name learnt at enrolment, and the
 * verifier's verdict where it is demanded (P3, P5, patent 1028–1030, 0088).
 */
import { equal } from '../protocol/bytes.ts';
import type { IdCred } from '../protocol/edhoc/credential.ts';
import { ProtocolError } from '../protocol/errors.ts';
import type { PeerLeaf } from '../protocol/login.ts';
import { validatePath } from '../protocol/path-validation.ts';
import { EpochSeconds } from '../protocol/units.ts';
import { authenticVerdict, timeFault } from '../protocol/verdict.ts';
import type { World } from '../protocol/world.ts';
import { dateOf, deviceWorld, doubtClock, hearTime, raiseBound } from './device-time.ts';
import type { JudgedManager } from './joining-states.ts';
import type { AgentState } from './state.ts';

const MAX_CLOCK_SKEW = 60;

/** @returns the chain that the manager's credential names, or null when only a hash came that is not held */
export function managerChainOf(state: AgentState, peer: IdCred): readonly Uint8Array[] | null {
  if (peer.kind === 'x5chain') return peer.certificates.map((certificate) => certificate.slice());
  const held = state.managerLeaf;
  return held !== null && equal(held.hash, peer.hash) ? held.chain : null;
}

/**
 * @param verdict  as stapled
 * @param nonce    what a fresh verdict must be bound to, which is demanded then: its time is the time
 * @returns null when nothing but the time is wrong, which may be this device's own: a fresh verdict is to be asked for
 * @throws ProtocolError badCertificate | badVerdict, with the reason for the log
 */
export function judgeManager(
  state: AgentState,
  chain: readonly Uint8Array[],
  verdict: Uint8Array | null,
  nonce: Uint8Array | null,
  world: World,
): { readonly manager: JudgedManager; readonly peer: PeerLeaf } | null {
  const { reader, anchors, managerVerdict, manager } = state.settings;
  const parsed = chain.map((der) => reader.readCertificate(der));
  const certificates = parsed.filter((certificate) => certificate !== null);
  const leaf = certificates[0];
  if (leaf === undefined || certificates.length !== parsed.length) {
    throw new ProtocolError('badCertificate', "the manager's certificate does not parse");
  }
  const hash = world.crypto.hash('sha-256', leaf.der);
  if (nonce !== null || managerVerdict !== 'none') {
    const fault = verdictFault(state, hash, verdict, nonce, world);
    if (fault !== null && doubtClock(state, `the verdict on the manager is ${fault}`, world)) return null;
    if (fault !== null) throw new ProtocolError('badVerdict', fault);
  }
  const { wall: at } = deviceWorld(state, world);
  const question = { crypto: world.crypto, chain: certificates, anchors, revocation: null, name: manager } as const;
  const finding = validatePath({ ...question, at, purpose: 'manager' });
  if (!finding.ok) {
    const { reason, detail } = finding;
    const why = `the manager's certificate: ${reason}: ${detail}`;
    if (reason !== 'expired' && reason !== 'not-yet-valid') throw new ProtocolError('badCertificate', why);
    const began = EpochSeconds(Math.max(...certificates.map(({ notBefore }) => notBefore)));
    const wasGood = validatePath({ ...question, at: began, purpose: 'manager' }).ok;
    if (wasGood && nonce === null && doubtClock(state, why, world)) return null;
    throw new ProtocolError('badCertificate', `${why}: ${clockRemedy(state, nonce)}: ${dateOf(at)}`);
  }
  const publicKey = world.crypto.publicKey(leaf.spki);
  if (publicKey === null) throw new ProtocolError('badCertificate', "the manager's key is of no known kind");
  return {
    manager: { chain: chain.map((der) => der.slice()), hash, notAfter: leaf.notAfter },
    peer: { der: leaf.der, publicKey },
  };
}

/**
 * What the verifier says of the manager, and when.
 * @returns what is wrong with the time of a verdict that need not be fresh, or null
 * @throws ProtocolError badCertificate | badVerdict
 */
function verdictFault(
  state: AgentState,
  leafSha256: Uint8Array,
  verdict: Uint8Array | null,
  nonce: Uint8Array | null,
  world: World,
): string | null {
  if (verdict === null) throw new ProtocolError('badVerdict', whyMissing(state, world));
  const { verifierKeys } = state.settings;
  const said = authenticVerdict(world.crypto, verdict, { verifierKeys, purpose: 'manager', leafSha256, nonce });
  if (nonce !== null) hearTime(state, said.time, world);
  else raiseBound(state, said.time);
  const fault = nonce === null ? timeFault(said, world.wall, MAX_CLOCK_SKEW) : null;
  if (fault === null && said.reason !== 'good')
    throw new ProtocolError('badCertificate', `the verifier says of the manager: ${said.reason}`);
  return fault;
}

/** Where it was to tell the time, what had led to that is the news. */
function whyMissing({ time: { doubt } }: AgentState, world: World): string {
  const missing = "the verifier's verdict on the manager is missing";
  return doubt === null ? missing : `${missing}; ${doubt.why}: check this device's clock: ${dateOf(world.wall)}`;
}

/** @param nonce  not null: the verifier has told the time */
function clockRemedy({ settings }: AgentState, nonce: Uint8Array | null): string {
  if (nonce !== null) return 'by the time of the verifier the manager needs another certificate';
  if (settings.verifierKeys.length > 0) return "check this device's clock";
  return "check this device's clock, or name verifierCertificateFile, and the verifier tells the time";
}
