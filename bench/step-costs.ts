/**
 * What the steps of one session cost on each machine of a street: for each party the time around its steps, less what the
 * clock itself costs, scaled by the CPU that the thread really got.
 */
import type { Proposal } from '../protocol/messages.ts';
import type { Cipher, KeyMode } from '../protocol/suites.ts';
import { proposal } from '../test/town.ts';
import { spreadOf } from './figures.ts';
import { type Charges, type Party, type Street, street } from './street.ts';

export interface Variant {
  readonly name: string;
  readonly proposal: Proposal;
}

const variant = (cipher: Cipher, keyBits: number, tagBits: number, keyMode: KeyMode): Variant => ({
  name: `${cipher}-${keyBits}, tag ${tagBits / 8} B, ${keyMode}`,
  proposal: proposal(cipher, keyBits, { tagBits, keyMode, priority: 1 }),
});

/** Every record suite that a device would pick, both key modes for the first. */
export const VARIANTS: readonly Variant[] = [
  variant('aes-gcm', 128, 128, 'seed'),
  variant('aes-gcm', 128, 128, 'key'),
  variant('aes-ccm', 128, 64, 'seed'),
  variant('aes-ccm', 128, 64, 'key'),
  variant('chacha20-poly1305', 256, 128, 'seed'),
  variant('chacha20-poly1305', 256, 128, 'key'),
];

const PAIRS = 16;

export interface StepCosts {
  /** Lets the compiler see everything once. */
  warmUp(sessions: number): void;
  /** @returns µs of CPU for one session */
  measure(sessions: number): Charges;
}

const SLICES = 20;

export function stepCosts({ proposal: registered }: Variant): StepCosts {
  const place: Street = street(PAIRS, registered);
  const slice = (sessions: number, clock: number): Charges => {
    const cpuBefore = process.threadCpuUsage();
    const began = performance.now();
    const { charges, steps } = place.run(sessions);
    const wall = performance.now() - began;
    const cpu = process.threadCpuUsage(cpuBefore);
    // Other processes take the core now and then; what they took is nobody's cost here.
    const share = Math.min(1, (cpu.user + cpu.system) / 1000 / wall);
    const micros = (party: Party): number => (1000 * (charges[party] - steps[party] * clock) * share) / sessions;
    return { caller: micros('caller'), callee: micros('callee'), manager: micros('manager') };
  };
  return {
    warmUp: (sessions) => void place.run(sessions),
    measure(sessions) {
      const clock = clockCost();
      // The median slice: a burst of other work on the machine falls into few of them, the collector into all.
      const slices = Array.from({ length: SLICES }, () => slice(Math.ceil(sessions / SLICES), clock));
      const middle = (party: Party): number => spreadOf(slices.map((one) => one[party])).median;
      return { caller: middle('caller'), callee: middle('callee'), manager: middle('manager') };
    },
  };
}

/** Milliseconds that reading the clock adds to a step with nothing in it. */
function clockCost(): number {
  const times = 20_000;
  let charged = 0;
  for (let i = 0; i < times; i++) {
    const began = performance.now();
    charged += performance.now() - began;
  }
  return charged / times;
}
