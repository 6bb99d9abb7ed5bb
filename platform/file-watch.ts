/**
 * Notices that files changed: at once where the file system tells, within the polling interval where it does not
 * (network mounts, containers, a directory that was replaced).
 */
import { type FSWatcher, statSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';

export interface FileWatch {
  close(): void;
}

/**
 * @param paths     need not exist; a file that appears, vanishes or is replaced by a rename counts as changed
 * @param changed   called with the path; several changes in one moment may come as one
 * @param pollMs    longest time until a change is noticed
 */
export function watchFiles(paths: readonly string[], changed: (path: string) => void, pollMs = 2000): FileWatch {
  const seen = new Map(paths.map((path) => [path, signature(path)]));
  const look = (path: string): void => {
    const now = signature(path);
    if (now === seen.get(path)) return;
    seen.set(path, now);
    changed(path);
  };
  const watchers: FSWatcher[] = [];
  for (const directory of new Set(paths.map((path) => dirname(path)))) {
    const inside = paths.filter((path) => dirname(path) === directory);
    try {
      const watcher = watch(directory, { persistent: false }, (_event, name) => {
        for (const path of inside) if (name === null || name === basename(path)) look(path);
      });
      watcher.on('error', () => watcher.close()); // polling goes on
      watchers.push(watcher);
    } catch {
      // no watches left, or none on this file system: polling does it
    }
  }
  const timer = setInterval(() => {
    for (const path of paths) look(path);
  }, pollMs);
  timer.unref();
  return {
    close() {
      clearInterval(timer);
      for (const watcher of watchers) watcher.close();
    },
  };
}

/** Changes whenever the file's content may have changed; null when there is none. */
function signature(path: string): string | null {
  try {
    const { ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch {
    return null;
  }
}
