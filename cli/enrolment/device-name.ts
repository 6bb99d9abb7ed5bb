/**
 * Which name a device asks for: the invitation's, the operator's, or a part that this machine makes for itself.
 */
import { readFileSync } from 'node:fs';
import { encodeUtf8, toHex } from '../../protocol/bytes.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { matchesGlob } from '../../protocol/id-pattern.ts';
import { deviceId } from '../../protocol/topics.ts';
import type { DeviceId } from '../../protocol/units.ts';
import { Failure } from '../failure.ts';

const MACHINE_ID = '/etc/machine-id';
const OWN_PART_BYTES = 6;

/**
 * @param invited  what the invitation says; with `*` where the device puts its own part
 * @param wished   `--name`: the whole name, or that part
 * @param ownPart  asked only where nobody else says it
 * @returns null: whichever the manager gives
 * @throws Failure `bad-name`
 */
export function nameToAsk(
  invited: string | undefined,
  wished: string | undefined,
  ownPart: () => string | null,
): DeviceId | null {
  if (invited === undefined) return wished === undefined ? null : checked(wished);
  if (!invited.includes('*')) {
    if (wished === undefined || wished === invited) return checked(invited);
    throw badName(
      `the invitation is for ${invited}, not for ${wished}: leave --name out, or ask for another invitation`,
    );
  }
  const whole = wished !== undefined && matchesGlob(invited, wished);
  const part = wished ?? ownPart();
  if (part === null) {
    throw badName(
      `this machine has no ${MACHINE_ID} to make its part of the name ${invited} from: give it with --name`,
    );
  }
  return checked(whole ? part : invited.replace('*', () => part));
}

function checked(name: string): DeviceId {
  const id = deviceId(name);
  if (id !== null) return id;
  throw badName(`${name} is no name of a device: 1 to 64 bytes without control characters or a leading ~`);
}

const badName = (text: string): Failure => new Failure('usage', 'bad-name', text);

/** 12 hexadecimal digits that are this machine's alone and tell nobody its id, as machine-id(5) asks for. */
export function machinePart(crypto: Crypto, path: string = MACHINE_ID): string | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
  if (!/^[0-9a-f]{32}$/.test(text)) return null;
  return toHex(crypto.hash('sha-256', encodeUtf8(`kagimori device name ${text}`)).subarray(0, OWN_PART_BYTES));
}
