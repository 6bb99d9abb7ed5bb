/**
 * `kagimori sim`: fleets in a virtual world under one seed.
 */
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { Told } from '../../sim/story.ts';
import { type CommonOptions, noun, numberBetween, verb } from '../command.ts';
import { Failure } from '../failure.ts';
import { createOutput } from '../output.ts';

export function simCommand(): Command {
  return noun('sim', 'run fleets in a virtual world under one seed', [runCommand()]);
}

interface Options extends CommonOptions {
  readonly seed: number;
  readonly devices: number;
  readonly crypto?: 'real' | 'model';
  readonly diagram?: string;
}

/** The simulator is not loaded for a line of help: test/process/sim-cli.test.ts holds it against what there is. */
const SCENARIO_HELP = `Scenarios:
  home                 devices of households log in, register, call each other, talk, end
  clock-1970           devices boot with a clock in 1970 and in 2038
  cloned-card          a card is copied, and the copy is noticed
  months-in-a-drawer   a certificate is renewed by itself, or runs out in a drawer
  token-burned         enrolments that are killed, crossed, too late
  transfer             devices are sold, and the manager is killed meanwhile
  user-moves           a session follows a user from device to device
  medium-pulled        a user's medium is pulled at every moment
`;

const MAX_DEVICES = 100_000;
/** Up to here real cryptography is quick enough to be the default. */
const REAL_UP_TO = 1000;

function runCommand(): Command {
  return verb(
    'run <scenario>',
    'run a scenario, print what it took and the hash of its trace',
    'kagimori sim run home --seed 7 --devices 100',
  )
    .addHelpText('before', SCENARIO_HELP)
    .option('--seed <number>', 'the same seed gives the same trace', numberBetween(0, 0xffff_ffff), 1)
    .option('--devices <number>', 'how many devices, of `home`', numberBetween(2, MAX_DEVICES), 12)
    .option('--crypto <kind>', `real or model; real up to ${REAL_UP_TO} devices when absent, model above`, cryptoKind)
    .option('--diagram <call>', 'of `home`: draw one call, by its number or as caller:callee')
    .action(async (scenario: string, options: Options) => {
      // a daemon loads no simulator
      const { findCall, runScenario, SCENARIOS, tellByName } = await import('../../sim/scenarios.ts');
      if (!SCENARIOS.has(scenario)) {
        const known = [...SCENARIOS.keys()].join(', ');
        throw new Failure('usage', 'unknown-scenario', `there is no scenario ${scenario}: known are: ${known}`);
      }
      const { seed, devices, json, diagram } = options;
      const crypto = options.crypto ?? (devices <= REAL_UP_TO ? 'real' : 'model');
      const told = tellByName(scenario, { seed, crypto });
      if (told !== null) return showStory(told, json === true);
      const progress = progressLine(process.stderr);
      const result = runScenario({ devices, seed, crypto, keepTrace: diagram !== undefined, progress: progress.show });
      progress.end();
      const drawn = diagram === undefined ? null : findCall(result.run, diagram);
      if (diagram !== undefined && drawn === null) {
        const { calls } = result.run;
        const some = calls.slice(0, CALLS_NAMED).map(({ caller, callee }) => `${caller}:${callee}`);
        const rest = calls.length > some.length ? ', …' : '';
        const remedy = `give a number from 1 to ${calls.length}, or caller:callee: ${some.join(', ')}${rest}`;
        throw new Failure('notFound', 'unknown-call', `there was no call ${diagram}: ${remedy}`);
      }
      const output = createOutput(json === true);
      const value = drawn === null ? result.report : { ...result.report, diagram: drawn.value };
      output.result(value, drawn === null ? result.text : `${result.text}\n\n${drawn.text}`);
    });
}

/** What is told, and a failure when something of it does not hold. */
async function showStory(told: Told, json: boolean): Promise<void> {
  const { holds, storyText } = await import('../../sim/story.ts');
  createOutput(json).result({ ...told, holds: holds(told) }, storyText(told));
  if (holds(told)) return;
  const remedy = `please report it, with the seed ${told.seed}`;
  throw new Failure('refused', 'story-broken', `${told.scenario}: not everything holds that has to: ${remedy}`);
}

function cryptoKind(text: string): 'real' | 'model' {
  if (text === 'real' || text === 'model') return text;
  throw new InvalidArgumentError('It has to be real or model.');
}

/** Of the calls that there were, in what is said of one that there was not. */
const CALLS_NAMED = 12;
const SHOW_AFTER_MS = 1000;
const SHOW_EVERY_MS = 250;

interface Shown {
  readonly devices: number;
  readonly registered: number;
  readonly called: number;
  readonly virtualMs: number;
}

/** One line that is written over, where a person looks on and waits. */
function progressLine(stream: NodeJS.WriteStream): { show(progress: Shown): void; end(): void } {
  const began = performance.now();
  let last = began + SHOW_AFTER_MS - SHOW_EVERY_MS;
  let shown = false;
  return {
    show({ devices, registered, called, virtualMs }) {
      const now = performance.now();
      if (!stream.isTTY || now - last < SHOW_EVERY_MS) return;
      last = now;
      shown = true;
      const seconds = (virtualMs / 1000).toFixed(1);
      stream.write(`\r${registered} of ${devices} registered, ${called} called, ${seconds} s of virtual time `);
    },
    end() {
      if (shown) stream.write('\r\u001b[K');
    },
  };
}
