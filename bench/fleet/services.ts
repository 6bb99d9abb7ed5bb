/**
 * The services that a fleet is linked to: `kagimori broker run`, `verifier run` and `manager run` as processes of their
 * own, to be killed and started again. Or manager and broker in one process.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callControl, type JsonValue } from '../../platform/control-socket.ts';
import { kill, type RealProcess, startCommand } from '../../test/real-process.ts';
import { MANAGER_NAME, type Papers } from './papers.ts';

export type Service = 'broker' | 'verifier' | 'manager';

export interface Services {
  readonly url: string;
  /** The broker runs inside the manager's process. */
  readonly embedded: boolean;
  start(service: Service): Promise<void>;
  /** kill -9 */
  kill(service: Service): Promise<void>;
  /** The manager's `status`. */
  status(): Promise<{ readonly [key: string]: JsonValue }>;
  residentBytes(service: Service): number;
  /** CPU of the process since its start, µs. */
  cpuMicros(service: Service): number;
  /** What they logged at level warn and above, by event. */
  complaints(): Readonly<Record<string, number>>;
  close(): Promise<void>;
}

const UP_MS = 30_000;

export interface ServiceWishes {
  /** The broker inside the manager's process. */
  readonly embedded?: boolean;
  /** Further lines of the manager's configuration. */
  readonly managerYaml?: string;
  /** The verifier's revocation list; the CA's own when absent. */
  readonly crlFile?: string;
}

export async function startServices(papers: Papers, wishes: ServiceWishes = {}): Promise<Services> {
  const { embedded = false, managerYaml: more = '' } = wishes;
  const directory = mkdtempSync(join(tmpdir(), 'kagimori-fleet-'));
  const write = (file: string, text: string): void => writeFileSync(join(directory, file), text, { mode: 0o600 });
  const running = new Map<Service, RealProcess>();
  const ran: RealProcess[] = [];
  for (const service of ['manager', 'verifier']) write(`${service}.token`, `benchmark-token-of-the-${service}\n`);
  const port = (url: string): number => Number(new URL(url).port);

  const start = async (service: Service): Promise<void> => {
    const config = join(directory, `${service}.yaml`);
    const one = startCommand([service, 'run', '--config', config, '--json', '--log', 'json', '--log-level', 'warn']);
    running.set(service, one);
    ran.push(one);
    const first = await one.firstLine;
    if (JSON.parse(first).ready === undefined) throw new Error((await one.ended).stderr);
  };
  const readyOf = async (service: Service): Promise<{ listen: string[]; broker: string[] }> =>
    JSON.parse(await running.get(service)!.firstLine).ready;
  const socket = join(directory, 'manager/manager.sock');
  const status = async () =>
    (await callControl(socket, 'status', {}, { timeoutMs: UP_MS })) as { readonly [key: string]: JsonValue };

  write('broker.yaml', brokerYaml(0));
  let url: string;
  if (embedded) {
    write('manager.yaml', managerYaml(papers, 'embeddedConfigFile: broker.yaml', more));
    await start('manager');
    url = (await readyOf('manager')).broker[0]!;
  } else {
    await start('broker');
    url = (await readyOf('broker')).listen[0]!;
    write('manager.yaml', managerYaml(papers, `url: '${url}', tokenFile: manager.token`, more));
    await start('manager');
  }
  // started again, it has to be found where it was
  write('broker.yaml', brokerYaml(port(url)));
  write('verifier.yaml', verifierYaml(papers, url, wishes.crlFile ?? `${papers.directory}/ca/crl.pem`));
  await start('verifier');
  const until = performance.now() + UP_MS;
  while ((await status()).verifier !== 'answers') {
    if (performance.now() > until) throw new Error(`the verifier is not heard of in ${UP_MS / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const pidOf = (service: Service): number => running.get(service)!.child.pid!;
  return {
    url,
    embedded,
    start,
    kill: async (service) => void (await kill(running.get(service)!)),
    status,
    residentBytes: (service) => residentBytes(pidOf(service)),
    cpuMicros: (service) => cpuMicros(pidOf(service)),
    complaints() {
      const counts: Record<string, number> = {};
      for (const { event } of ran.flatMap(({ log }) => log)) counts[event] = (counts[event] ?? 0) + 1;
      return counts;
    },
    async close() {
      await Promise.all([...running.values()].map((one) => kill(one)));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Resident memory of any process of ours, in bytes. */
export function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1] ?? Number.NaN) * 1024;
}

const TICKS_PER_SECOND = 100;

/** @spec proc_pid_stat(5): utime and stime, the 14th and 15th field */
export function cpuMicros(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1_000_000) / TICKS_PER_SECOND;
}

/**
 * The whole fleet has one address here, so the limits that count by address are lifted, and room is made for the messages
 * of many logins at once (docs/sizing.md); all others stay as they are.
 */
const brokerYaml = (port: number): string => `listen: [{ kind: tcp, host: 127.0.0.1, port: ${port} }]
tokens: { managerFile: manager.token, verifierFile: verifier.token }
limits: { newPerAddress: 100000, newPerSecondPerAddress: 100000, newAltogether: 10000, loginMessagesPerSecond: 2000, managerBehind: 1000 }
`;

const managerYaml = ({ directory }: Papers, broker: string, more: string): string => `name: ${MANAGER_NAME}
dataDirectory: manager
broker: { ${broker} }
certificateFile: ${directory}/certificates/${MANAGER_NAME}.chain.pem
keyFile: ${directory}/certificates/${MANAGER_NAME}.key.pem
verifierCertificateFile: ${directory}/certificates/verifier.chain.pem
${more}`;

const verifierYaml = (
  { directory }: Papers,
  url: string,
  crlFile: string,
): string => `broker: { url: '${url}', tokenFile: verifier.token }
certificateFile: ${directory}/certificates/verifier.chain.pem
keyFile: ${directory}/certificates/verifier.key.pem
trustAnchorFiles: ['${directory}/ca/root.pem']
crlFiles: ['${crlFile}']
`;
