/**
 * The list of public keys that are out, whoever certifies them.
 */

/** @returns null when a line is no SHA-256 in hex; `#` begins a comment */
export function readRevokedKeys(text: string): ReadonlySet<string> | null {
  const lines = text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim().toLowerCase())
    .filter((line) => line !== '');
  return lines.every((line) => /^[0-9a-f]{64}$/.test(line)) ? new Set(lines) : null;
}
