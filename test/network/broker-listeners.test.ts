/**
 * The broker's ports and what starts or stops there: settings, TCP, TLS, services inside the process, and the words in
 * which a transport says why it is down. @spec design §5.1
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { test } from 'node:test';
import { brokerConfig } from '../../broker/config.ts';
import { addressKey, BrokerError } from '../../broker/listeners.ts';
import { startBroker } from '../../broker/service.ts';
import { mqttTransport } from '../../platform/transport-mqtt.ts';
import type { Topic } from '../../protocol/units.ts';
import { crypto, joinManager, rawClient, startRig, TOKENS, until, watcher } from './broker-rig.ts';

test('[B1] IPv6 addresses are capped by their /64, mapped IPv4 as IPv4', () => {
  assert.equal(addressKey('::ffff:10.0.0.1'), '10.0.0.1');
  assert.equal(addressKey('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2::/64');
  assert.equal(addressKey('2001:db8::9'), '2001:db8:0:0::/64');
  assert.equal(addressKey('fe80::1%eth0'), 'fe80:0:0:0::/64');
});

test('[B1] a taken port is named together with the remedy', async (t) => {
  const rig = await startRig(t);
  const config = brokerConfig.parse({
    listen: [
      { kind: 'tcp', port: 0 },
      { kind: 'tcp', port: rig.port },
    ],
  });
  await assert.rejects(
    startBroker(config, { crypto }),
    (error) =>
      error instanceof BrokerError &&
      error.fault === 'port-taken' &&
      error.message === `port ${rig.port} on 127.0.0.1 is taken: end the program that holds it, or choose another port`,
  );
});

test('[B1] an unreadable certificate or token file is named', async () => {
  const listen = [{ kind: 'tls', port: 0, certificateFile: '/nowhere/cert.pem', keyFile: '/nowhere/key.pem' }];
  await assert.rejects(startBroker(brokerConfig.parse({ listen }), { crypto }), {
    fault: 'tls-file',
    message: /cert\.pem/,
  });
  const tokens = { managerFile: '/nowhere/token' };
  await assert.rejects(startBroker(brokerConfig.parse({ listen: [], tokens }), { crypto }), {
    fault: 'token-file',
    message: /\/nowhere\/token/,
  });
});

test('[B1] settings with an unknown key are refused', () => {
  assert.throws(() => brokerConfig.parse({ ports: [1883] }), /ports/);
  assert.throws(() => brokerConfig.parse({ root: 'a/b' }), /letters/);
});

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
test('[B1] over TLS a link comes up with the right anchor, and says why without', {
  skip: hasOpenssl ? false : 'openssl absent',
}, async (t) => {
  const plain = await startRig(t);
  const keyFile = joinPath(plain.folder, 'key.pem');
  const certificateFile = joinPath(plain.folder, 'cert.pem');
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const name = ['-subj', '/CN=broker', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync('openssl', [...request, ...name, '-keyout', keyFile, '-out', certificateFile], { stdio: 'ignore' });
  const rig = await startRig(t, { loginTimeoutMs: 1000 }, [{ kind: 'tls', port: 0, certificateFile, keyFile }]);
  const { url, port } = rig.broker.listeners[1]!;
  const open = (anchorPem?: string) => {
    const seen = watcher();
    const subscriptions = () => [];
    const transport = mqttTransport({
      url,
      crypto,
      observer: seen,
      subscriptions,
      reconnect: { minMs: 5000, maxMs: 5000 },
      ...(anchorPem === undefined ? {} : { anchorPem }),
    });
    t.after(() => transport.close());
    return seen;
  };
  const good = open(readFileSync(certificateFile, 'utf8'));
  const bad = open();
  await until(() => good.links.length === 1 && bad.downs.length === 1, 'one up, one down');
  assert.match(bad.downs[0]!, /^TLS: the certificate of 127\.0\.0\.1:\d+ is self-signed/);
  const silent = rawClient(port, t);
  const garbage = rawClient(port, t);
  garbage.socket.write('no handshake at all');
  await until(() => silent.closed() && garbage.closed(), 'a handshake that does not come is not waited for');
});

test('[B1] why a link does not come up is said in words', async (t) => {
  const rig = await startRig(t);
  const manager = await joinManager(rig, t);
  assert.equal(manager.downs.length, 0);
  const reasonFor = async (url: string, service?: { username: string; token: string }, filters: string[] = []) => {
    const seen = watcher();
    const transport = mqttTransport({
      url,
      crypto,
      observer: seen,
      subscriptions: () => filters as Topic[],
      reconnect: { minMs: 5000, maxMs: 5000 },
      ...(service === undefined ? {} : { service }),
    });
    await until(() => seen.downs.length === 1, 'down');
    await transport.close();
    assert.equal(seen.links.length, 0);
    return seen.downs[0]!.replaceAll(/:\d+/g, ':PORT');
  };
  const where = '127.0.0.1:PORT';
  assert.equal(await reasonFor('mqtt://127.0.0.1:1'), `connection refused by ${where}: is the broker running?`);
  assert.match(await reasonFor(`mqtts://127.0.0.1:${rig.port}`), /^(TLS: 127|the connection to 127|the broker at 127)/);
  const wrong = { username: 'manager', token: 'wrong' };
  assert.equal(await reasonFor(rig.url, wrong), `the broker at ${where} refused user name or token`);
  const second = { username: 'manager', token: TOKENS.manager };
  assert.match(await reasonFor(rig.url, second), /a manager may be attached already$/);
  assert.match(await reasonFor(rig.url, undefined, ['#']), /closed the connection$/);
  const verifier = { username: 'verifier', token: TOKENS.verifier };
  assert.match(await reasonFor(rig.url, verifier, ['km1/m/x']), /refused the subscription to km1\/m\/x/);
});

test('[B1] a service inside the process is told when the broker closes, and needs no token', async (t) => {
  const broker = await startBroker(brokerConfig.parse({ listen: [] }), { crypto });
  t.after(() => broker.close());
  const seen = watcher();
  const subscriptions = () => ['km1/v/q/+' as Topic];
  broker.attach({ service: 'verifier', observer: seen, subscriptions });
  await until(() => seen.links.length === 1, 'up');
  await broker.close();
  await until(() => seen.downs.length === 1, 'down');
  assert.throws(
    () => broker.attach({ service: 'manager', observer: seen, subscriptions: () => ['#' as Topic] }),
    /the manager may not subscribe to #/,
  );
});
