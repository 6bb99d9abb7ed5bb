/**
 * A house of real processes for tests: a CA, configuration files, broker, verifier, manager and agents over TCP, each
 * started, asked, killed and started again by name; nothing of it is left when the test is over.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { initAuthority, issueCertificate } from '../cli/ca/authority.ts';
import type { AlternativeName } from '../platform/certificate-issuing.ts';
import { callControl, type JsonValue } from '../platform/control-socket.ts';
import { nodeCrypto } from '../platform/crypto-node.ts';
import { kill, type RealProcess, startCommand } from './real-process.ts';

export interface Occupant {
  readonly id: string;
  readonly sans?: readonly AlternativeName[];
  /** The rest of its configuration file: proposals, approval. */
  readonly yaml?: string;
  /** Which of the broker's listeners it uses; the first when absent. */
  readonly listener?: number;
}

/** Certificates that a house needs: `ca/root.pem`, `ca/crl.pem`, and a chain and a key for each under `certificates/`. */
export interface Wanted {
  readonly name: string;
  readonly kind: 'manager' | 'verifier' | 'device' | 'server';
  readonly sans: readonly AlternativeName[];
}

export interface HouseOptions {
  readonly occupants: readonly Occupant[];
  readonly certify?: (directory: string, wanted: readonly Wanted[]) => void;
  /** The broker's listeners, in YAML; one of TCP when absent. */
  readonly listen?: string;
  /** Further lines of the broker's configuration. */
  readonly brokerYaml?: string;
  /** Further files, there before anything starts. */
  readonly files?: Readonly<Record<string, string>>;
  /** Further lines of the manager's configuration. */
  readonly managerYaml?: string;
  /** Further lines of the verifier's. */
  readonly verifierYaml?: string;
  /** `info` where much is said; `debug` when absent. */
  readonly logLevel?: 'debug' | 'info';
  /** What a party's process finds in its environment, beside what this one has. @param at  path of a file in the house */
  readonly environment?: (party: Party, at: House['at']) => NodeJS.ProcessEnv;
  /** Puts something between the broker and everybody else. @returns where they connect instead */
  readonly between?: (brokerUrl: string) => Promise<string>;
}

export type News = { readonly [key: string]: JsonValue };

export interface Ear {
  readonly heard: readonly News[];
  /** The first that fits, also one that was heard already. */
  until(what: string, fits: (news: News) => boolean): Promise<News>;
}

/** `verifier.second` is another verifier, whose `verifier.second.yaml` the test writes. */
export type Party = 'broker' | 'verifier' | 'manager' | (string & {});

export interface House {
  readonly directory: string;
  /** Path of a file in the house. */
  at(...parts: readonly string[]): string;
  read(file: string): string;
  write(file: string, text: string): void;
  /** Writes an agent's configuration file. @param files  whose certificate and key it bears; its own when absent */
  settle(occupant: Occupant, files?: { readonly certificate?: string; readonly key?: string }): void;
  start(party: Party): Promise<RealProcess>;
  /** Starts an agent and waits until the manager has registered it. */
  admit(id: string): Promise<RealProcess>;
  running(party: Party): RealProcess;
  /** Everything that ever ran here. */
  readonly ran: readonly RealProcess[];
  stop(party: Party, signal?: NodeJS.Signals): Promise<void>;
  ask(party: Party, command: string, args?: JsonValue): Promise<JsonValue>;
  hear(id: string): Promise<Ear>;
}

export const MANAGER = 'house-manager';
const ANSWER_MS = 60_000;
const HEAR_MS = 20_000;
const TOKEN_CHARACTERS = 32;

/** Makes the files and starts the three services. @param after  hands over what to do when the test is over */
export async function buildHouse(options: HouseOptions, after: (end: () => Promise<void>) => void): Promise<House> {
  const directory = mkdtempSync(join(tmpdir(), 'km-'));
  const processes = new Map<string, RealProcess>();
  const ran: RealProcess[] = [];
  after(async () => {
    await Promise.all([...processes.values()].map((one) => kill(one)));
    rmSync(directory, { recursive: true, force: true });
  });
  const at = (...parts: readonly string[]): string => join(directory, ...parts);
  const write = (file: string, text: string): void => writeFileSync(at(file), text, { mode: 0o600 });
  mkdirSync(at('certificates'), { mode: 0o700 });
  const services = [
    { name: MANAGER, kind: 'manager', sans: [] },
    { name: 'verifier', kind: 'verifier', sans: [] },
  ] as const;
  const devices = options.occupants.map(({ id, sans = [] }) => ({ name: id, kind: 'device', sans }) as const);
  (options.certify ?? certifyByKagimori)(directory, [...services, ...devices]);
  for (const service of ['manager', 'verifier']) write(`${service}.token`, randomToken());
  for (const [file, text] of Object.entries(options.files ?? {})) write(file, text);
  const brokerMore = options.brokerYaml ?? '';
  write('broker.yaml', brokerYaml(options.listen ?? '  - { kind: tcp, host: 127.0.0.1, port: 0 }', brokerMore));

  const start = async (party: Party): Promise<RealProcess> => {
    const [service] = party.split('.');
    const kind = ['broker', 'verifier', 'manager'].includes(service!) ? service! : 'agent';
    const logging = ['--json', '--log', 'json', '--log-level', options.logLevel ?? 'debug'];
    const args = [kind, 'run', '--config', at(`${party}.yaml`), ...logging];
    const running = startCommand(args, undefined, options.environment?.(party, at));
    ran.push(running);
    processes.set(party, running);
    void running.ended.then(() => processes.get(party) === running && processes.delete(party));
    if (JSON.parse(await running.firstLine).ready === undefined) throw new Error((await running.ended).stderr);
    return running;
  };
  const { listen } = JSON.parse(await (await start('broker')).firstLine).ready as { listen: string[] };
  // started again, it has to be found where it was
  const withRealPorts = withPorts(options.listen ?? '  - { kind: tcp, host: 127.0.0.1, port: 0 }', listen);
  write('broker.yaml', brokerYaml(withRealPorts, brokerMore));
  const urls = [...listen];
  if (options.between !== undefined) urls[0] = await options.between(listen[0]!);
  write('verifier.yaml', verifierYaml(urls[0]!, options.verifierYaml ?? ''));
  write('manager.yaml', managerYaml(urls[0]!, options.managerYaml ?? ''));
  const house: House = {
    directory,
    at,
    read: (file) => readFileSync(at(file), 'utf8'),
    write,
    ran,
    settle: (occupant, { certificate = occupant.id, key = occupant.id } = {}) =>
      write(`${occupant.id}.yaml`, agentYaml(occupant, urls[occupant.listener ?? 0]!, certificate, key)),
    start,
    async admit(id) {
      const agent = await start(id);
      await agent.logged('registered', ({ event }) => event === 'registered');
      return agent;
    },
    running(party) {
      const found = processes.get(party);
      if (found === undefined) throw new Error(`${party} does not run`);
      return found;
    },
    async stop(party, signal = 'SIGKILL') {
      const found = processes.get(party);
      if (found !== undefined) await kill(found, signal);
    },
    ask: (party, command, args = {}) =>
      callControl(at(party, party === 'manager' ? 'manager.sock' : 'agent.sock'), command, args, {
        timeoutMs: ANSWER_MS,
      }),
    hear: (id) => listenTo(house, id),
  };
  for (const occupant of options.occupants) house.settle(occupant);
  await start('verifier');
  const manager = await start('manager');
  await manager.logged('broker.up', ({ event }) => event === 'broker.up');
  return house;
}

async function listenTo(house: House, id: string): Promise<Ear> {
  const heard: News[] = [];
  const waiting = new Set<() => void>();
  const listening = callControl(
    house.at(id, 'agent.sock'),
    'listen',
    {},
    {
      onEvent: (news) => {
        heard.push(news as News);
        for (const wake of [...waiting]) wake();
      },
    },
  );
  listening.catch(() => {}); // it ends with the agent
  await house.ask(id, 'status'); // asked after it: the agent listens by now
  return {
    heard,
    until: (what, fits) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = heard.find(fits);
          if (found === undefined) return;
          clearTimeout(late);
          waiting.delete(look);
          resolve(found);
        };
        const late = setTimeout(() => {
          waiting.delete(look);
          reject(new Error(`${id} did not hear in ${HEAR_MS / 1000} s: ${what}; it heard ${JSON.stringify(heard)}`));
        }, HEAR_MS);
        waiting.add(look);
        look();
      }),
  };
}

function certifyByKagimori(directory: string, wanted: readonly Wanted[]): void {
  const authority = join(directory, 'ca');
  const world = { crypto: nodeCrypto(), now: Math.floor(Date.now() / 1000) };
  initAuthority(authority, { name: 'House CA', algorithm: 'p256', years: 1, withIntermediate: true }, world);
  const outDir = join(directory, 'certificates');
  for (const one of wanted) issueCertificate(authority, { ...one, days: 30, algorithm: 'p256', outDir }, world);
}

const randomToken = (): string => `${Buffer.from(nodeCrypto().random(TOKEN_CHARACTERS)).toString('base64url')}\n`;

const brokerYaml = (listen: string, more: string): string => `listen:
${listen}
tokens: { managerFile: manager.token, verifierFile: verifier.token }
${more}`;

const withPorts = (listen: string, urls: readonly string[]): string =>
  urls.reduce((yaml, url) => yaml.replace('port: 0', `port: ${new URL(url).port}`), listen);

const verifierYaml = (url: string, more: string): string => `broker: { url: '${url}', tokenFile: verifier.token }
certificateFile: certificates/verifier.chain.pem
keyFile: certificates/verifier.key.pem
trustAnchorFiles: [ca/root.pem]
crlFiles: [ca/crl.pem]
${more}`;

const managerYaml = (url: string, more: string): string => `name: ${MANAGER}
dataDirectory: manager
broker: { url: '${url}', tokenFile: manager.token }
certificateFile: certificates/${MANAGER}.chain.pem
keyFile: certificates/${MANAGER}.key.pem
verifierCertificateFile: certificates/verifier.chain.pem
${more}`;

const agentYaml = (
  { id, yaml = '' }: Occupant,
  url: string,
  certificate: string,
  key: string,
): string => `broker: { url: '${url}'${/^(?:mqtts|wss):/.test(url) ? ', anchorsFile: ca/root.pem' : ''} }
manager: ${MANAGER}
stateDirectory: ${id}
certificateFile: certificates/${certificate}.chain.pem
keyFile: certificates/${key}.key.pem
trustAnchorFiles: [ca/root.pem]
addresses: ['mqtt:km1']
${yaml}`;
