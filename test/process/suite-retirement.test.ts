/**
 * A suite is retired while two real agents talk over it: they go on over another one, and every message arrives once.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildHouse, type House } from '../real-house.ts';
import { startCommand } from '../real-process.ts';

const PROPOSALS = `proposals:
  - { cipher: aes-ccm, keyBits: 128, tagBits: 64, priority: 1 }
  - { cipher: aes-gcm, keyBits: { min: 192 }, hash: [sha-384, sha-256], priority: 2 }
`;
const ONLY_CCM = 'proposals: [{ cipher: aes-ccm, keyBits: 128, tagBits: 64 }]\n';
const ROUNDS = 150;
const TOMORROW = new Date(Date.now() + 2 * 86_400_000).toISOString().slice(0, 10);

const suiteAt = async (house: House, id: string, sid: string): Promise<string> => {
  const { sessions } = (await house.ask(id, 'status')) as { sessions: { sid: string; suite: string }[] };
  return sessions.find((one) => one.sid === sid)?.suite ?? 'no session';
};

async function rules(house: House, ...args: readonly string[]): Promise<{ code: number | null; stdout: string }> {
  return startCommand(['rules', ...args, '--config', house.at('manager.yaml')]).ended;
}

test('[B4] [B8] [P17] rules retire: two agents that talk all the while go on over another suite, every message once', async (t) => {
  const house = await buildHouse(
    {
      occupants: ['lamp', 'switch'].map((id) => ({ id, yaml: PROPOSALS })).concat({ id: 'old', yaml: ONLY_CCM }),
    },
    (end) => t.after(end),
  );
  await Promise.all(['lamp', 'switch', 'old'].map((id) => house.admit(id)));
  const ears = { lamp: await house.hear('lamp'), switch: await house.hear('switch') };
  const { sid, suite } = (await house.ask('switch', 'connect', { callee: 'lamp' })) as { sid: string; suite: string };
  assert.match(suite, /^aes-ccm-128/);
  const other = (await house.ask('switch', 'connect', { callee: 'old' })) as { sid: string };

  const dry = await rules(house, 'retire', 'aes-ccm', '--by', TOMORROW, '--dry-run');
  assert.equal(dry.code, 0);
  assert.match(dry.stdout, /devices that offer it: 3; of them nothing else: old/);
  assert.match(dry.stdout, /live sessions on it: 2; looked at: 2; of these nothing else in common: 1/);
  assert.match(dry.stdout, /pairs, with a session or without, that have nothing else in common: 4 of 6/);
  assert.match(dry.stdout, /^ {2}(?:lamp|switch) → old$/m);

  let retired: Promise<{ code: number | null }> | null = null;
  let faults = 0;
  for (let round = 0; round < ROUNDS; round++) {
    if (round === 20) retired = rules(house, 'retire', 'aes-ccm', '--by', TOMORROW);
    for (const id of ['lamp', 'switch']) {
      await house.ask(id, 'send', { to: sid, text: `${id} ${round}` }).catch(() => faults++);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.equal((await retired)?.code, 0);
  const manager = house.running('manager');
  await manager.logged('the move', ({ event, sid: of }) => event === 'session.renewed' && of === sid);
  for (const id of ['lamp', 'switch']) await house.ask(id, 'send', { to: sid, text: `${id} ${ROUNDS}` });
  assert.equal(faults, 0, 'at no moment was a message refused');
  const wanted = (from: string) => Array.from({ length: ROUNDS + 1 }, (_, round) => `${from} ${round}`);
  for (const [listener, from] of [
    ['lamp', 'switch'],
    ['switch', 'lamp'],
  ] as const) {
    const ear = ears[listener];
    await ear.until('the last', ({ text }) => text === `${from} ${ROUNDS}`);
    const heard = ear.heard.filter(({ event }) => event === 'message').map(({ text }) => String(text));
    assert.deepEqual(heard, wanted(from), `${listener} heard every message once, in order`);
  }
  for (const id of ['lamp', 'switch']) assert.match(await suiteAt(house, id, sid), /^aes-gcm-192 sha-384/);
  assert.match(
    await suiteAt(house, 'switch', other.sid),
    /^aes-ccm-128/,
    'nothing else is common: it stays until the day',
  );

  const listed = await rules(house, 'retirements', '--json');
  const [row] = JSON.parse(listed.stdout) as { suite: string; state: string; sessions: number }[];
  assert.deepEqual([row?.suite, row?.state, row?.sessions], ['aes-ccm', 'retiring', 1]);
  assert.equal((await rules(house, 'reinstate', 'aes-gcm')).code, 4);

  const end = await house.hear('old');
  assert.equal((await rules(house, 'retire', 'aes-ccm', '--by', 'now')).code, 0);
  await end.until('the end', ({ event, sid: of }) => event === 'session.closed' && of === other.sid);
  await assert.rejects(house.ask('switch', 'connect', { callee: 'old' }), /retired/);
});
