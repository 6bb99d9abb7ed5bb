/**
 * What an exchange cost this device, from real counters.
 */

/** What a session or a channel opening has cost so far, from real counters. */
export interface Cost {
  sent: number;
  received: number;
  bytes: number;
  publicKeyOps: number;
  cpuMicros: number;
}

export const noCost = (): Cost => ({ sent: 0, received: 0, bytes: 0, publicKeyOps: 0, cpuMicros: 0 });
