/**
 * What an enrolment writes into a configuration, and which name a device asks for.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { exampleConfig } from '../../cli/commands/daemon-verbs.ts';
import { parseConfig } from '../../cli/config-file.ts';
import { changedConfig, type EnrolledValues, newConfig, withSetting } from '../../cli/enrolment/config-writing.ts';
import { machinePart, nameToAsk } from '../../cli/enrolment/device-name.ts';
import { Failure } from '../../cli/failure.ts';
import { agentConfig } from '../../device-agent/config.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { inDirectory } from '../test-authority.ts';

const FILE = '/srv/a/kagimori-agent.yaml';
const VALUES: EnrolledValues = {
  broker: 'mqtts://broker.example:8883',
  brokerAnchorsFile: '/srv/tls/root.pem',
  manager: 'home: "manager" # 1',
  root: 'fleet',
  stateDirectory: '/srv/a/kagimori-agent/state',
  certificateFile: '/srv/a/kagimori-agent/device.chain.pem',
  keyFile: '/srv/a/kagimori-agent/device.key.pem',
  anchorsFile: '/srv/a/kagimori-agent/anchors.pem',
  verifierFile: '/srv/a/kagimori-agent/verifier.pem',
  clockInDoubt: true,
};

test('the example with the values of an enrolment is a configuration with these values, comments and all', () => {
  const text = newConfig(exampleConfig('agent'), VALUES, FILE);
  const config = parseConfig(text, FILE, agentConfig);
  assert.deepEqual(config.broker, { url: VALUES.broker, kind: 'kagimori', anchorsFile: VALUES.brokerAnchorsFile });
  assert.equal(config.manager, VALUES.manager);
  assert.equal(config.root, 'fleet');
  assert.equal(config.managerVerdict, 'fresh');
  assert.deepEqual(config.trustAnchorFiles, [VALUES.anchorsFile]);
  assert.deepEqual(
    [config.stateDirectory, config.certificateFile, config.keyFile, config.verifierCertificateFile],
    [VALUES.stateDirectory, VALUES.certificateFile, VALUES.keyFile, VALUES.verifierFile],
  );
  assert.equal(text.split('\n').length, exampleConfig('agent').split('\n').length);
  const plain = { ...VALUES, brokerAnchorsFile: null, root: 'km1', verifierFile: null, clockInDoubt: false };
  const usual = parseConfig(newConfig(exampleConfig('agent'), plain, FILE), FILE, agentConfig);
  assert.deepEqual([usual.root, usual.managerVerdict, usual.verifierCertificateFile], ['km1', 'none', undefined]);
});

test('a key in a token stays where its URI says', () => {
  const keyFile = 'pkcs11:token=device;object=key';
  const config = parseConfig(newConfig(exampleConfig('agent'), { ...VALUES, keyFile }, FILE), FILE, agentConfig);
  assert.equal(config.keyFile, keyFile);
});

test('a configuration that is there is changed where the invitation says otherwise, and nowhere else', () => {
  const before =
    '# mine\nbroker:\n  url: mqtt://old:1883 # here\nmanager: old\nproposals:\n  - cipher: aes-gcm\n    keyBits: 128\n';
  const after = changedConfig(before, { broker: 'mqtt://new:1883', manager: 'new', root: 'km1' });
  assert.equal(after, before.replace('old:1883', 'new:1883').replace('manager: old', 'manager: new'));
  assert.equal(changedConfig(after ?? '', { broker: 'mqtt://new:1883', manager: 'new', root: 'km1' }), null);
  assert.match(changedConfig(before, { broker: 'mqtt://old:1883', manager: 'old', root: 'x' }) ?? '', /\nroot: x\n$/);
  assert.equal(withSetting('a: 1 # one\n', 'invitationFile', 'i.txt'), 'a: 1 # one\ninvitationFile: i.txt\n');
});

test('the name: the invitation says it, leaves a part open, or leaves it to the device', () => {
  const part = (): string => '0123456789ab';
  assert.equal(nameToAsk('boiler', undefined, part), 'boiler');
  assert.equal(nameToAsk('boiler', 'boiler', part), 'boiler');
  assert.equal(nameToAsk('sensor-*', undefined, part), 'sensor-0123456789ab');
  assert.equal(nameToAsk('sensor-*', '7', part), 'sensor-7');
  assert.equal(nameToAsk('sensor-*', 'sensor-7', part), 'sensor-7');
  assert.equal(nameToAsk('sensor-*', '$&', part), 'sensor-$&');
  assert.equal(nameToAsk(undefined, 'lamp', part), 'lamp');
  assert.equal(nameToAsk(undefined, undefined, part), null);
  const bad = (act: () => unknown): void =>
    assert.throws(act, (error) => error instanceof Failure && error.code === 'bad-name');
  bad(() => nameToAsk('boiler', 'toaster', part));
  bad(() => nameToAsk('sensor-*', undefined, () => null));
  bad(() => nameToAsk('sensor-*', 'x'.repeat(60), part));
  bad(() => nameToAsk(undefined, '~manager', part));
});

test("a machine's part of a name is its own, and does not tell its id", () =>
  inDirectory((dir) => {
    const path = join(dir, 'machine-id');
    writeFileSync(path, '00112233445566778899aabbccddeeff\n');
    const own = machinePart(nodeCrypto(), path);
    assert.match(own ?? '', /^[0-9a-f]{12}$/);
    assert.equal(machinePart(nodeCrypto(), path), own);
    assert.ok(!'00112233445566778899aabbccddeeff'.includes(own ?? ''));
    writeFileSync(path, 'uninitialized\n');
    assert.equal(machinePart(nodeCrypto(), path), null);
    assert.equal(machinePart(nodeCrypto(), join(dir, 'absent')), null);
  }));
