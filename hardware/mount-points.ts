/**
 * The mount points of this machine, and which of them are of removable media. @spec proc_pid_mountinfo(5)
 */
import { existsSync } from 'node:fs';

export interface MountPoint {
  /** Unique as long as it is mounted. */
  readonly id: string;
  readonly root: string;
  /** Major and minor number; major 0: no block device. */
  readonly device: string;
}

/** @param text  of /proc/self/mountinfo */
export function readMountPoints(text: string): MountPoint[] {
  const points = new Map<string, MountPoint>();
  for (const line of text.split('\n')) {
    const [id, , device, , root] = line.split(' ');
    if (id === undefined || device === undefined || root === undefined) continue;
    const path = unescaped(root);
    points.set(path, { id, root: path, device }); // of two at one place the later one is seen
  }
  return [...points.values()];
}

/** Space, tab, line feed and backslash stand there as octal numbers. */
const unescaped = (path: string): string =>
  path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** @param pattern  a path in which `*` stands for a whole name */
export function matchesPattern(pattern: string, path: string): boolean {
  const [wanted, names] = [pattern.split('/'), path.split('/')];
  return (
    wanted.length === names.length && wanted.every((part, at) => (part === '*' ? names[at] !== '' : part === names[at]))
  );
}

/** A medium that was pulled without being unmounted stays mounted; its device is gone. */
export function deviceIsThere({ device }: MountPoint): boolean {
  return device.startsWith('0:') || existsSync(`/sys/dev/block/${device}`) || !existsSync('/sys/dev/block');
}
