/**
 * Runs the command line: one line on stderr for whatever goes wrong, one exit code, never a stack unasked.
 */
import { CommanderError } from 'commander';
import { EXIT_CODES } from './exit-codes.ts';
import { Failure, shownFailure } from './failure.ts';
import { printable } from './output.ts';
import { createProgram } from './program.ts';

/** What is still open then holds the process up no longer. */
const LINGER_MS = 1_000;

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT_CODES.ok.code); // the reader has seen enough
    throw error;
  });
}
process.on('uncaughtException', (error) => {
  tell(error);
  process.exit();
});

try {
  await createProgram().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) endAsCommander(error);
  else tell(error);
  setTimeout(() => process.exit(), LINGER_MS).unref();
}

function endAsCommander({ code, message }: CommanderError): void {
  if (['commander.helpDisplayed', 'commander.version'].includes(code)) return;
  process.exitCode = EXIT_CODES.usage.code;
  if (code === 'commander.help') return; // a noun without a verb: the help stands on stderr already
  const what = message
    .replace(/^error: /, '')
    .replace(/\s*\n\s*/g, ' ')
    .replace(/\.$/, '');
  tell(new Failure('usage', 'usage', `${what}: add --help to see what can stand there`));
}

/** An invitation in the wrong place is repeated by no error. */
function withoutInvitation(line: string): string {
  return line.replace(/kagimori-[\w-]{60,}/g, 'kagimori-…');
}

function tell(error: unknown): void {
  const { exitCode, code, bug, ...told } = shownFailure(error);
  const lines = told.lines.map(withoutInvitation);
  process.exitCode = exitCode;
  for (const line of lines) process.stderr.write(`kagimori: ${printable(line)}\n`);
  if (process.argv.includes('--json')) {
    process.stdout.write(`${JSON.stringify({ error: { code, message: lines.join('\n') } })}\n`);
  }
  if (bug && process.env.KAGIMORI_DEBUG === '1' && error instanceof Error) process.stderr.write(`${error.stack}\n`);
}
