/**
 * `kagimori broker export …`: sets up a broker that is not ours.
 */
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { readBounded } from '../../platform/files.ts';
import { decodeUtf8 } from '../../protocol/bytes.ts';
import { deviceId } from '../../protocol/topics.ts';
import type { DeviceId } from '../../protocol/units.ts';
import type { DeviceProof, Listener, MosquittoSettings } from '../broker-export/mosquitto-settings.ts';
import { type CommonOptions, collect, noun, numberBetween, verb } from '../command.ts';
import { Failure } from '../failure.ts';
import { createOutput, objects, printable, table } from '../output.ts';
import { type ManagerOptions, managerOptions, ofManager } from './manager-options.ts';

interface Options extends CommonOptions, ManagerOptions {
  readonly out: string;
  readonly at?: string;
  readonly auth: 'password' | 'certificate';
  readonly device?: readonly string[];
  readonly devices?: string;
  readonly fromManager?: boolean;
  readonly root: string;
  readonly host: string;
  readonly port?: number;
  readonly servicesHost: string;
  readonly servicesPort: number;
  readonly certificate?: string;
  readonly key?: string;
  readonly anchors?: string;
  readonly crl?: string;
  readonly force?: boolean;
}

const PORT = numberBetween(1, 65_535);

export function brokerExportCommand(): Command {
  const command = verb(
    'mosquitto',
    'write configuration, access lists and passwords for Mosquitto',
    'kagimori broker export mosquitto --out mosquitto --device thermostat --device boiler',
  )
    .option('--out <directory>', 'where the files are put', 'mosquitto')
    .option('--at <directory>', "where the broker's files will lie on its host (default: broker/ under --out)")
    .addOption(
      new Option('--auth <means>', 'how devices prove who they are to the broker')
        .choices(['password', 'certificate'])
        .default('password'),
    )
    .option('--device <id>', 'a device that may connect; may stand several times', collect)
    .option('--devices <file>', 'the same from a file, one id on each line')
    .option('--from-manager', 'the same from a running manager: every device that it knows');
  return noun('export', 'set up a broker that is not ours', [
    managerOptions(command)
      .option('--root <segment>', 'first segment of every topic', 'km1')
      .option('--host <address>', 'where devices connect; TLS unless it is loopback', '127.0.0.1')
      .option('--port <number>', 'where devices connect (default: 1883, with TLS 8883)', PORT)
      .option('--services-host <address>', 'where manager and verifier connect; TLS unless it is loopback', '127.0.0.1')
      .option('--services-port <number>', 'where manager and verifier connect', PORT, 1884)
      .option('--certificate <file>', "the broker's chain for TLS, PEM")
      .option('--key <file>', 'its key, PEM')
      .option('--anchors <file>', 'what client certificates have to be under, PEM')
      .option('--crl <file>', 'revocation lists for client certificates, PEM')
      .option('--force', 'replace what is there; users who stay keep their passwords')
      .action(run),
  ]);
}

async function run(options: Options): Promise<void> {
  const { exportMosquitto } = await import('../broker-export/export.ts');
  const { nodeCrypto } = await import('../../platform/crypto-node.ts');
  if (!/^[A-Za-z0-9_-]{1,32}$/.test(options.root)) throw usage('--root: letters, digits, - and _ only');
  const directory = resolve(options.out);
  const settings = settingsOf(options, directory);
  const devices = await devicesOf(options);
  if (devices.length === 0 && options.auth === 'password') {
    throw usage('no device is named, so none could connect: give --device, --devices or --from-manager');
  }
  const force = options.force === true;
  const made = exportMosquitto({ directory, root: options.root, settings, devices, force }, nodeCrypto());
  const next = nextSteps(options, settings, directory, Object.keys(made.passwords).length > 0);
  const rows = [...made.files.map((file) => ['written', file]), ...made.removed.map((user) => ['removed', user])];
  const text = `${table(['', ''], rows).trimStart()}\n\n${next.map((step) => `- ${printable(step)}`).join('\n')}`;
  createOutput(options.json === true).result({ auth: options.auth, devices, ...made, next }, text);
}

const usage = (text: string): Failure => new Failure('usage', 'export', text);

function settingsOf(options: Options, directory: string): MosquittoSettings {
  const { host, servicesHost, servicesPort, auth } = options;
  const [certificateFile, keyFile, anchorsFile, crlFile] = [
    options.certificate,
    options.key,
    options.anchors,
    options.crl,
  ].map((path) => (path === undefined ? null : resolve(path)));
  if ((certificateFile == null) !== (keyFile == null)) throw usage('--certificate and --key go together');
  const tls = certificateFile == null || keyFile == null ? null : { certificateFile, keyFile };
  const listener = (address: string, port: number, wanted: boolean): Listener => {
    const needed = wanted || !isLoopback(address);
    if (needed && tls === null) {
      throw usage(`${address}: passwords and certificates cross a network with TLS only: give --certificate and --key`);
    }
    return { host: address, port, tls: needed ? tls : null };
  };
  const byCertificate = auth === 'certificate';
  if (byCertificate && anchorsFile == null)
    throw usage('--auth certificate: --anchors says which certificates are good');
  if (!byCertificate && (anchorsFile ?? crlFile) != null)
    throw usage('--anchors and --crl belong to --auth certificate');
  const proof: DeviceProof = byCertificate
    ? { by: 'certificate', anchorsFile: anchorsFile!, crlFile: crlFile ?? null }
    : { by: 'password' };
  const withTls = byCertificate || !isLoopback(host);
  const settings: MosquittoSettings = {
    directory: options.at ?? `${directory}/broker`,
    devices: listener(host, options.port ?? (withTls ? 8883 : 1883), withTls),
    services: listener(servicesHost, servicesPort, false),
    proof,
  };
  // a line break in one of these would begin a setting of its own
  const texts = [settings.directory, host, servicesHost, certificateFile, keyFile, anchorsFile, crlFile];
  if (texts.some((text) => text != null && /\p{Cc}/u.test(text)))
    throw usage('a path or address has a control character');
  return settings;
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127\.[\d.]+$/.test(host);

const MAX_LIST_BYTES = 16 * 1024 * 1024;

/** Each once, in the order of their first mention. */
async function devicesOf(options: Options): Promise<readonly DeviceId[]> {
  const named = [...(options.device ?? [])];
  if (options.devices !== undefined) {
    const text = decodeUtf8(readBounded(options.devices, MAX_LIST_BYTES));
    named.push(...text.split(/\r?\n/).filter((line) => line !== ''));
  }
  if (options.fromManager === true) {
    const { ask } = await import('../control-client.ts');
    const known = objects(await ask('manager', 'device.list', {}, ofManager(options)));
    named.push(...known.map(({ id }) => String(id)));
  }
  const { SERVICES } = await import('../broker-export/export.ts');
  const ids = named.map((name) => {
    const id = deviceId(name);
    if (id === null || name.trim() !== name) {
      throw usage(
        `${printable(name)} is no device id: 1 to 64 bytes, no control characters, no leading ~, no space around`,
      );
    }
    if (SERVICES.includes(id))
      throw usage(`${id} is the service's name at the broker: a device of it would throw it out`);
    return id;
  });
  return [...new Set(ids)];
}

function nextSteps(options: Options, settings: MosquittoSettings, directory: string, given: boolean): string[] {
  const { devices, services, proof } = settings;
  const url = ({ host, port, tls }: Listener): string =>
    `${tls === null ? 'mqtt' : 'mqtts'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const handOut = proof.by === 'password' ? ', passwordFile: <id>.password' : ', certificateFile: …, keyFile: …';
  return [
    ...(options.at === undefined ? [] : [`copy ${directory}/broker to ${options.at} on the broker's host`]),
    `chown -R mosquitto: ${settings.directory}`,
    `mosquitto -c ${settings.directory}/mosquitto.conf (a running one: kill -HUP reads lists and passwords anew)`,
    `manager.yaml: broker: { kind: outside, url: '${url(services)}', tokenFile: manager.token }`,
    `verifier.yaml: broker: { url: '${url(services)}', tokenFile: verifier.token }`,
    `agent.yaml: broker: { kind: outside, url: '${url(devices)}'${handOut} }`,
    ...(given ? [`give each party its file of ${directory}/passwords and delete it here; mode 0600 there too`] : []),
  ];
}
