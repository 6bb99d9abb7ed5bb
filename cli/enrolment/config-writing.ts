/**
 * The agent's configuration after an enrolment: the commented example with this device's values, or the one that is there
 * with what the invitation says otherwise.
 */
import { dirname, relative } from 'node:path';
import { isScalar, parseDocument, stringify } from 'yaml';

/** What an enrolment knows. */
export interface EnrolledValues {
  readonly broker: string;
  readonly brokerAnchorsFile: string | null;
  readonly manager: string;
  readonly root: string;
  readonly stateDirectory: string;
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly anchorsFile: string;
  readonly verifierFile: string | null;
  /** The verifier has to vouch for the manager at each login: this machine does not know the time. */
  readonly clockInDoubt: boolean;
}

const DEFAULT_ROOT = 'km1';

/** @param example  cli/examples/kagimori-agent.yaml @param configFile  its paths become relative to that folder */
export function newConfig(example: string, values: EnrolledValues, configFile: string): string {
  const path = (file: string): string => relative(dirname(configFile), file);
  const { broker, brokerAnchorsFile, manager, root, verifierFile, clockInDoubt } = values;
  const rows: readonly (readonly [string, string])[] = [
    ...(root === DEFAULT_ROOT ? [] : [['#root', root] as const]),
    ['  url', broker],
    ...(brokerAnchorsFile === null ? [] : [['#  anchorsFile', path(brokerAnchorsFile)] as const]),
    ['manager', manager],
    ['stateDirectory', path(values.stateDirectory)],
    ['certificateFile', path(values.certificateFile)],
    ['keyFile', values.keyFile.startsWith('pkcs11:') ? values.keyFile : path(values.keyFile)],
    ['  -', path(values.anchorsFile)],
    ...(clockInDoubt ? [['#managerVerdict', 'fresh'] as const] : []),
    ...(verifierFile === null ? [] : [['#verifierCertificateFile', path(verifierFile)] as const]),
  ];
  return rows.reduce((text, [key, value]) => withValue(text, key, value), example);
}

/** Gives the first line of that key this value. @param key  as the line begins; `#` stands before one that is not set */
function withValue(example: string, key: string, value: string): string {
  const lines = example.split('\n');
  const head = key.endsWith('-') ? `${key} ` : `${key}: `;
  const at = lines.findIndex((line) => line.startsWith(head));
  if (at < 0) throw new RangeError(`the example configuration has no line ${key}`);
  lines[at] = `${head.replace(/^#/, '')}${stringify(value, { lineWidth: 0 }).trimEnd()}`;
  return lines.join('\n');
}

/** Comments and everything else stay as they are. @returns null when nothing is to be changed */
export function changedConfig(
  text: string,
  values: Pick<EnrolledValues, 'broker' | 'manager' | 'root'>,
): string | null {
  const document = parseDocument(text);
  const wanted: readonly (readonly [readonly string[], string, string | null])[] = [
    [['broker', 'url'], values.broker, null],
    [['manager'], values.manager, null],
    [['root'], values.root, DEFAULT_ROOT],
  ];
  let changed = false;
  for (const [path, value, absent] of wanted) {
    const node = document.getIn(path, true);
    if ((isScalar(node) ? node.value : absent) === value) continue;
    if (isScalar(node)) node.value = value;
    else document.setIn(path, value);
    changed = true;
  }
  return changed ? document.toString({ lineWidth: 0 }) : null;
}

/** @returns the text with this key on the outermost level */
export function withSetting(text: string, key: string, value: string): string {
  const document = parseDocument(text);
  document.setIn([key], value);
  return document.toString({ lineWidth: 0 });
}
