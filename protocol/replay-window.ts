/**
 * Sliding replay window for one direction of one context: 64 wide, each sequence number accepted once.
 * @spec RFC 6479, RFC 8613 §7.4
 */

export const WINDOW_WIDTH = 64;

/** Plain data, never changed in place. Bit i (recent: 0 to 31, older: 32 to 63) tells whether `highest − i` was seen. */
export interface ReplayWindow {
  /** Highest sequence number seen, up to 2^40 − 1; −1 before the first. */
  readonly highest: number;
  readonly recent: number;
  readonly older: number;
}

export const EMPTY_WINDOW: ReplayWindow = { highest: -1, recent: 0, older: 0 };

/** Whether this sequence number is new: ahead of the window, or inside and not seen. To be asked before the tag is checked. */
export function accepts(window: ReplayWindow, sequence: number): boolean {
  const behind = window.highest - sequence;
  if (behind < 0) return true;
  if (behind >= WINDOW_WIDTH) return false;
  return behind < 32 ? (window.recent & (1 << behind)) === 0 : (window.older & (1 << (behind - 32))) === 0;
}

/**
 * Marks a sequence number as seen. Only after its record has authenticated: a forged number would push good ones out.
 * @throws RangeError when `accepts` says no: our bug, never the peer's
 */
export function accept(window: ReplayWindow, sequence: number): ReplayWindow {
  if (!accepts(window, sequence))
    throw new RangeError(`sequence number ${sequence} was accepted before, or is too old`);
  const behind = window.highest - sequence;
  if (behind >= 32) return { ...window, older: window.older | (1 << (behind - 32)) };
  if (behind >= 0) return { ...window, recent: window.recent | (1 << behind) };
  return { highest: sequence, ...slide(window, -behind) };
}

/** The two words moved up by `by` ≥ 1, bit 0 set. JavaScript shifts take their distance modulo 32. */
function slide({ recent, older }: ReplayWindow, by: number): { recent: number; older: number } {
  if (by >= WINDOW_WIDTH) return { recent: 1, older: 0 };
  if (by >= 32) return { recent: 1, older: recent << (by - 32) };
  return { recent: (recent << by) | 1, older: (older << by) | (recent >>> (32 - by)) };
}
