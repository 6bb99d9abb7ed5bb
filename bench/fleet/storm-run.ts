/**
 * One storm: services are killed and started again, and the fleet comes back. What is measured is the same for the
 * benchmark and the test.
 */
import type { JsonValue } from '../../platform/control-socket.ts';
import type { Fleet } from './fleet.ts';
import type { FleetCount } from './fleet-messages.ts';
import type { Probe } from './probe.ts';
import type { Service, Services } from './services.ts';

export interface Storm {
  /** From kill -9 until the services said that they are there again. */
  readonly awayMs: number;
  /** When each device's channel was open again, milliseconds after the services were there; in order. */
  readonly backMs: readonly number[];
  /** At the end, with messages sent in every session. */
  readonly count: FleetCount;
  /** At the end, the manager's own. */
  readonly status: { readonly [key: string]: JsonValue };
  /** The manager let in this many in the second in which it let in most. */
  readonly mostInASecond: number;
  /** Answers of the manager on its control socket meanwhile, ms. */
  readonly answerMs: readonly number[];
  readonly probeMs: readonly number[];
  readonly probeFailures: number;
  /** CPU of everybody, from the kill until all were back, ms. */
  readonly cpuMs: Readonly<Record<Service | 'fleet', number>>;
}

const LOOK_EVERY_MS = 250;
const ASK_EVERY_MS = 50;
/** Time for what follows the last channel: promotions, sessions confirmed. */
const SETTLE_MS = 1000;

/** @throws Error when not all are back after `patienceMs` */
export async function runStorm(
  { services, fleet, probe }: { readonly services: Services; readonly fleet: Fleet; readonly probe: Probe | null },
  victims: readonly Service[],
  patienceMs: number,
  progress: (back: number, devices: number) => void,
): Promise<Storm> {
  await fleet.mark();
  const before = await fleet.count();
  const cpuBefore = cpuOf(services, before);
  const killed = Date.now();
  await Promise.all(victims.map((victim) => services.kill(victim)));
  // one after the other: who is started last is heard of last
  for (const victim of victims) await services.start(victim);
  const there = Date.now();
  probe?.mark();
  const answers = askAllTheTime(services);
  let count = await fleet.count();
  while (count.returns.length < count.devices) {
    if (Date.now() - there > patienceMs) {
      await answers.stop();
      throw new Error(
        `after ${patienceMs / 1000} s ${count.returns.length} of ${count.devices} devices are back: ${count.outside.join('; ')}; ` +
          `complaints of the services: ${JSON.stringify(services.complaints())}`,
      );
    }
    await pause(LOOK_EVERY_MS);
    count = await fleet.count();
    progress(count.returns.length, count.devices);
  }
  const cpuAfter = cpuOf(services, count);
  const answerMs = await answers.stop();
  const [probeMs, probeFailures] = [[...(probe?.latencies ?? [])], probe?.failures ?? 0];
  await pause(SETTLE_MS);
  await fleet.talk();
  await pause(SETTLE_MS);
  count = await fleet.count();
  const status = await services.status();
  const cpuMs = { broker: 0, manager: 0, verifier: 0, fleet: 0 };
  for (const party of ['broker', 'manager', 'verifier', 'fleet'] as const) {
    const restarted = party !== 'fleet' && victims.includes(party);
    cpuMs[party] = (cpuAfter[party] - (restarted ? 0 : cpuBefore[party])) / 1000;
  }
  return {
    awayMs: there - killed,
    backMs: count.returns.map(({ at }) => at - there).sort((a, b) => a - b),
    count,
    status,
    mostInASecond: (status.resumptions as { mostInASecond: number }).mostInASecond,
    answerMs,
    probeMs,
    probeFailures,
    cpuMs,
  };
}

function cpuOf(services: Services, { cpuMicros: fleet }: FleetCount): Record<Service | 'fleet', number> {
  const broker = services.embedded ? 0 : services.cpuMicros('broker');
  return { broker, manager: services.cpuMicros('manager'), verifier: services.cpuMicros('verifier'), fleet };
}

/** The manager's event loop is as responsive as its answers are. */
export function askAllTheTime(services: Pick<Services, 'status'>): { stop(): Promise<number[]> } {
  const answers: number[] = [];
  let stopped = false;
  const asking = (async () => {
    while (!stopped) {
      const asked = performance.now();
      await services.status();
      answers.push(performance.now() - asked);
      await pause(ASK_EVERY_MS);
    }
  })();
  return {
    async stop() {
      stopped = true;
      await asking;
      return answers;
    },
  };
}

/** @param part 0 to 1 @returns the value that this part of all does not exceed */
export const quantile = (sorted: readonly number[], part: number): number =>
  sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? Number.NaN;

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until every device is registered. @throws Error when nothing more happens */
export async function untilRegistered(fleet: Fleet, devices: number, progress: (part: number) => void): Promise<void> {
  let [most, since] = [0, performance.now()];
  for (;;) {
    const { registered } = await fleet.count();
    if (registered >= devices) return;
    if (registered > most) [most, since] = [registered, performance.now()];
    if (performance.now() - since > STUCK_MS) {
      throw new Error(`${registered} of ${devices} devices are registered, and no more for ${STUCK_MS / 1000} s`);
    }
    progress(registered / devices);
    await pause(LOOK_EVERY_MS);
  }
}

const STUCK_MS = 60_000;

/** Opens sessions in couples and waits until both ends have them. */
export async function untilConnected(fleet: Fleet, pairs: number): Promise<number> {
  await fleet.connect(pairs);
  const began = performance.now();
  for (;;) {
    const { sessions } = await fleet.count();
    if (sessions >= 2 * pairs) return sessions;
    if (performance.now() - began > STUCK_MS) throw new Error(`${sessions} of ${2 * pairs} ends of sessions are open`);
    await pause(LOOK_EVERY_MS);
  }
}
