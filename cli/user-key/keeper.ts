/**
 * Starts and ends the process that holds a user's key, and asks it to sign.
 */
import { spawn, spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Report, readReport, receiveFrames, sendRequest } from './frames.ts';

export interface KeyKeeper {
  readonly pid: number | null;
  /** null: it cannot, or is gone. */
  sign(toSign: Uint8Array): Promise<Uint8Array | null>;
  /** SIGKILL: nothing that it held is left. */
  kill(): void;
}

export interface KeeperParts {
  /** Where the medium is. */
  readonly root: string;
  /** Where it takes the PIN. */
  readonly socket: string;
  readonly reported: (report: Exclude<Report, { kind: 'signed' }>) => void;
  /** It is gone, by itself or by `kill`. */
  readonly ended: () => void;
}

const PROGRAM = join(import.meta.dirname, 'process.ts');
/** What it holds is small: Node need not keep more for it. */
const NODE_OPTIONS = ['--max-old-space-size=64', '--max-semi-space-size=1', '--disable-sigusr1'];
const SIGN_MS = 5_000;
const PROBE_MS = 2_000;

export function startKeeper({ root, socket, reported, ended }: KeeperParts): KeyKeeper {
  const [program = '', ...args] = [...dyingWithParent(), process.execPath, ...NODE_OPTIONS, PROGRAM, root, socket];
  const env = { PATH: process.env.PATH ?? '' };
  const child = spawn(program, args, { env, cwd: '/', stdio: ['pipe', 'pipe', 'ignore'] });
  const waiting = new Map<number, (signature: Uint8Array | null) => void>();
  let next = 1;
  let over = false;
  const finish = (): void => {
    if (over) return;
    over = true;
    for (const answer of [...waiting.values()]) answer(null);
    rmSync(socket, { force: true });
    ended();
  };
  const kill = (): void => {
    child.kill('SIGKILL');
  };
  child.on('error', finish).on('exit', finish);
  child.stdin.on('error', kill);
  receiveFrames(
    child.stdout,
    (body) => {
      const report = readReport(body);
      if (over) return;
      if (report === null) return kill();
      if (report.kind !== 'signed') return reported(report);
      waiting.get(report.number)?.(report.signature);
    },
    kill,
  );
  return {
    pid: child.pid ?? null,
    sign: (toSign) =>
      new Promise((resolve) => {
        if (over) return resolve(null);
        const number = next++;
        const answer = (signature: Uint8Array | null): void => {
          clearTimeout(late);
          waiting.delete(number);
          resolve(signature);
        };
        const late = setTimeout(() => answer(null), SIGN_MS).unref();
        waiting.set(number, answer);
        sendRequest(child.stdin, { number, toSign });
      }),
    kill,
  };
}

/**
 * The kernel ends it with the agent, however that ends; where the command for it is missing, it ends itself when its input
 * does. @spec prctl(2) PR_SET_PDEATHSIG
 */
function dyingWithParent(): readonly string[] {
  const command = ['setpriv', '--pdeathsig', 'KILL'] as const;
  const [program, ...options] = command;
  const { status } = spawnSync(program, [...options, 'true'], { stdio: 'ignore', timeout: PROBE_MS });
  return status === 0 ? command : [];
}
