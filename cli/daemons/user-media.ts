/**
 * Users' media at this device: a process with the key for each that is in, and what the agent hears of it.
 */
import { join } from 'node:path';
import type { UserMediaConfig } from '../../device-agent/config.ts';
import type { InsertedUser } from '../../device-agent/user-states.ts';
import { watchMedia } from '../../hardware/removable-media.ts';
import type { ControlHandler, JsonValue } from '../../platform/control-socket.ts';
import type { Log } from '../../platform/log.ts';
import { toHex } from '../../protocol/bytes.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { MAX_USERS } from '../../protocol/messages.ts';
import type { Report } from '../user-key/frames.ts';
import { type KeyKeeper, startKeeper } from '../user-key/keeper.ts';

export interface UserMedia {
  readonly control: Readonly<Record<string, ControlHandler>>;
  /** null: no such medium is in, or its key is gone. */
  sign(leaf: Uint8Array, toSign: Uint8Array): Promise<Uint8Array | null>;
  start(agent: { userInserted(user: InsertedUser): void; userRemoved(leaf: Uint8Array): void }): void;
  close(): void;
}

const POLL_MS = 400;
/** From the PIN to the key; what takes longer is no PIN's work. */
const UNLOCK_MS = 15_000;
/** From the insertion to the question for the PIN. */
const READ_MS = 15_000;
/** For the answer to a try after which there is none. */
const LAST_WORD_MS = 1_000;

type MediumState =
  | { readonly name: 'reading' }
  | { readonly name: 'locked' }
  | { readonly name: 'unlocking' }
  | { readonly name: 'unlocked'; readonly leaf: Uint8Array }
  /** Until it is taken out. */
  | { readonly name: 'refused'; readonly detail: string };

interface Medium {
  readonly root: string;
  readonly socket: string;
  user: string | null;
  state: MediumState;
  keeper: KeyKeeper | null;
  timer: NodeJS.Timeout | null;
}

export function userMedia(config: UserMediaConfig, stateDirectory: string, crypto: Crypto, log: Log): UserMedia {
  const media = new Map<string, Medium>();
  const { pinTimeoutSeconds } = config;
  let agent: Parameters<UserMedia['start']>[0] | null = null;
  let watch: { stop(): void } | null = null;

  const allow = (medium: Medium, ms: number, detail: string): void => {
    clearTimeout(medium.timer ?? undefined);
    medium.timer = setTimeout(() => refuse(medium, detail), ms).unref();
  };
  const end = (medium: Medium): void => {
    clearTimeout(medium.timer ?? undefined);
    medium.keeper?.kill();
    medium.keeper = null;
    if (medium.state.name === 'unlocked') agent?.userRemoved(medium.state.leaf);
  };
  const refuse = (medium: Medium, detail: string): void => {
    if (medium.state.name === 'refused') return;
    end(medium);
    medium.state = { name: 'refused', detail };
    log.warn('user.medium-refused', { medium: medium.root, user: medium.user, detail, remedy: 'take the medium out' });
  };
  const report = (medium: Medium, said: Exclude<Report, { kind: 'signed' }>): void => {
    if (media.get(medium.root) !== medium || medium.state.name === 'refused') return;
    switch (said.kind) {
      case 'locked':
        medium.user = said.user;
        medium.state = { name: 'locked' };
        log.info('user.medium-locked', { medium: medium.root, user: said.user, remedy: 'kagimori user unlock' });
        return allow(medium, pinTimeoutSeconds * 1000, `no PIN within ${pinTimeoutSeconds} s`);
      case 'trying':
        medium.state = { name: 'unlocking' };
        return allow(medium, UNLOCK_MS, 'it took too long to unlock it');
      case 'wrong':
        log.warn('user.pin-wrong', { medium: medium.root, user: medium.user, left: said.left });
        if (said.left === 0) return lastWord(medium, 'three wrong PINs');
        medium.state = { name: 'locked' };
        return allow(medium, pinTimeoutSeconds * 1000, `no PIN within ${pinTimeoutSeconds} s`);
      case 'unlocked': {
        const [first, ...issuers] = said.chain;
        if (first === undefined) return refuse(medium, 'it holds no certificate');
        clearTimeout(medium.timer ?? undefined);
        medium.state = { name: 'unlocked', leaf: crypto.hash('sha-256', first) };
        log.info('user.medium-unlocked', { medium: medium.root, user: said.user });
        return agent?.userInserted({ user: said.user, chain: [first, ...issuers] });
      }
      case 'useless':
        return lastWord(medium, said.detail);
      default:
        said satisfies never;
    }
  };
  /** The process says its last word to whoever has tried, and ends by itself a moment later; or it is helped. */
  const lastWord = (medium: Medium, detail: string): void => {
    clearTimeout(medium.timer ?? undefined);
    medium.state = { name: 'refused', detail };
    medium.timer = setTimeout(() => medium.keeper?.kill(), LAST_WORD_MS).unref();
    log.warn('user.medium-refused', { medium: medium.root, user: medium.user, detail, remedy: 'take the medium out' });
  };
  const inserted = (root: string): void => {
    const taken = new Set([...media.values()].map(({ socket }) => socket));
    const free = Array.from({ length: MAX_USERS }, (_, at) => join(stateDirectory, `user-${at + 1}.sock`));
    const socket = free.find((path) => !taken.has(path));
    if (socket === undefined) {
      return log.warn('user.too-many', { medium: root, most: MAX_USERS, remedy: 'take another medium out first' });
    }
    const medium: Medium = { root, socket, user: null, state: { name: 'reading' }, keeper: null, timer: null };
    media.set(root, medium);
    log.info('user.medium-inserted', { medium: root });
    allow(medium, READ_MS, 'it could not be read in time');
    const keeper = startKeeper({
      root,
      socket,
      reported: (said) => report(medium, said),
      ended: () => {
        if (media.get(root) === medium && medium.keeper === keeper)
          refuse(medium, 'the process with its key has ended');
      },
    });
    medium.keeper = keeper;
  };
  const removed = (root: string): void => {
    const medium = media.get(root);
    if (medium === undefined) return;
    media.delete(root);
    end(medium);
    log.info('user.medium-removed', { medium: root, user: medium.user });
  };

  return {
    control: { 'user.media': async () => [...media.values()].map(shown) },
    sign: async (leaf, toSign) => {
      const key = toHex(leaf);
      for (const { state, keeper } of media.values()) {
        if (state.name === 'unlocked' && toHex(state.leaf) === key) return (await keeper?.sign(toSign)) ?? null;
      }
      return null;
    },
    start(given) {
      agent = given;
      watch = watchMedia(
        { directories: config.media, mounts: mountsOf(config), everyMs: POLL_MS },
        { inserted, removed },
      );
    },
    close() {
      watch?.stop();
      for (const root of [...media.keys()]) removed(root);
    },
  };
}

const USUAL_MOUNTS = ['/media/*', '/media/*/*', '/run/media/*/*', '/mnt/*'] as const;

const mountsOf = ({ mounts }: UserMediaConfig): readonly string[] =>
  mounts === false ? [] : mounts === true ? USUAL_MOUNTS : mounts;

function shown({ root, socket, user, state, keeper }: Medium): JsonValue {
  const more =
    state.name === 'refused'
      ? { detail: state.detail }
      : state.name === 'unlocked'
        ? { leaf: toHex(state.leaf) }
        : state.name === 'locked'
          ? { socket }
          : {};
  return { medium: root, user, state: state.name, process: keeper?.pid ?? null, ...more };
}
