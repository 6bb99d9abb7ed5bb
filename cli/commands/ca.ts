/**
 * `kagimori ca …`: the small CA for home and tests.
 */
import { type Command, Option } from 'commander';
import type { IssuedAlgorithm } from '../ca/authority.ts';
import { type CommonOptions, noun, numberBetween, verb } from '../command.ts';
import { createOutput, date, printable, table } from '../output.ts';
import { readNewPin } from '../pin-input.ts';
import { inDirectory, openAuthority, type SubjectOptions, subjectOf, withSubject } from './ca-options.ts';
import { caSign } from './ca-sign.ts';

interface CaOptions extends CommonOptions {
  readonly dir: string;
}

export function caCommand(): Command {
  return noun('ca', 'a small certification authority for home and tests', [
    init(),
    issue(),
    caSign(),
    revoke(),
    crl(),
    list(),
  ]);
}

const algorithm = (): Option =>
  new Option('--algorithm <name>', 'kind of key').choices(['p256', 'p384', 'ed25519']).default('p256');

function init(): Command {
  type Options = CaOptions & { name: string; algorithm: IssuedAlgorithm; years: number; intermediate?: boolean };
  return inDirectory(verb('init', 'make a CA: root, first revocation list', 'kagimori ca init --name "Home CA"'))
    .option('--name <name>', 'common name of the root', 'Kagimori CA')
    .addOption(algorithm())
    .option('--years <number>', 'how long it holds', numberBetween(1, 100), 20)
    .option('--intermediate', 'issue under an intermediate, so that the root key can be taken away')
    .action(async ({ dir, json, intermediate, ...options }: Options) => {
      const { authority, world } = await openAuthority();
      const { name, algorithm, years } = options;
      const withIntermediate = intermediate === true;
      const { files } = authority.initAuthority(dir, { name, algorithm, years, withIntermediate }, world);
      const output = createOutput(json === true);
      output.result(
        { name, files },
        table(
          ['made'],
          files.map((file) => [file]),
        ),
      );
      output.remark(
        `Give ${dir}/root.pem to everybody as the trust anchor; keep the files ending in .key.pem to yourself.`,
      );
    });
}

function issue(): Command {
  type Options = CaOptions & SubjectOptions & { algorithm: IssuedAlgorithm; medium?: string; pinFile?: string };
  const command = verb(
    'issue <name>',
    'issue a key and a certificate',
    'kagimori ca issue thermostat --kind device --mac 02:00:5e:10:00:01 --out keys',
  );
  return withSubject(inDirectory(command), 'where key and chain are put')
    .addOption(algorithm())
    .option(
      '--medium <directory>',
      "for kind user: a removable medium, on which key and chain are put under the user's PIN",
    )
    .option('--pin-file <file>', 'with --medium: where the PIN stands, `-`: standard input; asked for when absent')
    .action(async (name: string, options: Options, command: Command) => {
      const { authority, world } = await openAuthority();
      const { dir, kind, algorithm, medium, pinFile } = options;
      if (medium !== undefined) {
        if (kind !== 'user') command.error('error: --medium is for --kind user');
        const { issueMedium } = await import('../ca/user-medium.ts');
        const pin = await readNewPin(pinFile, `PIN for ${name}: `);
        const subject = { name, ...subjectOf(options) };
        const made = await issueMedium(dir, subject, algorithm, { root: medium, pin }, world);
        const rows = [['serial', made.serial], ...made.files.map((file) => ['file', file])];
        return createOutput(options.json === true).result({ name, kind, ...made }, table([kind, name], rows));
      }
      const issued = authority.issueCertificate(dir, { name, algorithm, ...subjectOf(options) }, world);
      const rows = [
        ['serial', issued.serial],
        ['key', issued.keyFile],
        ['chain', issued.chainFile],
        ['until', `${date(issued.notAfter)} UTC`],
      ];
      createOutput(options.json === true).result({ name, kind, ...issued }, table([kind, name], rows));
    });
}

function revoke(): Command {
  return inDirectory(
    verb(
      'revoke <serial-or-name>',
      'revoke certificates and write the revocation list anew',
      'kagimori ca revoke thermostat',
    ),
  ).action(async (serialOrName: string, { dir, json }: CaOptions) => {
    const { authority, world } = await openAuthority();
    const { serials } = authority.revokeCertificate(dir, serialOrName, world);
    const output = createOutput(json === true);
    output.result(
      { revoked: serials, crlFile: `${dir}/crl.pem` },
      table(
        ['revoked'],
        serials.map((serial) => [serial]),
      ),
    );
    output.remark(`A verifier that follows ${dir}/crl.pem refuses it from now on; otherwise hand the new list over.`);
    const names = authority
      .listCertificates(dir)
      .filter(({ serial, kind }) => kind === 'device' && serials.includes(serial))
      .map(({ name }) => name);
    for (const name of new Set(names)) {
      output.remark(
        `Within 5 s of that ${printable(name)} has no link, channel or session any more: kagimori device show ${printable(name)}`,
      );
    }
  });
}

function crl(): Command {
  return inDirectory(verb('crl', 'write the revocation list anew, for 30 days', 'kagimori ca crl --dir ca')).action(
    async ({ dir, json }: CaOptions) => {
      const { authority, world } = await openAuthority();
      const { files, number } = authority.writeCrl(dir, world);
      createOutput(json === true).result(
        { number, files },
        table(
          [`list ${number}`],
          files.map((file) => [file]),
        ),
      );
    },
  );
}

function list(): Command {
  return inDirectory(verb('list', 'list every certificate of the CA', 'kagimori ca list --dir ca')).action(
    async ({ dir, json }: CaOptions) => {
      const { authority, world } = await openAuthority();
      const certificates = authority.listCertificates(dir).map(({ publicKey: _, ...one }) => ({
        ...one,
        state: one.revokedAt !== null ? 'revoked' : one.notAfter < world.now ? 'expired' : 'good',
      }));
      const rows = certificates.map(({ name, kind, state, notAfter, serial }) => [
        name,
        kind,
        state,
        date(notAfter),
        serial,
      ]);
      createOutput(json === true).result(certificates, table(['NAME', 'KIND', 'STATE', 'UNTIL (UTC)', 'SERIAL'], rows));
    },
  );
}
