/**
 * What somebody has without Kagimori: OpenSSL by hand or by script, and Mosquitto with mutual TLS. A key and a request, a
 * certificate by the CA, and a first message that the broker acknowledges.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts, type Mosquitto, mosquittoAbsent, startMosquitto } from '../../test/mosquitto.ts';
import { certifyByOpenssl } from '../../test/openssl-house.ts';
import { opensslAbsent } from '../../test/test-authority.ts';
import { cpuMs, endedChildrenMs } from './cpu-time.ts';

export interface HandMade {
  /** Request, certificate, first message acknowledged; ms. */
  readonly ms: number;
}

export interface HandMadePlace {
  readonly broker: Mosquitto;
  /** How the clients of Mosquitto log in with these files. */
  login(certificate: string, key: string): readonly string[];
  at(...parts: readonly string[]): string;
  enrol(name: string): Promise<HandMade>;
  /** CPU of the broker, and of all commands that have ended; ms. */
  cpuMs(): { readonly broker: number; readonly commands: number };
  end(): Promise<void>;
}

export const handMadeAbsent: string | false = mosquittoAbsent || opensslAbsent;

const DEVICE = 'basicConstraints=CA:false\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\n';

export async function openHandMadePlace(): Promise<HandMadePlace> {
  const directory = mkdtempSync(join(tmpdir(), 'kagimori-hand-'));
  const at = (...parts: readonly string[]): string => join(directory, ...parts);
  mkdirSync(at('certificates'));
  const server = { name: '127.0.0.1', kind: 'server', sans: [{ type: 'ip', value: '127.0.0.1' }] } as const;
  certifyByOpenssl(directory, [server], 'P-256');
  writeFileSync(at('device.ext'), DEVICE);
  writeFileSync(
    at('ca/chain.pem'),
    ['root', 'middle'].map((tier) => readFileSync(at(`ca/${tier}.pem`), 'utf8')).join(''),
  );
  const [port] = (await freePorts(1)) as [number];
  writeFileSync(at('mosquitto.conf'), settings(directory, port));
  const broker = await startMosquitto(at('mosquitto.conf'), [port]);
  const login = (certificate: string, key: string): string[] =>
    ['-h', '127.0.0.1', '-p', String(port), '--cafile', at('ca/root.pem')].concat('--cert', certificate, '--key', key);
  return {
    broker,
    login,
    at,
    async enrol(name) {
      const [key, request, certificate] = ['key', 'csr', 'pem'].map((kind) => at(`${name}.${kind}`)) as [
        string,
        string,
        string,
      ];
      const began = performance.now();
      const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
      await run('openssl', ['req', '-new', ...curve, '-keyout', key, '-subj', `/CN=${name}`, '-out', request]);
      const issuer = ['-CA', at('ca/middle.pem'), '-CAkey', at('ca/middle.key'), '-days', '365'];
      await run('openssl', [
        'x509',
        '-req',
        '-in',
        request,
        ...issuer,
        '-extfile',
        at('device.ext'),
        '-out',
        certificate,
      ]);
      await run('mosquitto_pub', [...login(certificate, key), '-i', name, '-q', '1', '-t', 'registered', '-m', name]);
      return { ms: performance.now() - began };
    },
    cpuMs: () => ({ broker: cpuMs(broker.child.pid!), commands: endedChildrenMs() }),
    async end() {
      await broker.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** @throws Error when it fails */
function run(program: string, args: readonly string[]): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`${program} ended with ${code}: ${said}`)),
    );
  });
}

const settings = (directory: string, port: number): string => `user root
listener ${port} 127.0.0.1
cafile ${directory}/ca/chain.pem
certfile ${directory}/certificates/127.0.0.1.chain.pem
keyfile ${directory}/certificates/127.0.0.1.key.pem
require_certificate true
use_identity_as_username true
`;
