/**
 * What can be run by name, and what is handed out of it.
 */
import { type CallRecord, type HomeOptions, type HomeRun, runHome } from './home.ts';
import { type HomeReport, homeReport, homeReportText } from './home-report.ts';
import { ladder, messagesOf } from './sequence-diagram.ts';
import { STORIES } from './stories.ts';
import { type StoryOptions, type Told, tellStory } from './story.ts';

/** By name, with what it is about. */
export const SCENARIOS: ReadonlyMap<string, string> = new Map([
  ['home', 'devices of households log in, register, call each other, talk, end'],
  ...STORIES.map(({ name, about }) => [name, about] as const),
]);

/** @returns null when it is no story: `home` */
export function tellByName(name: string, options: StoryOptions): Told | null {
  const story = STORIES.find((one) => one.name === name);
  return story === undefined ? null : tellStory(story, options);
}

export interface ScenarioResult {
  readonly run: HomeRun;
  readonly report: HomeReport;
  /** The report for people. */
  readonly text: string;
}

export function runScenario(options: HomeOptions): ScenarioResult {
  const began = performance.now();
  const run = runHome(options);
  const report = homeReport(run, (performance.now() - began) / 1000);
  return { run, report, text: homeReportText(report) };
}

export interface DrawnCall {
  readonly value: {
    readonly call: CallRecord;
    /** In the order of sending; times in ms since the world began. */
    readonly messages: readonly DrawnMessage[];
  };
  readonly text: string;
}

interface DrawnMessage {
  readonly sentAt: number;
  readonly at: number;
  readonly sender: string;
  readonly receiver: string;
  readonly type: string;
  readonly size: number;
  readonly outcome: string;
}

/** @param wanted  a number, or `caller:callee` @returns null when there was no such call */
export function findCall({ calls, world }: HomeRun, wanted: string): DrawnCall | null {
  const call = calls.find(({ number, caller, callee }) => wanted === `${number}` || wanted === `${caller}:${callee}`);
  if (call === undefined) return null;
  const entries = messagesOf(world.trace.entries, call);
  const messages = entries.map(({ sentAt, at, sender, receiver, type, size, outcome }) => ({
    sentAt: sentAt / 1000,
    at: at / 1000,
    sender,
    receiver,
    type,
    size,
    outcome,
  }));
  return { value: { call, messages }, text: ladder(entries, call) };
}
