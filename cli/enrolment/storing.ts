/**
 * What an enrolled device keeps, and whether it has it already. The chain is written last: without it nothing is usable,
 * and the same command goes on where it was cut off.
 */
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Enrolled, EnrolmentWish } from '../../device-agent/enrolment-checks.ts';
import { readCertificateFile } from '../../platform/certificate-file.ts';
import { writePem } from '../../platform/certificates.ts';
import { FileFault, makePrivateDirectory, writeAtomically } from '../../platform/files.ts';
import { encodeUtf8, equal } from '../../protocol/bytes.ts';
import { deviceNames, type ParsedCertificate } from '../../protocol/certificate.ts';
import { validatePath } from '../../protocol/path-validation.ts';
import type { DeviceId } from '../../protocol/units.ts';
import type { World } from '../../protocol/world.ts';
import type { Places } from './places.ts';

/** What the agent keeps of a channel; of another identity it is of no use. */
const CHANNEL_FILE = 'channel.cbor';

/** @throws FileFault; then the same command goes on */
export function storeEnrolled(places: Places, { chain, anchors, verifiers }: Enrolled): void {
  const { stateDirectory, certificateFile, anchorsFile, verifierFile } = places;
  makePrivateDirectory(stateDirectory);
  rmSync(join(stateDirectory, CHANNEL_FILE), { force: true });
  writeCertificates(anchorsFile, anchors);
  if (verifierFile !== null && verifiers.length > 0) writeCertificates(verifierFile, verifiers);
  writeCertificates(certificateFile, chain);
}

/** Where all of them are there already nothing is written: the folder may be the operator's. */
function writeCertificates(path: string, ders: readonly Uint8Array[]): void {
  const held = readIfThere(path);
  if (ders.every((der) => held.some((one) => equal(one.der, der)))) return;
  makePrivateDirectory(dirname(path));
  writeAtomically(path, encodeUtf8(writePem('CERTIFICATE', ...ders)), 0o644);
}

export type Standing =
  /** No certificate that could be used. */
  | { readonly standing: 'none' }
  | { readonly standing: 'enrolled'; readonly id: DeviceId; readonly leaf: ParsedCertificate }
  /** A good certificate, of another fleet or another name. */
  | { readonly standing: 'elsewhere'; readonly id: DeviceId; readonly why: string };

/** Whether this device holds already what the invitation would give it. */
export function standingOf(places: Places, wish: EnrolmentWish, { crypto, wall }: World): Standing {
  const chain = readIfThere(places.certificateFile);
  const anchors = readIfThere(places.anchorsFile);
  const [leaf] = chain;
  const id = leaf === undefined ? undefined : deviceNames(leaf)?.id;
  if (leaf === undefined || id === undefined || !equal(leaf.spki, wish.spki)) return { standing: 'none' };
  const finding = validatePath({ crypto, chain, anchors, revocation: null, at: wall, purpose: 'device' });
  if (!finding.ok) return { standing: 'none' };
  if (!anchors.some(({ der }) => equal(crypto.hash('sha-256', der), wish.anchorHash))) {
    return { standing: 'elsewhere', id, why: 'under another trust anchor' };
  }
  if (places.config !== null && places.config.manager !== wish.manager) {
    return { standing: 'elsewhere', id, why: `at the manager ${places.config.manager}` };
  }
  if (wish.name !== null && wish.name !== id) return { standing: 'elsewhere', id, why: 'under that name' };
  return { standing: 'enrolled', id, leaf };
}

function readIfThere(path: string): readonly ParsedCertificate[] {
  try {
    return readCertificateFile(path);
  } catch (error) {
    if (error instanceof FileFault) return [];
    throw error;
  }
}
