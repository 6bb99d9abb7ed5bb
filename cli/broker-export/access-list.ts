/**
 * Who may use which topic at an outside broker, in Mosquitto's form (`acl_file`). What no line names nobody may do; each
 * listener has a list of its own, so that no name of a device can be that of a service. @spec mosquitto.conf(5), design §5.1
 */
import { INTEGRATION_ROOT } from '../../protocol/approval-topics.ts';
import { encodeId } from '../../protocol/topics.ts';
import type { DeviceId } from '../../protocol/units.ts';

const RULES = (root: string, user: string): readonly string[] => [
  `write ${root}/m/${user}`,
  `read ${root}/d/${user}`,
  `write ${root}/p/+/${user}`,
  `read ${root}/p/${user}/+`,
  `write ${root}/v/q/${user}`,
  `read ${root}/v/a/${user}`,
  `write ${INTEGRATION_ROOT}/approval/${user}/ask`,
  `write ${INTEGRATION_ROOT}/approval/${user}/settled`,
  `read ${INTEGRATION_ROOT}/approval/${user}/answer`,
];

/**
 * @param ids  devices whose user name is not the spelling of their id in topics: those with a certificate and a character
 *             outside `[A-Za-z0-9-_.]`; the pattern cannot spell them
 */
export function deviceAccess(root: string, ids: readonly DeviceId[]): string {
  const spelled = ids.flatMap((id) => ['', `user ${id}`, ...RULES(root, encodeId(id)).map((rule) => `topic ${rule}`)]);
  return lines([
    '# Devices; %u is the user name. Everything else is denied.',
    ...RULES(root, '%u').map((rule) => `pattern ${rule}`),
    ...spelled,
  ]);
}

export function serviceAccess(root: string): string {
  return lines([
    '# Manager and verifier. Everything else is denied.',
    'user manager',
    `topic read ${root}/m/+`,
    `topic write ${root}/d/+`,
    `topic write ${root}/v/q/~manager`,
    `topic read ${root}/v/a/~manager`,
    `topic read ${root}/v/e`,
    '',
    'user verifier',
    `topic read ${root}/v/q/+`,
    `topic write ${root}/v/a/+`,
    `topic write ${root}/v/e`,
  ]);
}

const lines = (all: readonly string[]): string => `${all.join('\n')}\n`;
