/**
 * The log: one line per event, and what never stands in it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog, type LogFields } from '../../platform/log.ts';

function logged(json: boolean, event: string, fields?: LogFields): string {
  const lines: string[] = [];
  const log = createLog({ name: 'manager', level: 'info', json, destination: { write: (line) => lines.push(line) } });
  log.debug('not.shown');
  log.info(event, fields);
  assert.equal(lines.length, 1);
  return lines[0]!;
}

test('a line for people: time, level, event, fields', () => {
  const line = logged(false, 'device.logged-in', {
    device: 'router-1',
    bytes: 37,
    suite: 'AES 128',
    resumed: false,
    by: undefined,
  });
  assert.match(
    line,
    /^\d\d:\d\d:\d\d info {2}device\.logged-in device=router-1 bytes=37 suite="AES 128" resumed=false\n$/,
  );
});

test('a line for collectors is one JSON object with level, time, name and event', () => {
  const { time, ...rest } = JSON.parse(logged(true, 'session.open', { sid: 7, level: 'fake', event: 'fake', big: 5n }));
  assert.match(time, /^\d{4}-\d\d-\d\dT/);
  assert.deepEqual(rest, {
    level: 'info',
    name: 'manager',
    event: 'session.open',
    sid: 7,
    level_: 'fake',
    event_: 'fake',
    big: '5',
  });
});

test('byte strings and secrets are never printed, however deep they stand', () => {
  class Secret {
    readonly bytes = new Uint8Array([0xaa, 0xbb]);
  }
  const disguised = { value: 'hidden', toString: () => '[secret]' };
  const fields = {
    key: new Uint8Array([171, 205]),
    buffer: Buffer.from('hidden'),
    secret: new Secret(),
    nested: { list: [disguised, new Uint8Array(3)], map: new Map([['k', Buffer.from('hidden')]]) },
    error: new Error('what happened'),
  };
  for (const json of [true, false]) {
    const line = logged(json, 'x', fields);
    assert.doesNotMatch(line, /hidden|171|170|q80|abcd|aabb|at .*\.ts/i);
    assert.match(line, /\[2 bytes\].*\[6 bytes\].*\[secret\].*\[secret\].*\[3 bytes\].*\[6 bytes\].*what happened/);
  }
});

test("a peer's text cannot begin a line of its own or steer a terminal", () => {
  const line = logged(false, 'peer.refused', {
    reason: 'x\n12:00:00 info  fake\u001b[2J\u009b31m\u2028',
    'a b=': '\r',
  });
  assert.equal(line.indexOf('\n'), line.length - 1);
  assert.doesNotMatch(line.slice(0, -1), /[\p{Cc}\u2028]/u);
});
