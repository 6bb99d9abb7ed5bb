/**
 * A wall clock that can be put forward and back while a process runs: libfaketime, told by a file. The monotonic clock and
 * timers stay true, as they do when somebody sets the clock of a machine.
 */
import { existsSync, globSync, writeFileSync } from 'node:fs';

/** For the reason of a skipped test; null when it is there. */
export const [falseClockLibrary = null] = globSync('/usr/lib/*/faketime/libfaketime.so.1');

/** What a process under a false clock finds in its environment; @param file  tells the time; the right one until it is there */
export function falseClock(file: string): NodeJS.ProcessEnv {
  if (falseClockLibrary === null) throw new Error('libfaketime is not installed: apt-get install faketime');
  if (!existsSync(file)) setClock(file, '+0');
  return {
    LD_PRELOAD: falseClockLibrary,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    FAKETIME_NO_CACHE: '1',
  };
}

/** Holds at once. @param offset  against the right time: `+1h`, `-1y`; `+0` is right */
export const setClock = (file: string, offset: string): void => writeFileSync(file, `${offset}\n`, { mode: 0o600 });
