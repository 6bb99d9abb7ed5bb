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
    .addHelpText('after', '  $ kagimori agent send thermostat < reading.bin')
    .action(async (to: string, text: string | undefined, options: AgentOptions) => {
      const message = text === undefined ? messageOf(await readInput()) : { text };
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
    if (length > MAX_MESSAGE_BYTES) {
      throw new Failure('usage', 'too-large', `a message has at most ${MAX_MESSAGE_BYTES} bytes: send it in parts`);
    }
  }
  return Buffer.concat(chunks);
}

/** Text when it is, else base64; the line break that a shell adds is no part of a text. */
function messageOf(bytes: Uint8Array): { readonly text: string } | { readonly base64: string } {
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
      return `* ${cell(event, 'from')} asks for a session: kagimori agent approve ${cell(event, 'sid')}`;
    default: {
      const { event: name, ...rest } = event;
      const fields = Object.keys(rest).map((key) => `${key}=${cell(event, key)}`);
      return `* ${[typeof name === 'string' ? cell(event, 'event') : 'event', ...fields].join(' ')}`;
    }
  }
}
