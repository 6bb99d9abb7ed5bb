/**
 * A QR code for a terminal: two rows of modules in one line of text, dark on light in colours of its own, so that it reads
 * on dark and on light terminals alike. @spec ISO/IEC 18004
 */
import { encode } from 'uqr';

/** Modules that stay light around a code; readers need them. */
const QUIET_ZONE = 4;
/** Black on white, whatever the terminal's own colours are. */
const INK = '\u001b[38;5;16;48;5;231m';
const RESET = '\u001b[0m';
const HALVES = [' ', '▄', '▀', '█'] as const;

/** Columns that it takes. */
export function qrWidth(text: string): number {
  return encode(text, { ecc: 'L', border: QUIET_ZONE }).size;
}

/** @returns lines without a last line break */
export function qrCode(text: string): string {
  const { data, size } = encode(text, { ecc: 'L', border: QUIET_ZONE });
  const lines: string[] = [];
  for (let y = 0; y < size; y += 2) {
    const halves = data[y]!.map((upper, x) => HALVES[(upper ? 2 : 0) + (data[y + 1]?.[x] === true ? 1 : 0)]);
    lines.push(`${INK}${halves.join('')}${RESET}`);
  }
  return lines.join('\n');
}
