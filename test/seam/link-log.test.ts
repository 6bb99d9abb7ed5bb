/**
 * What the log says of a broker that stays away.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linkLog } from '../../platform/link-log.ts';
import { createLog } from '../../platform/log.ts';

test('the loss of a link and each new reason are told at once, the same again once a minute with the attempts', () => {
  const lines: string[] = [];
  const destination = { write: (line: string) => lines.push(line.replace(/^\S+ /, '').trimEnd()) };
  const log = createLog({ name: 'test', level: 'info', json: false, destination });
  let now = 0;
  const link = linkLog(log, () => now);
  link.up({ link: 'a' });
  link.down('closed', 'look there');
  for (; now < 150_000; now += 1000) link.down('refused');
  link.down('not authorised');
  link.up();
  link.down('closed');
  link.up();
  link.down('closed');
  assert.deepEqual(lines, [
    'info  broker.up link=a',
    'warn  broker.down reason=closed hint="look there"',
    'warn  broker.down reason=refused',
    'warn  broker.down reason=refused attempts=60',
    'warn  broker.down reason=refused attempts=60',
    'warn  broker.down reason="not authorised"',
    'info  broker.up',
    'warn  broker.down reason=closed',
    'info  broker.up',
    'warn  broker.down reason=closed',
  ]);
});
