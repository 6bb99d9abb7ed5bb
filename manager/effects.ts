/**
 * What the manager wishes done; the service does it.
 */
import type { Change } from '../platform/store.ts';
import type { Topic } from '../protocol/units.ts';

export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

export type Effect =
  | { readonly type: 'publish'; readonly topic: Topic; readonly payload: Uint8Array }
  /** Answered by the event `committed` or `commitFailed` with the same number. */
  | { readonly type: 'commit'; readonly number: number; readonly changes: readonly Change[] }
  | {
      readonly type: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly event: string;
      readonly fields: LogFields;
    };
