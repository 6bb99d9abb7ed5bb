/**
 * What a benchmark and the processes of its fleet tell each other. Times are milliseconds since 1970, since they cross
 * processes.
 */
export type ToFleet =
  | {
      readonly type: 'start';
      readonly url: string;
      readonly anchorFile: string;
      readonly devicesFile: string;
      /** Lines of `devicesFile`: which devices this process runs. */
      readonly from: number;
      readonly count: number;
      /** Full logins under way at once: they are no part of what is measured. */
      readonly atOnce: number;
    }
  /** The first `pairs` couples (device 2i calls device 2i+1) open a session each. */
  | { readonly type: 'connect'; readonly pairs: number }
  /** From here on everything is counted anew. */
  | { readonly type: 'mark' }
  /** Every session of the pairs carries a message each way. */
  | { readonly type: 'talk' }
  | { readonly type: 'ask' }
  | { readonly type: 'close' };

/** How one device came back after the mark. */
export interface Return {
  readonly at: number;
  readonly how: 'edhoc' | 'resume';
}

export interface FleetCount {
  readonly devices: number;
  /** With an open channel now. */
  readonly inside: number;
  readonly registered: number;
  /** What some of those without a channel are doing. */
  readonly outside: readonly string[];
  /** Sessions open now, counted at both ends. */
  readonly sessions: number;
  /** Messages of `talk` that arrived. */
  readonly messages: number;
  /** First opening of a channel after the mark, one for each device that has come back. */
  readonly returns: readonly Return[];
  /** Links that came up after the mark, by second since 1970. */
  readonly linksBySecond: Readonly<Record<number, number>>;
  /** Channels that came open after the mark, by second since 1970. */
  readonly openingsBySecond: Readonly<Record<number, number>>;
  /** After the mark: frames by which devices asked for a channel, and those that told them to come later. */
  readonly resumesSent: number;
  readonly loginsSent: number;
  readonly busyHeard: number;
  readonly publicKeyOperations: number;
  /** Ends of sessions that were closed after the mark, by who closed them and why. */
  readonly sessionsLost: Readonly<Record<string, number>>;
  /** CPU of this process since its start, µs. */
  readonly cpuMicros: number;
  readonly residentBytes: number;
}

export type FromFleet =
  | { readonly type: 'ready' }
  | { readonly type: 'done' }
  | { readonly type: 'failed'; readonly reason: string }
  | { readonly type: 'count'; readonly count: FleetCount };
