/**
 * Deadlines of a machine: keys with a time, the earliest first. A binary heap in which a moved or cancelled deadline
 * stays behind as a husk until it comes up, or until there are more husks than deadlines.
 */
import type { Millis } from './units.ts';

interface Entry {
  readonly at: Millis;
  readonly key: string;
}

export interface Deadlines {
  readonly heap: Entry[];
  readonly current: Map<string, Millis>;
}

export function noDeadlines(): Deadlines {
  return { heap: [], current: new Map() };
}

/** Sets or moves the deadline of `key`. */
export function schedule(deadlines: Deadlines, key: string, at: Millis): void {
  const { heap, current } = deadlines;
  current.set(key, at);
  if (heap.length > FEW && heap.length > 2 * current.size) return sweep(deadlines);
  let i = heap.push({ at, key }) - 1;
  while (i > 0) {
    const parent = (i - 1) >> 1;
    if (heap[parent]!.at <= heap[i]!.at) break;
    [heap[parent], heap[i]] = [heap[i]!, heap[parent]!];
    i = parent;
  }
}

const FEW = 64;

/** Every entry anew from what lives, in order: a sorted array is a heap. Paid for by as many calls of `schedule`. */
function sweep({ heap, current }: Deadlines): void {
  heap.length = 0;
  for (const [key, at] of current) heap.push({ at, key });
  heap.sort((a, b) => a.at - b.at);
}

export function cancel(deadlines: Deadlines, key: string): void {
  deadlines.current.delete(key);
}

/** @returns the earliest living deadline, or null */
export function nextDeadline(deadlines: Deadlines): Millis | null {
  const { heap, current } = deadlines;
  while (heap.length > 0) {
    const top = heap[0]!;
    if (current.get(top.key) === top.at) return top.at;
    removeTop(heap);
  }
  return null;
}

/** Takes out and returns the keys whose time has come, earliest first. */
export function takeDue(deadlines: Deadlines, now: Millis): string[] {
  const due: string[] = [];
  for (let at = nextDeadline(deadlines); at !== null && at <= now; at = nextDeadline(deadlines)) {
    const { key } = deadlines.heap[0]!;
    removeTop(deadlines.heap);
    deadlines.current.delete(key);
    due.push(key);
  }
  return due;
}

function removeTop(heap: Entry[]): void {
  const last = heap.pop()!;
  if (heap.length === 0) return;
  heap[0] = last;
  for (let i = 0; ; ) {
    const left = 2 * i + 1;
    if (left >= heap.length) return;
    const right = left + 1;
    const child = right < heap.length && heap[right]!.at < heap[left]!.at ? right : left;
    if (heap[i]!.at <= heap[child]!.at) return;
    [heap[i], heap[child]] = [heap[child]!, heap[i]!];
    i = child;
  }
}
