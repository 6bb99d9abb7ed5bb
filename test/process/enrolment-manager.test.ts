/**
 * Enrolment at a real manager: what an operator sees, and a manager that is killed (SIGKILL) while it enrols a device.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { listCertificates } from '../../cli/ca/authority.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { readInvitation } from '../../protocol/invitation.ts';
import { buildHouse, type House } from '../real-house.ts';
import { startCommand } from '../real-process.ts';
import { searchFor } from '../secret-search.ts';

const LONG = process.env.KAGIMORI_LONG === '1';

function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

async function place(t: TestContext): Promise<House> {
  const port = await freePort();
  const listen = `  - { kind: tcp, host: 127.0.0.1, port: ${port} }`;
  const managerYaml = `enrolment:
  caDirectory: ca
  brokerUrl: mqtt://127.0.0.1:${port}
  trustAnchorFiles: [ca/root.pem]
`;
  return buildHouse({ occupants: [], listen, managerYaml }, (end) => t.after(end));
}

async function invite(house: House, ...args: readonly string[]): Promise<string> {
  const options = ['--config', house.at('manager.yaml'), '--out', house.at('invitation.txt'), '--json'];
  rmSync(house.at('invitation.txt'), { force: true }); // none is overwritten
  const { code, stderr, stdout } = await startCommand(['device', 'invite', ...args, ...options], house.directory).ended;
  assert.equal(code, 0, stderr);
  const written = readFileSync(house.at('invitation.txt'), 'utf8').trim();
  assert.ok(!stdout.includes(written), 'it goes into the file alone');
  assert.equal(statSync(house.at('invitation.txt')).mode & 0o777, 0o600);
  return written;
}

test('[B6] an operator invites; the secret is in the file that was asked for, and nowhere at the manager', async (t) => {
  const house = await place(t);
  const written = await invite(house, '--name', 'boiler', '--class', 'appliance', '--group', 'home');
  const secret = { secret: readInvitation(nodeCrypto(), written).token!.subarray(8) };
  const [listed] = (await house.ask('manager', 'invitation.list')) as { id: string; left: number }[];
  assert.equal(listed?.left, 1);
  const shown = JSON.stringify([listed, await house.ask('manager', 'status')]);
  const look = searchFor(secret);
  assert.deepEqual(look(Buffer.from(shown)), []);
  for (const one of house.ran) assert.deepEqual(look(Buffer.from(one.written())), []);
  const files = readdirSync(house.directory, { recursive: true, withFileTypes: true }).filter((one) => one.isFile());
  for (const { parentPath, name } of files) {
    if (name !== 'invitation.txt') assert.deepEqual(look(readFileSync(join(parentPath, name))), [], name);
  }
  writeFileSync(house.at('planted'), secret.secret);
  assert.ok(look(readFileSync(house.at('planted'))).length > 0, 'the search would find it');
});

test('an invitation in a pipe is the string alone; no file is overwritten, and none is made that nobody can read', async (t) => {
  const house = await place(t);
  const run = (...args: readonly string[]) =>
    startCommand(['device', 'invite', '--config', house.at('manager.yaml'), ...args], house.directory).ended;
  const piped = await run('--name', 'boiler');
  assert.equal(piped.code, 0, piped.stderr);
  assert.match(piped.stdout, /^kagimori-[\w-]+\n$/);
  assert.match(piped.stderr, /lets in +1 × boiler/);
  writeFileSync(house.at('kept'), 'mine');
  for (const [out, why] of [
    ['kept', /exists/],
    ['nowhere/at-all', /does not exist/],
  ] as const) {
    const refused = await run('--name', 'lamp', '--out', house.at(out));
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, why);
  }
  assert.equal(readFileSync(house.at('kept'), 'utf8'), 'mine');
  const open = (await house.ask('manager', 'invitation.list')) as { name: string }[];
  assert.deepEqual(
    open.map(({ name }) => name),
    ['boiler'],
  );
});

// By what is written when: the CA's index first, then the store, then the answer.
const MOMENTS_MS = [0, 1, 2, 4, 6, 8, 12, 16, 24, 40];

if (LONG) {
  test('[B7] a manager that is killed while it enrols: the device gets in with the same string, and one certificate is booked', async (t) => {
    const house = await place(t);
    for (const [index, moment] of MOMENTS_MS.entries()) {
      const name = `lamp-${index}`;
      const written = await invite(house, '--name', name);
      writeFileSync(house.at(`${name}.txt`), written, { mode: 0o600 });
      const options = ['--file', house.at(`${name}.txt`), '--config', house.at(`${name}.yaml`), '--timeout', '60'];
      const device = startCommand(['agent', 'enrol', ...options], house.directory);
      await house
        .running('manager')
        .logged('begun', ({ event, device: of }) => event === 'enrolment.begun' && of === name);
      await new Promise((resolve) => setTimeout(resolve, moment));
      await house.stop('manager', 'SIGKILL');
      await house.start('manager');
      const { code, stderr } = await device.ended;
      assert.equal(code, 0, stderr);
      const booked = listCertificates(house.at('ca')).filter((one) => one.kind === 'device' && one.name === name);
      assert.equal(booked.length, 1, `killed after ${moment} ms`);
      const all = (await house.ask('manager', 'invitation.list')) as { name: string; left: number }[];
      assert.equal(all.find((one) => one.name === name)?.left, 0);
    }
  });
}
