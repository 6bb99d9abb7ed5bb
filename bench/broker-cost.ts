/**
 * CPU of the process that holds broker and manager, for one session of real MQTT clients in another process.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { DeviceId } from '../protocol/units.ts';
import type { FromHost, Kind, ToHost } from './broker-host.ts';
import { agents, type Couple, type Crowd, dummies } from './crowd.ts';
import type { Sizes } from './null-manager.ts';

export interface BrokerCost {
  /** @returns µs of CPU in the host's process for one session, from Connect until both sides are open */
  measure(batches: number): Promise<number>;
  close(): Promise<void>;
}

export async function brokerCost(kind: Kind, couplesWanted: number, sizes: Sizes): Promise<BrokerCost> {
  const couples: Couple[] = Array.from({ length: couplesWanted }, (_, i) => [
    `caller-${i}` as DeviceId,
    `callee-${i}` as DeviceId,
  ]);
  const child = fork(new URL('./broker-host.ts', import.meta.url), { serialization: 'advanced' });
  const host = askable(child);
  const started = await host({ type: 'start', kind, devices: couples.flat() });
  if (started.type !== 'started') throw new Error('the host of the broker did not start');
  const { url, anchor, devices } = started;
  const crowd: Crowd =
    kind === 'null'
      ? await dummies(url, couples, sizes, async (links) => void (await host({ type: 'bind', links, couples, sizes })))
      : await agents(url, anchor, devices, couples);
  const cpu = async (): Promise<number> => {
    const answer = await host({ type: 'cpu' });
    return answer.type === 'cpu' ? answer.micros : 0;
  };
  return {
    async measure(batches) {
      let micros = 0;
      for (let i = 0; i < batches; i++) {
        const first = await cpu();
        const before = await cpu();
        await crowd.open();
        // What two questions in a row cost is what asking costs.
        micros += (await cpu()) - before - (before - first);
        await crowd.end();
      }
      return micros / (batches * couples.length);
    },
    async close() {
      await crowd.close();
      child.send({ type: 'close' } satisfies ToHost);
      await once(child, 'exit');
    },
  };
}

function askable(child: ChildProcess): (message: ToHost) => Promise<FromHost> {
  let settle: { resolve(answer: FromHost): void; reject(error: Error): void } | null = null;
  child.on('message', (answer: FromHost) => settle?.resolve(answer));
  child.on('exit', () => settle?.reject(new Error('the host of the broker ended')));
  return (message) =>
    new Promise((resolve, reject) => {
      settle = { resolve, reject };
      child.send(message);
    });
}
