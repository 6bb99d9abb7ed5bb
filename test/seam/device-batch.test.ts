/**
 * The small CA as a manager asks it: many at once, repeats, names and keys that are taken, and what stays on the list.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { initAuthority, listCertificates, revokeCertificate, writeCrl } from '../../cli/ca/authority.ts';
import { certifyDevices } from '../../cli/ca/device-batch.ts';
import { readPem, writePem } from '../../platform/certificates.ts';
import { generateSigningKey } from '../../platform/crypto-node.ts';
import { equal } from '../../protocol/bytes.ts';
import { AT, crypto, DAY, inDirectory, openssl, opensslAbsent, parse, reader } from '../test-authority.ts';

const newKey = () => generateSigningKey('p256').publicSpki;
const chainOf = (answer: ReturnType<typeof certifyDevices>[number] | undefined): readonly Uint8Array[] => {
  assert.ok(answer !== undefined && 'chain' in answer, JSON.stringify(answer));
  return answer.chain;
};
const reasonOf = (answer: ReturnType<typeof certifyDevices>[number] | undefined): string =>
  answer !== undefined && 'refused' in answer ? answer.refused : '';

test('a batch is certified and booked; a repeat is answered alike, in the batch and for ten minutes', async () => {
  await inDirectory((dir) => {
    initAuthority(dir, { name: 'Batch', algorithm: 'p256', years: 2, withIntermediate: true }, { crypto, now: AT });
    const wishes = Array.from({ length: 20 }, (_, i) => ({ name: `d-${i}`, spki: newKey(), renews: false }));
    const ask = (asked: typeof wishes, now: number) => certifyDevices(dir, asked, 30, { crypto, now });
    const first = ask([...wishes, wishes[0]!], AT);
    assert.ok(equal(chainOf(first[20])[0]!, chainOf(first[0])[0]!));
    assert.ok(equal(chainOf(ask([wishes[3]!], AT + 600)[0])[0]!, chainOf(first[3])[0]!));
    assert.equal(listCertificates(dir).filter(({ kind }) => kind === 'device').length, 20);
    const later = chainOf(ask([wishes[3]!], AT + 601)[0]);
    assert.ok(!equal(later[0]!, chainOf(first[3])[0]!));
    assert.equal(parse(later[0]!).subject.commonName, 'd-3');
    assert.ok(!listCertificates(dir).some(({ answer }) => answer !== undefined && answer.at <= AT));
  });
});

test('a name of a living device, a key of another one and a revoked key are refused; the others of the batch are not', async () => {
  await inDirectory((dir) => {
    initAuthority(dir, { name: 'Batch', algorithm: 'p256', years: 2 }, { crypto, now: AT });
    const world = { crypto, now: AT };
    const [boiler, lock] = [newKey(), newKey()];
    certifyDevices(
      dir,
      [
        { name: 'boiler', spki: boiler, renews: false },
        { name: 'lock', spki: lock, renews: false },
      ],
      30,
      world,
    );
    revokeCertificate(dir, 'lock', world);
    const answers = certifyDevices(
      dir,
      [
        { name: 'boiler', spki: newKey(), renews: false },
        { name: 'boiler', spki: newKey(), renews: true },
        { name: 'lamp', spki: boiler, renews: false },
        { name: 'lock', spki: lock, renews: true },
        { name: '~', spki: newKey(), renews: false },
        { name: 'lock', spki: newKey(), renews: false },
        { name: 'boiler', spki: boiler, renews: true },
      ],
      30,
      world,
    );
    assert.match(reasonOf(answers[0]), /boiler has a living certificate over another key/);
    assert.match(reasonOf(answers[1]), /its certificate is of another CA: kagimori device invite/);
    assert.match(reasonOf(answers[2]), /its key is that of device boiler/);
    assert.match(reasonOf(answers[3]), /its key was revoked with device lock/);
    assert.match(reasonOf(answers[4]), /is no name/);
    chainOf(answers[5]);
    chainOf(answers[6]);
  });
});

test('what was revoked stays on the list after its certificate has run out', async () => {
  await inDirectory((dir) => {
    initAuthority(dir, { name: 'Batch', algorithm: 'p256', years: 2 }, { crypto, now: AT });
    const [answer] = certifyDevices(dir, [{ name: 'lock', spki: newKey(), renews: false }], 1, { crypto, now: AT });
    const { serial } = parse(chainOf(answer)[0]!);
    revokeCertificate(dir, 'lock', { crypto, now: AT });
    writeCrl(dir, { crypto, now: AT + 90 * DAY });
    const list = reader.readCrl(readPem(readFileSync(join(dir, 'crl.pem')), 'X509 CRL')![0]!)!;
    assert.ok([...list.revoked.keys()].length === 1 && serial.length > 0);
  });
});

test('OpenSSL takes the chain that a batch gives', { skip: opensslAbsent }, async () => {
  await inDirectory((dir) => {
    const now = Math.floor(Date.now() / 1000);
    initAuthority(dir, { name: 'Batch', algorithm: 'p256', years: 2 }, { crypto, now });
    const [answer] = certifyDevices(dir, [{ name: 'lock', spki: newKey(), renews: false }], 1, { crypto, now });
    writeFileSync(join(dir, 'leaf.pem'), writePem('CERTIFICATE', chainOf(answer)[0]!));
    assert.match(openssl(dir, 'verify', '-CAfile', 'root.pem', '-purpose', 'sslclient', 'leaf.pem'), /OK/);
  });
});
