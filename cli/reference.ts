/**
 * The reference of the command line, out of the definitions of the commands.
 */
import type { Argument, Command, Option } from 'commander';
import { exampleOf } from './command.ts';
import { EXIT_CODES, OWN_EXIT_CODES } from './exit-codes.ts';
import { createProgram } from './program.ts';

const BEGIN = `# The \`kagimori\` command

<!-- Generated from cli/: npm run docs -->

From a checkout: \`npx kagimori …\`. It runs on the Node that \`npm ci\` brings along, whatever the machine has.

- Results go to stdout, everything else to stderr. With \`--json\` stdout holds exactly one JSON value, a failed command's
  too: \`{"error":{"code":…,"message":…}}\`. Streams (\`agent listen\`) give one JSON value on each line, and \`run\` gives
  \`{"ready":…}\` when the service is ready.
- Errors are lines on stderr: \`kagimori: what: remedy\`. \`KAGIMORI_DEBUG=1\` adds the stack of a bug.
- Remarks on what to do next come only when stdout is a terminal.
- SIGINT and SIGTERM end a service in order, within 2 s; a second one ends it at once.
`;

/** `docs/cli.md` */
export function cliMarkdown(): string {
  const program = createProgram();
  const commands = leavesOf(program, []);
  const list = commands.map(({ path, command }) => `| ${code(usageOf(path, command))} | ${command.summary()} |`);
  return [
    BEGIN,
    '## Exit codes\n',
    '| code | meaning |\n|---|---|',
    ...Object.values(EXIT_CODES).map((exit) => `| ${exit.code} | ${exit.meaning} |`),
    '\nOf one command alone:\n',
    '| command | code | meaning |\n|---|---|---|',
    ...Object.entries(OWN_EXIT_CODES).flatMap(([path, own]) =>
      Object.values(own).map((exit) => `| ${code(path)} | ${exit.code} | ${exit.meaning} |`),
    ),
    '\n## Commands\n',
    '| command | what it does |\n|---|---|',
    ...list,
    ...commands.map(({ path, command }) => sectionOf(path, command)),
    '',
  ].join('\n');
}

interface Leaf {
  readonly path: string;
  readonly command: Command;
}

function leavesOf(command: Command, parents: readonly string[]): readonly Leaf[] {
  const path = [...parents, command.name()];
  if (command.commands.length === 0) return [{ path: path.join(' '), command }];
  return command.commands.flatMap((child) => leavesOf(child, path));
}

function sectionOf(path: string, command: Command): string {
  const example = exampleOf(command);
  return [
    `\n### ${path}\n`,
    `${command.description()}.\n`,
    '```',
    usageOf(path, command),
    '```\n',
    '| option | meaning |\n|---|---|',
    ...command.options.map((option) => `| ${code(option.flags)} | ${meaningOf(option)} |`),
    ...(example === null ? [] : [`\nExample: \`${example}\``]),
  ].join('\n');
}

function usageOf(path: string, command: Command): string {
  return [path, ...command.registeredArguments.map(argumentOf)].join(' ');
}

function argumentOf(argument: Argument): string {
  const name = `${argument.name()}${argument.variadic ? '...' : ''}`;
  return argument.required ? `<${name}>` : `[${name}]`;
}

function meaningOf({ description, argChoices, defaultValue }: Option): string {
  const choices = argChoices === undefined ? '' : `; one of ${argChoices.join(', ')}`;
  const byDefault = defaultValue === undefined ? '' : `; default ${String(defaultValue)}`;
  return escaped(`${description}${choices}${byDefault}`);
}

const code = (text: string): string => `\`${escaped(text)}\``;
const escaped = (text: string): string => text.replaceAll('|', '\\|');
