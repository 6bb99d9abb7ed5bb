/**
 * `rules explain`, `session explain` and `rules impact` as an operator has them: beside a running manager, in a terminal of
 * 80 columns. [B8]
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { registryPage } from '../../manager/registry-page.ts';
import { serveControl } from '../../platform/control-socket.ts';
import type { Proposal } from '../../protocol/messages.ts';
import type { DeviceId } from '../../protocol/units.ts';
import { buildHouse, type House } from '../real-house.ts';
import { type Ended, startCommand } from '../real-process.ts';
import { town } from '../town.ts';

const BOTH = `proposals:
  - { cipher: aes-gcm, keyBits: { min: 128 }, hash: [sha-256, sha-384] }
  - { cipher: chacha20-poly1305, keyBits: 256, hash: sha-256 }
`;
const SMALL = 'proposals: [{ cipher: aes-gcm, keyBits: 128, hash: sha-256 }]\n';
const DEVICES = `devices:
  lamp: { class: appliance, groups: [home] }
  tv: { class: television, groups: [home] }
connect: { rules: [{ from: lamp, to: phone, allow: false }] }
rulesFile: rules.yaml
`;
const RULES = `rules:
  - name: locks
    when: { callee: { class: lock } }
    require: { minStrengthBits: 256 }
  - name: living room
    when: { both: { group: home } }
    prefer: [strength]
`;
/** The lamp has no key of that length. */
const STRONG = `rules:
  - name: all strong
    when: { either: { id: "*" } }
    require: { minStrengthBits: 256 }
  - name: fridges
    when: { either: { class: fridge } }
`;
const HARMLESS = RULES.replace('living room', 'parlour');

let house: House;
const ends: (() => Promise<void>)[] = [];

before(async () => {
  const occupants = [
    { id: 'lamp', yaml: SMALL },
    { id: 'tv', yaml: BOTH, sans: [{ type: 'dns', value: 'tv.home.example' }] as const },
    { id: 'phone', yaml: BOTH },
  ];
  house = await buildHouse({ occupants }, (end) => ends.push(end));
  house.write('rules.yaml', RULES);
  house.write('strong.yaml', STRONG);
  house.write('harmless.yaml', HARMLESS);
  house.write('broken.yaml', 'rules: [{ nam: x }]\n');
  house.write('manager.yaml', `${house.read('manager.yaml')}${DEVICES}`);
  await house.stop('manager', 'SIGTERM');
  await house.start('manager');
  await Promise.all(occupants.map(({ id }) => house.admit(id)));
});
after(async () => {
  for (const end of ends) await end();
});

const run = (...args: readonly string[]): Promise<Ended> =>
  startCommand([...args, '--config', house.at('manager.yaml')]).ended;

/** What a terminal of 80 columns shows without breaking a line. */
function assertFits({ stdout, stderr }: Ended): void {
  const wide = stdout.split('\n').filter((line) => line.length > 80);
  assert.deepEqual(wide, [], stderr);
}

test('[B8] rules explain: the answer first, then devices, rules, candidates, reasons and what would change it', async () => {
  const found = await run('rules', 'explain', 'phone', 'TV.home.example');
  assert.equal(found.code, 0, found.stderr);
  assertFits(found);
  assert.match(found.stdout, /^phone → tv: aes-gcm-128 sha-256 tag 128, as a seed, by rule default\n/);
  for (const title of ['Devices', 'A connect now', 'Suites in common', 'Why', 'What would change it']) {
    assert.match(found.stdout, new RegExp(`^${title}$`, 'm'));
  }
  assert.match(found.stdout, /^ {2}✗ locks: the callee is not one of these \(callee of class lock\)$/m);
  assert.match(found.stdout, /^ {2}✓ default: decides, no other holds$/m);
  const json = await run('rules', 'explain', 'lamp', 'tv', '--json');
  const { match } = JSON.parse(json.stdout) as { match: { rule: string; suite: object } };
  assert.deepEqual([match.rule, match.suite], ['living room', suiteOf(128)]);
});
const suiteOf = (keyBits: number) => ({ cipher: 'aes-gcm', keyBits, hash: 'sha-256', tagBits: 128 });

test('[B8] rules explain: a forbidden pair is told with the rule of the policy, and explained all the same; a stranger is not found', async () => {
  const found = await run('rules', 'explain', 'lamp', 'phone');
  assert.equal(found.code, 0);
  assertFits(found);
  assert.match(found.stdout, /would be refused as forbidden: connect\.rules\.0 of the configuration/);
  assert.match(found.stdout, /aes-gcm-128 sha-256 tag 128 is chosen/);
  const unknown = await run('rules', 'explain', 'lamp', 'nobody', '--json');
  assert.equal(unknown.code, 4);
  assert.match(unknown.stderr, /nobody is known as nobody .*: kagimori device list/);
});

test('[B8] [B7] session explain: repeated it comes to the suite of the session, also after a restart of the manager', async () => {
  const { sid } = (await house.ask('phone', 'connect', { callee: 'tv' })) as { sid: string };
  const before = await run('session', 'explain', sid);
  assert.equal(before.code, 0, before.stderr);
  assertFits(before);
  assert.match(before.stdout, /✓ Repeated, it comes to this suite again\./);
  assert.match(before.stdout, /^Today\n {2}the same suite would be chosen$/m);

  await house.stop('manager');
  const manager = await house.start('manager');
  await manager.logged('broker.up', ({ event }) => event === 'broker.up');
  const again = JSON.parse((await run('session', 'explain', sid, '--json')).stdout) as { agrees: boolean };
  assert.equal(again.agrees, true);

  house.write('rules.yaml', `${RULES}default: { prefer: [key-length] }\n`);
  await house.ask('manager', 'rules.reload');
  const after = await run('session', 'explain', sid);
  assertFits(after);
  assert.match(after.stdout, /! The rules were replaced since \(then file [0-9a-f]{12}…, now file\s+[0-9a-f]{12}…\)/);
  assert.match(after.stdout, /✓ Repeated, it comes to this suite again/);
  assert.match(after.stdout, /^Today\n {2}it would be (?:aes-gcm|chacha20-poly1305)-256 /m);
  house.write('rules.yaml', RULES);
  await house.ask('manager', 'rules.reload');
  assert.equal((await run('session', 'explain', 'f'.repeat(16))).code, 4);
});

test('[B8] rules impact: who loses the last common suite is told first, and fails the command only when it is asked to', async () => {
  const found = await run('rules', 'impact', house.at('strong.yaml'));
  assert.equal(found.code, 0, found.stderr);
  assertFits(found);
  assert.match(found.stdout, /^ +3 {2}would LOSE THEIR LAST common suite$/m);
  assert.match(found.stdout, /aes-gcm-128 sha-256 tag 128 seed → no suite\n +(?:lamp → tv|tv → lamp|phone → lamp)/);
  assert.match(found.stdout, /! rule fridges: no registered device is of class fridge/);
  const strict = await run('rules', 'impact', house.at('strong.yaml'), '--fail-on-loss', '--json');
  assert.equal(strict.code, 1);
  const impact = JSON.parse(strict.stdout) as {
    lost: { pairs: number };
    changed: { pairs: number };
    forbidden: number;
  };
  assert.deepEqual([impact.lost.pairs, impact.changed.pairs, impact.forbidden], [3, 2, 1]);
  const harmless = await run('rules', 'impact', house.at('harmless.yaml'), '--fail-on-loss');
  assert.equal(harmless.code, 0);
  assert.match(harmless.stdout, /^ +5 {2}stay as they are$/m);
  const broken = await run('rules', 'impact', house.at('broken.yaml'));
  assert.equal(broken.code, 2);
  assert.match(broken.stderr, /broken\.yaml:1:\d+: .*nam/);
});

/** So many different devices that the pairs are not counted in a moment. */
const MANY = 6000;
/** From the last page to where the counting has begun: far more than that takes, far less than the counting. */
const COUNTING_MS = 800;

test('[B8] rules impact: Ctrl-C tells what is known so far, and the exit code says that it is not all', async (t) => {
  const place = town();
  for (let at = 0; at < MANY; at++) {
    const cost = { picosPerOp: 1e6 + at, picosPerByte: 300 };
    const proposals: Proposal[] = [{ cipher: 'aes-gcm', hashes: ['sha-256'], keyMode: 'seed', cost }];
    const record = { version: 1, requestId: new Uint8Array(16), hash: new Uint8Array(32), addresses: [], proposals };
    place.manager.registrations.set(`d-${at}` as DeviceId, record);
  }
  const directory = mkdtempSync(join(tmpdir(), 'km-impact-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(join(directory, 'rules.yaml'), 'default: { prefer: [cost, strength] }\n');
  const last = Promise.withResolvers<void>();
  const control = await serveControl(join(directory, 'manager.sock'), {
    'rules.registry': async (args) => {
      const page = registryPage(place.manager, (args as { after: string | null }).after, place.world());
      if (page.next === null) last.resolve();
      return page;
    },
  });
  t.after(() => control.close());
  const impact = startCommand(['rules', 'impact', join(directory, 'rules.yaml'), '--data', directory, '--json']);
  await last.promise;
  await new Promise((resolve) => setTimeout(resolve, COUNTING_MS));
  impact.child.kill('SIGINT');
  const { code, stdout, stderr } = await impact.ended;
  assert.equal(code, 1, stderr);
  const found = JSON.parse(stdout) as Record<'looked' | 'pairs' | 'same' | 'devices', number> & { whole: boolean };
  assert.equal(found.devices, MANY);
  assert.ok(!found.whole && found.looked > 0 && found.looked < found.pairs, `${found.looked} of ${found.pairs}`);
  assert.equal(stderr, '', 'quiet where no terminal looks on');
});
