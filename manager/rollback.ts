/**
 * A store that was rolled back: somebody put an older copy of the data directory in its place, and everything in it is
 * authentic. The devices know better. Each holds a secret of its resumption chain, and this manager never answers under
 * a generation before that is on disk; so a device that comes under a generation two or more ahead of the store, with
 * the right MAC, proves that the disk once held more. See docs/decisions/0014-rolled-back-store.md.
 */
import type { JsonValue } from '../platform/control-socket.ts';
import { MAX_AGE_SECONDS, MAX_GENERATION } from '../protocol/resumption.ts';
import { type DeviceId, EpochSeconds, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { commit, log } from './outbox.ts';
import { rollbackChange } from './rollback-record.ts';
import type { ManagerState } from './state.ts';

/**
 * Derivations far ahead that may be in vain in ten seconds. Each costs up to 63 HKDF (0.3 ms), and anybody with a link
 * can ask for one; whoever finds no turn gets a hint and logs in with its certificate.
 */
const IN_VAIN_AT_MOST = 20;
const COUNTED_FOR = seconds(10);

const MEANING =
  'the data directory is an older copy: what was registered, removed or changed since its last commit is missing, ' +
  'and devices that were removed since then may be back';
const REMEDY =
  'compare `kagimori device list` with what you know and remove again what was removed; if nobody put a copy there, find ' +
  'out who did; then `kagimori manager acknowledge`';

/** @returns how many generations a request may be ahead of what is held */
export function reach({ rollback }: ManagerState, world: World): number {
  const { since, count } = rollback.inVain;
  return count < IN_VAIN_AT_MOST || world.now - since >= COUNTED_FOR ? MAX_GENERATION : 1;
}

/** @param ahead  generations between what is held and what was asked for; below 2 it cost nothing */
export function derivedInVain({ rollback }: ManagerState, ahead: number, world: World): void {
  if (ahead < 2) return;
  const { since, count } = rollback.inVain;
  rollback.inVain =
    world.now - since >= COUNTED_FOR ? { since: world.now, count: 1 } : { since, count: Math.min(count + 1, 1000) };
}

/** A device has proven, by its MAC, that it is at generation `shown`; the store holds `held`. */
export function noticeAhead(state: ManagerState, device: DeviceId, held: number, shown: number, world: World): void {
  const { rollback } = state;
  if (shown - held < 2 || rollback.ahead.has(device)) return;
  rollback.ahead.add(device);
  const { restored, storedUntil } = rollback.history;
  if (restored !== null && world.wall - restored.restoredAt < MAX_AGE_SECONDS) {
    // the operator's own doing: every device that resumed since the backup was made comes like this
    return log(state, 'info', 'device.ahead-of-backup', { device, held, shown });
  }
  if (rollback.acknowledged || rollback.notice !== null) {
    return log(state, 'info', 'device.ahead-of-store', { device, held, shown });
  }
  const notice = { noticedAt: world.wall, device, held, shown, storedUntil: storedUntil ?? undefined };
  rollback.notice = notice;
  log(state, 'warn', 'store.rolled-back', { device, held, shown, storedUntil: isoOf(storedUntil), remedy: REMEDY });
  commit(state, [rollbackChange(notice)], { next: 'nothing' });
}

/** At the start: what is known already, once in the log of each process. */
export function tellHistory(state: ManagerState): void {
  const { notice, history } = state.rollback;
  const { restored } = history;
  if (notice !== null) {
    const { device, held, shown } = notice;
    const noticedAt = isoOf(EpochSeconds(notice.noticedAt));
    log(state, 'warn', 'store.rolled-back', { device, held, shown, noticedAt, remedy: REMEDY });
  }
  if (restored !== null) {
    const [backupAt, restoredAt] = [isoOf(restored.backupAt), isoOf(restored.restoredAt)];
    log(state, 'info', 'store.restored', { backupAt, restoredAt, remedy: 'kagimori manager acknowledge' });
  }
}

/** The operator knows. */
export function acknowledge(state: ManagerState): void {
  const { rollback } = state;
  if (rollback.notice !== null) commit(state, [rollbackChange(null)], { next: 'nothing' });
  rollback.notice = null;
  rollback.acknowledged = true;
  rollback.history = { ...rollback.history, restored: null };
}

/** For `status` and `doctor`; null when the store is what it was, as far as anybody has proven. */
export function showRollback({ rollback }: ManagerState): { readonly [key: string]: JsonValue } | null {
  const { notice, history, ahead } = rollback;
  if (notice !== null) {
    return {
      what: 'rolled-back',
      noticedAt: isoOf(EpochSeconds(notice.noticedAt)),
      storedUntil: notice.storedUntil === undefined ? null : isoOf(EpochSeconds(notice.storedUntil)),
      device: notice.device,
      held: notice.held,
      shown: notice.shown,
      devicesAhead: ahead.size,
      meaning: MEANING,
      remedy: REMEDY,
    };
  }
  if (history.restored === null) return null;
  return {
    what: 'restored',
    backupAt: isoOf(history.restored.backupAt),
    restoredAt: isoOf(history.restored.restoredAt),
    devicesAhead: ahead.size,
    meaning: MEANING.replace('its last commit', 'the backup'),
    remedy: 'compare `kagimori device list` with what you know, then `kagimori manager acknowledge`',
  };
}

const isoOf = (time: EpochSeconds | null): string | null =>
  time === null ? null : new Date(time * 1000).toISOString();
