/**
 * The text of `mosquitto.conf`: one listener for devices, one for manager and verifier, nothing kept, nothing retained.
 * @spec mosquitto.conf(5), Mosquitto 2.0
 */
import { MAX_RECORD_BYTES } from '../../protocol/frame.ts';

export interface Tls {
  readonly certificateFile: string;
  readonly keyFile: string;
}

export interface Listener {
  readonly host: string;
  readonly port: number;
  readonly tls: Tls | null;
}

export type DeviceProof =
  | { readonly by: 'password' }
  | { readonly by: 'certificate'; readonly anchorsFile: string; readonly crlFile: string | null };

export interface MosquittoSettings {
  /** Where the broker finds the other files. */
  readonly directory: string;
  readonly devices: Listener;
  readonly services: Listener;
  readonly proof: DeviceProof;
}

export const FILES = {
  settings: 'mosquitto.conf',
  deviceAccess: 'devices.acl',
  serviceAccess: 'services.acl',
  devicePasswords: 'devices.passwd',
  servicePasswords: 'services.passwd',
} as const;

/** The longest record with its overhead, and room for topic and packet header. */
const LARGEST_PAYLOAD = MAX_RECORD_BYTES + 64;
const HEADER_ROOM = 1024;

export function mosquittoConf({ directory, devices, services, proof }: MosquittoSettings): string {
  const at = (file: string): string => `${directory}/${file}`;
  return `# Mosquitto for Kagimori, made by \`kagimori broker export mosquitto\`: made anew with --force, so do not edit it.
per_listener_settings true

# Nothing outlives a connection, and the broker says nothing of itself.
persistence false
retain_available false
sys_interval 0

# Bounds on what one client can send, and on what waits for one that does not read.
max_packet_size ${LARGEST_PAYLOAD + HEADER_ROOM}
max_inflight_messages 100
max_queued_messages 5000
max_queued_bytes 8388608
set_tcp_nodelay true

# Manager and verifier.
${listenerLines(services)}
password_file ${at(FILES.servicePasswords)}
acl_file ${at(FILES.serviceAccess)}

# Devices. The user name is the client id too: nobody can throw out another, and of two links of a device the newer stays.
${listenerLines(devices)}
${proofLines(proof, at)}
acl_file ${at(FILES.deviceAccess)}
`;
}

function listenerLines({ host, port, tls }: Listener): string {
  const lines = [`listener ${port} ${host}`, 'allow_anonymous false', 'use_username_as_clientid true', 'max_qos 1'];
  if (tls !== null) lines.push(`certfile ${tls.certificateFile}`, `keyfile ${tls.keyFile}`);
  return lines.join('\n');
}

function proofLines(proof: DeviceProof, at: (file: string) => string): string {
  if (proof.by === 'password') return `password_file ${at(FILES.devicePasswords)}`;
  const lines = [`cafile ${proof.anchorsFile}`, 'require_certificate true', 'use_identity_as_username true'];
  if (proof.crlFile !== null) lines.push(`crlfile ${proof.crlFile}`);
  return lines.join('\n');
}
