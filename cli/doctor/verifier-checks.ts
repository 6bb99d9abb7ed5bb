/**
 * What the verifier's configuration names of revocation: lists that are current and under the anchors, signers of OCSP
 * answers, URLs that can be asked. Nobody is contacted; what a running verifier says of itself is told as it is.
 */
import { readCertificateFile } from '../../platform/certificate-file.ts';
import { certificateReader, MAX_CRL_BYTES, readPem } from '../../platform/certificates.ts';
import type { JsonValue } from '../../platform/control-socket.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { readBounded } from '../../platform/files.ts';
import { isInside } from '../../platform/inner-address.ts';
import type { ParsedCertificate, ParsedCrl } from '../../protocol/certificate.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import type { VerifierConfig } from '../../verifier/config.ts';
import { type KnownSigners, knownSigners } from '../../verifier/known-signers.ts';
import { issuerOf } from '../../verifier/list-scope.ts';
import { readOcspSigner } from '../../verifier/ocsp-signers.ts';
import { date, isObject } from '../output.ts';
import { advice, attempt, type Finding, ill, well } from './finding.ts';

const SOON_SECONDS = 86_400;

/** @param now  seconds since 1970 */
export function checkVerifier(config: VerifierConfig, now: number): readonly Finding[] {
  const { crlFiles, crlUrls, ocsp, intermediateFiles, responder } = config;
  const files = config.trustAnchorFiles.map((one) => (typeof one === 'string' ? one : one.file));
  const anchors = files.flatMap((path) => certificatesIn(path));
  const signers = knownSigners(nodeCrypto(), anchors);
  const unproven = signers.prove(
    intermediateFiles.flatMap((path) => certificatesIn(path)),
    EpochSeconds(now),
  );
  const passing = [config.certificateFile, ...(responder?.signers ?? []).map((one) => one.certificateFile)];
  signers.prove(
    passing.flatMap((path) => certificatesIn(path)),
    EpochSeconds(now),
  );
  const findings: Finding[] = unproven.map((one) => {
    const what = `${one.subject.commonName ?? 'a certificate'} of intermediateFiles is under no trust anchor`;
    return ill(what, 'add its CA, or leave it out');
  });
  if (crlFiles.length + crlUrls.length + ocsp.length === 0) {
    findings.push(ill('revocation is not looked at', 'set crlFiles, crlUrls or ocsp'));
  }
  if (crlUrls.length > 0 && config.dataDirectory === undefined) {
    const remedy = 'set dataDirectory, or nothing is good after a restart until they are fetched again';
    findings.push(advice('lists that are fetched are not kept', remedy));
  }
  for (const path of crlFiles)
    findings.push(...attempt(`${path} cannot be used`, () => checkLists(path, signers, now)));
  for (const { url, inside } of [...crlUrls, ...ocsp]) findings.push(...checkUrl(url, inside));
  for (const one of responder?.signers ?? []) {
    findings.push(
      ...attempt(`${one.certificateFile} cannot sign OCSP answers`, () => {
        const { issuer, certificate } = readOcspSigner(one, [...anchors, ...signers.learnt], nodeCrypto());
        if (certificate.notAfter < now) {
          return [ill(`${one.certificateFile} has expired at ${date(certificate.notAfter)} UTC`, 'issue a new one')];
        }
        return [well(`${one.certificateFile} signs OCSP answers for ${issuer.subject.commonName}`)];
      }),
    );
  }
  return findings;
}

/** What cannot be read is told by the check of the files. */
function certificatesIn(path: string): readonly ParsedCertificate[] {
  try {
    return readCertificateFile(path);
  } catch {
    return [];
  }
}

function checkLists(path: string, signers: KnownSigners, now: number): readonly Finding[] {
  const bytes = readBounded(path, MAX_CRL_BYTES);
  const blocks = bytes[0] === 0x30 ? [bytes] : (readPem(bytes, 'X509 CRL') ?? []);
  if (blocks.length === 0) return [ill(`${path} holds no revocation list`, 'give one in PEM or DER')];
  return blocks.map((der) => {
    const crl = certificateReader().readCrl(der);
    if (crl === null) return ill(`${path} holds a revocation list that cannot be read`, 'get it again from its CA');
    return checkList(path, crl, signers, now);
  });
}

function checkList(path: string, crl: ParsedCrl, signers: KnownSigners, now: number): Finding {
  const name = `the list of ${issuerOf(crl)} in ${path}`;
  const until = crl.nextUpdate;
  if (crl.thisUpdate > now)
    return ill(`${name} begins at ${date(crl.thisUpdate)} UTC`, 'set the clock of this machine');
  if (until === null || until < now) {
    const since = until === null ? 'names no next update' : `is out of date since ${date(until)} UTC`;
    return ill(`${name} ${since}: its certificates are refused`, 'have its CA issue a new one (kagimori ca crl)');
  }
  if (signers.signerOf(crl) === null) {
    if (signers.isAnchor(crl)) return ill(`${name} is not signed by its issuer`, 'get it again from its CA');
    const remedy = 'give the CA certificate in intermediateFiles, and it counts from the start';
    return advice(`${name} is of a CA that is not known before the first question`, remedy);
  }
  if (until - now < SOON_SECONDS)
    return advice(`${name} ends at ${date(until)} UTC`, 'have its CA issue a new one soon');
  return well(`${name} holds until ${date(until)} UTC`);
}

function checkUrl(url: string, inside: boolean): readonly Finding[] {
  if (!URL.canParse(url)) return [ill(`${url} is no address`, 'write http://host/… or https://host/…')];
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
  const literal = /^[\d.]+$|:/.test(host);
  if (literal && !inside && isInside(host)) {
    return [
      ill(`${url} is at a private or local address, and will not be asked`, 'say `inside: true` if that is meant'),
    ];
  }
  return [well(`${url} may be asked (not tried here)`)];
}

/** @param status  a running verifier's answer to `status` */
export function checkRunning(status: JsonValue): readonly Finding[] {
  if (!isObject(status) || !Array.isArray(status.problems)) return [];
  return status.problems.map((problem) => ill(String(problem), 'see `kagimori verifier status`'));
}
