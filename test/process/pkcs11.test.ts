/**
 * Real processes whose private keys are in PKCS#11 tokens: logins, missing tokens, wrong PINs, a token that is pulled; and
 * the memory of an agent, in which its key is not.
 */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { readMemory } from '../process-memory.ts';
import { buildHouse, type House, MANAGER } from '../real-house.ts';
import { runCommand, startCommand } from '../real-process.ts';
import { type Finding, searchFor, summaryOf } from '../secret-search.ts';
import { makeSoftToken, PIN, type SoftToken, serverAbsent, softTokenAbsent, spyAbsent } from '../soft-token.ts';

type After = (end: () => Promise<void>) => void;

/** Its key goes from the file into the token. @param name  of the configuration, and of the files of its certificate */
function moveKey(house: House, token: SoftToken, party: string, name: string, uri: string): void {
  const path = house.at('certificates', `${name}.key.pem`);
  token.take(path, name);
  rmSync(path);
  house.write(`${party}.yaml`, house.read(`${party}.yaml`).replace(/^keyFile: .*$/m, `keyFile: '${uri}'`));
}

/** A private key as it stands in PKCS #8, and as OpenSSL keeps it: a number of words, the least one first. */
function keyIn(path: string): Readonly<Record<string, Uint8Array>> {
  const der = Buffer.from(readFileSync(path, 'utf8').replace(/-----[^-]+-----/g, ''), 'base64');
  const at = der.indexOf(Buffer.of(0x04, 0x20)) + 2;
  assert.ok(at > 1, `${path} holds a key of 32 bytes`);
  const scalar = der.subarray(at, at + 32);
  return { scalar, words: Buffer.from(scalar).reverse() };
}

function foundIn(pid: number, secrets: Readonly<Record<string, Uint8Array>>): Finding[] {
  const search = searchFor(secrets);
  const findings: Finding[] = [];
  readMemory(pid, (bytes) => findings.push(...search(bytes)));
  return findings;
}

const OCCUPANTS = [{ id: 'lamp' }, { id: 'switch' }] as const;

async function talk(house: House): Promise<void> {
  const lamp = await house.hear('lamp');
  const { sid } = (await house.ask('switch', 'connect', { callee: 'lamp' })) as { sid: string };
  await house.ask('switch', 'send', { to: sid, text: 'light' });
  await lamp.until('light', ({ text }) => text === 'light');
}

const LONG = process.env.KAGIMORI_LONG === '1';

test('[6 keys at home] an agent logs in with a key that is in its token: not in its memory, where the search finds the key of a file', {
  skip: softTokenAbsent || serverAbsent,
}, async (t) => {
  const after: After = (end) => t.after(end);
  let environment: NodeJS.ProcessEnv = {};
  const house = await buildHouse(
    { occupants: OCCUPANTS, environment: (party) => (party === 'lamp' ? environment : {}) },
    after,
  );
  const token = makeSoftToken(house.at('token'), 'home', after);
  const keys = Object.fromEntries(
    OCCUPANTS.map(({ id }) => [id, keyIn(house.at('certificates', `${id}.key.pem`))]),
  ) as Record<'lamp' | 'switch', Readonly<Record<string, Uint8Array>>>;
  token.take(house.at('certificates', 'lamp.key.pem'), 'lamp');
  const served = await token.serve();
  environment = served.environment;
  const uri = token.uri('lamp', { modulePath: served.modulePath });
  moveKey(house, token, 'lamp', 'lamp', uri.replace('object=lamp', 'object=lamp;id=%a1'));
  const [lamp, other] = await Promise.all(OCCUPANTS.map(({ id }) => house.admit(id)));
  await talk(house);
  assert.notEqual(summaryOf(foundIn(other!.child.pid!, keys.switch)), '', 'the search finds the key of a file');
  assert.equal(summaryOf(foundIn(lamp!.child.pid!, keys.lamp)), '');

  if (LONG)
    await t.test(
      'its token is gone: what needs no key goes on, a login waits and says why, and works when it is back',
      async () => {
        await served.stop();
        await talk(house);
        await house.ask('manager', 'device.remove', { id: 'lamp' });
        const failed = await lamp!.logged('the key is away', ({ event }) => event === 'key-store.failed');
        assert.equal(failed.level, 'error');
        assert.match(String(failed.why), /^pkcs11:token=home;/);
        assert.match(String(failed.remedy), /token/);
        const before = lamp!.log.length;
        await served.start();
        await lamp!.logged(
          'registered again',
          (line) => lamp!.log.indexOf(line) >= before && line.event === 'registered',
        );
        await talk(house);
      },
    );
  for (const { written } of house.ran) assert.doesNotMatch(written(), new RegExp(PIN));
});

if (LONG) {
  test('[6 keys at home] made in the token by a command, certified by a request: agent, verifier and manager run on such keys', {
    skip: softTokenAbsent,
  }, async (t) => {
    const after: After = (end) => t.after(end);
    let token: SoftToken | null = null;
    const house = await buildHouse({ occupants: OCCUPANTS, environment: () => ({ ...token?.environment }) }, after);
    token = makeSoftToken(house.at('token'), 'home', after);
    for (const [party, name] of [
      ['verifier', 'verifier'],
      ['manager', MANAGER],
    ] as const) {
      await house.stop(party, 'SIGTERM');
      moveKey(house, token, party, name, token.uri(name));
    }
    const uri = token.uri('lamp');
    const run = async (...args: readonly string[]): Promise<string> => {
      const running = startCommand(args, house.directory, token!.environment);
      const { code, stdout, stderr } = await running.ended;
      assert.equal(code, 0, stderr);
      return stdout;
    };
    const made = JSON.parse(await run('key', 'create', uri, '--json')) as { extractable: boolean; algorithm: string };
    assert.deepEqual([made.algorithm, made.extractable], ['p256', false]);
    await run('key', 'request', uri, '--name', 'lamp', '--out', 'lamp.csr.pem');
    await run('ca', 'revoke', 'lamp', '--dir', 'ca');
    await run('ca', 'sign', 'lamp.csr.pem', '--dir', 'ca', '--kind', 'device', '--out', 'certificates');
    rmSync(house.at('certificates', 'lamp.key.pem'));
    house.write('lamp.yaml', house.read('lamp.yaml').replace(/^keyFile: .*$/m, `keyFile: '${uri}'`));
    for (const party of ['verifier', 'manager'] as const) await house.start(party);
    await Promise.all(OCCUPANTS.map(({ id }) => house.admit(id)));
    await talk(house);
    const checked = await startCommand(['doctor', house.at('lamp.yaml')], house.directory, token.environment).ended;
    assert.match(checked.stdout, /pkcs11:token=home;object=lamp\S* belongs to /);
  });
}

test('[6 keys at home] without module, token, key or right PIN a start ends with one line that names the key; a PIN is told once', {
  skip: softTokenAbsent || spyAbsent,
}, async (t) => {
  const after: After = (end) => t.after(end);
  const house = await buildHouse({ occupants: OCCUPANTS }, after);
  const token = makeSoftToken(house.at('token'), 'home', after);
  const { modulePath, calls } = token.spied();
  const uri = token.uri('lamp', { modulePath });
  moveKey(house, token, 'lamp', 'lamp', uri);
  const yaml = house.read('lamp.yaml');
  const ends = async (keyFile: string, exit: number, text: RegExp): Promise<void> => {
    house.write('lamp.yaml', yaml.replace(uri, keyFile));
    const { code, stderr } = await startCommand(
      ['agent', 'run', '--config', house.at('lamp.yaml')],
      house.directory,
      token.environment,
    ).ended;
    assert.match(stderr, text);
    assert.doesNotMatch(stderr, new RegExp(`${PIN}|\\n.*\\n.*\\n| at .*\\.ts`));
    assert.equal(code, exit, stderr);
  };
  const { code: refused } = await runCommand(['key', 'create', house.at('ca', 'root.pem')]);
  await ends(uri.replace(modulePath, '/usr/lib/absent.so'), 2, /absent\.so is not there: install/);
  await ends(uri.replace('token=home', 'token=away'), refused!, /no such token, there are 'home': put the token in/);
  await ends(uri.replace('object=lamp', 'object=lantern'), 2, /has no such private key/);
  await ends(`${uri.split('&')[0]}&pin-value=${PIN}`, 2, /&pin-value=\*\*\*: a PIN among the settings is none/);
  writeFileSync(house.at('wrong'), '271828', { mode: 0o600 });
  const before = calls('C_Login');
  await ends(uri.replace(token.pinFile, house.at('wrong')), 2, /refuses the PIN in .*wrong.* not asked again/);
  assert.equal(calls('C_Login') - before, 1);
});
