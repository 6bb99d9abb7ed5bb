/**
 * Random schedules of programs, people, networks, processes and disks in the virtual world, and every fault at every message
 * of one session: no law breaks. Each law is first seen to break where a fault is planted. [design §5.4, §5.6, B7]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AgentState } from '../../device-agent/state.ts';
import { EMPTY_WINDOW } from '../../protocol/replay-window.ts';
import { resolveSuite } from '../../protocol/suites.ts';
import { Millis } from '../../protocol/units.ts';
import { FAULTS, type FaultPoint, runWithFaults } from '../../sim/fault-points.ts';
import { LAWS, type Law } from '../../sim/invariants.ts';
import { runSchedule, type Weather } from '../../sim/schedule.ts';
import { seededRandom } from '../../sim/seeded-random.ts';
import type { SimWorld } from '../../sim/world.ts';

const LONG = process.env.KAGIMORI_LONG === '1';
const SCHEDULES: Readonly<Record<Weather, number>> = LONG
  ? { mishaps: 6000, hostile: 4000 }
  : { mishaps: 30, hostile: 24 };
const PAIRS = LONG ? Number.POSITIVE_INFINITY : 40;
const FIRST_SEED = 2_007_184_993;
const STEPS = 40;

for (const weather of ['mishaps', 'hostile'] as const) {
  const count = SCHEDULES[weather];
  test(`[B7] [5.6 crossed handshakes] [5.6 lost, doubled, reordered messages at every step] ${count} random schedules, ${weather}: every law holds`, {
    timeout: 3_600_000,
  }, () => {
    const looks = Object.fromEntries(Object.keys(LAWS).map((law) => [law, 0])) as Record<Law, number>;
    for (let i = 0; i < count; i++) {
      const seed = FIRST_SEED + i;
      const { invariants, deeds } = runSchedule({ seed, weather, crypto: 'model', devices: 2 + (i % 3), steps: STEPS });
      assert.deepEqual(invariants.findings, [], `seed ${seed}, ${weather}:\n${deeds.join('\n')}`);
      for (const law of Object.keys(LAWS) as Law[]) looks[law] += invariants.looks[law];
    }
    for (const law of Object.keys(LAWS) as Law[]) {
      if (law === 'alive' && weather === 'hostile') continue; // a broker that swallows what it likes can end any session
      assert.ok(looks[law] > 0, `${law} was never looked at`);
    }
  });
}

test('[B7] schedules with real cryptography: every law holds', () => {
  for (let seed = 1; seed <= (LONG ? 200 : 4); seed++) {
    const { invariants, deeds } = runSchedule({ seed, weather: 'mishaps', crypto: 'real', devices: 3, steps: STEPS });
    assert.deepEqual(invariants.findings, [], `seed ${seed}:\n${deeds.join('\n')}`);
  }
});

test('[B7] [5.6 nonce reuse] schedules of sessions by AES-CTR with HMAC: every law holds, and a nonce used twice is seen', () => {
  const proposals = [
    { cipher: 'aes-ctr-hmac', keyBits: [256], hashes: ['sha-512'], tagBits: 64, keyMode: 'key', priority: 1 },
  ] as const;
  for (const crypto of ['model', 'real'] as const) {
    let [caught, sealings] = [0, 0];
    for (let seed = 1; seed <= (LONG ? 200 : 10); seed++) {
      const schedule = { seed, weather: 'mishaps', crypto, devices: 3, steps: STEPS, proposals } as const;
      const before = sealings;
      const { invariants, deeds } = runSchedule(schedule, (world) =>
        world.observe({ sealed: (_party, { cipher }) => void (cipher === 'aes-ctr-hmac' && sealings++) }),
      );
      assert.deepEqual(invariants.findings, [], `seed ${seed}, ${crypto}:\n${deeds.join('\n')}`);
      assert.ok(invariants.looks.nonce > sealings - before, 'each of them was looked at');
      const { findings } = runSchedule(schedule, PLANTED.nonce.plant).invariants;
      if (findings.some(({ law }) => law === 'nonce')) caught++;
    }
    assert.ok(sealings > 20, `${crypto}: ${sealings} records by AES-CTR with HMAC`);
    assert.ok(caught > 0, `${crypto}: a nonce was used twice and nobody saw it`);
  }
});

test('[B7] [5.6 lost, doubled, reordered messages at every step] every fault at every message of a session, its renewal and its end', () => {
  const { messages } = runWithFaults([]);
  assert.ok(messages > 20, `${messages}`);
  let opened = 0;
  for (let message = 1; message <= messages; message++) {
    for (const fault of FAULTS) opened += judge([{ message, fault }]) ? 1 : 0;
  }
  assert.ok(opened > (messages * FAULTS.length) / 2, 'most faults do not even keep the session from coming up');
});

test('[B7] pairs of faults', { timeout: 3_600_000 }, () => {
  const { messages } = runWithFaults([]);
  const points: FaultPoint[] = [];
  for (let message = 1; message <= messages; message++) for (const fault of FAULTS) points.push({ message, fault });
  const random = seededRandom('pairs of faults');
  const all = (points.length * (points.length - 1)) / 2;
  if (all <= PAIRS) {
    for (const [at, one] of points.entries()) for (const other of points.slice(at + 1)) judge([one, other]);
    return;
  }
  for (let pair = 0; pair < PAIRS; pair++)
    judge([points[random.below(points.length)]!, points[random.below(points.length)]!]);
});

function judge(points: readonly FaultPoint[]): boolean {
  const where = points.map(({ message, fault }) => `${fault} at ${message}`).join(' and ');
  const { invariants, opened, opensAfter } = runWithFaults(points);
  assert.deepEqual(invariants.findings, [], where);
  assert.ok(opensAfter, `${where}: a later call brings no session`);
  return opened;
}

// ── The proof that a law is seen to break ───────────────────────────────────────────────────────────────────────────

const everySecond = (world: SimWorld, act: () => void): void => {
  for (let at = 6000; at < 120_000; at += 500) world.at(at, act);
};
const agents = (world: SimWorld): AgentState[] => [...world.devices.values()].map(({ state }) => state);

const PLANTED: Readonly<Record<Law, { readonly weather: Weather; readonly plant: (world: SimWorld) => void }>> = {
  nonce: {
    weather: 'mishaps',
    plant: (world) =>
      everySecond(world, () => {
        for (const { sessions } of agents(world)) for (const { records } of sessions.values()) records.nextSequence = 0;
      }),
  },
  hidden: {
    weather: 'mishaps',
    plant: (world) =>
      everySecond(world, () => {
        const algorithm = resolveSuite({ cipher: 'hmac', keyBits: 128, hash: 'sha-256', tagBits: 128 });
        for (const { sessions } of agents(world))
          for (const { records } of sessions.values()) Object.assign(records, { algorithm });
      }),
  },
  once: {
    weather: 'mishaps',
    plant: (world) => {
      for (const at of [15_000, 20_000, 25_000, 30_000]) {
        for (const name of world.devices.keys()) {
          world.at(at, () => world.crash(name));
          world.at(at + 300, () => world.restart(name));
        }
      }
      everySecond(world, () => {
        for (const session of world.manager.state.sessions.values()) {
          if (session.flow.state === 'granted') session.flow = { ...session.flow, epoch: 0 };
        }
      });
    },
  },
  consent: {
    weather: 'mishaps',
    plant: (world) => {
      for (const { settings } of agents(world)) {
        (settings as { approval: AgentState['settings']['approval'] }).approval = {
          ...settings.approval,
          otherwise: 'allow',
        };
      }
    },
  },
  yes: {
    weather: 'mishaps',
    // the manager takes approvals that nobody gave
    plant: (world) =>
      everySecond(world, () => {
        const { channels, devices } = world.manager.state;
        for (const { standing } of channels.values())
          for (const caller of devices.keys())
            standing.set(caller, { lifetimeSeconds: 86_400, nonces: [new Uint8Array(16)] });
      }),
  },
  withdrawn: {
    weather: 'mishaps',
    // an approval that was taken back comes back by itself, at the device and at the manager
    plant: (world) => {
      const kept = new Map<string, Map<unknown, unknown>>();
      const restore = (who: string, standing: Map<unknown, unknown>): void => {
        const before = kept.get(who) ?? new Map<unknown, unknown>();
        for (const [caller, one] of standing) before.set(caller, one);
        for (const [caller, one] of before) standing.set(caller, one);
        kept.set(who, before);
      };
      world.observe({
        traced() {
          for (const { id, standing } of agents(world)) restore(id, standing);
          for (const [id, { standing }] of world.manager.state.channels) restore(`manager ${id}`, standing);
        },
      });
    },
  },
  identity: {
    weather: 'mishaps',
    plant: (world) =>
      everySecond(world, () => {
        const { devices } = world.manager.state;
        const [one, other] = [...devices.entries()];
        if (one === undefined || other === undefined) return;
        devices.set(one[0], { ...one[1], leaf: other[1].leaf });
      }),
  },
  data: {
    weather: 'hostile',
    plant: (world) =>
      world.observe({
        traced() {
          for (const { sessions } of agents(world))
            for (const { records } of sessions.values()) records.window = EMPTY_WINDOW;
        },
      }),
  },
  agreement: {
    weather: 'mishaps',
    plant: (world) => {
      world.at(300_000, () => {
        for (const { sessions } of agents(world)) {
          for (const sid of sessions.keys()) return void sessions.delete(sid);
        }
      });
    },
  },
  waiting: {
    weather: 'mishaps',
    plant: (world) =>
      everySecond(world, () => {
        for (const { deadlines } of agents(world)) {
          for (const key of deadlines.current.keys())
            if (/^(call|ask|hello|grant)/.test(key)) deadlines.current.delete(key);
        }
      }),
  },
  revoked: {
    weather: 'mishaps',
    plant: (world) =>
      everySecond(world, () => {
        const { revocation } = world.manager.state;
        revocation.bearers.clear();
        revocation.doubtful.clear();
      }),
  },
  silent: {
    weather: 'mishaps',
    plant: (world) =>
      everySecond(world, () => {
        const { revocation } = world.manager.state;
        revocation.heardAt = Millis(world.now() / 1000);
      }),
  },
  alive: {
    weather: 'mishaps',
    plant: (world) => everySecond(world, () => agents(world).forEach(({ consentKey }) => void consentKey.fill(0))),
  },
};

for (const law of Object.keys(LAWS) as Law[]) {
  test(`a planted fault is caught by its law: ${LAWS[law]}`, (t) => {
    const { weather, plant } = PLANTED[law];
    let caught = 0;
    let tries = 0;
    for (let seed = 1; seed <= 20 || (caught === 0 && seed <= 100); seed++) {
      tries++;
      const { invariants } = runSchedule({ seed, weather, crypto: 'model', devices: 3, steps: STEPS }, plant);
      if (invariants.findings.some((finding) => finding.law === law)) caught++;
    }
    t.diagnostic(`${law}: caught in ${caught} of ${tries} schedules`);
    assert.ok(caught > 0, `${law} was broken and nobody saw it`);
  });
}
