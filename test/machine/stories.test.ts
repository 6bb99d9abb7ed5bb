/**
 * The stories of the simulator: told under several seeds they hold, and each can be seen to fail when the thing that it is
 * about is taken out of its world.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FORWARD } from '../../sim/adversary.ts';
import { STORIES } from '../../sim/stories.ts';
import { holds, storyText, type Told, tellStory } from '../../sim/story.ts';
import type { SimWorld } from '../../sim/world.ts';

const LONG = process.env.KAGIMORI_LONG === '1';

/** Rows of design §2 that a story shows. */
const ROWS: Readonly<Record<string, string>> = {
  'clock-1970': '[P3]',
  'cloned-card': '[P3]',
  'months-in-a-drawer': '[P3] [P4]',
  'token-burned': '[P3]',
  transfer: '[P3]',
  'user-moves': '[P21] [patent 0168, 0171]',
  'medium-pulled': '[P21] [patent 0170]',
};

type Writable<T> = { -readonly [key in keyof T]: T[key] };

/** What a story is about, taken away: at least one of its facts has to fall. */
const PLANTS: Readonly<Record<string, (world: SimWorld) => void>> = {
  'clock-1970': (world) => {
    for (const name of ['sensor', 'camera']) {
      const { settings } = world.devices.get(name)!.state;
      (settings as Writable<typeof settings>).verifierKeys = [];
    }
  },
  // a machine that says nothing is taken for one that was restarted
  'cloned-card': (world) => {
    world.adversary = { onPacket: ({ type }) => (/present/i.test(type) ? [] : FORWARD) };
  },
  'months-in-a-drawer': (world) => {
    const { settings } = world.devices.get('lantern')!.state;
    delete (settings as Partial<Writable<typeof settings>>).renewal;
  },
  // a disk that says that it keeps what it forgets: tokens are spent twice
  'token-burned': (world) => {
    const { store } = world.manager;
    const commit = store.commit.bind(store);
    (store as Writable<typeof store>).commit = (changes) =>
      commit(changes.filter(({ table, value }) => table !== 'enrolled' && !(table === 'devices' && value !== null)));
  },
  // the void keys are forgotten
  transfer: (world) => {
    const { store } = world.manager;
    const commit = store.commit.bind(store);
    (store as Writable<typeof store>).commit = (changes) => commit(changes.filter(({ table }) => table !== 'void'));
  },
  'user-moves': (world) => {
    const { settings } = world.manager.state;
    (settings as Writable<typeof settings>).users = { several: 'most-recent', onLeave: 'end' };
  },
  // nobody hears of a medium that goes
  'medium-pulled': (world) => {
    const tablet = world.devices.get('tablet')!;
    (tablet as Writable<typeof tablet>).pull = () => {};
  },
};

const fallen = ({ lines, findings }: Told): string[] => [
  ...lines.filter((line) => !line.holds).map(({ text }) => text),
  ...findings.map(({ law, what }) => `law ${law}: ${what}`),
];

for (const story of STORIES) {
  const row = ROWS[story.name] ?? '';
  test(`${row} [B3] sim ${story.name}: ${story.about}`, () => {
    for (const seed of [1, 2, 3]) {
      const told = tellStory(story, { seed, crypto: seed === 1 ? 'real' : 'model' });
      assert.deepEqual(fallen(told), [], storyText(told));
      assert.ok(told.lines.filter(({ kind }) => kind === 'fact').length >= 4, 'it has facts to tell');
    }
  });

  test(`${row} [B3] sim ${story.name}: without what it is about it does not hold`, () => {
    const plant = PLANTS[story.name];
    assert.ok(plant !== undefined, 'every story has its plant');
    const told = tellStory(story, { seed: 1, crypto: 'model', plant });
    assert.ok(!holds(told));
    assert.ok(fallen(told).length > 0);
    assert.match(storyText(told), /✗/);
  });

  test(`[B3] sim ${story.name}: one seed tells it the same, event for event`, () => {
    const [one, other] = [7, 7].map((seed) => tellStory(story, { seed, crypto: 'model' }));
    assert.equal(one!.traceHash, other!.traceHash);
    assert.deepEqual(one, other);
  });

  if (LONG) {
    test(`[B3] sim ${story.name}: under 200 seeds`, () => {
      for (let seed = 100; seed < 300; seed++) {
        const told = tellStory(story, { seed, crypto: 'model' });
        assert.deepEqual(fallen(told), [], storyText(told));
      }
    });
  }
}
