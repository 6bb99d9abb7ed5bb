/**
 * The whole exchange between real processes with certificates that OpenSSL made: login, register, connect, messages both
 * ways, close; one of the devices over TLS.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { certifyByOpenssl, type KeyKind } from '../openssl-house.ts';
import { buildHouse, type House, MANAGER } from '../real-house.ts';
import { opensslAbsent } from '../test-authority.ts';

interface Status {
  readonly publicKeyOperations: Readonly<Record<'generate' | 'agree' | 'sign' | 'verify' | 'all', number>>;
  readonly registration: { readonly version: number | null };
  readonly openings: readonly { readonly opened: string; readonly by: string; readonly publicKeyOps: number }[];
  readonly sessions: readonly Readonly<Record<string, unknown>>[];
}

/**
 * An ephemeral key, a shared secret, the device's signature; the manager's signature and the two of its chain. The
 * device's own login; nothing is done for the verifier, whose verdict on the manager these do not demand.
 */
const LOGIN = { generate: 1, agree: 1, sign: 1, verify: 3, all: 6 };

const BOTH_LISTENERS = `  - { kind: tcp, host: 127.0.0.1, port: 0 }
  - kind: tls
    host: 127.0.0.1
    port: 0
    certificateFile: certificates/127.0.0.1.chain.pem
    keyFile: certificates/127.0.0.1.key.pem`;

const statusOf = async (house: House, id: string): Promise<Status> =>
  (await house.ask(id, 'status')) as unknown as Status;

async function wholeExchange(t: TestContext, kind: KeyKind, keyMode: 'key' | 'seed'): Promise<void> {
  const proposals = `proposals: [{ cipher: aes-gcm, keyBits: 128, keyMode: ${keyMode} }]\n`;
  const house = await buildHouse(
    {
      occupants: [
        { id: 'lamp', yaml: proposals, sans: [{ type: 'dns', value: 'lamp.house.example' }] },
        { id: 'switch', yaml: proposals, listener: 1 },
      ],
      listen: BOTH_LISTENERS,
      certify: (directory, wanted) => {
        const server = { name: '127.0.0.1', kind: 'server', sans: [{ type: 'ip', value: '127.0.0.1' }] } as const;
        certifyByOpenssl(directory, [...wanted, server], kind);
      },
    },
    (end) => t.after(end),
  );
  const [lampProcess, switchProcess] = await Promise.all([house.admit('lamp'), house.admit('switch')]);
  for (const [id, process, scheme] of [
    ['lamp', lampProcess, 'mqtt:'],
    ['switch', switchProcess, 'mqtts:'],
  ] as const) {
    const { ready } = JSON.parse(await process.firstLine) as {
      ready: { device: string; manager: string; broker: string };
    };
    assert.deepEqual([ready.device, ready.manager, new URL(ready.broker).protocol], [id, MANAGER, scheme]);
    const { publicKeyOperations, registration, openings } = await statusOf(house, id);
    assert.deepEqual(publicKeyOperations, LOGIN, id);
    assert.equal(registration.version, 1);
    assert.deepEqual(
      openings.map(({ opened, by, publicKeyOps }) => [opened, by, publicKeyOps]),
      [['edhoc', 'device', LOGIN.all]],
    );
  }
  const devices = (await house.ask('manager', 'device.list')) as { id: string; registration: { version: number } }[];
  assert.deepEqual(
    devices.map(({ id, registration }) => [id, registration.version]),
    [
      ['lamp', 1],
      ['switch', 1],
    ],
  );

  const [lamp, button] = [await house.hear('lamp'), await house.hear('switch')];
  const session = (await house.ask('switch', 'connect', { callee: 'lamp.house.example' })) as Record<string, unknown>;
  const sid = String(session.sid);
  assert.deepEqual([session.peer, session.keyMode, session.encrypted, session.state], ['lamp', keyMode, true, 'open']);
  await lamp.until('the session', ({ event }) => event === 'session.open');
  await house.ask('switch', 'send', { to: 'lamp', text: 'on' });
  const on = await lamp.until('a message', ({ event }) => event === 'message');
  assert.deepEqual([on.sid, on.from, on.text], [sid, 'switch', 'on']);
  await house.ask('lamp', 'send', { to: 'switch', base64: 'AAECAw==' });
  const back = await button.until('a message', ({ event }) => event === 'message');
  assert.deepEqual([back.from, back.base64], ['lamp', 'AAECAw==']);

  for (const id of ['lamp', 'switch']) {
    const { publicKeyOperations, sessions } = await statusOf(house, id);
    assert.deepEqual(publicKeyOperations, LOGIN, `${id}: the session cost none`);
    const { opening, data } = sessions[0] as {
      opening: { sent: number; received: number; publicKeyOps: number };
      data: object;
    };
    assert.equal(opening.publicKeyOps, 0);
    assert.ok(opening.sent <= 3 && opening.received <= 3, JSON.stringify(opening));
    assert.equal((data as { sent: number }).sent, 1);
  }
  assert.equal(((await house.ask('manager', 'session.list')) as unknown[]).length, 1);

  await house.ask('lamp', 'close', { sid });
  const closed = await button.until('the end', ({ event }) => event === 'session.closed');
  assert.deepEqual([closed.sid, closed.reason, closed.closedBy], [sid, 'done', 'callee']);
  assert.deepEqual((await statusOf(house, 'lamp')).sessions, []);
  await house.running('manager').logged('the end', ({ event, sid: of }) => event === 'session.over' && of === sid);
  assert.deepEqual(await house.ask('manager', 'session.list'), []);
  await assert.rejects(house.ask('switch', 'send', { to: sid, text: 'too late' }), { code: 'no-session' });
}

const TAGS = '[P1] [P2] [P3] [P4] [P6] [P7] [P9] [P11] [P15] [P16] [P17] [B1] [B5]';

test(
  `${TAGS} P-256 by OpenSSL, TCP and TLS: a login costs six public-key operations, a session none`,
  { skip: opensslAbsent },
  (t) => wholeExchange(t, 'P-256', 'seed'),
);

test(
  `${TAGS} Ed25519 by OpenSSL, TCP and TLS: a login costs six public-key operations, a session none`,
  { skip: opensslAbsent },
  (t) => wholeExchange(t, 'Ed25519', 'key'),
);
