/**
 * Patterns over ids and names, as operators write them in rules.
 */

/** `*` stands for any run of characters; linear in the text for each star. Asked for each rule at each connect. */
export function matchesGlob(pattern: string, text: string): boolean {
  const first = pattern.indexOf('*');
  if (first < 0) return pattern === text;
  const last = pattern.lastIndexOf('*');
  const end = text.length - (pattern.length - last - 1);
  if (end < first || !text.startsWith(pattern.slice(0, first)) || !text.endsWith(pattern.slice(last + 1))) return false;
  if (first === last) return true;
  let at = first;
  for (const part of pattern.slice(first + 1, last).split('*')) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
