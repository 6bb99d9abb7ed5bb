/**
 * A person, a program and a policy file decide between real processes; the order of what the daemons log shows that nothing
 * is granted before a yes, and nothing after a withdrawal. [P14]
 */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, statSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { buildHouse, type House } from '../real-house.ts';
import { type LogLine, type RealProcess, runCommand, startCommand } from '../real-process.ts';

const PROPOSALS = 'proposals: [{ cipher: aes-gcm, keyBits: 128, keyMode: seed }]\n';
const OCCUPANTS = [
  { id: 'doorbell', yaml: PROPOSALS },
  { id: 'tv', yaml: `${PROPOSALS}approvalFile: approval.yaml\n` },
];
const MANAGER_YAML = 'devices: { doorbell: { class: camera, groups: [home], user: anna@home.example } }\n';

let house: House;
const ends: (() => Promise<void> | void)[] = [];

before(async () => {
  const files = { 'approval.yaml': 'otherwise: ask\n' };
  house = await buildHouse({ occupants: OCCUPANTS, managerYaml: MANAGER_YAML, files }, (end) => ends.push(end));
  await Promise.all(OCCUPANTS.map(({ id }) => house.admit(id)));
});
after(async () => {
  for (const end of ends.reverse()) await end();
});

const call = (purpose = 'video'): RealProcess =>
  startCommand(['agent', 'connect', 'tv', '--purpose', purpose, '--state', house.at('doorbell'), '--json']);

async function approval(...args: readonly string[]): Promise<unknown> {
  const { code, stdout, stderr } = await runCommand(['approval', ...args, '--state', house.at('tv'), '--json']);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

interface Asked {
  readonly sid: string;
  readonly secondsLeft: number;
}
const waiting = async (): Promise<readonly Asked[]> =>
  ((await house.ask('tv', 'approval.list')) as unknown as { asked: readonly Asked[] }).asked;

async function nextAsk(before: readonly string[] = []): Promise<string> {
  const ear = await house.hear('tv');
  const [there] = (await waiting()).filter(({ sid }) => !before.includes(sid));
  return there?.sid ?? String((await ear.until('an ask', ({ event }) => event === 'ask')).sid);
}

const of = (event: string, sid: string) => (line: LogLine) => line.event === event && line.sid === sid;
const timeOf = (line: LogLine): number => {
  const at = Date.parse(String(line.time));
  assert.ok(at > 0, JSON.stringify(line));
  return at;
};
async function close(sid: string): Promise<void> {
  await house.ask('doorbell', 'close', { sid });
}

test('[P14] a person says yes: asked, approved, granted, installed, in that order, and not before', async () => {
  const caller = call();
  const sid = await nextAsk();
  const list = (await approval('list')) as { asked: readonly Record<string, unknown>[] };
  const { secondsLeft, suite, lifetimeSeconds, ...shown } = list.asked[0]!;
  const about = { class: 'camera', groups: ['home'], user: 'anna@home.example', purpose: 'video' };
  assert.deepEqual(shown, { sid, from: 'doorbell', name: 'tv', ...about });
  assert.ok(Number(secondsLeft) > 0 && Number(secondsLeft) <= 30);
  const [manager, tv, doorbell] = ['manager', 'tv', 'doorbell'].map((party) => house.running(party));
  assert.ok(!manager!.log.some(of('session.granted', sid)), 'nothing is granted while a person thinks');
  await approval('allow', sid.slice(0, 6), '--remember', '1h');
  assert.equal((await caller.ended).code, 0);
  const order = [
    await tv!.logged('asked', of('ask.waits', sid)),
    await tv!.logged('approved', of('ask.approved', sid)),
    await manager!.logged('granted', of('session.granted', sid)),
    await doorbell!.logged('installed', of('session.granted', sid)),
  ].map(timeOf);
  assert.deepEqual(
    order,
    [...order].sort((a, b) => a - b),
  );
  await close(sid);
});

test('[P14] the answer is remembered in a file of mode 0600, over kill -9, until it is forgotten', async () => {
  assert.equal(statSync(house.at('tv', 'approvals.cbor')).mode & 0o777, 0o600);
  await house.stop('tv');
  await house.admit('tv');
  const { sid } = (await house.ask('doorbell', 'connect', { callee: 'tv' })) as { sid: string };
  const { by } = await house.running('tv').logged('approved', of('ask.approved', sid));
  assert.equal(by, 'remembered');
  await close(sid);
  const [remembered] = (await approval('remembered')) as Record<string, unknown>[];
  assert.deepEqual([remembered?.caller, remembered?.decision], ['doorbell', 'allow']);
  await approval('forget', 'doorbell');
  assert.deepEqual(await approval('remembered'), []);
});

test('[P14] Ctrl-C of the caller takes the call back: the list is empty, a late yes is refused, nothing is granted', async () => {
  const caller = call();
  const sid = await nextAsk();
  const ear = await house.hear('tv');
  caller.child.kill('SIGINT');
  assert.equal((await ear.until('withdrawn', ({ event }) => event === 'ask.withdrawn')).sid, sid);
  assert.deepEqual(await waiting(), []);
  const late = await runCommand(['approval', 'allow', sid, '--state', house.at('tv'), '--json']);
  assert.match(late.stdout, /not-found/);
  const manager = house.running('manager');
  await manager.logged('taken back', of('connect.withdrawn', sid));
  await manager.logged('over', of('session.over', sid));
  assert.ok(!manager.log.some(of('session.granted', sid)));
  assert.ok(!house.running('tv').log.some(of('session.granted', sid)));
});

test('[P14] a standing approval lets the grant ride until it is withdrawn, and is not granted by after that', async () => {
  await approval('standing', 'add', 'doorbell', '--lifetime', '1h');
  const manager = house.running('manager');
  await manager.logged('given', ({ event, caller }) => event === 'standing.given' && caller === 'doorbell');
  const { sid } = (await house.ask('doorbell', 'connect', { callee: 'tv', lifetimeSeconds: 600 })) as { sid: string };
  await house.running('tv').logged('rode', of('ask.stands', sid));
  await close(sid);
  await approval('standing', 'withdraw', 'doorbell');
  await manager.logged('withdrawn', ({ event, callee }) => event === 'standing.withdrawn' && callee === 'tv');
  const caller = call();
  const asked = await nextAsk();
  await approval('refuse', asked);
  assert.match((await caller.ended).stdout, /refused-by-user/);
  const log = manager.log;
  const taken = log.findIndex(({ event }) => event === 'standing.withdrawn');
  assert.ok(!log.slice(taken).some(({ event }) => event === 'session.granted'), 'nothing is granted after it');
});

test('[P14] the policy file is followed; a broken one leaves the one before it in force, and says so', async () => {
  const tv = house.running('tv');
  house.write('approval.yaml', 'rules: [{ class: camera, purpose: video, decision: refuse }]\notherwise: allow\n');
  await tv.logged('taken', ({ event }) => event === 'approval-policy.taken');
  assert.match((await call().ended).stdout, /refused-by-policy/);
  const open = await call('doorbell button').ended;
  await close(String(JSON.parse(open.stdout).sid));
  house.write('approval.yaml', 'rules: [{ klass: camera, decision: allow }]\notherwise: allow\n');
  const refused = await tv.logged('refused', ({ event }) => event === 'approval-policy.refused');
  assert.match(String(refused.problems), /klass/);
  assert.match((await call().ended).stdout, /refused-by-policy/);
  const { policy } = (await approval('list')) as { policy: { refused: { problems: string[] } | null } };
  assert.match(String(policy.refused?.problems), /klass/);
  const about = ['--from', 'doorbell', '--class', 'camera', '--purpose', 'video'];
  const check = (await approval('check', ...about)) as Record<string, unknown>;
  assert.deepEqual([check.decision, check.ground, check.rule], ['refuse', 'rule', 1]);
});

test('[P14] a program decides; a mode refuses; what the program starts is gone when the agent is', async () => {
  const tv = house.running('tv');
  house.write(
    'hook.sh',
    `#!/bin/sh\nread -r question\ncase "$question" in *video*) echo '{"decision":"allow"}';; *) touch ${house.at('hook-ran')}; sleep 60;; esac\n`,
  );
  chmodSync(house.at('hook.sh'), 0o700);
  house.write('approval.yaml', `otherwise: ask\nhook: { command: ${house.at('hook.sh')}, timeoutSeconds: 60 }\n`);
  await tv.logged('taken', ({ event, otherwise }) => event === 'approval-policy.taken' && otherwise === 'ask');
  const session = JSON.parse((await call().ended).stdout) as { sid: string };
  assert.equal((await tv.logged('approved', of('ask.approved', session.sid))).by, 'hook');
  await close(session.sid);
  await approval('mode', 'do-not-disturb', '--for', '1h');
  assert.match((await call().ended).stdout, /busy/);
  await approval('mode', 'normal');
  const caller = call('something else');
  await nextAsk([session.sid]);
  while (!existsSync(house.at('hook-ran'))) await new Promise((resolve) => setTimeout(resolve, 20));
  const began = performance.now();
  await house.stop('tv', 'SIGTERM');
  assert.ok(performance.now() - began < 10_000, 'it does not wait for the program');
  assert.match((await caller.ended).stdout, /shutdown/);
});
