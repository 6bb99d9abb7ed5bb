import type { TestResult } from './run-file.ts';
export function checkTraceability(_r: readonly TestResult[], _w: boolean): string[] {
  return [];
}
