/**
 * One connect as a sequence diagram: what was sent for it, in the order of sending, as a ladder of text.
 */
import { MICROS_PER_MS } from './event-queue.ts';
import type { CallRecord } from './home.ts';
import { BROKER, MANAGER } from './party.ts';
import type { TraceEntry } from './trace.ts';

/** What a channel needs that the manager opens for the call (P13). */
const OPENING = new Set([
  'message1',
  'message2',
  'message3',
  'message4',
  'resume',
  'resumed',
  'error',
  'hint',
  'Permit',
]);
/** What follows once the session stands. */
const AFTERWARDS = /^(?:data|End|EndOk|Bye|Forbid)/;

/**
 * The messages of one call, from Connect to the Hello that opens the session.
 * @param entries  of a world that keeps its trace
 */
export function messagesOf(entries: readonly TraceEntry[], call: CallRecord): readonly TraceEntry[] {
  const { caller, callee, key, sid } = call;
  const own = entries.filter(
    ({ about, type }) => (about.includes(key) || (sid !== null && about.includes(sid))) && !AFTERWARDS.test(type),
  );
  const connect = own.find(({ type }) => type.startsWith('Connect'));
  const ask = own.find(({ type }) => type.startsWith('Ask'));
  const between = (entry: TraceEntry): boolean =>
    connect !== undefined && ask !== undefined && entry.number > connect.number && entry.number < ask.number;
  const opening = entries.filter(
    (entry) =>
      OPENING.has(entry.type) &&
      between(entry) &&
      [entry.sender, entry.receiver].every((party) => party === callee || party === MANAGER),
  );
  const parties = new Set([caller, callee, MANAGER, BROKER]);
  return [...own, ...opening]
    .filter(({ sender, receiver }) => parties.has(sender) && parties.has(receiver))
    .sort((a, b) => a.number - b.number);
}

const GAP = 6;
const TIME_WIDTH = 9;

/** The ladder; times in ms since the call began. */
export function ladder(entries: readonly TraceEntry[], call: CallRecord): string {
  const named = [call.caller, MANAGER, call.callee, BROKER];
  const columns = named.filter((name) => entries.some(({ sender, receiver }) => sender === name || receiver === name));
  const labels = entries.map(({ type, size }) => `${type} ${size}`);
  const width = Math.max(...columns.map((name) => name.length), ...labels.map((label) => label.length)) + GAP;
  const middle = (index: number): number => Math.floor(width / 2) + index * width;
  const blank = (): string[] => {
    const line = Array.from({ length: width * columns.length }, () => ' ');
    for (let i = 0; i < columns.length; i++) line[middle(i)] = '│';
    return line;
  };
  const head = columns.map((name) => centred(name, width)).join('');
  const rows = entries.map(({ sender, receiver, outcome, sentAt, at }, row) => {
    const from = middle(columns.indexOf(sender));
    const to = middle(columns.indexOf(receiver));
    const line = blank();
    const step = from < to ? 1 : -1;
    for (let i = from + step; i !== to; i += step) line[i] = '─';
    const arrived = outcome === 'delivered';
    line[to - step] = arrived ? (step > 0 ? '▶' : '◀') : '✕';
    write(line, ` ${labels[row]} `, Math.min(from, to) + 1, Math.max(from, to) - 1);
    const left = sinceStart(sentAt, call).padStart(TIME_WIDTH);
    const right = sinceStart(at, call).padStart(TIME_WIDTH);
    return `${left}${right}  ${line.join('').trimEnd()}${arrived ? '' : `  ${outcome}`}`;
  });
  const title = `call ${call.number}: ${call.caller} → ${call.callee}, ${resultOf(call)}; times in ms, sizes in bytes`;
  const header = `${'sent'.padStart(TIME_WIDTH)}${'arrived'.padStart(TIME_WIDTH)}  ${head}`.trimEnd();
  return [title, '', header, ...rows].join('\n');
}

function resultOf({ openedAt, at, failed, sid }: CallRecord): string {
  if (openedAt !== null) return `session ${sid} open after ${(openedAt - at).toFixed(3)} ms`;
  return failed === null ? 'not decided yet' : `no session: ${failed}`;
}

const sinceStart = (micros: number, call: CallRecord): string => (micros / MICROS_PER_MS - call.at).toFixed(3);

function centred(text: string, width: number): string {
  const left = Math.floor((width - text.length) / 2) + (width % 2 === 0 ? 0 : 0);
  return ' '.repeat(left) + text + ' '.repeat(width - left - text.length);
}

/** Over the shaft of an arrow, in the middle between two columns. */
function write(line: string[], text: string, from: number, to: number): void {
  const start = from + Math.floor((to - from + 1 - text.length) / 2);
  for (const [i, character] of [...text].entries()) line[start + i] = character;
}
