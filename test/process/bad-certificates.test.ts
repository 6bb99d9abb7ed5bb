/**
 * Certificates and keys that are no good, between real processes: the reason is told in words where it can be mended, and
 * everybody else goes on.
 */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { initAuthority, issueCertificate } from '../../cli/ca/authority.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { buildHouse, type House, MANAGER, type Occupant } from '../real-house.ts';
import { runCommand } from '../real-process.ts';

const PROPOSALS = 'proposals: [{ cipher: aes-gcm, keyBits: 128, keyMode: seed }]\n';
const DAY = 86_400;
/** The shortest that a verifier allows: a revoked device is out when its verdict is renewed, at 0.8 of this. */
const VERDICT_SECONDS = 10;
const now = Math.floor(Date.now() / 1000);
const LEAF = { kind: 'device', sans: [], days: 1, algorithm: 'p256' } as const;

let house: House;
const ends: (() => Promise<void>)[] = [];

before(async () => {
  const occupants = ['lamp', 'switch'].map((id): Occupant => ({ id, yaml: PROPOSALS }));
  house = await buildHouse({ occupants, verifierYaml: `verdictMaxAgeSeconds: ${VERDICT_SECONDS}\n` }, (end) =>
    ends.push(end),
  );
  await Promise.all(occupants.map(({ id }) => house.admit(id)));
});
after(async () => {
  for (const end of ends) await end();
});

/** The services never ended, the lamp and the switch still talk. */
async function othersGoOn(): Promise<void> {
  for (const party of ['broker', 'verifier', 'manager', 'lamp', 'switch'])
    assert.equal(house.running(party).child.exitCode, null);
  const { sid } = (await house.ask('switch', 'connect', { callee: 'lamp' })) as { sid: string };
  await house.ask('switch', 'close', { sid });
}

/** Starts an agent with those files. @returns why it was not let in, as its log, its status and the manager tell */
async function deniedWith(id: string, certificate: string, key = certificate): Promise<string> {
  house.settle({ id, yaml: PROPOSALS }, { certificate, key });
  const agent = await house.start(id);
  const denied = await agent.logged('login.denied', ({ event }) => event === 'login.denied');
  assert.equal(denied.level, 'error');
  assert.ok(String(denied.remedy).length > 0);
  const told = await house
    .running('manager')
    .logged('denied', ({ event, reason }) => event === 'login.denied' && reason === denied.reason);
  assert.equal(told.level, 'warn');
  const { code, stdout } = await runCommand(['agent', 'status', '--state', house.at(id), '--json']);
  assert.equal(code, 0);
  assert.equal((JSON.parse(stdout) as { denied: string }).denied, denied.reason);
  assert.equal(agent.child.exitCode, null, 'it stays up and tries again');
  await house.stop(id);
  return String(denied.reason);
}

/** Starts a daemon that does not come up. */
async function stillborn(kind: string, config: string): Promise<string> {
  const { code, stderr } = await runCommand([kind, 'run', '--config', house.at(config)]);
  assert.equal(code, 2, stderr);
  assert.doesNotMatch(stderr, /^ +at /m, 'no stack');
  assert.equal(stderr.split('\n').length, 2, `one line: ${stderr}`);
  return stderr;
}

test('an agent without its certificate, or with the key of another one, does not start and names the file', async () => {
  house.settle({ id: 'bare', yaml: PROPOSALS }, { certificate: 'nowhere', key: 'lamp' });
  assert.match(
    await stillborn('agent', 'bare.yaml'),
    /^kagimori: .*certificates\/nowhere\.chain\.pem: no such file: this device has no certificate yet: [^\n]*agent enrol[^\n]*\n$/,
  );
  house.settle({ id: 'bare', yaml: PROPOSALS }, { certificate: 'lamp', key: 'nowhere' });
  assert.match(
    await stillborn('agent', 'bare.yaml'),
    /^kagimori: .*certificates\/nowhere\.key\.pem: no such file: [^\n]+\n$/,
  );
  house.settle({ id: 'bare', yaml: PROPOSALS }, { certificate: 'lamp', key: 'switch' });
  const line = await stillborn('agent', 'bare.yaml');
  assert.match(
    line,
    /^kagimori: .*switch\.key\.pem: the key does not belong to the certificate in .*lamp\.chain\.pem\n$/,
  );
});

test("[P2] [5.6 manager impersonation by a device certificate] a manager does not start with a device's certificate, nor another's key", async () => {
  const files = (certificate: string, key: string): string =>
    ['certificateFile', 'keyFile'].reduce(
      (yaml, setting, at) =>
        yaml.replace(new RegExp(`^${setting}: .*$`, 'm'), `${setting}: certificates/${[certificate, key][at]}`),
      MANAGER_YAML,
    );
  house.write('posing.yaml', files('lamp.chain.pem', 'lamp.key.pem'));
  assert.match(
    await stillborn('manager', 'posing.yaml'),
    /lamp\.chain\.pem: .*its extended key usage is another than manager\n$/,
  );
  house.write('posing.yaml', files(`${MANAGER}.chain.pem`, 'lamp.key.pem'));
  assert.match(
    await stillborn('manager', 'posing.yaml'),
    /lamp\.key\.pem: the key does not belong to the certificate in/,
  );
  await othersGoOn();
});

const MANAGER_YAML = `name: ${MANAGER}
dataDirectory: posing
broker: { url: 'mqtt://127.0.0.1:1', tokenFile: manager.token }
certificateFile: x
keyFile: x
verifierCertificateFile: certificates/verifier.chain.pem
`;

test('[P4] [patent 1106] [0054] a certificate that has expired: denied, with that reason on all sides', async () => {
  const yesterday = { crypto: nodeCrypto(), now: now - 2 * DAY };
  issueCertificate(house.at('ca'), { ...LEAF, name: 'old', outDir: house.at('certificates') }, yesterday);
  assert.equal(await deniedWith('old', 'old'), 'expired');
});

test('[P4] [patent 1106] a certificate of another CA: denied, the issuer is unknown', async () => {
  const world = { crypto: nodeCrypto(), now };
  initAuthority(house.at('stranger'), { name: 'House CA', algorithm: 'p256', years: 1, withIntermediate: true }, world);
  issueCertificate(house.at('stranger'), { ...LEAF, name: 'alien', outDir: house.at('certificates') }, world);
  assert.match(await deniedWith('alien', 'alien'), /^(unknown-issuer|bad-signature)$/);
});

test("an agent does not start with a CA's or a service's certificate: it names the file and what it is", async () => {
  copyFileSync(house.at('ca', 'intermediate.pem'), house.at('certificates', 'crown.chain.pem'));
  copyFileSync(house.at('ca', 'intermediate.key.pem'), house.at('certificates', 'crown.key.pem'));
  house.settle({ id: 'crown', yaml: PROPOSALS }, { certificate: 'crown', key: 'crown' });
  assert.match(await stillborn('agent', 'crown.yaml'), /crown\.chain\.pem: no device's certificate: a CA certificate/);
  house.settle({ id: 'judge', yaml: PROPOSALS }, { certificate: 'verifier', key: 'verifier' });
  assert.match(
    await stillborn('agent', 'judge.yaml'),
    /verifier\.chain\.pem: no device's certificate: its extended key/,
  );
});

test('a second device with the name of a registered one: denied, and the first keeps link, name and registration', async () => {
  mkdirSync(house.at('twin-keys'));
  const again = { ...LEAF, name: 'lamp', outDir: house.at('twin-keys'), allowSecond: true };
  issueCertificate(house.at('ca'), again, { crypto: nodeCrypto(), now });
  // its own verdict may be renewed meanwhile
  const shown = async () => {
    const { verdictUntil: _renewed, ...rest } = (await house.ask('manager', 'device.show', { id: 'lamp' })) as Record<
      string,
      unknown
    >;
    return rest;
  };
  const before = await shown();
  assert.equal(await deniedWith('twin', '../twin-keys/lamp'), 'name-taken');
  assert.deepEqual(await shown(), before);
  await othersGoOn();
});

test('[P3] [patent 1028-1030] [0054] a manager of another name, or under another CA, is refused by the agent, who says why', async () => {
  house.settle({ id: 'careful', yaml: PROPOSALS }, { certificate: 'switch', key: 'switch' });
  const yaml = house.read('careful.yaml');
  for (const [wrong, reason] of [
    [yaml.replace(`manager: ${MANAGER}`, 'manager: another-manager'), /^the manager's certificate: wrong-name: /],
    [yaml.replace('ca/root.pem', 'stranger/root.pem'), /^the manager's certificate: (unknown-issuer|bad-signature): /],
  ] as const) {
    house.write('careful.yaml', wrong);
    const agent = await house.start('careful');
    const fault = await agent.logged('login.fault', ({ event }) => event === 'login.fault');
    assert.match(String(fault.detail), reason);
    assert.equal(fault.code, 'badCertificate');
    await house.stop('careful');
  }
  await othersGoOn();
});

test('[P4] [patent 1108] revoked while in: its session ends at the peer when its verdict is renewed, and it is not let in again', async () => {
  const world = { crypto: nodeCrypto(), now };
  issueCertificate(house.at('ca'), { ...LEAF, name: 'lost', outDir: house.at('certificates') }, world);
  house.settle({ id: 'lost', yaml: PROPOSALS });
  const lost = await house.admit('lost');
  const lamp = await house.hear('lamp');
  const { sid } = (await house.ask('lost', 'connect', { callee: 'lamp' })) as { sid: string };
  await lamp.until('the session', (news) => news.event === 'session.open' && news.sid === sid);
  const revoked = await runCommand(['ca', 'revoke', 'lost', '--dir', house.at('ca'), '--json']);
  assert.equal(revoked.code, 0, revoked.stderr);
  await house.running('verifier').logged('the new list', ({ event }) => event === 'file.adopted');
  const closed = await lamp.until('the end', (news) => news.event === 'session.closed' && news.sid === sid);
  assert.deepEqual([closed.reason, closed.closedBy], ['revoked', 'manager']);
  const denied = await lost.logged('login.denied', ({ event }) => event === 'login.denied');
  assert.equal(denied.reason, 'revoked');
  await house
    .running('manager')
    .logged('evicted', ({ event, device }) => event === 'device.evicted' && device === 'lost');
  await othersGoOn();
});
