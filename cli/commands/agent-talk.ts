/**
 * `kagimori agent send` and `listen`: messages over a session.
 */
import type { Command } from 'commander';
import type { JsonValue } from '../../platform/control-socket.ts';
import { decodeUtf8 } from '../../protocol/bytes.ts';
import { numberBetween, verb } from '../command.ts';
import { ask } from '../control-client.ts';
import { Failure } from '../failure.ts';
import { cell, createOutput, isObject, outline } from '../output.ts';
import { type AgentOptions, agentOptions, ofAgent } from './agent-options.ts';

/** Base64 and JSON around it have to fit into one control request. */
const MAX_MESSAGE_BYTES = 32 * 1024;

export function sendVerb(): Command {
  return agentOptions(
    verb('send <to> [text]', 'send a message to a session or a peer', 'kagimori agent send thermostat "21 degrees"'),
  )
    .description(
      'send a message to a session or a peer (its newest session), the text or what stands on stdin, at most ' +
        `${MAX_MESSAGE_BYTES} bytes. \`sent\` means handed to the broker: whether the peer has read it, only the peer can say`,
    )
    .addHelpText('after', '  $ kagimori agent send thermostat < reading.bin')
    .action(async (to: string, text: string | undefined, options: AgentOptions) => {
      const message = checked(text === undefined ? messageOf(await readInput()) : { text });
      const sent = await ask('agent', 'send', { to, ...message }, ofAgent(options));
      createOutput(options.json === true).result(sent, 'sent');
    });
}

async function readInput(): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_MESSAGE_BYTES) throw tooLarge();
  }
  return Buffer.concat(chunks);
}

function tooLarge(): Failure {
  return new Failure('usage', 'too-large', `a message has at most ${MAX_MESSAGE_BYTES} bytes: send it in parts`);
}

type Message = { readonly text: string } | { readonly base64: string };

/** @throws Failure `too-large`; `usage` for nothing at all: a forgotten variable or an empty pipe, rarely a message */
function checked(message: Message): Message {
  if (!('text' in message)) return message;
  if (message.text === '') throw new Failure('usage', 'usage', 'the message is empty: give a text, or put it on stdin');
  if (Buffer.byteLength(message.text) > MAX_MESSAGE_BYTES) throw tooLarge();
  return message;
}

/** Text when it is, else base64; the line break that a shell adds is no part of a text. */
function messageOf(bytes: Uint8Array): Message {
  try {
    return { text: decodeUtf8(bytes).replace(/\r?\n$/, '') };
  } catch {
    return { base64: Buffer.from(bytes).toString('base64') };
  }
}

export function listenVerb(): Command {
  type Options = AgentOptions & { count?: number };
  return agentOptions(
    verb('listen', 'print messages and session events as they come, until Ctrl-C', 'kagimori agent listen --json'),
  )
    .option('--count <number>', 'end after so many messages', numberBetween(1, 1_000_000_000))
    .action(async (options: Options) => {
      const output = createOutput(options.json === true);
      let left = options.count ?? Number.POSITIVE_INFINITY;
      const enough = Promise.withResolvers<null>();
      const onEvent = (event: JsonValue): void => {
        if (left <= 0) return;
        output.item(event, sentenceOf(event));
        if (isObject(event) && event.event === 'message' && --left <= 0) enough.resolve(null);
      };
      await Promise.race([enough.promise, ask('agent', 'listen', {}, { ...ofAgent(options), timeoutMs: 0, onEvent })]);
      // The agent would go on: only the end of this process tells it.
      if (left <= 0) process.stdout.write('', () => process.exit(0));
    });
}

function sentenceOf(event: JsonValue): string {
  if (!isObject(event)) return outline(event);
  switch (event.event) {
    case 'message': {
      const text = typeof event.text === 'string' ? cell(event, 'text') : `[base64] ${cell(event, 'base64')}`;
      return `${cell(event, 'from')}: ${text}`;
    }
    case 'ask':
      return `* ${cell(event, 'from')} asks for a session: kagimori approval allow ${cell(event, 'sid')}`;
    default: {
      const { event: name, ...rest } = event;
      const fields = Object.keys(rest).map((key) => `${key}=${cell(event, key)}`);
      return `* ${[typeof name === 'string' ? cell(event, 'event') : 'event', ...fields].join(' ')}`;
    }
  }
}
