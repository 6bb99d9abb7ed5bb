/**
 * What the benchmark of revocation and its processes of devices tell each other. Times are milliseconds since 1970, with
 * fractions.
 */
export type ToHost =
  | {
      readonly type: 'start';
      readonly url: string;
      readonly anchorFile: string;
      readonly devicesFile: string;
      /** Lines of `devicesFile`. */
      readonly lines: readonly number[];
    }
  /** Every device here opens so many sessions with each of these. */
  | { readonly type: 'call'; readonly callees: readonly string[]; readonly each: number }
  /** Every session of every device carries a record that often. */
  | { readonly type: 'talk'; readonly everyMs: number }
  /** They hear nothing any more, and talk on. */
  | { readonly type: 'deafen' }
  | { readonly type: 'report' }
  /** Ends the devices that run here. */
  | { readonly type: 'leave' }
  | { readonly type: 'close' };

export interface SessionReport {
  readonly sid: string;
  readonly from: string;
  /** Records that this end accepted, and when the last one. */
  readonly accepted: number;
  readonly lastAt: number | null;
  /** null: it goes on. */
  readonly endedAt: number | null;
  readonly reason: string | null;
}

export interface HostReport {
  readonly sessions: readonly SessionReport[];
  /** When each device lost its link first after it went deaf. */
  readonly unlinkedAt: readonly number[];
  /** Records that were sent here. */
  readonly sent: number;
}

export type FromHost =
  | { readonly type: 'done' }
  | { readonly type: 'failed'; readonly reason: string }
  | { readonly type: 'report'; readonly report: HostReport };
