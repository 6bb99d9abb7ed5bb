/**
 * Revocation on a broker that is not ours, and events that somebody who can publish tells again: neither lets anybody stay.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { mqttTransport } from '../../platform/transport-mqtt.ts';
import { Topic } from '../../protocol/units.ts';
import { freePorts, handOver, mosquittoAbsent, startMosquitto } from '../mosquitto.ts';
import { type Tap, tapBroker } from '../mqtt-tap.ts';
import { buildHouse, type House } from '../real-house.ts';
import { runCommand } from '../real-process.ts';
import {
  assertInTime,
  assertStaysOut,
  certifyUnderRoot,
  hearWithTimes,
  loggedSince,
  PROPOSALS,
  pause,
  revokeByCommand,
  talk,
  untilSome,
  wayOut,
} from '../revocation-house.ts';

const IDS = ['thief', 'lamp', 'horn'] as const;
const occupants = IDS.map((id) => ({ id, yaml: PROPOSALS }));
const EVENTS = 'km1/v/e';

suite('revocation and brokers', { concurrency: true }, () => {
  test('[P4] [B6] Mosquitto: its access list stands, and all else ends in 5 s: sessions at the peers, the channel, the next login', {
    skip: mosquittoAbsent,
  }, async (t) => {
    const house = await buildHouse({ occupants, certify: certifyUnderRoot, logLevel: 'info' }, (end) => t.after(end));
    const ports = await freePorts(2);
    const devices = IDS.flatMap((id) => ['--device', id]);
    const at = ['--port', String(ports[0]), '--services-port', String(ports[1])];
    const out = ['broker', 'export', 'mosquitto', '--json', '--out', house.at('mosquitto')];
    const made = await runCommand([...out, ...at, ...devices]);
    assert.equal(made.code, 0, made.stderr);
    handOver(house.at('mosquitto/broker'), [house.directory, house.at('mosquitto')]);
    const broker = await startMosquitto(house.at('mosquitto/broker/mosquitto.conf'), ports);
    t.after(() => broker.stop());
    await Promise.all(['manager', 'verifier', 'broker'].map((one) => house.stop(one)));
    const services = `url: 'mqtt://127.0.0.1:${ports[1]}'`;
    move(house, 'manager', `kind: outside, ${services}, tokenFile: mosquitto/passwords/manager.token`);
    move(house, 'verifier', `${services}, tokenFile: mosquitto/passwords/verifier.token`);
    for (const id of IDS) {
      const password = `passwordFile: mosquitto/passwords/${id}.password`;
      move(house, id, `kind: outside, url: 'mqtt://127.0.0.1:${ports[0]}', ${password}`);
    }
    await house.start('verifier');
    await house.start('manager');
    await Promise.all(IDS.map((id) => house.admit(id)));
    const [lamp, horn] = await Promise.all([hearWithTimes(house, 'lamp'), hearWithTimes(house, 'horn')]);
    const talks = await Promise.all([
      talk(t, house, { victim: 'thief', peer: 'lamp', ear: lamp }),
      talk(t, house, { victim: 'thief', peer: 'horn', ear: horn, caller: 'horn' }),
    ]);
    const revocation = await revokeByCommand(house, 'thief');
    assertInTime(t, 'on Mosquitto', await wayOut(house, 'thief', revocation, talks, { linkCut: false }));
    await assertStaysOut(house, 'thief', revocation.ended);
    await house.ask('lamp', 'connect', { callee: 'horn' });
  });

  test('[P4] [B6] events told again: the broker takes none from a device, the manager none that is old, changed or out of order', async (t) => {
    let tap: Tap | null = null;
    const house = await buildHouse(
      {
        occupants,
        certify: certifyUnderRoot,
        logLevel: 'info',
        between: async (url) => {
          const opened = await tapBroker(url);
          tap = opened;
          t.after(async () => opened.close());
          return opened.url;
        },
      },
      (end) => t.after(end),
    );
    await Promise.all(IDS.map((id) => house.admit(id)));
    const lamp = await hearWithTimes(house, 'lamp');
    const talks = [await talk(t, house, { victim: 'thief', peer: 'lamp', ear: lamp })];
    const url = /url: '([^']+)'/.exec(house.read('manager.yaml'))![1]!;
    const told = (): Uint8Array[] =>
      tap!.published().flatMap(({ topic, payload }) => (topic === EVENTS ? [payload] : []));
    const hostile = (service?: { username: string; token: string }) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      let cuts = 0;
      const transport = mqttTransport({
        url,
        crypto: nodeCrypto(),
        subscriptions: () => [],
        observer: { up: () => resolve(), down: () => cuts++, received: () => {} },
        ...(service === undefined ? {} : { service }),
      });
      t.after(() => transport.close());
      const say = (payload: Uint8Array): void => transport.publish(Topic(EVENTS), payload, 1);
      return { up: promise, say, cuts: () => cuts };
    };

    // the verifier is gone, and somebody with a device's means, then with its token, says again what it said
    const before = told();
    assert.ok(before.length > 0, 'there is something to say again');
    await house.stop('verifier');
    const killedAt = Date.now();
    const nobody = hostile();
    await nobody.up;
    for (const event of before) nobody.say(event);
    const insider = hostile({ username: 'verifier', token: house.read('verifier.token').trim() });
    await insider.up;
    const bent = before.at(-1)!.slice();
    bent[bent.length >> 1]! ^= 1;
    const replaying = setInterval(() => {
      for (const event of [...before, bent]) insider.say(event);
    }, 100);
    t.after(() => clearInterval(replaying));
    await untilSome('the link of nobody is closed', () => (nobody.cuts() > 0 ? true : null));
    await loggedSince(house, 'manager', killedAt, 'verifier.event-refused');
    await loggedSince(house, 'manager', killedAt, 'verifier.silent');
    await assert.rejects(house.ask('lamp', 'connect', { callee: 'horn' }), { code: 'verifier-away' });
    const { revocation } = (await house.ask('manager', 'status')) as { revocation: { heard: boolean } };
    assert.equal(revocation.heard, false, 'what was said before counts for nothing');

    // it comes back, and what it says counts, whatever is said beside it
    await house.start('verifier');
    const revoked = await revokeByCommand(house, 'thief');
    assertInTime(t, 'while old events are told again', await wayOut(house, 'thief', revoked, talks));
    await pause(500);
    clearInterval(replaying);
    await assertStaysOut(house, 'thief', revoked.ended);
    await house.ask('lamp', 'connect', { callee: 'horn' });
  });
});

/** Puts another broker into a configuration. */
function move(house: House, party: string, broker: string): void {
  house.write(`${party}.yaml`, house.read(`${party}.yaml`).replace(/^broker: .*$/m, `broker: { ${broker} }`));
}
