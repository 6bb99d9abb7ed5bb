/**
 * Whose certificate the manager judged and goes on judging: a device, or a user who is at one.
 */
import type { DeviceId } from '../protocol/units.ts';

/** `~` and the SHA-256 of a user's certificate in hex: no device id begins so. */
export type UserBearer = `~${string}` & { readonly __user: unique symbol };
export type Bearer = DeviceId | UserBearer;

/** @param leaf  SHA-256 of the certificate, in hex */
export const bearerOf = (leaf: string): UserBearer => `~${leaf}` as UserBearer;

/** @returns SHA-256 of the user's certificate in hex; null for a device */
export const userLeafOf = (bearer: Bearer): string | null => (bearer.startsWith('~') ? bearer.slice(1) : null);
