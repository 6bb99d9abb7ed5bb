/**
 * What the commands of the small CA share: the directory, whom a certificate is for, and what they need of the machine.
 */
import { type Command, Option } from 'commander';
import type { AlternativeName } from '../../platform/certificate-issuing.ts';
import type { CaWorld, IssuedKind, Tier } from '../ca/authority.ts';
import { collect, numberBetween } from '../command.ts';

export async function openAuthority(): Promise<{ authority: typeof import('../ca/authority.ts'); world: CaWorld }> {
  const authority = await import('../ca/authority.ts');
  const { nodeCrypto } = await import('../../platform/crypto-node.ts');
  return { authority, world: { crypto: nodeCrypto(), now: Math.floor(Date.now() / 1000) } };
}

export const inDirectory = (command: Command): Command => command.option('--dir <directory>', 'of the CA', 'ca');

const NAME_KINDS = ['dns', 'email', 'uri', 'mac', 'ip'] as const;
type AlternativeNameOptions = { readonly [kind in (typeof NAME_KINDS)[number]]?: readonly string[] };

function alternativeNames(options: AlternativeNameOptions): AlternativeName[] {
  return NAME_KINDS.flatMap((type) => (options[type] ?? []).map((value): AlternativeName => ({ type, value })));
}

export interface SubjectOptions extends AlternativeNameOptions {
  readonly kind: IssuedKind;
  readonly issuer?: Tier;
  readonly days?: number;
  readonly out: string;
  readonly second?: boolean;
}

/** Nobody asks whether a signer of OCSP answers is revoked: its time is what limits it. */
const daysOf = (kind: IssuedKind): number => (kind === 'ocsp' ? 90 : 365);

/** What both ways to certify have in common. */
export function subjectOf(options: SubjectOptions) {
  const { kind, issuer, days = daysOf(kind), out: outDir, second } = options;
  const sans = alternativeNames(options);
  return { kind, sans, days, outDir, allowSecond: second === true, ...(issuer !== undefined && { issuer }) };
}

/** @param where  what the output directory is for */
export function withSubject(command: Command, where: string): Command {
  return command
    .addOption(
      new Option('--kind <kind>', 'whose certificate it is')
        .choices(['device', 'manager', 'verifier', 'server', 'user', 'ocsp'])
        .default('device'),
    )
    .option('--out <directory>', where, '.')
    .addOption(
      new Option(
        '--issuer <ca>',
        'for kind ocsp: whose certificates it answers for; without it: the CA that issues',
      ).choices(['root', 'intermediate']),
    )
    .option('--days <number>', 'how long it holds; without it: 365, of kind ocsp 90', numberBetween(1, 36_600))
    .option('--dns <name>', 'alternative name; may stand several times', collect)
    .option('--email <address>', 'alternative name; may stand several times', collect)
    .option('--uri <uri>', 'alternative name; may stand several times', collect)
    .option('--mac <address>', 'alternative name; may stand several times', collect)
    .option('--ip <address>', 'alternative name; may stand several times', collect)
    .option('--second', 'although there is a living certificate for this name');
}
