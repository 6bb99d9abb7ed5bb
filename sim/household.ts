/**
 * Houses full of devices: so many, of these classes, each with another device of its house to talk to.
 */
import { seconds } from '../protocol/units.ts';
import { type ClassName, DEVICE_CLASSES, type DeviceClass, HOUSE } from './device-classes.ts';
import type { SeededRandom } from './seeded-random.ts';
import type { DevicePlan } from './world-plan.ts';

export interface Resident {
  readonly name: string;
  readonly className: ClassName;
  readonly class: DeviceClass;
  readonly plan: DevicePlan;
  /** Name of the device that it calls. */
  readonly calls: string;
}

export interface Households {
  readonly residents: readonly Resident[];
  /** All devices are switched on by then. */
  readonly bootedByMs: number;
}

/** A power cut ends at one moment, but not every device starts in it. */
const LEAST_BOOT_MS = 2000;
const BOOT_MS_PER_DEVICE = 5;

/** @param count  at least 2: somebody has to be called */
export function households(count: number, random: SeededRandom): Households {
  if (!Number.isInteger(count) || count < 2) throw new RangeError('a household has at least two devices');
  const bootedByMs = Math.max(LEAST_BOOT_MS, count * BOOT_MS_PER_DEVICE);
  const numbers = new Map<ClassName, number>();
  const names = Array.from({ length: count }, (_, index) => {
    const className = HOUSE[index % HOUSE.length]!;
    const number = (numbers.get(className) ?? 0) + 1;
    numbers.set(className, number);
    return { name: `${className}-${number}`, className };
  });
  const residents = names.map(({ name, className }, index): Resident => {
    const row = DEVICE_CLASSES[className];
    const { algorithm, proposals, link, diskMs, closeWhenIdleSeconds } = row;
    const settings = closeWhenIdleSeconds === null ? {} : { closeWhenIdle: seconds(closeWhenIdleSeconds) };
    const bootAtMs = Math.floor(random.fraction() * bootedByMs * 1000) / 1000;
    const plan: DevicePlan = { name, algorithm, proposals, link, diskMs, settings, bootAtMs };
    return { name, className, class: row, plan, calls: calleeOf(names, index, row, random) };
  });
  return { residents, bootedByMs };
}

function calleeOf(
  all: readonly { readonly name: string; readonly className: ClassName }[],
  index: number,
  { calls }: DeviceClass,
  random: SeededRandom,
): string {
  const first = index - (index % HOUSE.length);
  const others = all.slice(first, first + HOUSE.length).filter((_, place) => first + place !== index);
  for (const wanted of calls) {
    const found = others.filter(({ className }) => className === wanted);
    if (found.length > 0) return found[random.below(found.length)]!.name;
  }
  // alone in its house: the neighbour's
  return others.length > 0 ? others[random.below(others.length)]!.name : all[index - 1]!.name;
}
