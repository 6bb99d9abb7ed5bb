/**
 * One device, from the operator's `device invite` until it is registered: commands and daemons as people have them.
 */
import type { House } from '../../test/real-house.ts';
import { kill } from '../../test/real-process.ts';
import { cpuMs, endedChildrenMs, spentBetween } from './cpu-time.ts';
import { enrolAndRun, invite, managerPid, managerThreads, type NewcomerHouse } from './newcomer-house.ts';

export const STEPS = [
  '`device invite`: a process, from its start to its end',
  '`agent enrol --run`: the process starts, reads the invitation',
  'key, link, the manager proven',
  'at the manager: CA, certificate on disk, device on disk',
  'the rest of the exchange, and the files',
  'the agent starts: suites measured, link, first login, registered',
] as const;

export const PARTIES = ['command `device invite`', 'device', 'manager', 'its CA thread', 'broker', 'verifier'] as const;
export type Party = (typeof PARTIES)[number];

export interface OneEnrolment {
  readonly ms: number;
  /** As `STEPS`. */
  readonly steps: readonly number[];
  readonly cpuMs: Readonly<Record<Party, number>>;
}

/** @throws Error when it does not come to its end */
export async function enrolOne({ house, authority }: NewcomerHouse, name: string): Promise<OneEnrolment> {
  const manager = managerPid(house);
  const services = { broker: house.running('broker').child.pid!, verifier: house.running('verifier').child.pid! };
  const before = { broker: cpuMs(services.broker), verifier: cpuMs(services.verifier) };
  const threads = managerThreads(house);
  const commands = endedChildrenMs();
  const began = performance.now();
  const invitation = await invite(house, name);
  const invited = performance.now();
  const invitedCpu = endedChildrenMs() - commands;
  const { said, process } = await enrolAndRun(house, name, invitation);
  const device = cpuMs(process.child.pid!);
  const spent = spentBetween(manager, threads, managerThreads(house), authority);
  const atManager = await managersPart(house, name);
  const cpu = {
    'command `device invite`': invitedCpu,
    device,
    manager: spent.main + spent.others,
    'its CA thread': spent.apart,
    broker: cpuMs(services.broker) - before.broker,
    verifier: cpuMs(services.verifier) - before.verifier,
  };
  await kill(process);
  const steps = [
    invited - began,
    said.asking - invited,
    said.proven - said.asking,
    atManager,
    said.enrolled - said.proven - atManager,
    said.registered - said.enrolled,
  ];
  return { ms: said.registered - began, steps, cpuMs: cpu };
}

/** From the token found good until the device is on disk, by the manager's own clock. */
async function managersPart(house: House, device: string): Promise<number> {
  const manager = house.running('manager');
  const at = async (event: string): Promise<number> => {
    const line = await manager.logged(`${event} ${device}`, (one) => one.event === event && one.device === device);
    return Date.parse(String(line.time));
  };
  return (await at('enrolment.done')) - (await at('enrolment.begun'));
}
