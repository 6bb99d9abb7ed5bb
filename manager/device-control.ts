/**
 * What operators ask about single devices, over the control socket.
 */
import { ControlError, type ControlHandler, type JsonValue } from '../platform/control-socket.ts';
import { toHex } from '../protocol/bytes.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { removeDevice } from './channels.ts';
import { number, text } from './control-arguments.ts';
import { type NewInvitation, newInvitation } from './invitations.ts';
import type { Done } from './retiring.ts';
import { showDevice } from './show.ts';
import { listingOf, type ManagerState } from './state.ts';
import { release } from './twins.ts';
import { voidDevice } from './voiding.ts';

/** Revokes the certificate of that serial number (hex) at the CA. */
export type Revoke = (serial: string) => Promise<void>;

export interface DeviceControlParts {
  readonly state: ManagerState;
  readonly act: (change: () => void) => void;
  /** Without a link of its own the manager does not know who has one. */
  readonly heard: (shown: { readonly [key: string]: JsonValue }) => { readonly [key: string]: JsonValue };
  readonly world: () => World;
  /** Absent: no CA at hand. */
  readonly revoke?: Revoke | undefined;
}

export function deviceControl(parts: DeviceControlParts): Readonly<Record<string, ControlHandler>> {
  const { state, act, heard, world } = parts;
  const known = (args: JsonValue): DeviceId => {
    const id = text(args, 'id').normalize('NFC') as DeviceId;
    if (!state.devices.has(id)) throw new ControlError('not-found', `no device ${id}: kagimori device list`);
    return id;
  };
  /** Answers when it is on disk. */
  const stored = (change: (done: Done) => void, failed: (why: string) => string): Promise<void> =>
    new Promise((resolve, reject) => {
      const done: Done = (why) => (why === null ? resolve() : reject(new ControlError('store', failed(why))));
      act(() => change(done));
    });
  const voided = async (id: DeviceId, invitation: NewInvitation | null): Promise<Revoked> => {
    const leaf = state.reader.readCertificate(state.devices.get(id)!.chain[0]!);
    const again = invitation === null ? '' : '; nobody was invited: kagimori device invite';
    await stored(
      (done) => {
        if (!voidDevice(state, id, invitation, done, world()))
          throw new ControlError('busy', `${id}: it is being reset`);
      },
      (why) => `${id} is out, but that is not on disk, and is tried again every 5 s: ${why}${again}`,
    );
    return revoked(parts.revoke, leaf === null ? null : toHex(leaf.serial));
  };
  return {
    'device.list': async () => [...state.devices.keys()].sort().map((id) => heard(showDevice(state, id))),
    'device.show': async (args) => heard(showDevice(state, known(args))),
    'device.remove': async (args) => {
      const id = known(args);
      act(() => removeDevice(state, id, world()));
      return { id };
    },
    'device.release': async (args) => {
      const id = known(args);
      await stored(
        (done) => {
          if (!release(state, id, done)) throw new ControlError('not-found', `${id} is not in quarantine`);
        },
        (why) => `not stored: ${why}`,
      );
      return { id };
    },
    'device.reset': async (args) => {
      const id = known(args);
      return { id, ...(await voided(id, null)) };
    },
    'device.transfer': async (args) => {
      const id = known(args);
      const { class: ofClass, groups } = listingOf(state, id);
      const wish = { name: id, class: ofClass, groups, uses: 1, ttlSeconds: number(args, 'ttlSeconds') };
      const made = newInvitation(state, wish, world(), true);
      if ('code' in made) throw new ControlError(made.code === 'bad-option' ? 'usage' : made.code, made.detail);
      const certificate = await voided(id, made);
      const { until } = made.record;
      return {
        id: made.id,
        name: id,
        class: ofClass,
        groups: [...groups],
        until: new Date(until * 1000).toISOString(),
        ...certificate,
        invitation: made.written,
      };
    },
  };
}

interface Revoked {
  /** null: this manager has no CA at hand. */
  readonly revoked: boolean | null;
  /** Why not. */
  readonly fault: string | null;
}

/** The device is out without it: a CA that cannot be reached is no reason to keep it in. */
async function revoked(revoke: Revoke | undefined, serial: string | null): Promise<Revoked> {
  if (revoke === undefined || serial === null) return { revoked: null, fault: null };
  try {
    await revoke(serial);
    return { revoked: true, fault: null };
  } catch (error) {
    return { revoked: false, fault: error instanceof Error ? error.message : String(error) };
  }
}
