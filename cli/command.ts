/**
 * How every command of ours is declared: a summary, an example, and `--json`.
 */
import { Command, InvalidArgumentError } from 'commander';

/** What every command has. */
export interface CommonOptions {
  readonly json?: boolean;
}

const examples = new WeakMap<Command, string>();

/** A command that does something. @param example  a whole command line */
export function verb(nameAndArguments: string, summary: string, example: string): Command {
  const command = new Command(nameAndArguments.split(' ', 1)[0]).summary(summary).description(summary);
  for (const argument of nameAndArguments.split(' ').slice(1)) command.argument(argument);
  examples.set(command, example);
  return command
    .option('--json', 'machine-readable output: one JSON value (streams: one on each line)')
    .addHelpText('after', `\nExample:\n  $ ${example}`);
}

/** A command that only holds others. */
export function noun(name: string, summary: string, verbs: readonly Command[]): Command {
  const command = new Command(name).summary(summary).description(summary);
  for (const one of verbs) command.addCommand(one);
  return command.helpCommand(false);
}

export function exampleOf(command: Command): string | null {
  return examples.get(command) ?? null;
}

/** For options that take a whole number. @throws InvalidArgumentError otherwise */
export function numberBetween(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It has to be a whole number from ${min} to ${max}.`);
  };
}

/** For options that may stand several times. */
export function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}
