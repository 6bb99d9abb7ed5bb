/**
 * Commands of one CA at the same time: none loses what another one booked.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { initAuthority, issueCertificate, listCertificates } from '../../cli/ca/authority.ts';
import { startCommand } from '../real-process.ts';
import { crypto, inDirectory } from '../test-authority.ts';

test('[P4] of commands that revoke and issue at once, each is booked', () =>
  inDirectory(async (dir) => {
    const world = { crypto, now: Math.floor(Date.now() / 1000) };
    const [ca, outDir] = [join(dir, 'ca'), join(dir, 'keys')];
    initAuthority(ca, { name: 'Home', algorithm: 'p256', years: 10, withIntermediate: true }, world);
    const [old, young] = [
      ['a', 'b', 'c'],
      ['d', 'e', 'f'],
    ] as const;
    for (const name of old)
      issueCertificate(ca, { name, kind: 'device', sans: [], days: 9, algorithm: 'p256', outDir }, world);
    const runs = [...old.map((name) => ['revoke', name]), ...young.map((name) => ['issue', name, '--out', 'keys'])];
    const ended = await Promise.all(runs.map((args) => startCommand(['ca', ...args], dir).ended));
    for (const { code, stderr } of ended) assert.equal(code, 0, stderr);
    const held = new Map(listCertificates(ca).map(({ name, revokedAt }) => [name, revokedAt !== null]));
    for (const name of old) assert.equal(held.get(name), true, name);
    for (const name of young) assert.equal(held.get(name), false, name);
  }));
