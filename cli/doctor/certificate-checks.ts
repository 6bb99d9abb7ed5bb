/**
 * Certificates that a configuration names: valid now, under the anchors, for the purpose, with the key that belongs to it.
 */
import { openKeyStore, shownKeyPlace } from '../../hardware/key-store.ts';
import { certificateReader, readPem } from '../../platform/certificates.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { equal } from '../../protocol/bytes.ts';
import type { ParsedCertificate } from '../../protocol/certificate.ts';
import { type Role, roleFault } from '../../protocol/certificate-role.ts';
import { validatePath } from '../../protocol/path-validation.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import type { Kind } from '../config-place.ts';
import { date } from '../output.ts';
import { readOrNull } from './file-checks.ts';
import { attempt, type Finding, ill, well } from './finding.ts';

export interface CertificateFiles {
  readonly certificateFile?: string;
  readonly keyFile?: string;
  readonly verifierCertificateFile?: string;
  readonly trustAnchorFiles?: readonly (string | { readonly file: string })[];
  readonly name?: string;
}

const ROLES: Readonly<Record<Kind, Role>> = {
  broker: 'any',
  verifier: 'verifier',
  manager: 'manager',
  agent: 'device',
};
const SOON_SECONDS = 30 * 86_400;
/** Of its life; what renews itself does so at two thirds. */
const SOON_SHARE = 1 / 4;

/** @param now  seconds since 1970 */
export function checkCertificates(kind: Kind, files: CertificateFiles, now: number): readonly Finding[] {
  const { certificateFile, keyFile, verifierCertificateFile } = files;
  const anchors = readAnchors(files.trustAnchorFiles ?? []);
  const findings: Finding[] = [];
  if (certificateFile !== undefined) {
    const chain = readChain(certificateFile);
    const name = kind === 'manager' ? files.name : undefined;
    findings.push(...checkChain(certificateFile, chain, anchors, ROLES[kind], name, now));
    const [leaf] = chain;
    if (keyFile !== undefined && leaf !== undefined) findings.push(...checkKey(keyFile, certificateFile, leaf));
  }
  if (verifierCertificateFile !== undefined) {
    const chain = readChain(verifierCertificateFile);
    findings.push(...checkChain(verifierCertificateFile, chain, anchors, 'verifier', undefined, now));
  }
  return findings;
}

function checkChain(
  path: string,
  chain: readonly ParsedCertificate[],
  anchors: readonly ParsedCertificate[],
  role: Role,
  name: string | undefined,
  now: number,
): readonly Finding[] {
  const [leaf] = chain;
  if (leaf === undefined) {
    const contents = readOrNull(path);
    if (contents === null) return [];
    return Buffer.from(contents).includes('PRIVATE KEY-----')
      ? [ill(`${path} holds a private key, not a certificate`, 'are certificateFile and keyFile swapped?')]
      : [ill(`${path} holds no certificate`, 'give a PEM file, leaf first')];
  }
  const findings = [checkPeriod(path, leaf, now)];
  if (anchors.length === 0) {
    const fault = roleFault(leaf, chain.slice(1), role, name);
    if (fault === null) return [...findings, well(`${path} is a certificate for ${role}`)];
    return [...findings, ill(`${path} is no certificate for ${role} (${fault.detail})`, 'issue one of that kind')];
  }
  const found = validatePath({
    crypto: nodeCrypto(),
    chain,
    anchors,
    revocation: null,
    at: EpochSeconds(Math.min(Math.max(now, leaf.notBefore), leaf.notAfter)),
    purpose: role,
    ...(name === undefined ? {} : { name }),
  });
  if (found.ok) return [...findings, well(`${path} is under the trust anchors, for ${role}`)];
  const what = `${path} does not stand under the trust anchors as a certificate for ${role}`;
  const why = `${found.reason}, ${found.detail}`;
  return [...findings, ill(`${what} (${why})`, 'chain, anchors and kind have to fit together')];
}

function checkPeriod(path: string, { notBefore, notAfter }: ParsedCertificate, now: number): Finding {
  if (now < notBefore) {
    const remedy = `set the clock of this machine, which says ${date(now)} UTC, or issue a new certificate`;
    return ill(`${path} is valid from ${date(notBefore)} UTC on`, remedy);
  }
  if (now > notAfter) return ill(`${path} has expired at ${date(notAfter)} UTC`, 'issue a new certificate');
  const soon = Math.min(SOON_SECONDS, (notAfter - notBefore) * SOON_SHARE);
  if (notAfter - now < soon) return ill(`${path} expires at ${date(notAfter)} UTC`, 'issue a new one soon');
  return well(`${path} is valid until ${date(notAfter)} UTC`);
}

function checkKey(keyFile: string, certificateFile: string, leaf: ParsedCertificate): readonly Finding[] {
  return attempt(`${shownKeyPlace(keyFile)} cannot be used`, () => {
    const key = openKeyStore(keyFile, nodeCrypto().counter);
    const [belongs, shown] = [equal(key.publicSpki, leaf.spki), shownKeyPlace(keyFile)];
    key.close();
    if (belongs) return [well(`${shown} belongs to ${certificateFile}`)];
    return [ill(`${shown} is not the key of ${certificateFile}`, 'give the key that was made with the certificate')];
  });
}

function readChain(path: string): readonly ParsedCertificate[] {
  const reader = certificateReader();
  const blocks = readPem(readOrNull(path) ?? '', 'CERTIFICATE') ?? [];
  return blocks.map((der) => reader.readCertificate(der)).filter((certificate) => certificate !== null);
}

function readAnchors(files: NonNullable<CertificateFiles['trustAnchorFiles']>): readonly ParsedCertificate[] {
  return files.flatMap((one) => readChain(typeof one === 'string' ? one : one.file));
}
