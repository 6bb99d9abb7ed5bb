/**
 * `kagimori agent …`: the agent on this device, and what it is asked to do.
 */

import { type Command, Option } from 'commander';
import type { JsonValue } from '../../platform/control-socket.ts';
import { MAX_MESSAGE_BYTES } from '../../protocol/units.ts';
import { noun, numberBetween, verb } from '../command.ts';
import { ask } from '../control-client.ts';
import { cell, createOutput, isObject, outline } from '../output.ts';
import { timeSpan } from '../time-span.ts';
import { prepareImageVerb, resetVerb } from './agent-clearing.ts';
import { enrolVerb } from './agent-enrol.ts';
import { AGENT_LIMIT_MS, type AgentOptions, agentOptions, ofAgent, plainVerb } from './agent-options.ts';
import { listenVerb, sendVerb } from './agent-talk.ts';
import { configVerb, runVerb } from './daemon-verbs.ts';

export function agentCommand(): Command {
  const run = runVerb('agent', 'run the agent of this device until a signal comes', async (options) => {
    const { runDaemon } = await import('../daemon.ts');
    const { startAgentDaemon } = await import('../daemons/agent.ts');
    await runDaemon('agent', options, startAgentDaemon);
  });
  return noun('agent', 'the agent on this device: enrolment, login, sessions, messages', [
    enrolVerb(),
    run,
    configVerb('agent'),
    statusVerb(),
    connectVerb(),
    sendVerb(),
    listenVerb(),
    closeVerb(),
    plainVerb('register', 'register addresses and proposals again', 'registered'),
    plainVerb('delete', "delete this device's registration at the manager", 'the registration is deleted'),
    prepareImageVerb(),
    resetVerb(),
  ]);
}

function statusVerb(): Command {
  return agentOptions(verb('status', 'show link, channel, registration and sessions', 'kagimori agent status')).action(
    async (options: AgentOptions) => {
      const status = await ask('agent', 'status', {}, ofAgent(options));
      createOutput(options.json === true).result(status, outline(status));
    },
  );
}

/** Above the 20 s that the agent itself allows for a lost answer, so that its reason arrives. */
const GRACE_SECONDS = 25;

function connectVerb(): Command {
  type Options = AgentOptions & {
    lifetime?: number;
    timeout: number;
    allowUnencrypted?: boolean;
    messageBytes?: number;
    purpose?: string;
    wait?: number;
    device?: string;
  };
  return agentOptions(
    verb('connect <callee>', 'open a session with another device', 'kagimori agent connect thermostat'),
  )
    .description(
      'open a session with another device, by any of its names. A callee that does not exist and one that this device ' +
        'may not connect to are both refused with `forbidden`, code 1: they look the same on purpose. `user:ID` stands ' +
        'for the device at which that user is',
    )
    .option('--lifetime <seconds>', 'how long the session may last', numberBetween(1, 86_400))
    .option('--allow-unencrypted', 'accept a suite that authenticates and does not encrypt')
    .option(
      '--message-bytes <number>',
      'size of the messages to come: the lightest suite for it',
      numberBetween(1, MAX_MESSAGE_BYTES),
    )
    .option('--purpose <purpose>', "what for, at most 64 bytes: the callee's policy may go by it")
    .option('--wait <time>', 'for a user who is at no device: wait so long, as 90s, 10m or 2h', timeSpan(1, 86_400))
    .option('--device <id>', 'of a user who is at several devices: this one')
    .option('--timeout <seconds>', 'how long to wait for the callee', numberBetween(1, 600), 60)
    .action(async (callee: string, options: Options) => {
      const { lifetime, timeout, allowUnencrypted, messageBytes, purpose, wait, device } = options;
      const args = {
        callee,
        timeoutSeconds: timeout,
        ...(lifetime === undefined ? {} : { lifetimeSeconds: lifetime }),
        ...(allowUnencrypted === true ? { allowUnencrypted } : {}),
        ...(messageBytes === undefined ? {} : { messageBytes }),
        ...(purpose === undefined ? {} : { purpose }),
        ...(wait === undefined ? {} : { waitSeconds: wait }),
        ...(device === undefined ? {} : { device }),
      };
      const timeoutMs = (timeout + (wait ?? 0) + GRACE_SECONDS) * 1000;
      const session = await ask('agent', 'connect', args, { ...ofAgent(options), timeoutMs });
      const output = createOutput(options.json === true);
      output.result(session, openedSentence(session));
      output.remark(`Send with: kagimori agent send ${cell(session, 'sid')} "hello"`);
    });
}

function openedSentence(session: JsonValue): string {
  const openly = isObject(session) && session.encrypted === false ? ', not encrypted' : '';
  return `session ${cell(session, 'sid')} with ${cell(session, 'peer')} is open: ${cell(session, 'suite')}${openly}`;
}

function closeVerb(): Command {
  type Options = AgentOptions & { channel?: boolean; through: string };
  return agentOptions(
    verb(
      'close [sid-or-peer]',
      'end a session, or the channel to the manager',
      'kagimori agent close 3f2a… --through peer',
    ),
  )
    .description(
      "end one session, or the channel to the manager. A peer's name stands for the newest session with it; " +
        'the answer says how many others stay open',
    )
    .option('--channel', 'the channel to the manager instead of a session')
    .addOption(new Option('--through <party>', 'who tells the peer').choices(['manager', 'peer']).default('manager'))
    .action(async (sid: string | undefined, options: Options, command: Command) => {
      const channel = options.channel === true;
      if (channel === (sid !== undefined))
        command.error('error: give the id of a session, the name of a peer, or --channel');
      const args = channel ? { channel } : { sid: sid ?? '', through: options.through };
      const closed = await ask('agent', 'close', args, { ...ofAgent(options), timeoutMs: AGENT_LIMIT_MS });
      createOutput(options.json === true).result(closed, channel ? 'the channel is closed' : closedSentence(closed));
    });
}

/** @param closed  `{ sid, peer, others }`; `peer` and `others`, the number of further sessions with it, may be absent */
export function closedSentence(closed: JsonValue): string {
  const { peer, others } = isObject(closed) ? closed : {};
  const withPeer = typeof peer === 'string' ? ` with ${cell(closed, 'peer')}` : '';
  const done = `session ${cell(closed, 'sid')}${withPeer} is closed`;
  if (typeof others !== 'number' || others === 0) return done;
  return `${done}; ${others} other${others === 1 ? '' : 's'}${withPeer} stay${others === 1 ? 's' : ''} open`;
}
