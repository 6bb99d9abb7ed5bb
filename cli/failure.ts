/**
 * Why a command ended without its result: the line that the operator reads, the code for programs, the exit code.
 */
import { ControlError } from '../platform/control-socket.ts';
import { EXIT_CODES, type Exit } from './exit-codes.ts';

/** A command's own failure. Each line reads `what: remedy`. */
export class Failure extends Error {
  readonly exit: Exit;
  /** Stable, for programs. */
  readonly code: string;
  readonly lines: readonly string[];
  constructor(exit: Exit, code: string, lines: string | readonly string[]) {
    const all = typeof lines === 'string' ? [lines] : lines;
    super(all.join('\n'));
    this.name = 'Failure';
    this.exit = exit;
    this.code = code;
    this.lines = all;
  }
}

export interface Shown {
  readonly exitCode: number;
  readonly code: string;
  readonly lines: readonly string[];
  /** Nobody foresaw it. */
  readonly bug: boolean;
}

/** By what a daemon, or the socket to it, says. All other codes: refused. */
const CONTROL_EXITS: Readonly<Record<string, Exit>> = {
  'not-running': 'unreachable',
  'no-socket': 'unreachable',
  closed: 'unreachable',
  malformed: 'unreachable',
  'no-link': 'unreachable',
  timeout: 'timeout',
  'not-found': 'notFound',
  'no-session': 'notFound',
  'too-large': 'usage',
  usage: 'usage',
  'unknown-command': 'usage',
  'path-too-long': 'usage',
  'unsafe-directory': 'usage',
  unwritable: 'usage',
};

/** Errors of the other folders, by name and then by their own code; naming them here saves loading what they come with. */
const NAMED_EXITS: Readonly<Record<string, Readonly<Record<string, Exit>> & { readonly otherwise: Exit }>> = {
  AgentError: { otherwise: 'usage' },
  BackupError: { otherwise: 'refused', 'no-backup': 'usage', unwritable: 'usage' },
  BrokerError: { otherwise: 'usage', 'port-taken': 'refused', listen: 'refused' },
  CaError: {
    otherwise: 'refused',
    'unknown-certificate': 'notFound',
    'bad-name': 'usage',
    'bad-option': 'usage',
    'bad-request': 'usage',
  },
  FetchFault: { otherwise: 'unreachable', timeout: 'timeout' },
  FileFault: { otherwise: 'usage', full: 'refused', io: 'refused' },
  HttpListenFault: { otherwise: 'refused' },
  KeyStoreError: {
    otherwise: 'usage',
    token: 'refused',
    // no other start may help, and each would cost one of the few tries of the token
    pin: 'usage',
    locked: 'usage',
    extractable: 'refused',
    exists: 'refused',
    device: 'refused',
  },
  LockHeld: { otherwise: 'refused' },
  ManagerError: { otherwise: 'usage' },
  MediumFault: { otherwise: 'refused' },
  Pkcs11Fault: { otherwise: 'refused' },
  Pkcs12Fault: { otherwise: 'refused' },
  SigningFault: { otherwise: 'refused' },
  SigningKeyError: { otherwise: 'usage' },
  StoreError: {
    otherwise: 'refused',
    altered: 'damaged',
    truncated: 'damaged',
    'wrong-key': 'damaged',
    'rolled-back': 'damaged',
  },
  VerifierError: { otherwise: 'usage' },
};

/** What to tell of an error, of whatever kind. */
export function shownFailure(error: unknown): Shown {
  if (error instanceof Failure) return shown(error.exit, error.code, error.lines);
  if (!(error instanceof Error)) return bug(String(error));
  if (error instanceof ControlError) return shown(CONTROL_EXITS[error.code] ?? 'refused', error.code, [error.message]);
  const row = NAMED_EXITS[error.name];
  if (row === undefined) return bug(error.message);
  const code = ownCode(error);
  return shown((code === null ? undefined : row[code]) ?? row.otherwise, code ?? 'failed', [error.message]);
}

/** Names with a row, for the test that looks for classes without one. */
export const NAMED_ERRORS: readonly string[] = Object.keys(NAMED_EXITS);

function shown(exit: Exit, code: string, lines: readonly string[]): Shown {
  return { exitCode: EXIT_CODES[exit].code, code, lines, bug: false };
}

function bug(message: string): Shown {
  const line = `this is a bug: ${message}: please report it with the command that caused it (KAGIMORI_DEBUG=1 shows where)`;
  return { exitCode: EXIT_CODES.refused.code, code: 'bug', lines: [line], bug: true };
}

function ownCode(error: Error): string | null {
  const own = 'fault' in error ? error.fault : 'code' in error ? error.code : null;
  return typeof own === 'string' ? own : null;
}
