/**
 * Branded units and names: a mix-up of these hurts, so the compiler refuses it.
 */

declare const unit: unique symbol;
type Branded<T, Name extends string> = T & { readonly [unit]: Name };

/** Milliseconds on a clock that never jumps and counts suspend; its zero has no meaning. */
export type Millis = Branded<number, 'Millis'>;
/** Seconds since 1970-01-01T00:00:00Z on the wall clock, whole. */
export type EpochSeconds = Branded<number, 'EpochSeconds'>;
/** Canonical name of a device: the leaf's subject CN, UTF-8 NFC, 1 to 64 bytes. */
export type DeviceId = Branded<string, 'DeviceId'>;
/** MQTT client id of a link; 16 to 32 characters of `[A-Za-z0-9_-]`. */
export type LinkId = Branded<string, 'LinkId'>;
/** A complete MQTT topic name. */
export type Topic = Branded<string, 'Topic'>;

export const Millis = (value: number): Millis => value as Millis;
export const EpochSeconds = (value: number): EpochSeconds => value as EpochSeconds;
export const Topic = (value: string): Topic => value as Topic;
export const LinkId = (value: string): LinkId => value as LinkId;

export const seconds = (value: number): Millis => (value * 1000) as Millis;
export const later = (now: Millis, wait: Millis): Millis => (now + wait) as Millis;

/** Of the messages for which a caller or a rule has costs compared. */
export const MAX_MESSAGE_BYTES = 2 ** 24;
