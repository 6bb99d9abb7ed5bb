/**
 * `kagimori agent enrol`: a device takes an invitation and gets its certificate.
 */
import { relative } from 'node:path';
import { type Command, Option } from 'commander';
import type { Invitation } from '../../protocol/invitation.ts';
import { type CommonOptions, numberBetween, verb } from '../command.ts';
import { placesOf } from '../config-place.ts';
import type { DeviceKeyAlgorithm } from '../enrolment/device-key.ts';
import type { Progress } from '../enrolment/enrolment.ts';
import { Failure } from '../failure.ts';
import { createOutput, date, printable, table } from '../output.ts';

interface Options extends CommonOptions {
  readonly file?: string;
  readonly config?: string;
  readonly name?: string;
  readonly certificate?: string;
  readonly key?: string;
  readonly brokerAnchors?: string;
  readonly algorithm: DeviceKeyAlgorithm;
  readonly timeout: number;
  readonly run?: boolean;
}

const TIMEOUT_SECONDS = 30;
/** Clocks that differ by less do not matter here. */
const CLOCK_TOLERANCE_SECONDS = 300;

export function enrolVerb(): Command {
  return verb('enrol [invitation]', 'get a certificate with an invitation of the operator', 'kagimori agent enrol -')
    .description(
      'get a certificate with an invitation of the operator (`kagimori device invite`). The key is made here and never ' +
        'leaves this device. Give the invitation on standard input (-) or in a file where others use this machine: of an ' +
        'argument the shell keeps a record, and for a moment it stands in the list of processes',
    )
    .option('--file <file>', 'the invitation is in this file')
    .option('--config <file>', `configuration, made when there is none (default: ${placesOf('agent').join(', then ')})`)
    .option('--name <name>', 'name of this device, or its part where the invitation leaves one open')
    .option('--certificate <file>', 'a certificate that this device has: it speaks for it, no token is needed')
    .option('--key <file>', 'the key of that certificate')
    .option('--broker-anchors <file>', "anchors of the broker's TLS certificate, where they are not the system's")
    .addOption(
      new Option('--algorithm <name>', 'kind of a key that is made').choices(['p256', 'ed25519']).default('p256'),
    )
    .option(
      '--timeout <seconds>',
      'how long broker and manager may be silent; a yes of the operator is waited for without end',
      numberBetween(1, 86_400),
      TIMEOUT_SECONDS,
    )
    .option('--run', 'run the agent then')
    .addHelpText('after', '  $ kagimori agent enrol --file invitation.txt --run')
    .action(async (given: string | undefined, options: Options) => {
      await enrol(given, options);
      if (options.run !== true) return;
      const { runDaemon } = await import('../daemon.ts');
      const { startAgentDaemon } = await import('../daemons/agent.ts');
      const { config, json } = options;
      const daemon = { log: 'text', logLevel: 'info', ...(json === true ? { json } : {}) } as const;
      await runDaemon('agent', { ...daemon, ...(config === undefined ? {} : { config }) }, startAgentDaemon);
    });
}

async function enrol(given: string | undefined, options: Options): Promise<void> {
  const { certificate, key, name, algorithm, timeout, brokerAnchors } = options;
  if ((certificate === undefined) !== (key === undefined)) {
    throw new Failure('usage', 'usage', '--certificate and --key go together: give both or none');
  }
  const { forbidCoreDumps } = await import('../../platform/core-dumps.ts');
  const { nodeCrypto } = await import('../../platform/crypto-node.ts');
  const { systemClock } = await import('../../platform/clock.ts');
  const { takeInvitation } = await import('../enrolment/invitation-source.ts');
  const { enrolmentPlaces } = await import('../enrolment/places.ts');
  const { enrolDevice } = await import('../enrolment/enrolment.ts');
  forbidCoreDumps();
  const crypto = nodeCrypto();
  const invitation = await takeInvitation(given, options.file, crypto);
  const places = enrolmentPlaces(options.config);
  const stopped = stopOnSignal();
  const say = progress(options.json === true);
  const order = {
    invitation,
    places,
    name,
    own: certificate === undefined || key === undefined ? null : { certificateFile: certificate, keyFile: key },
    algorithm,
    brokerAnchorsFile: brokerAnchors ?? null,
    writesConfig: true,
    patienceMs: timeout * 1000,
  };
  const tell = (news: Progress): void => say(sentenceOf(news, invitation));
  const parts = { crypto, clock: systemClock(), signal: stopped.signal, tell };
  const done = await enrolDevice(order, parts).finally(stopped.release);
  const { id, already, notAfter, clockBehindSeconds } = done;
  const output = createOutput(options.json === true);
  const { configFile, certificateFile, keyFile } = places;
  const rows = [
    ['manager', `${invitation.manager} at ${invitation.broker}`],
    ['until', `${date(notAfter)} UTC`],
    ['certificate', short(certificateFile)],
    ['key', short(keyFile)],
    ['configuration', short(configFile)],
  ];
  const { manager, broker } = invitation;
  const result = { device: id, already, manager, broker, notAfter, certificateFile, keyFile, configFile };
  output.result({ ...result, clockBehindSeconds }, table([already ? 'enrolled before' : 'enrolled', id], rows));
  if (clockBehindSeconds !== null && Math.abs(clockBehindSeconds) > CLOCK_TOLERANCE_SECONDS) {
    const which = clockBehindSeconds > 0 ? 'behind' : 'ahead of';
    say(`the clock of this device is ${Math.abs(clockBehindSeconds)} s ${which} the verifier's: set it`);
  }
  if (already) say('nothing was sent: for another identity, `kagimori agent reset` comes first');
  if (options.run !== true) output.remark(`Next: kagimori agent run --config ${short(configFile)}`);
}

/** As the operator would type it. */
function short(path: string): string {
  const near = relative(process.cwd(), path);
  return near.startsWith('..') ? path : near;
}

/** What a line says once it need not say again. */
function progress(silent: boolean): (line: string) => void {
  let last = '';
  return (line) => {
    if (silent || line === last) return;
    last = line;
    process.stderr.write(`${printable(line)}\n`);
  };
}

function sentenceOf(news: Progress, { manager, broker }: Pick<Invitation, 'manager' | 'broker'>): string {
  switch (news.news) {
    case 'begun':
      return `asking ${manager} at ${broker}, with the key ${news.key} (SHA-256)`;
    case 'managerProven':
      return `${manager} is the manager of the invitation; waiting for its answer`;
    case 'waiting':
      switch (news.reason) {
        case 'held':
          return 'the operator has to say yes: `kagimori enrolment list` at the manager, where this key has to stand; asked again every 5 s, Ctrl-C stops and loses nothing';
        case 'verifier-away':
          return 'the verifier is away: asked again every 5 s';
        default:
          return `${manager} has much to do: asked again soon`;
      }
    case 'failed':
      return news.why === null ? `no answer from ${manager}: trying on` : `${news.why}: trying on`;
    case 'linkDown':
      return `${news.why}: trying on`;
    default:
      return news satisfies never;
  }
}

/** Ctrl-C ends it in order: the second one at once. */
function stopOnSignal(): { readonly signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(1);
    controller.abort();
  };
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, stop);
  return {
    signal: controller.signal,
    release: () => {
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, stop);
    },
  };
}
