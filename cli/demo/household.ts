/**
 * The household of the demonstration: a CA of its own, configuration files, and who lives in it.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { AlternativeName } from '../../platform/certificate-issuing.ts';
import { writeAtomically } from '../../platform/files.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';
import { type CaWorld, initAuthority, issueCertificate } from '../ca/authority.ts';

export interface Resident {
  readonly id: string;
  readonly class: 'router' | 'phone' | 'appliance';
  readonly alternativeNames: readonly AlternativeName[];
  /** The rest of its configuration file, in YAML. */
  readonly yaml: string;
}

export const MANAGER_NAME = 'home-manager';
export const FRIDGE_MAC = '02:4b:61:67:69:01';

/** A router that can do everything, a phone with AES instructions, a refrigerator without. */
export const RESIDENTS: readonly Resident[] = [
  {
    id: 'router',
    class: 'router',
    alternativeNames: [{ type: 'dns', value: 'router.home.example' }],
    yaml: `proposals:
  - { cipher: aes-gcm, keyBits: 128, keyMode: seed, priority: 1 }
  - { cipher: chacha20-poly1305, keyBits: 256, keyMode: key, priority: 2 }
approval: { rules: [{ from: fridge, decision: refuse }], otherwise: allow }
`,
  },
  {
    id: 'phone',
    class: 'phone',
    alternativeNames: [{ type: 'email', value: 'hanako@home.example' }],
    yaml: `proposals:
  - { cipher: aes-gcm, keyBits: 256, keyMode: seed, priority: 2 }
  - { cipher: aes-gcm, keyBits: 128, keyMode: seed, priority: 1 }
`,
  },
  {
    id: 'fridge',
    class: 'appliance',
    alternativeNames: [{ type: 'mac', value: FRIDGE_MAC }],
    yaml: `proposals:
  - { cipher: chacha20-poly1305, keyBits: 256, keyMode: key, priority: 1 }
  - { cipher: aes-ccm, keyBits: 128, tagBits: 64, keyMode: key, priority: 2 }
`,
  },
];

export interface Household {
  readonly directory: string;
  readonly authority: string;
  configOf(process: string): string;
}

const YEARS = 10;
const DAYS = 365;

/** Makes keys, certificates and configuration files; the broker's port is known once it listens. */
export function furnish(directory: string, port: number, world: CaWorld): Household {
  const authority = join(directory, 'ca');
  const issued = join(directory, 'certificates');
  mkdirSync(issued, { recursive: true, mode: 0o700 });
  initAuthority(authority, { name: 'Home CA', algorithm: 'p256', years: YEARS, withIntermediate: true }, world);
  const issue = (
    name: string,
    kind: 'manager' | 'verifier' | 'device',
    sans: readonly AlternativeName[] = [],
  ): void => {
    issueCertificate(authority, { name, kind, sans, days: DAYS, algorithm: 'p256', outDir: issued }, world);
  };
  issue(MANAGER_NAME, 'manager');
  issue('verifier', 'verifier');
  for (const { id, alternativeNames } of RESIDENTS) issue(id, 'device', alternativeNames);
  for (const service of ['manager', 'verifier']) {
    const token = Buffer.from(world.crypto.random(24)).toString('base64url');
    write(join(directory, `${service}.token`), `${token}\n`);
  }
  write(join(directory, 'broker.yaml'), brokerYaml(port));
  return { directory, authority, configOf: (process) => join(directory, `${process}.yaml`) };
}

/** The files of everybody else, who need the broker's address. */
export function addressEverybody({ configOf }: Household, url: string): void {
  write(configOf('verifier'), verifierYaml(url));
  write(configOf('manager'), managerYaml(url));
  for (const resident of RESIDENTS) write(configOf(resident.id), agentYaml(resident, url));
}

const write = (path: string, text: string): void => writeAtomically(path, encodeUtf8(text), 0o600);

const brokerYaml = (port: number): string => `listen: [{ kind: tcp, host: 127.0.0.1, port: ${port} }]
tokens: { managerFile: manager.token, verifierFile: verifier.token }
`;

const verifierYaml = (url: string): string => `broker: { url: '${url}', tokenFile: verifier.token }
certificateFile: certificates/verifier.chain.pem
keyFile: certificates/verifier.key.pem
trustAnchorFiles: [ca/root.pem]
crlFiles: [ca/crl.pem]
`;

const managerYaml = (url: string): string => `name: ${MANAGER_NAME}
dataDirectory: manager
broker: { url: '${url}', tokenFile: manager.token }
certificateFile: certificates/${MANAGER_NAME}.chain.pem
keyFile: certificates/${MANAGER_NAME}.key.pem
verifierCertificateFile: certificates/verifier.chain.pem
devices:
${RESIDENTS.map((resident) => `  ${resident.id}: { class: ${resident.class}, groups: [home] }`).join('\n')}
`;

const agentYaml = ({ id, yaml }: Resident, url: string): string => `broker: { url: '${url}' }
manager: ${MANAGER_NAME}
stateDirectory: ${id}
certificateFile: certificates/${id}.chain.pem
keyFile: certificates/${id}.key.pem
trustAnchorFiles: [ca/root.pem]
verifierCertificateFile: certificates/verifier.chain.pem
managerVerdict: cached
${yaml}`;
