/**
 * Tokens for tests: SoftHSM2 with its objects in a directory of the test, in this process or, as a real token is, in one of
 * its own behind p11-kit; and pkcs11-spy of OpenSC, which writes down each call.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const found = (places: readonly string[]): string | null => places.find((path) => existsSync(path)) ?? null;
const LIBRARIES = [`/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`, '/usr/lib', '/usr/lib64'];
const library = (name: string): string | null => found(LIBRARIES.map((directory) => join(directory, name)));

const softHsm = library('softhsm/libsofthsm2.so');
const spy = library('pkcs11/pkcs11-spy.so');
const client = library('pkcs11/p11-kit-client.so');
const P11_KIT = '/usr/bin/p11-kit';

/** For `skip`: what is not installed, or false. */
export const softTokenAbsent: string | false =
  softHsm !== null && existsSync('/usr/bin/softhsm2-util') ? false : 'softhsm2 absent: apt-get install softhsm2';
export const spyAbsent: string | false = spy !== null ? false : 'pkcs11-spy absent: apt-get install opensc-pkcs11';
export const serverAbsent: string | false =
  client !== null && existsSync(P11_KIT) ? false : 'p11-kit absent: apt-get install p11-kit p11-kit-modules';

export const PIN = '31415926';
const OFFICER = '27182818';

export interface SoftToken {
  readonly label: string;
  readonly pinFile: string;
  /** What a process needs to find it. */
  readonly environment: NodeJS.ProcessEnv;
  /** @param pinFile  the right one when absent; null: none */
  uri(object: string, options?: { readonly modulePath?: string; readonly pinFile?: string | null }): string;
  /** A PKCS#8 file whose key the token then has, not to be read. */
  take(keyFile: string, object: string): void;
  /** What the reader of a card does when it is taken out, and put in again. */
  pull(): void;
  putBack(): void;
  /** Through pkcs11-spy, and how often a function was called since. */
  spied(): { readonly modulePath: string; calls(name: (typeof COUNTED)[number]): number };
  /** In a process of its own. */
  serve(): Promise<ServedToken>;
}

export interface ServedToken {
  readonly modulePath: string;
  readonly environment: NodeJS.ProcessEnv;
  stop(): Promise<void>;
  start(): Promise<void>;
}

const COUNTED = ['C_Initialize', 'C_Login', 'C_OpenSession', 'C_Sign', 'C_Finalize'] as const;

/**
 * @param directory  that the test removes; nothing of it is there yet
 * @param after      hands over what to do at the end
 * @param log        where the spy writes: it opens one file in a process
 */
export function makeSoftToken(
  directory: string,
  label: string,
  after: (end: () => Promise<void>) => void,
  log = join(directory, 'calls.log'),
): SoftToken {
  const tokens = join(directory, 'tokens');
  mkdirSync(tokens, { recursive: true, mode: 0o700 });
  const configuration = join(directory, 'softhsm2.conf');
  writeFileSync(configuration, `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`);
  const pinFile = join(directory, 'pin');
  writeFileSync(pinFile, `${PIN}\n`, { mode: 0o600 });
  const environment = { SOFTHSM2_CONF: configuration, PKCS11SPY: softHsm!, PKCS11SPY_OUTPUT: log };
  const env = { ...process.env, ...environment };
  const util = (...args: readonly string[]): void => void execFileSync('softhsm2-util', args, { env, stdio: 'pipe' });
  util('--init-token', '--free', '--label', label, '--pin', PIN, '--so-pin', OFFICER);
  let ids = 0xa0;
  return {
    label,
    pinFile,
    environment,
    uri(object, { modulePath = softHsm!, pinFile: file = pinFile } = {}) {
      const pin = file === null ? '' : `&pin-source=file:${file}`;
      return `pkcs11:token=${encodeURIComponent(label)};object=${encodeURIComponent(object)}?module-path=${modulePath}${pin}`;
    },
    take(keyFile, object) {
      const id = (++ids).toString(16);
      util('--import', keyFile, '--token', label, '--label', object, '--id', id, '--pin', PIN);
    },
    pull: () => moveAll(tokens, `${tokens}.out`),
    putBack: () => moveAll(`${tokens}.out`, tokens),
    spied() {
      const count = (name: string): number =>
        existsSync(log)
          ? readFileSync(log, 'utf8')
              .split('\n')
              .filter((line) => line.endsWith(`: ${name}`)).length
          : 0;
      const before = new Map<string, number>();
      const calls = (name: (typeof COUNTED)[number]): number => count(name) - (before.get(name) ?? 0);
      for (const name of COUNTED) before.set(name, count(name));
      return { modulePath: spy!, calls };
    },
    serve: () => serve(directory, label, env, after),
  };
}

function moveAll(from: string, to: string): void {
  mkdirSync(to, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(from)) renameSync(join(from, name), join(to, name));
}

async function serve(
  directory: string,
  label: string,
  env: NodeJS.ProcessEnv,
  after: (end: () => Promise<void>) => void,
): Promise<ServedToken> {
  const socket = join(directory, 'p11');
  let server: ChildProcess | null = null;
  const stop = async (): Promise<void> => {
    const running = server;
    server = null;
    if (running === null) return;
    const ended = new Promise((resolve) => running.once('exit', resolve));
    // with its children, of which each connection has one
    process.kill(-running.pid!, 'SIGKILL');
    await ended;
    rmSync(socket, { force: true });
  };
  after(stop);
  const start = async (): Promise<void> => {
    const args = ['server', '-f', '-s', '-n', socket, '-p', softHsm!, `pkcs11:token=${encodeURIComponent(label)}`];
    const running = spawn(P11_KIT, args, { env, detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
    server = running;
    await new Promise<void>((resolve, reject) => {
      // it prints the address when it listens
      running.stdout.once('data', () => resolve());
      running.once('close', (code) => reject(new Error(`p11-kit server ended with ${code}`)));
    });
  };
  await start();
  return {
    modulePath: client!,
    environment: { P11_KIT_SERVER_ADDRESS: `unix:path=${socket}` },
    stop,
    start,
  };
}
