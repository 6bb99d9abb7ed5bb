/**
 * PKCS#12 before OpenSSL: what it makes we read, what we make it reads; what is wrong, old or too dear is refused.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { issueCertificate } from '../../cli/ca/authority.ts';
import { readCertificateFile } from '../../platform/certificate-file.ts';
import { generateSigningKey, newPublicKeyCounter, signingKey } from '../../platform/crypto-node.ts';
import { openPkcs12, Pkcs12Fault, type Pkcs12FaultKind, writePkcs12 } from '../../platform/crypto-pkcs12.ts';
import { ca, certify, crypto, inDirectory, openssl, opensslAbsent, root } from '../test-authority.ts';

const PIN = Buffer.from('2718-28');
const skip = { skip: opensslAbsent };
type Algorithm = 'p256' | 'p384' | 'ed25519';

/** `key.pem`, `leaf.pem` and `chain.pem` in a directory. */
function papers(dir: string, algorithm: Algorithm) {
  const [anchor, key] = [root(), generateSigningKey(algorithm)];
  const issuer = ca(anchor);
  const leaf = certify('anna', { key }, issuer);
  const pem = (der: Uint8Array): string =>
    `-----BEGIN CERTIFICATE-----\n${Buffer.from(der)
      .toString('base64')
      .replace(/(.{64})/g, '$1\n')}\n-----END CERTIFICATE-----\n`;
  writeFileSync(join(dir, 'key.pem'), key.privatePkcs8Pem, { mode: 0o600 });
  writeFileSync(join(dir, 'leaf.pem'), pem(leaf.certificate.der));
  writeFileSync(join(dir, 'issuer.pem'), pem(issuer.certificate.der));
  return { key, leaf: leaf.certificate.der, issuer: issuer.certificate.der };
}

function exported(dir: string, ...more: readonly string[]): Uint8Array {
  const files = ['-inkey', 'key.pem', '-in', 'leaf.pem', '-certfile', 'issuer.pem', '-out', 'user.p12'];
  openssl(dir, 'pkcs12', '-export', ...files, '-passout', `pass:${PIN}`, ...more);
  return readFileSync(join(dir, 'user.p12'));
}

const refused = (fault: Pkcs12FaultKind) => (error: unknown) =>
  error instanceof Pkcs12Fault && error.fault === fault ? true : assert.fail(`${fault}: ${error}`);

for (const algorithm of ['p256', 'p384', 'ed25519'] as const) {
  test(`[P21] what openssl pkcs12 -export makes is read: ${algorithm}`, skip, () =>
    inDirectory(async (dir) => {
      const { key, leaf, issuer } = papers(dir, algorithm);
      const { privateKey, certificates } = await openPkcs12(exported(dir), PIN);
      assert.deepEqual(signingKey(privateKey, newPublicKeyCounter()).publicSpki, key.publicSpki);
      assert.deepEqual(
        certificates.map((one) => Buffer.from(one).toString('hex')).sort(),
        [leaf, issuer].map((one) => Buffer.from(one).toString('hex')).sort(),
      );
    }),
  );

  test(`[P21] what we make, openssl pkcs12 reads: ${algorithm}`, skip, () =>
    inDirectory(async (dir) => {
      const { key, leaf, issuer } = papers(dir, algorithm);
      const der = Buffer.from(readFileSync(join(dir, 'key.pem'), 'utf8').replace(/-----[^-]+-----|\s/g, ''), 'base64');
      const made = await writePkcs12({ privateKey: der, certificates: [leaf, issuer] }, PIN);
      writeFileSync(join(dir, 'ours.p12'), made);
      const out = openssl(dir, 'pkcs12', '-in', 'ours.p12', '-passin', `pass:${PIN}`, '-nodes');
      writeFileSync(join(dir, 'back.pem'), out);
      const spki = openssl(dir, 'pkey', '-in', 'back.pem', '-pubout', '-outform', 'PEM');
      assert.equal(
        spki.replace(/-----[^-]+-----|\s/g, ''),
        Buffer.from(key.publicSpki).toString('base64'),
        'the same key',
      );
      assert.equal(out.match(/BEGIN CERTIFICATE/g)?.length, 2);
      assert.throws(() => openssl(dir, 'pkcs12', '-in', 'ours.p12', '-passin', 'pass:0000', '-nodes'));
      assert.equal(Buffer.from(made).includes(der.subarray(36, 68)), false, 'the key is not in it as it is');
    }),
  );
}

test('[P21] a wrong PIN is told from everything else, and costs a try', skip, () =>
  inDirectory(async (dir) => {
    papers(dir, 'p256');
    const file = exported(dir);
    for (const pin of ['0000', '', '2718-2', '2718-288'])
      await assert.rejects(openPkcs12(file, Buffer.from(pin)), refused('wrong-pin'));
  }),
);

test('[P21] old encryption and a missing MAC are refused with the command that converts', skip, () =>
  inDirectory(async (dir) => {
    papers(dir, 'p256');
    const old = ['-certpbe', 'PBE-SHA1-3DES', '-keypbe', 'PBE-SHA1-3DES'];
    for (const options of [old, ['-nomac'], ['-keypbe', 'NONE', '-certpbe', 'PBE-SHA1-3DES']]) {
      const opening = openPkcs12(exported(dir, ...options), PIN);
      await assert.rejects(opening, (error) => error instanceof Pkcs12Fault && /openssl pkcs12/.test(error.message));
    }
    // the command does it
    exported(dir, ...old);
    openssl(dir, 'pkcs12', '-in', 'user.p12', '-passin', `pass:${PIN}`, '-nodes', '-legacy', '-out', 'all.pem');
    const pass = `pass:${PIN}`;
    openssl(dir, 'pkcs12', '-export', '-in', 'all.pem', '-passout', pass, '-out', 'new.p12');
    const { certificates } = await openPkcs12(readFileSync(join(dir, 'new.p12')), PIN);
    assert.equal(certificates.length, 2);
  }),
);

test('[P21] a file without a key, with a bare key, with nothing: refused', skip, () =>
  inDirectory(async (dir) => {
    papers(dir, 'p256');
    await assert.rejects(openPkcs12(exported(dir, '-keypbe', 'NONE'), PIN), refused('no-key'));
    await assert.rejects(openPkcs12(exported(dir, '-nokeys'), PIN), refused('no-key'));
    await assert.rejects(openPkcs12(new Uint8Array(0), PIN), refused('malformed'));
  }),
);

test('[P21] a file that asks for years of work is refused at once, before anything is derived', skip, () =>
  inDirectory(async (dir) => {
    papers(dir, 'p256');
    const honest = Buffer.from(exported(dir, '-iter', '70000', '-maciter'));
    const rounds = Buffer.from([0x02, 0x03, 0x01, 0x11, 0x70]); // INTEGER 70000
    const places = placesOf(honest, rounds);
    assert.ok(places.length >= 1, 'its rounds are found');
    for (const at of places) {
      const bomb = Buffer.from(honest);
      bomb.set([0x7f, 0xff, 0xff], at + 2); // 8,388,607
      const began = performance.now();
      // with a broken MAC the rounds inside are not even looked at
      await assert.rejects(openPkcs12(bomb, PIN), (error) => error instanceof Pkcs12Fault);
      assert.ok(performance.now() - began < 5_000);
    }
    await assert.rejects(
      openPkcs12(exported(dir, '-iter', '2000001', '-nomaciter', '-certpbe', 'NONE'), PIN),
      refused('too-dear'),
    );
    const mac = Buffer.from(exported(dir));
    const at = mac.lastIndexOf(Buffer.from([0x02, 0x02, 0x08, 0x00])); // INTEGER 2048, the last field
    assert.equal(at, mac.length - 4);
    mac.set([0x7f, 0xff], at + 2);
    await assert.rejects(openPkcs12(mac, PIN), refused('wrong-pin'), '32,767 rounds are done, and the MAC is another');
  }),
);

function placesOf(where: Buffer, what: Buffer): number[] {
  const places: number[] = [];
  for (let at = where.indexOf(what); at >= 0; at = where.indexOf(what, at + 1)) places.push(at);
  return places;
}

test('[P21] cut off anywhere, changed anywhere: refused, never a crash, never a key', skip, () =>
  inDirectory(async (dir) => {
    papers(dir, 'p256');
    const file = Buffer.from(exported(dir, '-iter', '1', '-nomaciter'));
    const step = process.env.KAGIMORI_LONG === '1' ? 1 : 41;
    for (let length = 0; length < file.length; length += step)
      await assert.rejects(openPkcs12(file.subarray(0, length), PIN), Pkcs12Fault, `${length} bytes`);
    for (let at = 0; at < file.length; at += step) {
      const other = Buffer.from(file);
      other[at]! ^= 0x10;
      const opened = await openPkcs12(other, PIN).catch((error: unknown) => {
        assert.ok(error instanceof Pkcs12Fault, `byte ${at}: ${error}`);
        return null;
      });
      // what the MAC does not cover is its own description and the version
      if (opened !== null) assert.equal(opened.certificates.length, 2, `byte ${at}`);
    }
  }),
);

test('[P21] `ca issue` writes a key without PIN, which becomes a medium by openssl', skip, () =>
  inDirectory(async (dir) => {
    const { initAuthority } = await import('../../cli/ca/authority.ts');
    const world = { crypto, now: Math.floor(Date.now() / 1000) };
    const authority = join(dir, 'ca');
    initAuthority(authority, { name: 'CA', algorithm: 'p256', years: 1, withIntermediate: true }, world);
    const wish = { name: 'anna', kind: 'user', sans: [], days: 30, algorithm: 'p256', outDir: dir } as const;
    const { keyFile, chainFile } = issueCertificate(authority, wish, world);
    const pass = `pass:${PIN}`;
    openssl(dir, 'pkcs12', '-export', '-inkey', keyFile, '-in', chainFile, '-passout', pass, '-out', 'user.p12');
    const { certificates } = await openPkcs12(readFileSync(join(dir, 'user.p12')), PIN);
    assert.equal(certificates.length, readCertificateFile(chainFile).length);
  }),
);
