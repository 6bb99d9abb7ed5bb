/**
 * Mosquitto's own clients answer what a device asks, through our broker: an approver whose key the device has, and others
 * who have only one of the two secrets.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, type TestContext, test } from 'node:test';
import { listenAs, mosquittoAbsent, publishAs } from '../mosquitto.ts';
import { buildHouse, type House } from '../real-house.ts';

const TOKENS = { panel: 'token-of-the-panel-0123', other: 'token-of-another-4567' };
const KEY = 'key-of-the-panel-for-the-door';

const BROKER = `integrators:
  - { name: panel, tokenFile: panel.token, devices: ["do*"] }
  - { name: other, tokenFile: other.token, devices: [phone] }
`;
const DOOR = `approval: { otherwise: ask, askTimeoutSeconds: 20 }
approvers: [{ name: panel, keyFile: panel.key }]
`;

/** As docs/approval-topics.md has it. */
function answerOf({ sid, payload }: Asked, decision: string, remember = 0, key = KEY): string {
  const digest = spawnSync('openssl', ['dgst', '-sha256', '-r'], { input: payload, encoding: 'utf8' });
  const seen = digest.stdout.slice(0, 64);
  const lines = ['kagimori-approval-answer-1', 'door', sid, decision, `${remember}`, 'panel', seen];
  const { stdout } = spawnSync('openssl', ['dgst', '-sha256', '-hmac', key, '-r'], {
    input: lines.join('\n'),
    encoding: 'utf8',
  });
  return JSON.stringify({ sid, decision, rememberSeconds: remember, approver: 'panel', mac: stdout.slice(0, 64) });
}

let logins = 0;
const loginOf = (house: House, name: keyof typeof TOKENS, token = TOKENS[name]): string[] => {
  const { port } = new URL(JSON.parse(house.read('broker.url')));
  return [
    '-h',
    '127.0.0.1',
    '-p',
    port,
    '-i',
    `${name}-client-${String(++logins).padStart(8, '0')}`,
    '-u',
    name,
    '-P',
    token,
  ];
};

async function houseOf(t: TestContext): Promise<House> {
  const house = await buildHouse(
    {
      occupants: [{ id: 'door', yaml: DOOR }, { id: 'phone' }],
      brokerYaml: BROKER,
      files: { 'panel.token': `${TOKENS.panel}\n`, 'other.token': `${TOKENS.other}\n`, 'panel.key': `${KEY}\n` },
    },
    (end) => t.after(end),
  );
  const [url] = (JSON.parse(await house.running('broker').firstLine) as { ready: { listen: string[] } }).ready.listen;
  house.write('broker.url', JSON.stringify(url));
  for (const id of ['door', 'phone']) await house.admit(id);
  return house;
}

interface Asked {
  readonly sid: string;
  readonly from: string;
  readonly purpose?: string;
  readonly outcome?: string;
  /** As it came. */
  readonly payload: string;
}
function said(line: string): Asked {
  const payload = line.slice(line.indexOf(' ') + 1);
  return { ...(JSON.parse(payload) as Omit<Asked, 'payload'>), payload };
}

describe('approval by topic', { skip: mosquittoAbsent }, () => {
  test('[P14] [B1] a panel with its own key answers; a wrong key, another device and another integrator change nothing', async (t) => {
    const house = await houseOf(t);
    const panel = await listenAs(
      loginOf(house, 'panel'),
      ['kagimori/approval/+/ask', 'kagimori/approval/+/settled'],
      (end) => t.after(end),
    );
    const other = await listenAs(loginOf(house, 'other'), ['kagimori/approval/+/ask'], (end) => t.after(end));
    const about = (what: string, fits: (asked: Asked) => boolean) => async (): Promise<Asked> => {
      const isIt = (line: string): boolean => line.startsWith(`kagimori/approval/door/${what} `) && fits(said(line));
      await panel.until(what, isIt);
      return said(panel.heard.find(isIt)!);
    };

    const call = house.ask('phone', 'connect', { callee: 'door', purpose: 'open' });
    const asked = await about('ask', ({ from }) => from === 'phone')();
    assert.equal(asked.purpose, 'open');

    const topic = 'kagimori/approval/door/answer';
    publishAs(loginOf(house, 'panel'), topic, answerOf(asked, 'refuse', 0, 'some-other-key-of-someone'));
    publishAs(loginOf(house, 'panel'), topic, 'allow');
    publishAs(loginOf(house, 'other'), topic, answerOf(asked, 'refuse'));
    const seen = { ...asked, payload: asked.payload.replace('"from":"phone"', '"from":"radio"') };
    assert.notEqual(seen.payload, asked.payload);
    publishAs(loginOf(house, 'panel'), topic, answerOf(seen, 'refuse')); // to what a lying broker would have shown
    const stranger = publishAs(loginOf(house, 'panel', 'wrong-token-0123456'), topic, answerOf(asked, 'refuse'));
    assert.notEqual(stranger.status, 0, 'the broker lets nobody in with a wrong token');
    await house
      .running('door')
      .logged('the refusal', ({ event, code }) => event === 'approval.answer-refused' && code === 'unauthenticated');
    await house
      .running('door')
      .logged('the refusal', ({ event, code }) => event === 'approval.answer-refused' && code === 'malformed');

    assert.equal(publishAs(loginOf(house, 'panel'), topic, answerOf(asked, 'allow', 600)).status, 0);
    const session = (await call) as { sid: string };
    assert.equal(session.sid, asked.sid);
    assert.equal((await about('settled', ({ sid }) => sid === asked.sid)()).outcome, 'approved');
    await house.running('door').logged('by whom', ({ event, by }) => event === 'ask.approved' && by === 'topic');

    // remembered: nobody is asked, and nothing is published
    const again = (await house.ask('phone', 'connect', { callee: 'door' })) as { sid: string };
    assert.notEqual(again.sid, asked.sid);
    assert.equal(panel.heard.filter((line) => line.includes('/door/ask ')).length, 1);
    assert.equal(other.heard.length, 0, 'what is not its device it does not see');
    const written = house.ran.map((one) => one.written()).join('');
    assert.ok(written.includes(asked.sid), 'the search finds what is in a log');
    for (const secret of [KEY, ...Object.values(TOKENS)]) assert.ok(!written.includes(secret), 'no secret in a log');
  });

  test('[P14] a refusal by topic, and a question that the caller takes back, are told as settled', async (t) => {
    const house = await houseOf(t);
    const panel = await listenAs(
      loginOf(house, 'panel'),
      ['kagimori/approval/door/ask', 'kagimori/approval/door/settled'],
      (end) => t.after(end),
    );
    const refused = assert.rejects(house.ask('phone', 'connect', { callee: 'door' }), /refused-by-user/);
    await panel.until('the question', (line) => line.includes('/door/ask '));
    const asked = said(panel.heard[0]!);
    publishAs(loginOf(house, 'panel'), 'kagimori/approval/door/answer', answerOf(asked, 'refuse'));
    await refused;
    await panel.until('settled', (line) => line.includes('/settled ') && said(line).outcome === 'refused-by-user');

    const timed = assert.rejects(house.ask('phone', 'connect', { callee: 'door', timeoutSeconds: 1 }), /timeout/);
    await timed;
    await panel.until('withdrawn', (line) => line.includes('/settled ') && said(line).outcome === 'withdrawn');
  });
});
