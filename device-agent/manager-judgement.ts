/**
 * Whether the manager is the manager: chain, period, its own extended key usage, the name learnt at enrolment, and the
 * verifier's verdict where it is demanded (P3, P5, patent 1028–1030, 0088).
 */
import { equal } from '../protocol/bytes.ts';
import type { IdCred } from '../protocol/edhoc/credential.ts';
import { ProtocolError } from '../protocol/errors.ts';
import type { PeerLeaf } from '../protocol/login.ts';
import { validatePath } from '../protocol/path-validation.ts';
import type { EpochSeconds } from '../protocol/units.ts';
import { checkVerdict } from '../protocol/verdict.ts';
import type { World } from '../protocol/world.ts';
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
 * @param nonce    what a fresh verdict must be bound to: this device then has no trusted clock, and takes the verdict's time
 * @throws ProtocolError badCertificate | badVerdict, with the reason for the log
 */
export function judgeManager(
  state: AgentState,
  chain: readonly Uint8Array[],
  verdict: Uint8Array | null,
  nonce: Uint8Array | null,
  world: World,
): { readonly manager: JudgedManager; readonly peer: PeerLeaf } {
  const { reader, anchors, verifierKeys, managerVerdict, manager } = state.settings;
  const parsed = chain.map((der) => reader.readCertificate(der));
  const certificates = parsed.filter((certificate) => certificate !== null);
  const leaf = certificates[0];
  if (leaf === undefined || certificates.length !== parsed.length) {
    throw new ProtocolError('badCertificate', "the manager's certificate does not parse");
  }
  const hash = world.crypto.hash('sha-256', leaf.der);
  let at = world.wall;
  if (managerVerdict !== 'none') {
    if (verdict === null) {
      throw new ProtocolError('badVerdict', "the verifier's verdict on the manager is missing");
    }
    const now = nonce === null ? world.wall : null;
    const expected = {
      verifierKeys,
      purpose: 'manager',
      leafSha256: hash,
      nonce,
      now,
      maxClockSkew: MAX_CLOCK_SKEW,
    } as const;
    const checked = checkVerdict(world.crypto, verdict, expected);
    if (checked.reason !== 'good')
      throw new ProtocolError('badCertificate', `the verifier says of the manager: ${checked.reason}`);
    if (nonce !== null) at = checked.time as typeof world.wall;
  }
  const finding = validatePath({
    crypto: world.crypto,
    chain: certificates,
    anchors,
    revocation: null,
    at,
    purpose: 'manager',
    name: manager,
  });
  if (!finding.ok) {
    const { reason, detail } = finding;
    const hint = reason === 'expired' || reason === 'not-yet-valid' ? `: check this device's clock: ${dateOf(at)}` : '';
    throw new ProtocolError('badCertificate', `the manager's certificate: ${reason}: ${detail}${hint}`);
  }
  const publicKey = world.crypto.publicKey(leaf.spki);
  if (publicKey === null) throw new ProtocolError('badCertificate', "the manager's key is of no known kind");
  return {
    manager: { chain: chain.map((der) => der.slice()), hash, notAfter: leaf.notAfter },
    peer: { der: leaf.der, publicKey },
  };
}

const dateOf = (time: EpochSeconds): string => new Date(time * 1000).toISOString().slice(0, 16).replace('T', ' ');
