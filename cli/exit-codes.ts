/**
 * The exit codes of the command, one table: what `docs/cli.md` prints and every command uses.
 */

export const EXIT_CODES = {
  ok: { code: 0, meaning: 'done' },
  refused: { code: 1, meaning: 'refused or failed; the reason is named' },
  usage: { code: 2, meaning: 'the command line, a configuration file or a file that it names cannot be used' },
  unreachable: { code: 3, meaning: 'the service is not running, or cannot be reached' },
  notFound: {
    code: 4,
    meaning:
      'there is no such device, session or certificate (a callee that does not exist gives 1, as a forbidden one does: on purpose they look the same)',
  },
  timeout: { code: 5, meaning: 'no answer within the time allowed' },
  damaged: {
    code: 6,
    meaning:
      "the manager's store is damaged, older than it was, or of another key: a restart changes nothing (docs/operations.md)",
  },
} as const satisfies Record<string, { readonly code: number; readonly meaning: string }>;

export type Exit = keyof typeof EXIT_CODES;

/** Codes that mean another thing with one command: a script that asks it has to tell these apart. */
export const OWN_EXIT_CODES = {
  'kagimori suites match': {
    noMatch: {
      code: 3,
      meaning: 'the two devices have no suite in common; it asks no service, so 3 means nothing else here',
    },
  },
} as const satisfies Record<string, Record<string, { readonly code: number; readonly meaning: string }>>;
