/**
 * Progress with an end in sight, on a terminal; silence otherwise.
 */

export interface Progress {
  /** @param part  0 to 1 of the whole benchmark */
  at(part: number, doing: string): void;
  done(): void;
}

export function progress(name: string): Progress {
  const began = performance.now();
  if (!process.stderr.isTTY) return { at: () => {}, done: () => {} };
  const clear = '\r\x1b[2K';
  return {
    at(part, doing) {
      const spent = (performance.now() - began) / 1000;
      const left = part > 0.02 ? `, about ${Math.ceil((spent * (1 - part)) / part)} s left` : '';
      process.stderr.write(`${clear}${name} ${Math.round(100 * part)} %${left}: ${doing}`);
    },
    done: () => process.stderr.write(clear),
  };
}
