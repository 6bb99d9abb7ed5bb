#!/usr/bin/env node
/**
 * The `kagimori` command, on the Node that this package brings along: whoever starts it with an older one (which runs no
 * TypeScript) is passed on. Plain JavaScript of the kind that Node 14 still reads.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const OLDEST_MAJOR = 24;
/** As protocol/invitation.ts writes it; one that was cut off before this holds no token yet. */
const INVITATION = /^\s*kagimori-[\w\s-]{60,}$/;

const invitation = process.argv.slice(2).find((argument) => INVITATION.test(argument));
// An invitation is as secret as a password, and everybody on this machine sees the list of processes.
if (invitation !== undefined) process.title = withoutInvitations(['kagimori', ...process.argv.slice(2)]).join(' ');

if (Number.parseInt(process.versions.node, 10) >= OLDEST_MAJOR) await import('./main.ts');
else passOn();

function passOn() {
  const node = pinnedNode();
  if (node === null) {
    const remedy = `install Node ${OLDEST_MAJOR} or newer, or run \`npm ci\` where this package lies`;
    process.stderr.write(`kagimori: Node ${process.versions.node} is too old: ${remedy}\n`);
    process.exitCode = 2;
    return;
  }
  const args = [fileURLToPath(import.meta.url), ...withoutInvitations(process.argv.slice(2))];
  const child = spawn(node, args, { stdio: [invitation === undefined ? 'inherit' : 'pipe', 'inherit', 'inherit'] });
  if (invitation !== undefined) {
    child.stdin.on('error', () => {}); // it ended before it had read
    child.stdin.end(`${invitation}\n`);
  }
  // Ctrl-C reaches the child by itself: its terminal is ours.
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT']) {
    process.on(signal, () => (signal === 'SIGINT' && process.stdin.isTTY) || child.kill(signal));
  }
  child.on('error', (error) => {
    process.stderr.write(`kagimori: ${node} cannot be started: ${error.message}: run \`npm ci\` again\n`);
    process.exitCode = 2;
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

/** Each as `-`: on standard input. */
function withoutInvitations(args) {
  return args.map((argument) => (INVITATION.test(argument) ? '-' : argument));
}

function pinnedNode() {
  try {
    const path = createRequire(import.meta.url).resolve(`node-${process.platform}-${process.arch}/bin/node`);
    return existsSync(path) ? path : null;
  } catch {
    return null;
  }
}
