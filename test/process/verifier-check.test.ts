/**
 * `kagimori verifier check` as a process: exit codes and what goes where.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { CheckResult } from '../../cli/verifier-check/certificate-check.ts';
import { writePem } from '../../platform/certificates.ts';
import { startCommand } from '../real-process.ts';
import { AT, device, inDirectory, root } from '../test-authority.ts';

test('[P3] 0 valid, 1 not valid with one reason, 2 unusable; the answer on stdout, complaints on stderr', () =>
  inDirectory(async (dir) => {
    const anchor = root();
    writeFileSync(join(dir, 'root.pem'), writePem('CERTIFICATE', anchor.certificate.der));
    writeFileSync(join(dir, 'router.der'), device(anchor).certificate.der);
    const check = (...args: readonly string[]) => startCommand(['verifier', 'check', ...args], dir).ended;
    const trusted = ['--anchor', 'root.pem', 'router.der'] as const;
    const runs: readonly (readonly [args: readonly string[], code: number, stdout: RegExp, stderr: RegExp])[] = [
      [['--at', String(AT), '--purpose', 'device', '--name', 'dns:router-1', ...trusted], 0, /^valid until 20/, /^$/],
      [['--at', '2027-01-15T08:00:00Z', '--purpose', 'server', ...trusted], 1, /^not valid: wrong-purpose: /, /^$/],
      [['--at', '2026-02-30T00:00:00Z', ...trusted], 2, /^$/, /It has to be a moment/],
      [['--at', '253402300799', ...trusted], 1, /^not valid: expired/, /^$/],
      [['--name', 'dns:router-1\n', ...trusted], 2, /^$/, /no name of the form/],
      [['--anchor', 'root.pem', 'no-such-file'], 2, /^$/, /no-such-file: no such file/],
      [['--purpose', 'fun', ...trusted], 2, /^$/, /Allowed choices are any, device, manager, user, server/],
      [['router.der'], 2, /^$/, /required option '--anchor <file>'/],
    ];
    await Promise.all(
      runs.map(async ([args, code, stdout, stderr]) => {
        const ended = await check(...args);
        assert.equal(ended.code, code, args.join(' '));
        assert.match(ended.stdout, stdout);
        assert.match(ended.stderr, stderr);
      }),
    );
    const { code, stdout } = await check('--json', '--at', String(AT), ...trusted);
    const result = JSON.parse(stdout) as CheckResult;
    assert.deepEqual([code, result.valid, result.purpose, result.revocation], [0, true, 'any', 'not-checked']);
    assert.deepEqual(
      Object.keys(result),
      'valid reason detail remedy index at purpose names path until revocation remarks'.split(' '),
    );
  }));
