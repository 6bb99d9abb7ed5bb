/**
 * CPU time of processes of ours and of their threads, finer than the hundredths of a second that `stat` counts.
 * @spec kernel.org scheduler/sched-stats: the first number of `schedstat` is the time on a CPU, in ns
 */
import { readdirSync, readFileSync } from 'node:fs';

/** By number of the thread, ms. A thread that has ended is missing. */
export type ThreadTimes = ReadonlyMap<number, number>;

/** @throws Error where the kernel does not count it */
export function threadsOf(pid: number): ThreadTimes {
  const times = new Map<number, number>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const onCpu = Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
    if (!Number.isFinite(onCpu)) throw new Error('this kernel does not count the CPU time of threads');
    times.set(Number(thread), onCpu / 1e6);
  }
  return times;
}

export const cpuMs = (pid: number): number => sum([...threadsOf(pid).values()]);

/** What a process used between two looks: its first thread, the threads in `apart`, and all others. */
export function spentBetween(
  pid: number,
  before: ThreadTimes,
  after: ThreadTimes,
  apart: ReadonlySet<number>,
): { readonly main: number; readonly apart: number; readonly others: number } {
  const spent = [...after].map(([thread, ms]) => [thread, ms - (before.get(thread) ?? 0)] as const);
  const of = (fits: (thread: number) => boolean): number =>
    sum(spent.filter(([thread]) => fits(thread)).map(([, ms]) => ms));
  return {
    main: of((thread) => thread === pid),
    apart: of((thread) => apart.has(thread)),
    others: of((thread) => thread !== pid && !apart.has(thread)),
  };
}

const TICK_MS = 10;

/** CPU of all processes that this one has started and seen the end of, ms. @spec proc_pid_stat(5): cutime, cstime */
export function endedChildrenMs(): number {
  const stat = readFileSync('/proc/self/stat', 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[13]) + Number(fields[14])) * TICK_MS;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
