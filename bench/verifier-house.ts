/**
 * `kagimori broker run` and `verifier run` as processes of their own, the verifier's alone on one core, and a client that
 * asks like a manager: so many questions under way at a time.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writePem } from '../platform/certificates.ts';
import type { Transport } from '../platform/transport.ts';
import { mqttTransport } from '../platform/transport-mqtt.ts';
import type { ParsedCrl } from '../protocol/certificate.ts';
import { MANAGER, topicsUnder } from '../protocol/topics.ts';
import { Judgement, Question } from '../protocol/verifier-messages.ts';
import { kill, type RealProcess, startCommand } from '../test/real-process.ts';
import { crypto, type Holder } from '../test/test-authority.ts';
import { cpuMicros } from './fleet/services.ts';
import { toOneCore } from './one-core.ts';
import type { VerifierPapers } from './verifier-papers.ts';

export interface Load {
  readonly chains: readonly (readonly Uint8Array[])[];
  readonly questions: number;
  /** Under way at a time. */
  readonly depth: number;
  readonly nonce: boolean;
}

export interface Served {
  /** CPU of the verifier's and of the broker's process for one verdict, µs. */
  readonly verifier: number;
  readonly broker: number;
  readonly perSecond: number;
}

export interface VerifierHouse {
  ask(load: Load): Promise<Served>;
  close(): Promise<void>;
}

const PATIENCE_MS = 60_000;

export async function verifierHouse(papers: VerifierPapers, lists: readonly ParsedCrl[]): Promise<VerifierHouse> {
  const directory = mkdtempSync(join(tmpdir(), 'kagimori-bench-'));
  const running: RealProcess[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(running.map((one) => kill(one)));
    rmSync(directory, { recursive: true, force: true });
  };
  const write = (file: string, text: string | Uint8Array): void =>
    writeFileSync(join(directory, file), text, { mode: 0o600 });
  const start = async (service: 'broker' | 'verifier', yaml: string): Promise<RealProcess> => {
    write(`${service}.yaml`, yaml);
    const config = join(directory, `${service}.yaml`);
    const one = startCommand([service, 'run', '--config', config, '--json', '--log-level', 'warn']);
    running.push(one);
    await one.firstLine;
    return one;
  };
  try {
    const token = 'benchmark-token-of-the-manager-1';
    write('manager.token', `${token}\n`);
    write('verifier.token', 'benchmark-token-of-the-verifier\n');
    const pem = (...chain: readonly Holder[]): string =>
      writePem('CERTIFICATE', ...chain.map((one) => one.certificate.der));
    write('root.pem', pem(papers.anchor));
    write('verifier.pem', pem(papers.verifier, papers.issuer));
    write('verifier.key', papers.verifier.key.privatePkcs8Pem);
    write('crl.pem', writePem('X509 CRL', ...lists.map(({ der }) => der)));
    const broker = await start('broker', BROKER_YAML);
    const url = (JSON.parse(await broker.firstLine) as { ready: { listen: [string] } }).ready.listen[0];
    const verifier = await start('verifier', verifierYaml(url, lists.length > 0));
    toOneCore(verifier.child.pid!);
    const client = await connect(url, token);
    return {
      async ask(load) {
        const pids = [verifier.child.pid!, broker.child.pid!];
        const before = pids.map(cpuMicros);
        const began = performance.now();
        await client.ask(load);
        const seconds = (performance.now() - began) / 1000;
        const [own, others] = pids.map((pid, i) => (cpuMicros(pid) - before[i]!) / load.questions) as [number, number];
        return { verifier: own, broker: others, perSecond: load.questions / seconds };
      },
      async close() {
        await client.transport.close();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Client {
  readonly transport: Transport;
  ask(load: Load): Promise<void>;
}

async function connect(url: string, token: string): Promise<Client> {
  const topics = topicsUnder('km1');
  const up = Promise.withResolvers<void>();
  let answered: (payload: Uint8Array) => void = () => {};
  const transport = mqttTransport({
    url,
    service: { username: 'manager', token },
    subscriptions: () => [topics.verifierAnswer(MANAGER)],
    crypto,
    observer: {
      up: () => up.resolve(),
      down: (reason) => up.reject(new Error(reason)),
      received: (_, payload) => answered(payload),
    },
  });
  await up.promise;
  const ask = ({ chains, questions, depth, nonce }: Load): Promise<void> =>
    new Promise((resolve, reject) => {
      let sent = 0;
      let left = questions;
      const late = setTimeout(() => reject(new Error(`${left} questions without an answer`)), PATIENCE_MS);
      const next = (): void => {
        if (sent === questions) return;
        const chain = chains[sent++ % chains.length]!;
        const random = nonce ? { nonce: crypto.random(32) } : {};
        const question = Question.encode({ requestId: crypto.random(16), purpose: 'device', chain, ...random });
        transport.publish(topics.verifierQuestion(MANAGER), question, 1);
      };
      answered = (payload) => {
        Judgement.decode(payload);
        next();
        if (--left > 0) return;
        clearTimeout(late);
        resolve();
      };
      for (let i = 0; i < depth; i++) next();
    });
  return { transport, ask };
}

/** One link stands for many: the rates of one are out of the way. */
const BROKER_YAML = `listen: [{ kind: tcp, host: 127.0.0.1, port: 0 }]
tokens: { managerFile: manager.token, verifierFile: verifier.token }
`;

const verifierYaml = (url: string, listed: boolean): string => `broker: { url: '${url}', tokenFile: verifier.token }
certificateFile: verifier.pem
keyFile: verifier.key
trustAnchorFiles: [root.pem]
${listed ? 'crlFiles: [crl.pem]' : ''}
questionsPerSecond: { manager: 1000000 }
`;
