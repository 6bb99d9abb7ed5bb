/**
 * What the doctor makes of devices that are kept out, as manager and agent tell of them, and of an approval policy.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkApproval } from '../../cli/doctor/approval-checks.ts';
import { checkAdmission, checkCopies } from '../../cli/doctor/life-checks.ts';

test('[P3] the doctor names each copied card, and what lets it in again', () => {
  const seen = checkCopies({ duplicates: { seen: ['lamp', 'oven'], quarantined: ['oven'] } });
  assert.equal(seen.length, 2, 'one line for each device');
  assert.ok(seen.every(({ ok }) => !ok));
  assert.match(seen[0]!.remedy ?? '', /device release oven/);
  assert.match(seen[1]!.what, /lamp/);
  assert.deepEqual(checkCopies({ duplicates: { seen: [], quarantined: [] } }), []);
  assert.deepEqual(checkCopies({}), []);
});

test('the doctor says why a device is not let in, not enrolled, not renewed', () => {
  assert.match(checkAdmission({ denied: 'void' })[0]?.what ?? '', /void/);
  assert.match(checkAdmission({ device: null, enrolment: { state: 'held' } })[0]?.what ?? '', /held/);
  const [late] = checkAdmission({ denied: null, certificate: { fault: 'not-certified' } });
  assert.equal(late?.ok, true, 'the certificate still counts');
  assert.match(late?.what ?? '', /not-certified/);
  assert.deepEqual(checkAdmission({ denied: null, certificate: { fault: null } }), []);
});

test('the doctor reads the approval policy as the agent would, and looks at its program', (t) => {
  const at = mkdtempSync(join(tmpdir(), 'doctor-'));
  t.after(() => rmSync(at, { recursive: true }));
  const file = join(at, 'approval.yaml');
  writeFileSync(file, 'rules: [');
  assert.equal(checkApproval(file, undefined)[0]?.ok, false);
  const hook = join(at, 'hook.sh');
  writeFileSync(hook, '#!/bin/sh\n', { mode: 0o755 });
  writeFileSync(file, `otherwise: ask\nhook: { command: ${hook} }\n`);
  assert.deepEqual(
    checkApproval(file, undefined).map(({ ok }) => ok),
    [true],
  );
  chmodSync(hook, 0o757);
  assert.match(checkApproval(file, undefined)[1]?.what ?? '', /everybody may write it/);
  assert.match(checkApproval(undefined, '/nonexistent/hook')[0]?.what ?? '', /not there/);
});
