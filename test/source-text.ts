/**
 * Reads TypeScript source far enough to know code from comments and strings, and to find what a file imports. The
 * compiler of this project has no API for scripts; formatted sources without JSX need no more than this.
 */

export interface Import {
  readonly specifier: string;
  /** `import type`, `export type`, or a clause in which every name is marked `type`. */
  readonly typeOnly: boolean;
  /** `export … from`. */
  readonly reexport: boolean;
  /** Names taken in braces; empty for every other form. */
  readonly names: readonly string[];
  readonly line: number;
}

const HIDDEN = '░';
/** A slash after one of these begins a regular expression; after anything else it divides. */
const BEFORE_REGEX = /(?:[(,=:[!&|?{};+\-*%~^<>]|\b(?:return|typeof|case|in|of|do|else))\s*$|^\s*$/;

/** The source with comments and the contents of literals hidden, every offset and line break where it was. */
export function maskLiterals(source: string): string {
  let masked = '';
  let at = 0;
  const templates: number[] = [];
  let braces = 0;
  const hide = (end: number) => {
    masked += source.slice(at, end).replace(/[^\n]/g, HIDDEN);
    at = end;
  };
  const literal = (isEnd: (position: number) => boolean) => {
    let end = at;
    while (end < source.length && !isEnd(end)) end += source[end] === '\\' ? 2 : 1;
    hide(Math.min(end, source.length));
  };
  const keep = () => {
    masked += source[at] ?? '';
    at++;
  };
  const template = () => {
    literal((position) => source[position] === '`' || source.startsWith('${', position));
    if (source[at] === '`') return keep();
    keep();
    keep();
    templates.push(braces);
    braces = 0;
  };
  while (at < source.length) {
    const char = source[at]!;
    if (source.startsWith('//', at)) literal((position) => source[position] === '\n');
    else if (source.startsWith('/*', at)) {
      const end = source.indexOf('*/', at + 2);
      hide(end < 0 ? source.length : end + 2);
    } else if (char === "'" || char === '"') {
      keep();
      literal((position) => source[position] === char || source[position] === '\n');
      keep();
    } else if (char === '`') {
      keep();
      template();
    } else if (char === '/' && BEFORE_REGEX.test(masked.slice(-80).replaceAll(HIDDEN, ' '))) {
      keep();
      let inClass = false;
      literal((position) => {
        if (source[position] === '[') inClass = true;
        if (source[position] === ']') inClass = false;
        return (source[position] === '/' && !inClass) || source[position] === '\n';
      });
      keep();
    } else if (char === '}' && braces === 0 && templates.length > 0) {
      keep();
      braces = templates.pop()!;
      template();
    } else {
      if (char === '{') braces++;
      if (char === '}') braces--;
      keep();
    }
  }
  return masked;
}

/** Every module that the source names, types included. A computed `import()` has the specifier `?`. */
export function findImports(source: string, masked = maskLiterals(source)): Import[] {
  const imports: Import[] = [];
  const text = (start: number, length: number) => source.slice(start, start + length);
  const lineOf = (offset: number) => source.slice(0, offset).split('\n').length;
  const declaration = /\b(import|export)\b((?:[^'"`;()=]*?\bfrom)?\s*)(['"])(░*)\3/g;
  for (const match of masked.matchAll(declaration)) {
    const clause = match[2]!;
    const reexport = match[1] === 'export';
    if (reexport && !/\bfrom\s*$/.test(clause)) continue;
    const specifier = text(match.index + match[0].length - 1 - match[4]!.length, match[4]!.length);
    imports.push({
      specifier,
      typeOnly: isTypeOnly(clause),
      reexport,
      names: namesOf(clause),
      line: lineOf(match.index),
    });
  }
  for (const match of masked.matchAll(/\b(?:import|require)\s*\(\s*(?:(['"])(░*)\1)?/g)) {
    const length = match[2]?.length ?? 0;
    const specifier = match[1] ? text(match.index + match[0].length - 1 - length, length) : '?';
    imports.push({ specifier, typeOnly: false, reexport: false, names: [], line: lineOf(match.index) });
  }
  return imports;
}

function isTypeOnly(clause: string): boolean {
  if (/^\s*type\b(?!\s*,|\s+from\s*$)/.test(clause)) return true;
  const listed = namesOf(clause);
  return listed.length > 0 && listed.every((name) => /^type\s/.test(name));
}

function namesOf(clause: string): string[] {
  const listed = /^\s*\{([^}]*)\}\s*from\s*$/.exec(clause)?.[1] ?? '';
  return listed
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}
