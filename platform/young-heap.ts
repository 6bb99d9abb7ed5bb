/**
 * Keeps a daemon's young heap at the size that it has at the start. V8 doubles it under load, up to 128 MiB on a machine
 * with much memory, and does not give it back: a flood of connections would be seen in the resident memory for ever.
 */
import { setFlagsFromString } from 'node:v8';

/** From now on; what is there already stays. V8 asks for the factor whenever it would grow. */
export function keepYoungHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}
