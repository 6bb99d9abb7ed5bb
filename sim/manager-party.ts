/**
 * The manager of a world: the real machine over a store in virtual time. What manager/service.ts is to it in production.
 */
import { createManager } from '../manager/creation.ts';
import type { CertificateWish, Certified, Effect } from '../manager/effects.ts';
import { type ManagerEvent, stepManager } from '../manager/manager.ts';
import { loadRegistry } from '../manager/registry.ts';
import type { ManagerState } from '../manager/state.ts';
import { type Change, memoryStore, type Store } from '../platform/store.ts';
import { type Crypto, publicKeyOperations } from '../protocol/crypto.ts';
import { EpochSeconds, Millis } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { alarm } from './alarm.ts';
import { type Sealing, tapCrypto } from './crypto-tap.ts';
import type { Disk } from './disk.ts';
import { MICROS_PER_MS } from './event-queue.ts';
import type { Outgoing } from './message-names.ts';
import { type LineOwner, MANAGER } from './party.ts';
import type { PartyContext } from './party-context.ts';

export interface ManagerParts {
  readonly identity: Parameters<typeof createManager>[0];
  readonly crypto: Crypto;
  readonly certify: (wish: CertificateWish) => Certified;
  readonly disk: Disk;
  readonly skewSeconds: number;
}

export interface ManagerParty {
  readonly state: ManagerState;
  readonly running: boolean;
  readonly disk: Disk;
  /** What is durable. */
  readonly store: Store;
  skewSeconds: number;
  readonly owner: LineOwner;
  operations(): number;
  world(): World;
  /** What an operator wants, in a turn of the machine. */
  run(act: (state: ManagerState, world: World) => void): void;
  boot(): void;
  kill(): void;
}

/** What a CA takes that books each certificate on a disk before it hands it out. */
const CERTIFYING_MICROS = 20 * MICROS_PER_MS;

export function managerParty(parts: ManagerParts, context: PartyContext): ManagerParty {
  const { queue, now, names } = context;
  let sealings: Sealing[] = [];
  const crypto = tapCrypto(parts.crypto, (sealing) => {
    sealings.push(sealing);
    context.sealed(MANAGER, sealing);
  });
  const store = memoryStore();
  let process = 0;
  let running = false;
  let state: ManagerState;

  const world = (): World => ({
    now: Millis(now() / MICROS_PER_MS),
    wall: EpochSeconds(context.wall() + self.skewSeconds),
    crypto,
  });
  const turn = (act: () => readonly Effect[]): void => {
    if (!running) return;
    sealings = [];
    perform(act());
    wake.set();
  };
  const feed = (event: ManagerEvent): void => turn(() => stepManager(state, event, world()));

  const perform = (effects: readonly Effect[]): void => {
    const outgoing: Outgoing[] = effects.filter((effect) => effect.type === 'publish');
    const named = outgoing.length === 0 ? [] : names.name(outgoing, sealings, () => null);
    let sent = 0;
    for (const effect of effects) {
      switch (effect.type) {
        case 'publish':
          context.publish(MANAGER, effect.topic, effect.payload, named[sent++]!);
          break;
        case 'log':
          context.logged(MANAGER, effect);
          break;
        case 'commit':
          commit(effect.number, effect.changes);
          break;
        case 'certify': {
          const { number, wish } = effect;
          const asking = process;
          queue.push(now() + CERTIFYING_MICROS, () => {
            if (process === asking) feed({ type: 'certified', number, certified: parts.certify(wish) });
          });
          break;
        }
        default:
          effect satisfies never;
      }
    }
  };

  const commit = (number: number, changes: readonly Change[]): void => {
    const writer = process;
    parts.disk.write(
      () => void store.commit(changes), // in memory: done when it returns
      (kept) => {
        if (kept) return feed({ type: 'committed', number });
        const refused = changes.map((change) => ({ change, held: store.get(change.table, change.key) }));
        feed({ type: 'commitFailed', number, reason: 'the disk is full', refused });
      },
      () => running && process === writer,
    );
  };

  const wake = alarm(
    queue,
    now,
    () => state.deadlines,
    () => feed({ type: 'time' }),
  );

  const self: ManagerParty = {
    get state() {
      return state;
    },
    get running() {
      return running;
    },
    disk: parts.disk,
    store,
    skewSeconds: parts.skewSeconds,
    owner: {
      up: () => feed({ type: 'linked' }),
      down: () => {}, // as in production: the broker tells what happened meanwhile
      received: (topic, payload) => feed({ type: 'received', topic, payload }),
    },
    operations: () => publicKeyOperations(crypto.counter),
    world,
    run(act) {
      turn(() => {
        state.out = [];
        act(state, world());
        return state.out;
      });
    },
    boot() {
      process++;
      running = true;
      state = createManager(parts.identity, loadRegistry(store), world());
      wake.set();
    },
    kill() {
      process++;
      running = false;
      wake.off();
    },
  };
  state = createManager(parts.identity, loadRegistry(store), world());
  return self;
}
