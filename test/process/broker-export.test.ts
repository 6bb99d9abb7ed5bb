/**
 * `kagimori broker export mosquitto` without a broker: what it refuses, and what stands in the files. What Mosquitto makes
 * of them: test/process/outside-broker.test.ts.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { passwordList } from '../../cli/broker-export/password-list.ts';
import { generateSigningKey } from '../../platform/crypto-node.ts';
import { mosquittoHash } from '../../platform/crypto-password.ts';
import { accessList } from '../outside-authority.ts';
import { runCommand } from '../real-process.ts';

let directory = '';
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'km-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

const exportTo = (out: string, ...args: string[]) =>
  runCommand(['broker', 'export', 'mosquitto', '--out', join(directory, out), ...args]);

test('what would let too much in, or nobody, is refused before anything is written', async () => {
  const refused: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /no device is named/],
    [['--device', '~manager'], /~manager is no device id/],
    [['--device', 'lamp', '--device', 'manager'], /manager is the service's name/],
    [['--device', 'verifier'], /verifier is the service's name/],
    [['--device', 'lamp', '--host', '0.0.0.0'], /0\.0\.0\.0: .* with TLS only: give --certificate and --key/],
    [['--device', 'lamp', '--services-host', '192.0.2.1'], /192\.0\.2\.1: .* with TLS only/],
    [['--device', 'lamp', '--host', '127.0.0.1\nallow_anonymous true'], /TLS|control character/],
    [['--device', 'lamp', '--at', '/etc/x\nallow_anonymous true'], /control character/],
    [['--auth', 'certificate'], /--anchors/],
    [['--auth', 'certificate', '--anchors', 'root.pem'], /with TLS only/],
    [['--device', 'lamp', '--crl', 'crl.pem'], /belong to --auth certificate/],
    [['--device', 'lamp', '--root', 'a/#'], /--root/],
  ];
  const ended = await Promise.all(refused.map(([args]) => exportTo('refused', ...args)));
  for (const [at, { code, stderr }] of ended.entries()) {
    assert.notEqual(code, 0, refused[at]![0].join(' '));
    assert.match(stderr, refused[at]![1]);
  }
  assert.equal(existsSync(join(directory, 'refused')), false);
});

test('devices from a file: each gets a password of its own, in a file of its own, and its hash in the list', async () => {
  const list = join(directory, 'devices.txt');
  writeFileSync(list, 'lamp\nliving room\n\nlamp\n');
  const { code, stdout, stderr } = await exportTo('made', '--devices', list, '--device', 'clock', '--json');
  assert.equal(code, 0, stderr);
  const made = JSON.parse(stdout);
  assert.deepEqual(made.devices, ['clock', 'lamp', 'living room']);
  const passwords = readdirSync(join(directory, 'made/passwords')).sort();
  const names = ['clock.password', 'lamp.password', 'living%20room.password', 'manager.token', 'verifier.token'];
  assert.deepEqual(passwords, names);
  const plain = names.map((name) => readFileSync(join(directory, 'made/passwords', name), 'utf8').trim());
  assert.equal(new Set(plain).size, names.length);
  assert.ok(plain.every((password) => /^[\w-]{32}$/.test(password)));
  const users = readFileSync(join(directory, 'made/broker/devices.passwd'), 'utf8').trim().split('\n');
  for (const [at, user] of ['clock', 'lamp', 'living%20room'].entries()) {
    const [name, hash = ''] = users[at]!.split(':');
    assert.equal(name, user);
    const salt = Buffer.from(hash.split('$')[3]!, 'base64');
    assert.equal(hash, mosquittoHash(plain[at]!, salt));
  }
  for (const part of ['broker', 'passwords'])
    assert.equal(statSync(join(directory, 'made', part)).mode & 0o777, 0o700, part);
});

test('with certificates an id that its common name does not spell gets lines of its own, and no device a password', async () => {
  const tls = ['--certificate', 'broker.pem', '--key', 'broker.key', '--anchors', 'root.pem', '--crl', 'crl.pem'];
  const { code, stdout, stderr } = await exportTo(
    ...([
      'certified',
      '--auth',
      'certificate',
      '--device',
      'living room',
      '--device',
      'lamp',
      ...tls,
      '--json',
    ] as const),
  );
  assert.equal(code, 0, stderr);
  assert.deepEqual(Object.keys(JSON.parse(stdout).passwords), ['manager', 'verifier']);
  const read = (file: string): string => readFileSync(join(directory, 'certified/broker', file), 'utf8');
  assert.match(
    read('mosquitto.conf'),
    /^require_certificate true\nuse_identity_as_username true\ncrlfile \/.*crl\.pem$/m,
  );
  assert.equal(existsSync(join(directory, 'certified/broker/devices.passwd')), false);
  const may = accessList(read('devices.acl'));
  assert.ok(may('living room', 'read', 'km1/d/living%20room') && may('lamp', 'read', 'km1/d/lamp'));
  assert.ok(may('living room', 'write', 'km1/p/lamp/living%20room'));
  assert.ok(!may('lamp', 'read', 'km1/d/living%20room') && !may('living room', 'read', 'km1/d/lamp'));
  assert.ok(!may('lamp', 'read', 'km1/m/lamp') && !may('lamp', 'write', 'km1/d/lamp'));
});

test('agent run: settings for the broker that do not go together stop the start, and say why', async () => {
  const pem = join(directory, 'pem');
  writeFileSync(pem, 'no certificate', { mode: 0o600 });
  const key = join(directory, 'agent.key.pem');
  writeFileSync(key, generateSigningKey('p256').privatePkcs8Pem, { mode: 0o600 });
  const rest = `manager: m\nstateDirectory: s\ncertificateFile: ${pem}\nkeyFile: ${key}\ntrustAnchorFiles: [${pem}]\n`;
  const refused: readonly (readonly [string, RegExp])[] = [
    [`url: 'mqtt://h', passwordFile: ${pem}`, /set broker\.kind to outside/],
    [`url: 'mqtts://h', certificateFile: ${pem}`, /go together/],
    [`url: 'mqtt://h', certificateFile: ${pem}, keyFile: ${pem}`, /over TLS only/],
    [`url: 'mqtts://h', certificateFile: ${pem}, keyFile: ${pem}`, /cannot be used/],
    [`kind: elsewhere, url: 'mqtts://h'`, /broker\.kind/],
  ];
  const ended = await Promise.all(
    refused.map(([broker], at) => {
      const config = join(directory, `agent-${at}.yaml`);
      writeFileSync(config, `broker: { ${broker} }\n${rest}`);
      return runCommand(['agent', 'run', '--config', config]);
    }),
  );
  for (const [at, { code, stderr }] of ended.entries()) {
    assert.equal(code, 2, stderr);
    assert.match(stderr, refused[at]![1]);
  }
});

test('a list anew: who is known keeps the hash, who is not named is out', () => {
  let next = 0;
  const random = (length: number): Uint8Array => new Uint8Array(length).fill(++next);
  const first = passwordList(['a', 'b'], null, { random });
  assert.deepEqual([[...first.added.keys()], first.removed], [['a', 'b'], []]);
  const second = passwordList(['b', 'c'], first.text, { random });
  assert.deepEqual([[...second.added.keys()], second.removed], [['c'], ['a']]);
  const lineOf = (text: string, user: string) => text.split('\n').find((line) => line.startsWith(`${user}:`));
  assert.equal(lineOf(second.text, 'b'), lineOf(first.text, 'b'));
  assert.equal(lineOf(second.text, 'a'), undefined);
});

test('the hash is the one of mosquitto_passwd 2.0', () => {
  // mosquitto_passwd -b -c file lamp correct-horse
  const line =
    '$7$101$e3TjT6c6s8UMO6ge$U4dJEK15qHBXNYamV3eN+1Hf9dWV1UrABgFXn716u45PPWphfImJZWGHnkHmTvnA/fBCIOvncCRiufIAUgbG0Q==';
  assert.equal(mosquittoHash('correct-horse', Buffer.from(line.split('$')[3]!, 'base64')), line);
});
