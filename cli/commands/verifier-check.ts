/**
 * `kagimori verifier check`: a certificate checked by hand, without any server.
 */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type CommonOptions, collect, numberBetween, verb } from '../command.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { momentOf } from '../moment.ts';
import { createOutput } from '../output.ts';
import type { CheckQuestion } from '../verifier-check/certificate-check.ts';

interface CheckOptions extends CommonOptions {
  readonly anchor: readonly string[];
  readonly intermediate?: readonly string[];
  readonly crl?: readonly string[];
  readonly at?: number;
  readonly purpose: CheckQuestion['purpose'];
  readonly name?: readonly string[];
  readonly maxDepth?: number;
}

const PURPOSES: readonly CheckQuestion['purpose'][] = ['any', 'device', 'manager', 'user', 'server'];

export function verifierCheckVerb(): Command {
  return verb(
    'check <leaf>',
    'check a certificate under given anchors: path, names, purpose, revocation; no server is asked',
    'kagimori verifier check --anchor root.pem --intermediate ca.pem --crl ca.crl --purpose device router-1.pem',
  )
    .requiredOption(
      '--anchor <file>',
      'certificates that are trusted; may stand several times, as the next two',
      collect,
    )
    .option('--intermediate <file>', 'certificates of CAs that may lie between, in any order', collect)
    .option('--crl <file>', 'revocation lists; without any, revocation is not checked', collect)
    .option('--at <time>', 'at which moment: 2026-01-05T23:00:00Z, or seconds since 1970 (default: now)', checkMoment)
    .addOption(new Option('--purpose <purpose>', 'what it is to be good for').choices(PURPOSES).default('any'))
    .option('--name <name>', 'whose it has to be: dns:, ip:, email: or uri: in front; may stand several times', collect)
    .option(
      '--max-depth <n>',
      'most CAs between certificate and anchor (default, and the most: 4)',
      numberBetween(0, 255),
    )
    .addHelpText('after', HELP)
    .action(async (leaf: string, { json, ...options }: CheckOptions) => {
      const { checkCertificate } = await import('../verifier-check/certificate-check.ts');
      const { checkText } = await import('../verifier-check/check-text.ts');
      const result = checkCertificate({
        leaf,
        anchors: options.anchor,
        intermediates: options.intermediate ?? [],
        crls: options.crl ?? null,
        at: options.at ?? Math.floor(Date.now() / 1000),
        purpose: options.purpose,
        names: options.name ?? [],
        maxDepth: options.maxDepth ?? null,
      });
      createOutput(json === true).result(result, checkText(result));
      if (!result.valid) process.exitCode = EXIT_CODES.refused.code;
    });
}

/** Seconds since 1970. @throws InvalidArgumentError */
function checkMoment(text: string): number {
  const moment = /^\d{1,12}$/.test(text) ? Number(text) : momentOf(text);
  // Years of four digits: what certificates can say.
  if (moment >= -62_135_596_800 && moment <= 253_402_300_799) return moment;
  throw new InvalidArgumentError('It has to lie in the years 1 to 9999.');
}

const HELP = `
Files are PEM, with one or several blocks, or DER. The file of the leaf may hold its chain, leaf first. What cannot be
read among anchors, intermediates and lists is passed over with a remark.
Purposes:
  any                    the path of RFC 5280 alone; an absent extended key usage is fine
  device, manager, user  as the verifier judges a login; the common name counts as a name
  server                 a TLS server on the web: names in subjectAltName alone, and the duties of public CAs
With --crl, a certificate whose revocation the lists do not decide is not valid.

Exit codes: 0 valid, 1 not valid (one reason is named), 2 a file or an option that cannot be used.`;
