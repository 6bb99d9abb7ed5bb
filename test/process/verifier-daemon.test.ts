/**
 * The verifier as an operator has it: asked for its status, told to look again, examined by the doctor, asked by OpenSSL.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { initAuthority, issueCertificate } from '../../cli/ca/authority.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { kill, runCommand, startCommand } from '../real-process.ts';
import { opensslAbsent } from '../test-authority.ts';

interface Status {
  readonly certificate: string;
  readonly revokedCertificates: number;
  readonly responder: { readonly port: number };
  readonly lists: readonly { readonly issuer: string; readonly proven: boolean; readonly stale: boolean }[];
  readonly problems: readonly string[];
}

const YAML = `broker: { url: 'mqtt://127.0.0.1:1', tokenFile: token }
certificateFile: v.chain.pem
keyFile: v.key.pem
trustAnchorFiles: [{ file: ca/root.pem, staleSeconds: 60 }]
dataDirectory: data
crlFiles: [ca/crl.pem]
responder:
  port: 0
  signers: [{ certificateFile: ocsp.chain.pem, keyFile: ocsp.key.pem }]
`;

test('a verifier tells what it knows, looks again when told, is well in the doctor’s eyes, and OpenSSL believes its answers', {
  skip: opensslAbsent,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kagimori-verifier-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const run = (...args: readonly string[]) => runCommand(args, folder);
  const done = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(...args);
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}${stdout}`);
    return stdout;
  };
  const world = { crypto: nodeCrypto(), now: Math.floor(Date.now() / 1000) };
  const authority = join(folder, 'ca');
  initAuthority(authority, { name: 'House CA', algorithm: 'p256', years: 1, withIntermediate: true }, world);
  const rest = { sans: [], days: 30, algorithm: 'p256', outDir: folder } as const;
  issueCertificate(authority, { name: 'v', kind: 'verifier', ...rest }, world);
  issueCertificate(authority, { name: 'ocsp', kind: 'ocsp', ...rest, days: 7 }, world);
  issueCertificate(authority, { name: 'thermostat', kind: 'device', ...rest }, world);
  writeFileSync(join(folder, 'token'), 'a-token-for-the-verifier\n', { mode: 0o600 });
  writeFileSync(join(folder, 'kagimori-verifier.yaml'), YAML);
  assert.equal((await run('verifier', 'status')).code, 3, 'it does not run yet');

  const verifier = startCommand(['verifier', 'run', '--json', '--log', 'json'], folder);
  t.after(() => kill(verifier));
  const { ready } = JSON.parse(await verifier.firstLine) as { ready: { responder: string } };
  const status = async (): Promise<Status> => JSON.parse(await done('verifier', 'status', '--json')) as Status;
  const first = await status();
  assert.deepEqual([first.certificate, first.revokedCertificates, first.problems], ['v', 0, []]);
  assert.ok(first.lists.length > 0 && first.lists.every(({ stale }) => !stale));
  assert.match(await done('verifier', 'status'), /^LIST OF +SCOPE +NUMBER/m);
  assert.match(await done('status', '--verifier-data', 'data'), /^verifier: running$/m);

  const ocsp = (): string => {
    const files = ['-issuer', 'issuer.pem', '-cert', 'thermostat.chain.pem', '-CAfile', 'ca/root.pem'];
    const args = ['ocsp', ...files, '-url', ready.responder, '-timeout', '5'];
    const { stdout, stderr } = spawnSync('openssl', args, { cwd: folder, encoding: 'utf8' });
    return stderr + stdout;
  };
  writeFileSync(join(folder, 'issuer.pem'), issuerIn(folder));
  assert.match(ocsp(), /Response verify OK[\s\S]*: good/);

  await done('ca', 'revoke', 'thermostat');
  verifier.child.kill('SIGHUP');
  await verifier.logged('the list', ({ event }) => event === 'file.adopted');
  assert.equal((await status()).revokedCertificates, 1);
  assert.match(ocsp(), /Response verify OK[\s\S]*: revoked/);
  assert.match(await done('verifier', 'reload'), /revokedCertificates +1/);

  const told = await run('doctor');
  assert.match(told.stdout, /^✓ .*v\.chain\.pem is under the trust anchors, for verifier$/m);
  assert.match(told.stdout, /^✓ the list of .* in .*ca\/crl\.pem holds until/m);
  assert.match(told.stdout, /^✓ .*ocsp\.chain\.pem signs OCSP answers for/m);
  assert.match(told.stdout, /^✓ .*data\/verifier\.sock answers$/m);

  writeFileSync(join(folder, 'ca/crl.pem'), 'no list');
  await verifier.logged('the refusal', ({ event }) => event === 'file.refused');
  const bad = await run('verifier', 'status');
  assert.equal(bad.code, 1);
  assert.match(bad.stdout, /^✗ .*crl\.pem: neither PEM nor DER/m);
  assert.match((await run('doctor')).stdout, /^✗ .*crl\.pem: neither PEM nor DER.*: see `kagimori verifier status`$/m);
});

/** The certificate behind the leaf. */
function issuerIn(folder: string): string {
  const read = (file: string): string => readFileSync(join(folder, file), 'utf8');
  return (read('thermostat.chain.pem') + read('ca/root.pem')).match(/-----BEGIN[\s\S]*?END CERTIFICATE-----\n/g)![1]!;
}
