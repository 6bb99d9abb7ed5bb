/**
 * What happens next: events in virtual time, the earliest first, those of one moment in the order in which they were
 * put in. A binary heap over two plain arrays.
 */

/** Whole microseconds since the world began. Whole, so that no rounding can differ between machines. */
export type Micros = number;

export const MICROS_PER_MS = 1000;
export const MICROS_PER_SECOND = 1_000_000;

export interface EventQueue {
  /** @throws RangeError for a moment that is no whole number */
  push(at: Micros, act: () => void): void;
  /** When the next event happens; null: none is left. */
  nextAt(): Micros | null;
  /** Takes the next event out; the caller has seen that there is one. */
  take(): { readonly at: Micros; readonly act: () => void };
  size(): number;
}

interface Entry {
  readonly at: Micros;
  readonly order: number;
  readonly act: () => void;
}

const before = (a: Entry, b: Entry): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

export function eventQueue(): EventQueue {
  const heap: Entry[] = [];
  let order = 0;
  return {
    push(at, act) {
      if (!Number.isSafeInteger(at)) throw new RangeError(`${at} is no whole number of microseconds`);
      const entry = { at, order: order++, act };
      let i = heap.push(entry) - 1;
      while (i > 0) {
        const parent = (i - 1) >> 1;
        if (before(heap[parent]!, entry)) break;
        heap[i] = heap[parent]!;
        i = parent;
      }
      heap[i] = entry;
    },
    nextAt: () => heap[0]?.at ?? null,
    take() {
      const first = heap[0];
      const last = heap.pop();
      if (first === undefined || last === undefined) throw new RangeError('no event is left');
      if (heap.length > 0) sink(heap, last);
      return first;
    },
    size: () => heap.length,
  };
}

/** Puts an entry into the place of the first one. */
function sink(heap: Entry[], entry: Entry): void {
  let i = 0;
  for (;;) {
    const left = 2 * i + 1;
    if (left >= heap.length) break;
    const right = left + 1;
    const child = right < heap.length && before(heap[right]!, heap[left]!) ? right : left;
    if (before(entry, heap[child]!)) break;
    heap[i] = heap[child]!;
    i = child;
  }
  heap[i] = entry;
}
