/**
 * The line of a device in a town: each process of it has a link of its own, and one whose power was cut leaves its link
 * behind. @see test/town.ts
 */
import type { AgentEvent } from '../device-agent/agent.ts';
import type { DeviceTransport, TransportObserver } from '../platform/transport.ts';

export interface TownLine {
  readonly transport: DeviceTransport;
  /** Whether a process runs. */
  readonly isOn: boolean;
  /** A new process has a new link; the one before has ended with its own, unless its power was cut. */
  open(): void;
  close(): void;
  /** Nobody tells the broker: the link seems to live. */
  cutPower(): void;
}

export function townLine(
  openTransport: (observer: TransportObserver) => DeviceTransport,
  feed: (event: AgentEvent) => void,
): TownLine {
  let process: { readonly transport: DeviceTransport } | null = null;
  let last: DeviceTransport;
  const line: TownLine = {
    get transport() {
      return last;
    },
    get isOn() {
      return process !== null;
    },
    open() {
      let own: typeof process = null;
      const hear = (event: AgentEvent): void => {
        if (own === null || own === process) feed(event);
      };
      last = openTransport({
        up: (link) => hear({ type: 'linked', link }),
        down: () => hear({ type: 'unlinked' }),
        received: (topic, payload) => hear({ type: 'received', topic, payload }),
      });
      own = { transport: last };
      process = own;
    },
    close() {
      if (process !== null) void process.transport.close();
      process = null;
    },
    cutPower() {
      process = null;
    },
  };
  return line;
}
