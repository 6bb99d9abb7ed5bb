/**
 * What the commands of the small CA share: the directory, whom a certificate is for, and what they need of the machine.
 */
import { type Command, Option } from 'commander';
import type { AlternativeName } from '../../platform/certificate-issuing.ts';
import type { CaWorld } from '../ca/authority.ts';
import { collect, numberBetween } from '../command.ts';

export async function openAuthority(): Promise<{ authority: typeof import('../ca/authority.ts'); world: CaWorld }> {
  const authority = await import('../ca/authority.ts');
  const { nodeCrypto } = await import('../../platform/crypto-node.ts');
  return { authority, world: { crypto: nodeCrypto(), now: Math.floor(Date.now() / 1000) } };
}

export const inDirectory = (command: Command): Command => command.option('--dir <directory>', 'of the CA', 'ca');

const NAME_KINDS = ['dns', 'email', 'uri', 'mac', 'ip'] as const;
export type AlternativeNameOptions = { readonly [kind in (typeof NAME_KINDS)[number]]?: readonly string[] };

export function alternativeNames(options: AlternativeNameOptions): AlternativeName[] {
  return NAME_KINDS.flatMap((type) => (options[type] ?? []).map((value): AlternativeName => ({ type, value })));
}

/** @param where  what the output directory is for */
export function withSubject(command: Command, where: string): Command {
  return command
    .addOption(
      new Option('--kind <kind>', 'whose certificate it is')
        .choices(['device', 'manager', 'verifier', 'server', 'user'])
        .default('device'),
    )
    .option('--out <directory>', where, '.')
    .option('--days <number>', 'how long it holds', numberBetween(1, 36_600), 365)
    .option('--dns <name>', 'alternative name; may stand several times', collect)
    .option('--email <address>', 'alternative name; may stand several times', collect)
    .option('--uri <uri>', 'alternative name; may stand several times', collect)
    .option('--mac <address>', 'alternative name; may stand several times', collect)
    .option('--ip <address>', 'alternative name; may stand several times', collect)
    .option('--second', 'although there is a living certificate for this name');
}
