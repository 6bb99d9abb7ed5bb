/**
 * Commands of one CA at the same time: none loses what another one booked.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { initAuthority, issueCertificate, listCertificates } from '../../cli/ca/authority.ts';
import { lockProcess } from '../../platform/process-lock.ts';
import { startCommand } from '../real-process.ts';
import { crypto, inDirectory } from '../test-authority.ts';

test('[P4] of commands that revoke and issue at once, each waits for its turn and is booked', () =>
  inDirectory(async (dir) => {
    const world = { crypto, now: Math.floor(Date.now() / 1000) };
    const [ca, outDir] = [join(dir, 'ca'), join(dir, 'keys')];
    initAuthority(ca, { name: 'Home', algorithm: 'p256', years: 10, withIntermediate: true }, world);
    const [old, young] = [
      ['a', 'b'],
      ['c', 'd'],
    ] as const;
    for (const name of old)
      issueCertificate(ca, { name, kind: 'device', sans: [], days: 9, algorithm: 'p256', outDir }, world);
    const held = () => listCertificates(ca).filter(({ kind }) => kind === 'device');
    const before = held();
    const turn = lockProcess(join(ca, 'index.lock'));
    const runs = [...old.map((name) => ['revoke', name]), ...young.map((name) => ['issue', name, '--out', 'keys'])];
    const commands = runs.map((args) => startCommand(['ca', ...args], dir).ended);
    const rivals = ['one', 'other'].map((out) => startCommand(['ca', 'issue', 'e', '--out', out], dir).ended);
    await pause(1500);
    assert.deepEqual(held(), before);
    turn.release();
    for (const { code, stderr } of await Promise.all(commands)) assert.equal(code, 0, stderr);
    const [won, lost] = (await Promise.all(rivals)).sort((one, other) => one.code! - other.code!);
    assert.equal(won!.code, 0, won!.stderr);
    assert.match(lost!.stderr, /device e has a living certificate/);
    const after = new Map(held().map(({ name, revokedAt }) => [name, revokedAt !== null]));
    assert.deepEqual([...after].sort(), [
      ['a', true],
      ['b', true],
      ['c', false],
      ['d', false],
      ['e', false],
    ]);
  }));
