/**
 * The process that holds one user's private key while the medium is in, and nothing else: it reads the medium, takes the
 * PIN on a socket of its own, and signs that the user is here. It ends by SIGKILL, which leaves its memory to nobody: from
 * the agent when the medium is taken out, from itself when the agent is gone.
 *
 *     node process.ts ROOT SOCKET
 */

import { MediumFault, readMedium } from '../../hardware/removable-medium.ts';
import { certificateReader } from '../../platform/certificates.ts';
import { ControlError, serveControl } from '../../platform/control-socket.ts';
import { forbidCoreDumps } from '../../platform/core-dumps.ts';
import { newPublicKeyCounter, nodeCrypto, type OwnSigningKey, signingKey } from '../../platform/crypto-node.ts';
import { openPkcs12, type Pkcs12Contents, Pkcs12Fault } from '../../platform/crypto-pkcs12.ts';
import { encodeUtf8, equal, toHex, wipe } from '../../protocol/bytes.ts';
import type { ParsedCertificate } from '../../protocol/certificate.ts';
import { roleFault } from '../../protocol/certificate-role.ts';
import { MAX_CHAIN } from '../../protocol/message-values.ts';
import { readUserStatement, userSignature } from '../../protocol/user-proof.ts';
import { type Report, readRequest, receiveFrames, sendReport } from './frames.ts';

const TRIES = 3;
/** So that the answer to a try after which there is none still gets out. */
const LAST_WORD_MS = 200;

/** Without the clean-up of `process.exit`, which waits for a derivation that is under way. */
const end = (): void => {
  process.kill(process.pid, 'SIGKILL');
};
const report = (one: Report): void => sendReport(process.stdout, one);

interface Unlocked {
  readonly user: string;
  readonly key: OwnSigningKey;
  readonly leaf: string;
}

async function serve(root: string, socket: string): Promise<void> {
  let unlocked: Unlocked | null = null;
  // from the first moment: the end of what the agent says is the end of the agent
  receiveFrames(
    process.stdin,
    (body) => {
      const request = readRequest(body);
      if (request === null) return end();
      report({ kind: 'signed', number: request.number, signature: sign(unlocked, request.toSign) });
    },
    end,
  );
  const { user, pkcs12 } = await readMedium(root);
  let left = TRIES;
  let trying = false;
  const tryPin = async (pin: string): Promise<Unlocked> => {
    report({ kind: 'trying' });
    const bytes = encodeUtf8(pin);
    try {
      const { chain, ...opened } = await openMedium(pkcs12, bytes, user);
      wipe(pkcs12);
      report({ kind: 'unlocked', user, chain });
      return opened;
    } catch (error) {
      throw wrongPin(error);
    } finally {
      wipe(bytes);
    }
  };
  const wrongPin = (error: unknown): unknown => {
    if (!(error instanceof Pkcs12Fault) || error.fault !== 'wrong-pin') return useless(error);
    left--;
    report({ kind: 'wrong', left });
    if (left === 0) setTimeout(end, LAST_WORD_MS);
    const rest =
      left === 0 ? 'take the medium out, and put it in again' : `${left} ${left === 1 ? 'try' : 'tries'} left`;
    return new ControlError('user.pin-wrong', `the PIN is wrong: ${rest}`);
  };
  const useless = (error: unknown): unknown => {
    const detail = error instanceof Error ? error.message : String(error);
    report({ kind: 'useless', detail });
    setTimeout(end, LAST_WORD_MS);
    return new ControlError('user.medium', `the medium of ${user}: ${detail}`);
  };
  await serveControl(socket, {
    unlock: async (args) => {
      const pin = args !== null && typeof args === 'object' && 'pin' in args ? args.pin : null;
      if (typeof pin !== 'string') throw new ControlError('usage', 'pin is missing');
      if (trying) throw new ControlError('user.busy', 'another PIN is being tried: wait for it');
      if (left === 0) throw new ControlError('user.pin-wrong', 'three wrong PINs: take the medium out');
      trying = true;
      try {
        unlocked ??= await tryPin(pin);
        return { user, leaf: unlocked.leaf };
      } finally {
        trying = false;
      }
    },
  });
  report({ kind: 'locked', user });
}

/** Whatever the agent may be made to ask for, this key says one thing alone: that its user is here. */
function sign(unlocked: Unlocked | null, toSign: Uint8Array): Uint8Array | null {
  if (unlocked === null || readUserStatement(toSign)?.user !== unlocked.user) return null;
  const algorithm = userSignature(unlocked.key.algorithm);
  return algorithm === null ? null : unlocked.key.sign(algorithm, toSign);
}

/** @throws Pkcs12Fault; MediumFault when key, certificate and user do not belong together */
async function openMedium(
  pkcs12: Uint8Array,
  pin: Uint8Array,
  user: string,
): Promise<Unlocked & { readonly chain: readonly Uint8Array[] }> {
  const { privateKey, certificates } = await openPkcs12(pkcs12, pin);
  const key = keyOf(privateKey);
  if (userSignature(key.algorithm) === null) {
    throw new MediumFault(`its key is of kind ${key.algorithm}: a user's is p256, p384 or ed25519`);
  }
  const chain = chainOf(key, certificates);
  const [leaf, ...issuers] = chain;
  const fault = roleFault(leaf, issuers, 'user', user);
  if (fault !== null) throw new MediumFault(`its certificate: ${fault.detail}`);
  return { user, key, chain: chain.map(({ der }) => der), leaf: toHex(nodeCrypto().hash('sha-256', leaf.der)) };
}

function keyOf(privateKey: Pkcs12Contents['privateKey']): OwnSigningKey {
  try {
    return signingKey(privateKey, newPublicKeyCounter());
  } finally {
    wipe(privateKey);
  }
}

/** The certificate of that key first, then its issuers as far as they are there; in the file they stand in any order. */
function chainOf(
  key: OwnSigningKey,
  certificates: readonly Uint8Array[],
): readonly [ParsedCertificate, ...ParsedCertificate[]] {
  const { readCertificate } = certificateReader();
  const all = certificates.map(readCertificate).filter((one) => one !== null);
  const leaf = all.find(({ spki }) => equal(spki, key.publicSpki));
  if (leaf === undefined) throw new MediumFault('it holds no certificate of its key');
  const chain: [ParsedCertificate, ...ParsedCertificate[]] = [leaf];
  let below: ParsedCertificate | undefined = leaf;
  while (below !== undefined && chain.length < MAX_CHAIN) {
    below = issuerIn(all, below);
    if (below !== undefined) chain.push(below);
  }
  return chain;
}

/** Anchors are left out: everybody has his own. */
const issuerIn = (all: readonly ParsedCertificate[], { issuer }: ParsedCertificate): ParsedCertificate | undefined =>
  all.find((one) => equal(one.subject.der, issuer.der) && !isSelfIssued(one));

const isSelfIssued = ({ subject, issuer }: ParsedCertificate): boolean => equal(subject.der, issuer.der);

const [root, socket] = process.argv.slice(2);
// the other end is open as long as the agent lives
process.stdin.on('end', end).on('close', end).on('error', end);
process.stdout.on('error', end);
forbidCoreDumps();
if (root === undefined || socket === undefined) end();
else {
  serve(root, socket).catch((error: unknown) => {
    report({ kind: 'useless', detail: error instanceof Error ? error.message : String(error) });
  });
}
