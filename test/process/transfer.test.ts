/**
 * A device changes hands: kill -9 of the real manager at every write of the transfer leaves the device as it was, or all of
 * it done; and with every file that the last owner had nothing opens any more.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { JsonValue } from '../../platform/control-socket.ts';
import { buildHouse, type House, MANAGER } from '../real-house.ts';
import { startCommand } from '../real-process.ts';

type Row = { readonly [key: string]: JsonValue };

const noStrace = spawnSync('strace', ['-V']).status === 0 ? false : 'strace is not installed (apt-get install strace)';
/** What LMDB writes with, and nothing that goes to a socket. */
const WRITES = 'pwrite64,pwritev,fdatasync,msync';
const POINTS = process.env.KAGIMORI_LONG === '1' ? [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] : [1, 2];

const managerYaml = (port: number): string => `enrolment:
  caDirectory: ca
  brokerUrl: mqtt://127.0.0.1:${port}
  trustAnchorFiles: [ca/root.pem]
`;

async function houseOf(occupants: readonly string[], after: (end: () => Promise<void>) => void): Promise<House> {
  const house = await buildHouse({ occupants: occupants.map((id) => ({ id })) }, after);
  const url = /url: '([^']+)'/.exec(house.read('manager.yaml'))![1]!;
  house.write('manager.yaml', house.read('manager.yaml') + managerYaml(Number(new URL(url).port)));
  await house.stop('manager', 'SIGTERM');
  await house.start('manager');
  return house;
}

/** From now on the n-th write of one of the manager's threads is its last act. @returns lets go of it, if it lives */
async function killAtWrite(house: House, n: number): Promise<() => Promise<void>> {
  const pid = String(house.running('manager').child.pid);
  const inject = `inject=${WRITES}:signal=SIGKILL:when=${n}`;
  const strace = spawn('strace', ['-f', '-p', pid, '-o', '/dev/null', '-e', `trace=${WRITES}`, '-e', inject]);
  const over = once(strace, 'exit');
  await new Promise<void>((resolve) => {
    strace.stderr.setEncoding('utf8').on('data', (text: string) => /attached/.test(text) && resolve());
  });
  return async () => {
    strace.kill('SIGKILL');
    await over;
  };
}

async function stands(house: House, id: string): Promise<'before' | 'after'> {
  const devices = (await house.ask('manager', 'device.list')) as readonly Row[];
  const invitations = (await house.ask('manager', 'invitation.list')) as readonly Row[];
  const isThere = devices.some((one) => one.id === id);
  const isInvited = invitations.some(({ name, left }) => name === id && left === 1);
  assert.notEqual(isThere, isInvited, `${id}: ${isThere ? 'there, and invited' : 'neither there nor invited'}`);
  return isThere ? 'before' : 'after';
}

test('[B7] kill -9 of the manager at every write of a transfer: as it was, or all of it done', {
  skip: noStrace,
}, async (t) => {
  const ids = POINTS.map((n) => `lamp-${n}`);
  const house = await houseOf(ids, (end) => t.after(end));
  await Promise.all(ids.map((id) => house.admit(id)));
  const found: string[] = [];
  for (const [at, id] of ids.entries()) {
    const letGo = await killAtWrite(house, POINTS[at]!);
    const asked = house.ask('manager', 'device.transfer', { id, ttlSeconds: 600 }).then(
      () => 'told',
      () => 'not told',
    );
    const manager = house.running('manager');
    const told = await Promise.race([asked, manager.ended.then(() => 'killed')]);
    await house.stop('manager');
    await letGo();
    await house.start('manager');
    const now = await stands(house, id);
    if (told === 'told') assert.equal(now, 'after', 'what the operator was told is on disk');
    const agent = house.running(id);
    if (now === 'after') await agent.logged('that it is void', ({ event }) => event === 'device.void');
    else
      assert.equal(
        agent.log.some(({ event }) => event === 'device.void'),
        false,
      );
    found.push(`${POINTS[at]} ${now}`);
  }
  t.diagnostic(found.join(', '));
  assert.ok(
    found.some((one) => one.endsWith('before')),
    'some died before the commit',
  );
});

test('[B6] after a transfer nothing that the last owner had opens anything; the next owner enrols under the name', async (t) => {
  const house = await houseOf(['hub', 'lamp'], (end) => t.after(end));
  await Promise.all(['hub', 'lamp'].map((id) => house.admit(id)));
  const { sid } = (await house.ask('hub', 'connect', { callee: 'lamp' })) as { sid: string };
  const ear = await house.hear('hub');
  house.settle({ id: 'old' }, { certificate: 'lamp', key: 'lamp' });
  cpSync(house.at('lamp'), house.at('old'), { recursive: true, filter: (path) => !/sock|lock/.test(path) });
  const args = ['device', 'transfer', 'lamp', '--ttl', '10m', '--json', '--data', house.at('manager')];
  const transferred = await startCommand(args).ended;
  assert.equal(transferred.code, 0, transferred.stderr);
  const made = JSON.parse(transferred.stdout) as { invitation: string; revoked: boolean };
  assert.equal(made.revoked, true, 'at the CA too');
  await ear.until('the end of the session', (news) => news.event === 'session.closed' && news.sid === sid);
  await house.running('lamp').logged('that it is void', ({ event }) => event === 'device.void');
  await house.stop('lamp');
  // the files of before the transfer, at another place
  const old = await house.start('old');
  await old.logged('that it is void', ({ event }) => event === 'device.void');
  const { channel, denied } = (await house.ask('old', 'status')) as Row;
  assert.deepEqual([channel, denied], [null, 'void']);
  await assert.rejects(house.ask('hub', 'connect', { callee: 'lamp', timeoutSeconds: 2 }));
  // the next owner
  mkdirSync(house.at('next'));
  writeFileSync(house.at('next', 'invitation.txt'), `${made.invitation}\n`, { mode: 0o600 });
  const enrolled = await startCommand(['agent', 'enrol', '--file', 'invitation.txt'], house.at('next')).ended;
  assert.equal(enrolled.code, 0, enrolled.stderr);
  const agent = startCommand(['agent', 'run', '--log', 'json'], house.at('next'));
  await agent.logged('registered', ({ event }) => event === 'registered');
  agent.child.kill('SIGTERM');
  await agent.ended;
  assert.ok(readFileSync(house.at('next', 'kagimori-agent.yaml'), 'utf8').includes(MANAGER));
});
