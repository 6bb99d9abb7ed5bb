/**
 * Notices users' media that come and go: mount points that the system makes, and directories for trying it out. Both are
 * polled: a mount table tells nobody of its changes, nor does a stick that is pulled out. [patent 0169, 0170]
 */
import { readFileSync } from 'node:fs';
import { systemClock } from '../platform/clock.ts';
import { errnoOf } from '../platform/files.ts';
import { deviceIsThere, type MountPoint, matchesPattern, readMountPoints } from './mount-points.ts';
import { markOf } from './removable-medium.ts';

export interface WatchedMedia {
  readonly directories: readonly string[];
  /** Patterns of mount points; `*` stands for a whole name. */
  readonly mounts: readonly string[];
  readonly everyMs: number;
}

export interface MediaObserver {
  /** A user's medium is there. @param root  its directory */
  inserted(root: string): void;
  removed(root: string): void;
}

export interface MediaWatch {
  stop(): void;
}

/** What does not answer is treated as gone: nobody knows what is in. */
const SILENT_AFTER_MS = 5_000;
/** Of the four threads that Node has for files: media that hang take no more. */
const MOST_LOOKS = 2;
const MAX_PLACES = 64;
const MOUNT_TABLE = '/proc/self/mountinfo';

/** Where a medium is or may come. */
interface Place {
  readonly root: string;
  /** null: nothing of a user is there. */
  mark: string | null;
  /** When it last answered, ms. */
  seenAt: number;
  looking: boolean;
  /** The mount is gone; an answer that still comes says nothing. */
  over: boolean;
}

/** Empty where the system has none. */
function mountTable(): string {
  try {
    return readFileSync(MOUNT_TABLE, 'utf8');
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return '';
  }
}

/** Polls until it is stopped; its timer keeps no process alive. */
export function watchMedia(watched: WatchedMedia, observer: MediaObserver): MediaWatch {
  const clock = systemClock();
  const places = new Map<string, Place>();
  let looks = 0;
  let table = { text: '', points: [] as readonly MountPoint[] };

  const leave = (place: Place): void => {
    if (place.mark === null) return;
    place.mark = null;
    observer.removed(place.root);
  };
  const mountPoints = (): readonly MountPoint[] => {
    if (watched.mounts.length === 0) return [];
    const text = mountTable();
    if (text !== table.text) {
      const isWatched = ({ root }: MountPoint): boolean =>
        watched.mounts.some((pattern) => matchesPattern(pattern, root));
      table = { text, points: readMountPoints(text).filter(isWatched) };
    }
    return table.points.filter(deviceIsThere);
  };
  const look = async (place: Place): Promise<void> => {
    place.looking = true;
    looks++;
    const mark = await markOf(place.root);
    looks--;
    place.looking = false;
    place.seenAt = clock.now();
    if (place.over || mark === place.mark) return;
    leave(place);
    place.mark = mark;
    if (mark !== null) observer.inserted(place.root);
  };
  const poll = (): void => {
    const now = clock.now();
    const roots = new Map(watched.directories.map((root) => [root, root]));
    for (const { id, root } of mountPoints()) roots.set(`${id} ${root}`, root);
    for (const [key, place] of places) {
      if (!roots.has(key)) {
        place.over = true;
        places.delete(key);
        leave(place);
      } else if (now - place.seenAt > SILENT_AFTER_MS) leave(place);
    }
    for (const [key, root] of roots) {
      if (places.size >= MAX_PLACES) break;
      if (!places.has(key)) places.set(key, { root, mark: null, seenAt: now, looking: false, over: false });
    }
    // those that were looked at longest ago come first
    const waiting = [...places.values()].filter(({ looking }) => !looking).sort((a, b) => a.seenAt - b.seenAt);
    void lookAtAll(waiting);
  };
  const lookAtAll = async (waiting: readonly Place[]): Promise<void> => {
    for (const place of waiting) {
      if (looks >= MOST_LOOKS || place.looking || place.over) continue;
      await look(place);
    }
  };
  poll();
  const timer = setInterval(poll, watched.everyMs).unref();
  return {
    stop() {
      clearInterval(timer);
      for (const place of places.values()) place.over = true;
    },
  };
}
