/**
 * What `agent prepare-image` and `agent reset` take from a device, and what they must not touch.
 */
import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { initAuthority, issueCertificate } from '../../cli/ca/authority.ts';
import { readConfigFile } from '../../cli/config-file.ts';
import { clearDevice } from '../../cli/enrolment/clearing.ts';
import { eraseFile } from '../../cli/enrolment/erasing.ts';
import { isStateFile } from '../../cli/enrolment/state-files.ts';
import { Failure } from '../../cli/failure.ts';
import { agentConfig } from '../../device-agent/config.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { lockProcess } from '../../platform/process-lock.ts';
import { inDirectory } from '../test-authority.ts';

const ROOT = join(import.meta.dirname, '../..');

function device(dir: string) {
  const world = { crypto: nodeCrypto(), now: Math.floor(Date.now() / 1000) };
  initAuthority(join(dir, 'ca'), { name: 'CA', algorithm: 'p256', years: 1 }, world);
  const leaf = { name: 'boiler', kind: 'device', sans: [], days: 2, algorithm: 'p256' } as const;
  issueCertificate(join(dir, 'ca'), { ...leaf, outDir: join(dir, 'keys') }, world);
  const configFile = join(dir, 'agent.yaml');
  const write = (name: string, text: string): void => {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text, { mode: 0o600 });
  };
  write(
    'agent.yaml',
    `broker: { url: 'mqtt://127.0.0.1:1', kind: outside, passwordFile: password }
manager: m
stateDirectory: state
certificateFile: keys/boiler.chain.pem
keyFile: keys/boiler.key.pem
trustAnchorFiles: [ca/root.pem]
verifierCertificateFile: verifier.pem
invitationFile: invitation.txt
`,
  );
  const state = ['channel.cbor', 'channel.cbor.77.new', 'suite-costs.json', 'agent.lock.3', 'approvals.cbor'];
  for (const name of state) write(join('state', name), 'secret');
  for (const name of ['password', 'verifier.pem', 'invitation.txt', 'keys/boiler.key.pem.12.new']) write(name, 'text');
  write('state/notes.txt', 'of somebody');
  return { configFile, config: readConfigFile(configFile, agentConfig), at: (name: string) => join(dir, name) };
}

test('an image keeps what all copies share, and nothing that is of one machine', () =>
  inDirectory((dir) => {
    const { configFile, config, at } = device(dir);
    const before = readdirSync(dir, { recursive: true }).length;
    const shown = clearDevice(configFile, config, 'image', true);
    assert.equal(readdirSync(dir, { recursive: true }).length, before, '--dry-run touches nothing');
    const cleared = clearDevice(configFile, config, 'image', false);
    assert.deepEqual(cleared, shown);
    assert.equal(cleared.device, 'boiler');
    assert.equal(cleared.removed[0], at('keys/boiler.key.pem'), 'the key first');
    assert.deepEqual(readdirSync(at('keys')), []);
    assert.deepEqual(readdirSync(at('state')), ['notes.txt']);
    assert.deepEqual(cleared.left, [at('state/notes.txt')]);
    for (const name of ['ca/root.pem', 'verifier.pem', 'invitation.txt', 'agent.yaml'])
      assert.ok(existsSync(at(name)), name);
    assert.ok(!existsSync(at('password')));
  }));

test('a device that is given away keeps its configuration alone', () =>
  inDirectory((dir) => {
    const { configFile, config, at } = device(dir);
    const { kept } = clearDevice(configFile, config, 'reset', false);
    assert.deepEqual(kept, [configFile]);
    for (const name of ['ca/root.pem', 'verifier.pem', 'invitation.txt', 'password'])
      assert.ok(!existsSync(at(name)), name);
    assert.deepEqual(clearDevice(configFile, config, 'reset', false).removed, [], 'once more finds nothing');
  }));

test('nothing is taken from an agent that runs', () =>
  inDirectory((dir) => {
    const { configFile, config, at } = device(dir);
    const lock = lockProcess(at('state/agent.lock'));
    assert.throws(
      () => clearDevice(configFile, config, 'image', false),
      (error) => error instanceof Failure && error.code === 'running',
    );
    assert.ok(existsSync(at('keys/boiler.key.pem')));
    lock.release();
  }));

test('what is erased was overwritten; through a link nothing of anybody else is', () =>
  inDirectory((dir) => {
    const at = (name: string): string => join(dir, name);
    writeFileSync(at('key'), 'x'.repeat(100_000));
    linkSync(at('key'), at('other name'));
    assert.equal(eraseFile(at('key')), true);
    assert.equal(readFileSync(at('other name'), 'utf8'), 'x'.repeat(100_000), 'a file with two names is only unlinked');
    symlinkSync(at('other name'), at('link'));
    assert.equal(eraseFile(at('link')), true);
    assert.equal(readFileSync(at('other name'), 'utf8'), 'x'.repeat(100_000));
    assert.equal(eraseFile(at('key')), false);
    const open = openSync(at('other name'), 'r');
    assert.equal(eraseFile(at('other name')), true);
    const left = Buffer.alloc(200_000);
    assert.equal(readSync(open, left, 0, left.length, 0), 100_000);
    closeSync(open);
    assert.ok(!left.includes('xxxx'), 'whoever still has it open finds noise');
    assert.deepEqual(readdirSync(dir), []);
  }));

test('every file that the sources put into a state directory is known to the image', () => {
  const sources = ['cli', 'device-agent'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => readFileSync(join(ROOT, folder, path), 'utf8')),
  );
  const nameBehind = (word: string): string => {
    if (/^['`]/.test(word)) return word.slice(1).replace(/\$\{.*/, '');
    const found = sources
      .map((text) => new RegExp(`const ${word} = '([^']+)'`).exec(text)?.[1])
      .find((one) => one !== undefined);
    assert.ok(found, `what ${word} is`);
    return found;
  };
  const words = sources.flatMap((text) =>
    [...text.matchAll(/join\((?:\w+\.)*stateDirectory, (['`][^'`]+|[A-Z_]+)/g)].map(([, word]) =>
      nameBehind(word ?? ''),
    ),
  );
  assert.ok(words.includes('channel.cbor') && words.includes('suite-costs.json'), words.join());
  for (const word of words) assert.ok(isStateFile(word), `${word}: name it in cli/enrolment/state-files.ts`);
  assert.equal(isStateFile('notes.txt'), false);
});
