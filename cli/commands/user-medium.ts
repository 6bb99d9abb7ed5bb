/**
 * `kagimori user unlock` and `status`: a user's medium in this device.
 */
import type { Command } from 'commander';
import { ControlError, callControl, type JsonValue } from '../../platform/control-socket.ts';
import { verb } from '../command.ts';
import { ask } from '../control-client.ts';
import { Failure } from '../failure.ts';
import { cell, createOutput, isObject, objects, table } from '../output.ts';
import { readPin } from '../pin-input.ts';
import { AGENT_LIMIT_MS, type AgentOptions, agentOptions, ofAgent } from './agent-options.ts';

/** Above what the process with the key allows itself. */
const UNLOCK_MS = 30_000;

export function unlockVerb(): Command {
  type Options = AgentOptions & { pinFile?: string };
  return agentOptions(
    verb('unlock [user]', "unlock a user's medium in this device with its PIN", 'kagimori user unlock'),
  )
    .description(
      "unlock a user's medium in this device with its PIN, which goes to the process that holds the key and to nobody " +
        'else; waits until the manager knows the user. After three wrong PINs the medium has to be taken out',
    )
    .option('--pin-file <file>', 'where the PIN stands in the first line, `-`: standard input; asked for when absent')
    .action(async (user: string | undefined, options: Options) => {
      const media = objects(await ask('agent', 'user.media', {}, ofAgent(options)));
      const medium = chosen(media, user);
      const leaf = medium.state === 'unlocked' ? (medium.leaf ?? '') : await unlocked(medium, options.pinFile);
      const registered = await ask('agent', 'user.wait', { leaf }, { ...ofAgent(options), timeoutMs: AGENT_LIMIT_MS });
      createOutput(options.json === true).result(registered, `${cell(registered, 'user')} is at this device`);
    });
}

/** @returns SHA-256 of the user's certificate, in hex */
async function unlocked(medium: Medium, pinFile: string | undefined): Promise<JsonValue> {
  const pin = await readPin(pinFile, `PIN of ${cell(medium, 'user')}: `);
  const { leaf = '' } = objectOf(await tryPin(String(medium.socket), pin));
  return leaf;
}

const objectOf = (value: JsonValue): { readonly [key: string]: JsonValue } => (isObject(value) ? value : {});

type Medium = { readonly [key: string]: JsonValue };

/** @throws Failure `user.no-medium`, `user.locked-out`, `usage` */
function chosen(media: readonly Medium[], user: string | undefined): Medium {
  const wanted = media.filter((one) => user === undefined || one.user === user);
  const locked = wanted.filter(({ state }) => state === 'locked');
  const [first, second] = locked;
  if (second !== undefined) {
    const names = locked.map((one) => cell(one, 'user')).join(', ');
    throw new Failure('usage', 'usage', `several media wait for a PIN: say whose: ${names}`);
  }
  if (first !== undefined) return first;
  const [other] = wanted;
  if (other === undefined) {
    const whose = user === undefined ? "no user's medium" : `no medium of ${user}`;
    throw new Failure('notFound', 'user.no-medium', `${whose} is in this device: kagimori user status lists them`);
  }
  if (other.state === 'unlocked') return other; // what the manager says of it is told again
  const why = typeof other.detail === 'string' ? cell(other, 'detail') : cell(other, 'state');
  throw new Failure('refused', 'user.locked-out', `${cell(other, 'medium')}: ${why}`);
}

async function tryPin(socket: string, pin: string): Promise<JsonValue> {
  try {
    return await callControl(socket, 'unlock', { pin }, { timeoutMs: UNLOCK_MS });
  } catch (error) {
    const gone = error instanceof ControlError && ['closed', 'not-running', 'no-socket'].includes(error.code);
    if (!gone) throw error;
    throw new Failure('refused', 'user.medium-gone', 'the medium was taken out, or its time is over: put it in again');
  }
}

export function userStatusVerb(): Command {
  return agentOptions(verb('status', "show the users' media in this device", 'kagimori user status')).action(
    async (options: AgentOptions) => {
      const media = objects(await ask('agent', 'user.media', {}, ofAgent(options)));
      const status = await ask('agent', 'status', {}, ofAgent(options));
      const known = isObject(status) ? objects(status.users ?? []) : [];
      const shown = media.map((one) => ({ ...one, manager: known.find(({ leaf }) => leaf === one.leaf) ?? null }));
      const rows = shown.map((one) => [
        ...['user', 'state', 'medium'].map((key) => cell(one, key)),
        cell(one.manager, 'state'),
        one.manager === null ? cell(one, 'detail') : cell(one.manager, 'detail'),
      ]);
      createOutput(options.json === true).result(
        shown,
        table(['USER', 'STATE', 'MEDIUM', 'AT THE MANAGER', 'WHY'], rows),
      );
    },
  );
}
