/**
 * Real processes over WebSocket: manager and verifier there, one device over wss, the other over TCP.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { certifyByOpenssl } from '../openssl-house.ts';
import { buildHouse } from '../real-house.ts';
import { runCommand } from '../real-process.ts';
import { opensslAbsent } from '../test-authority.ts';

const LISTENERS = `  - { kind: ws, host: 127.0.0.1, port: 0 }
  - kind: wss
    host: 127.0.0.1
    port: 0
    path: /of/the/house
    certificateFile: certificates/127.0.0.1.chain.pem
    keyFile: certificates/127.0.0.1.key.pem
  - { kind: tcp, host: 127.0.0.1, port: 0 }`;

test('[B1] a device over wss makes a session with one over TCP, manager and verifier over ws', {
  skip: opensslAbsent,
}, async (t) => {
  const house = await buildHouse(
    {
      occupants: [
        { id: 'lamp', listener: 1 },
        { id: 'switch', listener: 2 },
      ],
      listen: LISTENERS,
      certify: (directory, wanted) => {
        const server = { name: '127.0.0.1', kind: 'server', sans: [{ type: 'ip', value: '127.0.0.1' }] } as const;
        certifyByOpenssl(directory, [...wanted, server], 'P-256');
      },
    },
    (end) => t.after(end),
  );
  const [lampProcess, switchProcess] = await Promise.all([house.admit('lamp'), house.admit('switch')]);
  const schemes = await Promise.all(
    [house.running('manager'), house.running('verifier'), lampProcess, switchProcess].map(async ({ firstLine }) => {
      const { ready } = JSON.parse(await firstLine) as { ready: { broker: string } };
      return new URL(ready.broker).protocol;
    }),
  );
  assert.deepEqual(schemes, ['ws:', 'ws:', 'wss:', 'mqtt:']);
  const [lamp, button] = [await house.hear('lamp'), await house.hear('switch')];
  const session = (await house.ask('switch', 'connect', { callee: 'lamp' })) as Record<string, unknown>;
  assert.deepEqual([session.peer, session.encrypted, session.state], ['lamp', true, 'open']);
  await house.ask('switch', 'send', { to: 'lamp', text: 'on' });
  await lamp.until('a message', ({ event, text }) => event === 'message' && text === 'on');
  await house.ask('lamp', 'send', { to: 'switch', text: 'it is on' });
  await button.until('a message', ({ event, text }) => event === 'message' && text === 'it is on');

  const doctor = await runCommand(['doctor', house.at('lamp.yaml')]);
  assert.match(doctor.stdout, /^✓ the broker at wss:\/\/127\.0\.0\.1:\d+\/of\/the\/house can be reached/m);

  const path = house.at('without-anchor.yaml');
  const config = readFileSync(house.at('lamp.yaml'), 'utf8');
  writeFileSync(path, config.replace(/, anchorsFile: [^ }]+/, ''));
  const untrusting = await runCommand(['doctor', path]);
  assert.match(untrusting.stdout, /^✗ the broker at wss:.* is not used: TLS: .*: compare `anchorsFile` and the name/m);
});
