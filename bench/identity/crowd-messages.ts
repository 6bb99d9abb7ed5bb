/**
 * What the benchmark of many enrolments and its processes of new devices tell each other. Times are milliseconds since
 * 1970, with fractions: they cross processes.
 */
export type ToNewcomers =
  /** Makes keys and requests, and waits. */
  | {
      readonly type: 'prepare';
      readonly invitationFile: string;
      readonly anchorFile: string;
      readonly names: readonly string[];
    }
  /** All of them at once. */
  | { readonly type: 'go' }
  | { readonly type: 'report' }
  | { readonly type: 'close' };

export interface NewcomersReport {
  /** When a device held its certificate, and when it was registered; in the order in which they came. */
  readonly enrolledAt: readonly number[];
  readonly registeredAt: readonly number[];
  /** How often something was tried again, by what was heard. */
  readonly triedAgain: Readonly<Record<string, number>>;
  /** CPU of this process since all was prepared, ms. */
  readonly cpuMs: number;
}

export type FromNewcomers =
  | { readonly type: 'done' }
  | { readonly type: 'failed'; readonly reason: string }
  | { readonly type: 'report'; readonly report: NewcomersReport };
