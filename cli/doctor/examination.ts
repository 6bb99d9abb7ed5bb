/**
 * Looks at this machine and at one configuration, and says line by line what is well and what is not.
 */
import { basename, join } from 'node:path';
import type { ClientTrust } from '../../platform/client-tls.ts';
import { forbidCoreDumps } from '../../platform/core-dumps.ts';
import { activeSwaps } from '../../platform/swap.ts';
import type { VerifierConfig } from '../../verifier/config.ts';
import { outermostKeys, readConfigFile } from '../config-file.ts';
import { KINDS, type Kind, schemaOf } from '../config-place.ts';
import { Failure } from '../failure.ts';
import { type CertificateFiles, checkCertificates } from './certificate-checks.ts';
import { checkEnrolment, type EnrolmentSettings, withoutEnrolled } from './enrolment-checks.ts';
import { checkFiles, readOrNull } from './file-checks.ts';
import { type Finding, ill, well } from './finding.ts';
import { checkCoreDumps, checkSwap } from './memory-checks.ts';
import { checkBroker, checkControl } from './reach-checks.ts';

const OLDEST_NODE = 24;
const OLDEST_OPENSSL = 3;

export function examineMachine(): readonly Finding[] {
  const { node, openssl } = process.versions;
  const install = 'use the Node that `npm ci` brings along';
  return [
    Number.parseInt(node, 10) >= OLDEST_NODE ? well(`Node ${node}`) : ill(`Node ${node} is too old`, install),
    Number.parseInt(openssl, 10) >= OLDEST_OPENSSL
      ? well(`OpenSSL ${openssl}`)
      : ill(`OpenSSL ${openssl} is too old`, install),
    checkCoreDumps(forbidCoreDumps()),
    checkSwap(activeSwaps()),
  ];
}

/** What the kinds have in common, as far as they have it. */
interface Settings extends CertificateFiles, Omit<EnrolmentSettings, keyof CertificateFiles> {
  readonly broker?: {
    readonly url?: string;
    readonly anchorsFile?: string;
    readonly certificateFile?: string;
    readonly keyFile?: string;
  };
  readonly listen?: readonly {
    readonly kind: string;
    readonly host: string;
    readonly port: number;
    readonly path?: string;
  }[];
  readonly dataDirectory?: string;
  readonly rulesFile?: string;
  readonly stateDirectory?: string;
  readonly approvalFile?: string;
  readonly approval?: { readonly hook?: { readonly command: string } | undefined };
}

/** @param now  seconds since 1970 */
export async function examineConfig(path: string, now: number): Promise<readonly Finding[]> {
  let found: { readonly kind: Kind; readonly settings: Settings };
  try {
    found = await readAnyKind(path);
  } catch (error) {
    const lines = error instanceof Failure ? error.lines : [error instanceof Error ? error.message : String(error)];
    return lines.map((line) => ill(line, 'correct the configuration'));
  }
  const { kind, settings } = found;
  const notYet = kind === 'agent' ? checkEnrolment(path, settings as EnrolmentSettings) : null;
  const findings = [
    well(`${path} is a configuration of the ${kind}`),
    ...(notYet ?? []),
    ...checkFiles(notYet === null ? settings : withoutEnrolled(settings as EnrolmentSettings)),
    ...(notYet === null ? checkCertificates(kind, settings, now) : []),
  ];
  if (settings.rulesFile !== undefined) {
    const { checkRules } = await import('./rules-checks.ts');
    findings.push(...(await checkRules(settings.rulesFile)));
  }
  if (kind === 'agent') {
    const { checkApproval } = await import('./approval-checks.ts');
    findings.push(...checkApproval(settings.approvalFile, settings.approval?.hook?.command));
  }
  const { broker } = settings;
  if (broker?.url !== undefined) findings.push(await checkBroker(broker.url, trustOf(broker)));
  for (const url of listenersOf(settings)) findings.push(await checkBroker(url, null));
  const start = `kagimori ${kind} run --config ${path}`;
  if (kind === 'verifier') {
    const { checkVerifier } = await import('./verifier-checks.ts');
    findings.push(...checkVerifier(settings as VerifierConfig, now));
  }
  if (settings.dataDirectory !== undefined) {
    findings.push(...(await checkControl(join(settings.dataDirectory, `${kind}.sock`), start)));
  }
  if (settings.stateDirectory !== undefined) {
    findings.push(...(await checkControl(join(settings.stateDirectory, 'agent.sock'), start)));
  }
  return findings;
}

const SCHEMES: Readonly<Record<string, string>> = { tcp: 'mqtt', tls: 'mqtts' };

function listenersOf({ listen = [] }: Settings): readonly string[] {
  return listen
    .filter(({ port }) => port !== 0)
    .map(({ kind, host, port, path = '' }) => `${SCHEMES[kind] ?? kind}://${local(host)}:${port}${path}`);
}

/** What cannot be read is told by the check of the files. */
function trustOf({ anchorsFile, certificateFile, keyFile }: NonNullable<Settings['broker']>): ClientTrust {
  const [anchorPem, chainPem, keyPem] = [readOrNull(anchorsFile), readOrNull(certificateFile), readOrNull(keyFile)];
  return {
    ...(anchorPem === null ? {} : { anchorPem }),
    ...(chainPem === null || keyPem === null ? {} : { clientCertificate: { chainPem, keyPem } }),
  };
}

/** A listener on every address is reached on this machine's own. */
function local(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}

/** The kind by the name of the file, or else by the keys in it. */
async function readAnyKind(path: string): Promise<{ readonly kind: Kind; readonly settings: Settings }> {
  const name = basename(path);
  const kind = KINDS.find((one) => new RegExp(`\\b${one}\\b`).test(name)) ?? (await kindByKeys(outermostKeys(path)));
  return { kind, settings: readConfigFile(path, await schemaOf(kind)) as Settings };
}

async function kindByKeys(found: readonly string[]): Promise<Kind> {
  let best: { readonly kind: Kind; readonly known: number } = { kind: 'broker', known: 0 };
  for (const kind of KINDS) {
    const { shape } = await schemaOf(kind);
    const known = found.filter((key) => Object.hasOwn(shape, key)).length;
    if (known > best.known) best = { kind, known };
  }
  return best.kind;
}
