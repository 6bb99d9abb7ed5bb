/**
 * One line of the doctor: what was looked at, and what to do when it is not well.
 */

export interface Finding {
  readonly ok: boolean;
  readonly what: string;
  /** null when nothing need be done; beside `ok` what would make it better. */
  readonly remedy: string | null;
}

export const well = (what: string): Finding => ({ ok: true, what, remedy: null });
export const ill = (what: string, remedy: string): Finding => ({ ok: false, what, remedy });
/** No fault of ours, and worth to be known. */
export const advice = (what: string, remedy: string): Finding => ({ ok: true, what, remedy });

/** Turns what a check throws into a line. @param fault  what the line then says */
export function attempt(fault: string, check: () => readonly Finding[]): readonly Finding[] {
  try {
    return check();
  } catch (error) {
    return [ill(fault, error instanceof Error ? error.message : String(error))];
  }
}
