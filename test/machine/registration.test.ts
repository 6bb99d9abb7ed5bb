/**
 * Registration: completion only after the record is durable, update, deletion, changed addresses, names that clash.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closeChannel } from '../../device-agent/channel.ts';
import { announceAddresses, join } from '../../device-agent/joining.ts';
import { register, unregister } from '../../device-agent/registration.ts';
import { loadRegistry } from '../../manager/registry.ts';
import { type CborItem, encode } from '../../protocol/cbor.ts';
import { certify, DEVICE_WISHES } from '../test-authority.ts';
import { proposal, town } from '../town.ts';
import type { Town, TownDevice } from '../town-plan.ts';
import { doubled, dropped, E1, E4, isIn, kindsSince, RECORD, toEvery, toNth } from './town-packets.ts';

const stored = (t: Town, device: TownDevice) => loadRegistry(t.store).registrations.get(device.id);
const versions = (device: TownDevice): number[] =>
  device.news.filter((one) => one.news === 'registered').map(({ version }) => version);
const again = (device: TownDevice, change: object = {}): void =>
  device.run((state) => register(state, { ...state.registration.wanted, ...change }, device.world()));
const moveTo = (device: TownDevice, ...addresses: string[]): void =>
  device.run((state) => announceAddresses(state, addresses, device.world()));

test('[P9] [patent 2002-2012] addresses and proposals with their priorities are stored, then the completion comes', () => {
  const t = town();
  const proposals = [
    proposal('aes-gcm', 256, { priority: 1 }),
    proposal('aes-ccm', 128, { priority: 2, keyMode: 'key' }),
  ];
  const router = t.add('router-1', { proposals });
  assert.deepEqual(versions(router), [1]);
  assert.deepEqual(stored(t, router)?.proposals, proposals);
  assert.deepEqual(stored(t, router)?.addresses, ['udp://192.0.2.1:50']);
});

test('[P9] [patent 2006-2010] no completion before the record is durable', () => {
  const t = town();
  const router = t.add('router-1');
  t.diskFrozen = true;
  again(router, { addresses: ['udp://192.0.2.99'] });
  t.advance(5_000);
  assert.deepEqual(versions(router), [1]);
  t.restartManager();
  t.advance(15_000);
  assert.deepEqual(stored(t, router)?.addresses, ['udp://192.0.2.99'], 'asked again by itself on the next channel');
  assert.deepEqual(versions(router), [1, 2]);
});

test('[P9] a disk that refuses: the request is denied, and a repeat of it completes only when the record is durable', () => {
  const t = town();
  const router = t.add('router-1');
  t.diskBroken = true;
  again(router, { addresses: ['udp://192.0.2.99'] });
  t.flush();
  assert.deepEqual(versions(router), [1]);
  assert.ok(router.logs.some((line) => line.includes('"kind":"Denied"')));
  assert.deepEqual(stored(t, router)?.addresses, ['udp://192.0.2.1:50']);
  assert.deepEqual(
    t.manager.registrations.get(router.id)?.addresses,
    ['udp://192.0.2.1:50'],
    'memory follows the disk',
  );
  t.diskBroken = false;
  router.breakLink();
  t.advance(1_000);
  assert.deepEqual(versions(router), [1, 2]);
  assert.deepEqual(stored(t, router)?.addresses, ['udp://192.0.2.99']);
});

test('[P9] a disk that refuses during a login: no message_4, no channel, nothing claimed; later it works', () => {
  const t = town();
  t.diskBroken = true;
  const router = t.add('router-1');
  assert.ok(!isIn(t, router) && !kindsSince(t).includes(E4));
  assert.deepEqual([t.manager.devices.size, t.manager.registrations.size, t.manager.resumption.size], [0, 0, 0]);
  t.diskBroken = false;
  t.advance(60_000);
  assert.ok(isIn(t, router));
  assert.deepEqual(stored(t, router)?.addresses, ['udp://192.0.2.1:50']);
});

test('[P9] [patent 0146, 0155] registering again replaces addresses and proposals: one entry per device', () => {
  const t = town();
  const router = t.add('router-1');
  again(router, { addresses: ['tcp://192.0.2.7:1'], proposals: [proposal('chacha20-poly1305', 256)] });
  t.flush();
  assert.deepEqual(versions(router), [1, 2]);
  assert.deepEqual(stored(t, router)?.addresses, ['tcp://192.0.2.7:1']);
  assert.deepEqual(
    stored(t, router)?.proposals.map(({ cipher }) => cipher),
    ['chacha20-poly1305'],
  );
  assert.equal([...t.store.entries('registrations')].length, 1);
});

test('[P9] [patent 0100] deletion removes both, and a later registration begins anew', () => {
  const t = town();
  const router = t.add('router-1');
  router.run((state) => unregister(state, router.world()));
  t.flush();
  assert.deepEqual(router.latest('deleted'), { news: 'deleted' });
  assert.equal(stored(t, router), undefined);
  assert.equal(t.manager.registrations.has(router.id), false);
  router.breakLink();
  t.advance(1_000);
  assert.equal(stored(t, router), undefined, 'a new channel does not register what was deleted');
  again(router);
  t.flush();
  assert.notEqual(stored(t, router), undefined);
});

test('[P9] a deletion that is lost with its link, or wished without a channel, is done on the next channel', () => {
  const t = town();
  const router = t.add('router-1');
  t.meddler = toNth(RECORD, 1, dropped);
  router.run((state) => unregister(state, router.world()));
  router.breakLink();
  t.advance(1_000);
  assert.equal(stored(t, router), undefined);
  const lamp = t.add('lamp');
  lamp.run((state) => {
    closeChannel(state, 'done', lamp.world());
  });
  t.advance(1_000);
  lamp.run((state) => {
    unregister(state, lamp.world());
    join(state, lamp.world());
  });
  t.advance(1_000);
  assert.equal(stored(t, lamp), undefined);
  assert.deepEqual(lamp.latest('deleted'), { news: 'deleted' });
});

test('[P9] [5.6 lost, doubled, reordered messages at every step] a registration that is doubled on the way counts once', () => {
  const t = town();
  t.meddler = toEvery(RECORD, doubled);
  const router = t.add('router-1');
  again(router, { addresses: ['udp://192.0.2.2'] });
  again(router, { addresses: ['udp://192.0.2.3'] });
  t.advance(1_000);
  assert.deepEqual(versions(router), [1, 3]);
  assert.equal(t.manager.registrations.get(router.id)?.version, 3);
});

test('[P9] a completion that is lost with the link is given again for the same request id: the version does not move', () => {
  const t = town();
  const router = t.add('router-1');
  t.meddler = (packet) =>
    packet.from === 'manager' && packet.payload[0]! < 0x80 && packet.topic.startsWith('km1/d/') ? [] : 'pass';
  again(router, { addresses: ['udp://192.0.2.2'] });
  t.flush();
  assert.equal(t.manager.registrations.get(router.id)?.version, 2);
  t.meddler = () => 'pass';
  router.breakLink();
  t.advance(1_000);
  assert.deepEqual(versions(router), [1, 2]);
});

test('[B5] [B7] registering costs no public-key operation and survives the restart of everybody', () => {
  const t = town();
  const router = t.add('router-1');
  const operations = router.operations();
  again(router, { addresses: ['udp://192.0.2.50'] });
  t.flush();
  t.restartManager();
  t.restartBroker();
  t.advance(15_000);
  assert.deepEqual(t.manager.registrations.get(router.id)?.addresses, ['udp://192.0.2.50']);
  assert.equal(router.operations(), operations);
});

// ── Changed addresses (P10) ─────────────────────────────────────────────────────────────────────────────────────────

test('[P10] [patent 0101] changed addresses are registered again, once; unchanged ones cost nothing', () => {
  const t = town();
  const router = t.add('router-1');
  moveTo(router, 'udp://198.51.100.1');
  t.advance(1_000);
  assert.deepEqual(versions(router), [1, 2]);
  assert.deepEqual(stored(t, router)?.addresses, ['udp://198.51.100.1']);
  const from = t.packets.length;
  moveTo(router, 'udp://198.51.100.1');
  t.advance(1_000);
  assert.equal(t.packets.length, from);
});

test('[P10] [patent 0102] after a restart the device registers again by itself, and after a new network too', () => {
  const t = town();
  const router = t.add('router-1');
  router.restart();
  t.advance(1_000);
  assert.deepEqual(versions(router), [1, 1], 'the same content is the same version');
  moveTo(router, 'udp://203.0.113.5');
  router.breakLink();
  t.advance(1_000);
  assert.deepEqual(stored(t, router)?.addresses, ['udp://203.0.113.5']);
});

test('[P10] [patent 0101, 2000] a device whose channel is closed opens it to register its new addresses', () => {
  const t = town();
  const router = t.add('router-1');
  router.run((state) => {
    closeChannel(state, 'done', router.world());
  });
  t.advance(1_000);
  const operations = router.operations();
  moveTo(router, 'udp://203.0.113.5');
  t.advance(1_000);
  assert.ok(isIn(t, router));
  assert.deepEqual(stored(t, router)?.addresses, ['udp://203.0.113.5']);
  assert.equal(router.operations(), operations);
});

// ── Names (design §5.4, §5.7) ───────────────────────────────────────────────────────────────────────────────────────

test('two devices with one name: the second certificate is refused with name-taken, the first is not disturbed', () => {
  const t = town();
  const first = t.add('router-1');
  const channel = t.manager.channels.get(first.id)?.channel;
  const second = t.add('router-1', { holder: certify('router-1', DEVICE_WISHES, t.ca) });
  assert.equal(second.latest('loginDenied')?.reason, 'name-taken');
  t.advance(60_000);
  assert.equal(second.state.channel, null);
  assert.equal(t.manager.channels.get(first.id)?.channel, channel);
  assert.ok(isIn(t, first));
});

test('[5.6 malleated signatures and certificates] a renewed certificate with the same key is the same device', () => {
  const t = town();
  const first = t.add('router-1');
  const renewed = certify('router-1', { ...DEVICE_WISHES, key: first.holder.key }, t.ca);
  first.stop();
  const second = t.add('router-1', { holder: renewed });
  assert.ok(isIn(t, second));
  assert.equal(second.latest('loginDenied'), undefined);
});

test('a name whose certificate has run out is free for another one', () => {
  const t = town();
  t.add('router-1', { certificate: { notAfter: t.clock.wall() + 3600 } });
  t.advance(7_200_000);
  const second = t.add('router-1', { holder: certify('router-1', DEVICE_WISHES, t.ca) });
  t.advance(60_000);
  assert.ok(second.state.channel !== null, second.state.denied ?? '');
});

test('an alias that another device holds is refused to the second, whose login goes on without it', () => {
  const t = town();
  const alias = { alternativeNames: [{ type: 'dns', value: 'box.example' }] } as const;
  const [first, second] = [t.add('box-1', { certificate: alias }), t.add('box-2', { certificate: alias })];
  assert.ok(isIn(t, first) && isIn(t, second));
  assert.ok(
    t.managerLogs.some((line) => line.includes('name.taken') && line.includes('box-2')),
    t.managerLogs.join('\n'),
  );
  assert.equal([...t.manager.names].filter(([, id]) => id === second.id).length, 1);
});

test('nothing is registered for a device that never finished its login', () => {
  const t = town();
  t.meddler = toEvery(E1, dropped);
  const router = t.add('router-1');
  t.advance(20_000);
  assert.equal(stored(t, router), undefined);
});

test('[P9] [B7] a registration that another version wrote is left out at the start; its device makes it anew', () => {
  const t = town();
  const [router, tv] = [t.add('router'), t.add('tv')];
  // as it was before ranges: label 1 of a proposal was a suite with every setting fixed
  const suite = new Map<number, CborItem>([
    [1, 1],
    [2, 128],
    [3, 1],
    [4, 128],
  ]);
  const oldProposal = new Map<number, CborItem>([
    [1, suite],
    [2, 1],
    [3, 1],
  ]);
  const old = new Map<number, CborItem>([
    [1, 1],
    [2, new Uint8Array(16)],
    [3, new Uint8Array(32)],
    [4, []],
    [5, [oldProposal]],
  ]);
  void t.store.commit([{ table: 'registrations', key: router.id, value: encode(old) }]);
  t.restartManager();
  assert.deepEqual([...t.manager.registrations.keys()], [tv.id]);
  assert.deepEqual(loadRegistry(t.store).outdated, [router.id]);
  router.restart();
  t.flush();
  assert.deepEqual([...t.manager.registrations.keys()].sort(), [router.id, tv.id].sort());
  assert.deepEqual(loadRegistry(t.store).outdated, []);
});
