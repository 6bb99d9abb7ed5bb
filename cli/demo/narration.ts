/**
 * Tells what happened, from the log of the manager and of the devices: who said what to whom, how many bytes, when.
 */
import { styleText } from 'node:util';
import type { SessionReport } from './report.ts';
import type { LogLine } from './stack.ts';

export interface Narrator {
  say(text?: string): void;
  heading(text: string): void;
  /** What passed since the last time. */
  traffic(lines: readonly LogLine[]): void;
  session(report: SessionReport, milliseconds: number): void;
  note(text: string): void;
}

const WIDTH = 96;

export function narrator(write: (line: string) => void): Narrator {
  const style = (format: Parameters<typeof styleText>[0], text: string): string =>
    styleText(format, text, { stream: process.stdout });
  return {
    say: (text = '') => write(text),
    heading: (text) => write(`\n${style('bold', text)}`),
    note: (text) => write(style('dim', `   ${text}`)),
    traffic(lines) {
      const arrows = lines.flatMap(arrowsOf).sort((a, b) => a.time - b.time || a.rank - b.rank);
      const began = arrows[0]?.time ?? 0;
      for (const { time, from, to, what, bytes } of arrows) {
        const when = `${time - began} ms`.padStart(9);
        const path = `${from.padStart(8)} → ${to.padEnd(8)}`;
        write(
          `${style('dim', when)}  ${path}  ${what.padEnd(WIDTH - 40)} ${style('dim', `${String(bytes).padStart(5)} B`)}`,
        );
      }
    },
    session(report, milliseconds) {
      const ops = `${report.publicKeyOps.caller + report.publicKeyOps.callee} public-key operations on the devices`;
      if (report.outcome === 'refused') {
        write(`   ${style('yellow', '✗ refused')}: ${report.reason}  (${ops})`);
        return;
      }
      const mode = report.keyMode === 'seed' ? 'key derived by both from a seed' : 'key delivered as it is';
      const cpu = (report.deviceCpuMs.caller + report.deviceCpuMs.callee) / 2;
      write(`   ${style('green', '✓ open')}: ${report.suite}, ${mode}`);
      write(
        style(
          'dim',
          `     ${milliseconds.toFixed(1)} ms from the wish to the open session, ${cpu.toFixed(2)} ms of CPU on each device, ${ops}`,
        ),
      );
    },
  };
}

interface Arrow {
  readonly time: number;
  readonly rank: number;
  readonly from: string;
  readonly to: string;
  readonly what: string;
  readonly bytes: number;
}

/** What each message is, in words; the order is the causal one within a millisecond. */
const MEANING: Readonly<Record<string, string>> = {
  Close: 'Close: may we close the channel?',
  CloseOk: 'CloseOk: yes',
  Connect: 'Connect: a name, and what I want',
  message1: 'EDHOC message_1: suites, ephemeral key',
  message2: 'EDHOC message_2: certificate, verdict, signature',
  message3: 'EDHOC message_3: certificate, signature, registration',
  message4: 'EDHOC message_4: welcome, and registered',
  resume: 'Resume: a MAC under the secret that we share',
  resumed: 'Resumed: the same from me',
  Permit: 'Permit: the channel is open',
  Ask: 'Ask: do you approve?',
  Answer: 'Answer: the decision',
  Grant: 'Grant: suite and key',
  Denied: 'Denied: no',
  Hello: 'Hello, sealed with the session key',
  data: 'a sealed message',
  Bye: 'Bye, sealed: the session is over',
  End: 'End: the session is over',
  EndOk: 'EndOk: erased',
};
const RANKS = Object.keys(MEANING);

function arrowsOf(line: LogLine): Arrow[] {
  const text = (key: string): string => String(line[key] ?? '');
  const arrow = (from: string, to: string, kinds: string): Arrow[] => {
    const what = kinds.split('+');
    const named = [...new Set(what)].map((kind) => MEANING[kind] ?? kind).join('; ');
    return [{ time: line.time, rank: RANKS.indexOf(what[0]!), from, to, what: named, bytes: Number(line.bytes ?? 0) }];
  };
  const party = (name: string): string => (name.startsWith('device:') ? name.slice('device:'.length) : '(a link)');
  switch (`${line.process} ${line.event}`) {
    case 'manager message.received':
      return arrow(text('from'), 'manager', text('kinds'));
    case 'manager message.sent':
      return arrow('manager', text('to'), text('kinds'));
    case 'manager exchange.received':
      return arrow(party(text('from')), 'manager', text('kind'));
    case 'manager exchange.sent':
      return arrow('manager', party(text('to')), text('kind'));
    default:
      return line.event === 'record.sent' ? arrow(line.process, text('to'), text('kind')) : [];
  }
}
