/**
 * What somebody who watches a world is told, as it happens.
 */
import type { News } from '../device-agent/effects.ts';
import type { Session } from '../device-agent/state.ts';
import type { Sealing } from './crypto-tap.ts';
import type { DeviceParty } from './device-party.ts';
import type { PartyName } from './party.ts';
import type { LogLine } from './party-context.ts';
import type { TraceEntry } from './trace.ts';

export interface Observer {
  /** A message arrived, or it is certain that it will not. */
  readonly traced?: (entry: TraceEntry) => void;
  /** What a device tells the programs on it. */
  readonly news?: (device: DeviceParty, news: News) => void;
  /** A device took in a grant. @param session  null: it ended in the same step */
  readonly installed?: (device: DeviceParty, sid: string, session: Session | null) => void;
  /** A party sealed something. Copy what is to be kept: keys are wiped. */
  readonly sealed?: (party: PartyName, sealing: Sealing) => void;
  /** A party sends something, as it goes to the broker. */
  readonly published?: (party: PartyName, payload: Uint8Array) => void;
  readonly logged?: (party: PartyName, line: LogLine) => void;
}
