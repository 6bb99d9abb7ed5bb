/**
 * The certificate reader and the issuing code beside OpenSSL, and the reader under broken bytes.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { commonName, freshSerial, ipBytes, issueCrl } from '../../platform/certificate-issuing.ts';
import { certificateReader, MAX_CERTIFICATE_BYTES, readPem, writePem } from '../../platform/certificates.ts';
import { concat, encodeUtf8, fromHex, toHex } from '../../protocol/bytes.ts';
import { EXTENDED_KEY_USAGE } from '../../protocol/certificate.ts';
import * as values from '../../protocol/message-values.ts';
import { AT, ca, crlOf, crypto, DAY, device, inDirectory, openssl, opensslAbsent, root } from '../test-authority.ts';
import { bitString, der, membersOf, oid, partsOf, sequence, TAG } from '../test-der.ts';

const reader = certificateReader();
const ALGORITHMS = ['p256', 'p384', 'ed25519'] as const;
const NAMES = [
  { type: 'dns', value: 'tv.example' },
  { type: 'email', value: 'tv@example.org' },
  { type: 'uri', value: 'sip:tv@example.org' },
  { type: 'mac', value: '00:11:22:33:44:55' },
  { type: 'ip', value: '192.0.2.7' },
  { type: 'ip', value: '2001:db8::7' },
] as const;

for (const algorithm of ALGORITHMS) {
  test(
    `OpenSSL verifies what we issue: ${algorithm}, with intermediate, names, constraints and lists`,
    { skip: opensslAbsent },
    () =>
      inDirectory((dir) => {
        const permitted = [
          { type: 'dns', value: 'example' },
          { type: 'directory', value: commonName('tv') },
        ] as const;
        const top = root('Our root', { algorithm });
        const middle = ca(top, 'Our CA', { algorithm, ca: { pathLength: 0 }, nameConstraints: { permitted } });
        const leaf = device(middle, 'tv', { algorithm, alternativeNames: NAMES });
        const gone = device(middle, 'tv', { algorithm });
        const pem = (name: string, text: string): void => writeFileSync(join(dir, name), text);
        for (const [name, { certificate }] of Object.entries({ top, middle, leaf, gone })) {
          pem(`${name}.pem`, writePem('CERTIFICATE', certificate.der));
        }
        pem('crl.pem', writePem('X509 CRL', crlOf(top, []).der, crlOf(middle, [gone]).der));
        const verify = (leafFile: string): string =>
          openssl(
            dir,
            'verify',
            '-x509_strict',
            '-crl_check_all',
            '-attime',
            String(AT),
            '-CAfile',
            'top.pem',
            '-CRLfile',
            'crl.pem',
            '-untrusted',
            'middle.pem',
            leafFile,
          );
        assert.match(verify('leaf.pem'), /leaf\.pem: OK/);
        assert.throws(() => verify('gone.pem'), /certificate revoked/);
        const text = openssl(dir, 'x509', '-in', 'leaf.pem', '-noout', '-text');
        assert.match(text, /URI:urn:dev:mac:001122334455/);
        assert.match(text, /IP Address:192\.0\.2\.7, IP Address:2001:DB8:0:0:0:0:0:7/);
        assert.ok(text.includes(EXTENDED_KEY_USAGE.kagimoriDevice));
      }),
  );
}

test('what we issue is read back as it was meant', () => {
  const middle = ca(root(), 'CA', {
    ca: { pathLength: 3 },
    nameConstraints: { excluded: [{ type: 'dns', value: 'x.example' }] },
  });
  const { certificate } = device(middle, '冷蔵庫-1', { alternativeNames: NAMES });
  const { extensions } = certificate;
  assert.equal(certificate.version, 3);
  assert.equal(certificate.serial.length, 16);
  assert.equal(certificate.subject.commonName, '冷蔵庫-1');
  assert.deepEqual([certificate.notBefore, certificate.notAfter], [AT - DAY, AT + 365 * DAY]);
  assert.deepEqual(extensions.basicConstraints, { ca: false, pathLength: null });
  assert.deepEqual(extensions.keyUsage, new Set(['digitalSignature']));
  assert.deepEqual(extensions.extendedKeyUsage, [EXTENDED_KEY_USAGE.kagimoriDevice]);
  assert.deepEqual(extensions.subjectAltName, {
    dns: ['tv.example'],
    email: ['tv@example.org'],
    uri: ['sip:tv@example.org', 'urn:dev:mac:001122334455'],
    ip: [ipBytes('192.0.2.7'), ipBytes('2001:db8::7')],
    directory: [],
    other: [],
  });
  assert.deepEqual(extensions.authorityKeyId, middle.certificate.extensions.subjectKeyId);
  assert.deepEqual(middle.certificate.extensions.basicConstraints, { ca: true, pathLength: 3 });
  assert.deepEqual(middle.certificate.extensions.keyUsage, new Set(['keyCertSign', 'cRLSign']));
  assert.deepEqual(middle.certificate.extensions.nameConstraints?.excluded.dns, ['x.example']);
});

test('a list is read back with number, dates and serials', () => {
  const by = root();
  const [a, b] = [device(by), device(by)];
  const crl = crlOf(by, [a, b], { number: 300, thisUpdate: AT, nextUpdate: AT + 5 });
  const entries = [a, b].map(({ certificate }) => [toHex(certificate.serial), 'unspecified'] as const);
  assert.deepEqual(crl.revoked, [{ issuer: by.certificate.subject, entries: new Map(entries) }]);
  assert.deepEqual([crl.number, crl.thisUpdate, crl.nextUpdate, crl.unknownCritical], [300n, AT, AT + 5, []]);
});

test('a list of 4,000 entries, more than the library takes at once, is issued and read', () => {
  const revoked = Array.from({ length: 4000 }, () => ({ serial: freshSerial(crypto), at: AT }));
  const by = root();
  const der = issueCrl(crypto, by.issuer, { number: 1, thisUpdate: AT, nextUpdate: AT + DAY, revoked });
  const entries = new Map(revoked.map(({ serial }) => [toHex(serial), 'unspecified']));
  assert.deepEqual(reader.readCrl(der)?.revoked[0]?.entries, entries);
});

test('fresh serials are positive, 16 bytes, and never the same', () => {
  const serials = Array.from({ length: 200 }, () => freshSerial(crypto));
  assert.equal(new Set(serials.map(toHex)).size, 200);
  assert.ok(serials.every((serial) => serial.length === 16 && serial[0]! >= 0x40 && serial[0]! < 0x80));
});

// ── broken bytes ────────────────────────────────────────────────────────────────────────────────────────────────────

const sample = device(ca(root()), 'sample', { alternativeNames: NAMES }).certificate.der;
const sampleCrl = (() => {
  const by = root();
  return crlOf(by, [device(by), device(by)]).der;
})();

/** CPU milliseconds of the slowest call. */
function slowest(inputs: Iterable<Uint8Array>): number {
  let worst = 0;
  for (const input of inputs) {
    const before = process.cpuUsage();
    const certificate = reader.readCertificate(input);
    reader.readCrl(input);
    const { user, system } = process.cpuUsage(before);
    worst = Math.max(worst, (user + system) / 1000);
    if (certificate !== null) assert.deepEqual(certificate.der, input);
  }
  return worst;
}

function* bitFlips(bytes: Uint8Array): Generator<Uint8Array> {
  for (let i = 0; i < bytes.length; i++) {
    for (let bit = 0; bit < 8; bit++) {
      const flipped = bytes.slice();
      flipped[i]! ^= 1 << bit;
      yield flipped;
    }
  }
}

function* truncations(bytes: Uint8Array): Generator<Uint8Array> {
  for (let length = 0; length < bytes.length; length++) yield bytes.subarray(0, length);
}

test('[5.6 parser differences] every bit flip of a certificate or a list is read or null, never thrown, under 50 ms', () => {
  for (const bytes of [sample, sampleCrl]) assert.ok(slowest(bitFlips(bytes)) < 50);
});

test('[5.6 parser differences] every truncation of a certificate or a list is null', () => {
  for (const bytes of [sample, sampleCrl]) {
    assert.ok(slowest(truncations(bytes)) < 50);
    for (const short of truncations(bytes)) {
      assert.equal(reader.readCertificate(short), null);
      assert.equal(reader.readCrl(short), null);
    }
  }
});

test('crafted bytes of the largest size cost nothing: deep nests, thousands of members, long identifiers', () => {
  const nest = (tag: number): Uint8Array => {
    let inner: Uint8Array = new Uint8Array(0);
    while (inner.length < MAX_CERTIFICATE_BYTES - 8) inner = der(tag, inner);
    return inner;
  };
  const members = sequence(...Array.from({ length: 2000 }, () => Uint8Array.of(5, 0)));
  const identifier = sequence(der(TAG.oid, new Uint8Array(4000).fill(0xff)));
  const wrap = (part: Uint8Array): Uint8Array =>
    sequence(part, sequence(oid('1.3.101.112')), bitString(new Uint8Array(64)));
  const parts = [nest(0x30), nest(0xa0), members, identifier];
  const rdn = der(0x31, sequence(oid('2.5.4.3'), der(TAG.utf8, encodeUtf8('a'))));
  const longName = (rdns: number): Uint8Array =>
    withMember(5, () => sequence(...Array.from({ length: rdns }, () => rdn)));
  assert.notEqual(reader.readCertificate(longName(100)), null);
  assert.equal(reader.readCertificate(longName(130)), null);
  assert.ok(slowest([...parts, ...parts.map(wrap), longName(100), longName(250)]) < 50);
});

test('[5.6 parser differences] another spelling of the same certificate is no certificate', () => {
  const { content } = partsOf(sample)[0]!;
  const longLength = concat(Uint8Array.of(0x30, 0x83, 0, content.length >> 8, content.length & 0xff), content);
  const indefinite = concat(Uint8Array.of(0x30, 0x80), content, Uint8Array.of(0, 0));
  const trailing = concat(sample, Uint8Array.of(0));
  const member = sequence(content, Uint8Array.of(5, 0));
  for (const bytes of [longLength, indefinite, trailing, member]) assert.equal(reader.readCertificate(bytes), null);
});

test('a certificate beyond the size of the wire is refused unread, and both know one size', () => {
  const extra = [{ oid: '1.3.6.1.4.1.99999.1', critical: false, value: new Uint8Array(4096) }];
  const { certificate } = device(root(), 'large', { extra });
  assert.equal(reader.readCertificate(certificate.der), null);
  assert.equal(MAX_CERTIFICATE_BYTES, values.MAX_CERTIFICATE_BYTES);
});

/** The sample with another member in its signed part; readers do not look at signatures. */
function withMember(index: number, change: (member: Uint8Array) => Uint8Array): Uint8Array {
  const [tbs, ...rest] = membersOf(sample).map(({ raw }) => raw);
  const members = membersOf(tbs!).map(({ raw }, i) => (i === index ? change(raw) : raw));
  return sequence(sequence(...members), ...rest);
}

const startingAt = (tag: number, text: string): Uint8Array =>
  withMember(4, (validity) => sequence(der(tag, encodeUtf8(text)), membersOf(validity)[1]!.raw));

/** The subject's common name in the bytes given. */
const named = (tag: number, value: Uint8Array): Uint8Array =>
  withMember(5, () => sequence(der(0x31, sequence(oid('2.5.4.3'), der(tag, value)))));

test('[5.6 parser differences] a name is the text that stands there: nothing stripped, nothing replaced', () => {
  const name = (tag: number, hex: string): string | null | undefined =>
    reader.readCertificate(named(tag, fromHex(hex)))?.subject.commonName;
  assert.equal(name(TAG.utf8, '7476'), 'tv');
  assert.equal(name(TAG.utf8, 'efbbbf7476'), '\ufefftv');
  assert.equal(name(TAG.bmp, '00740076'), 'tv');
  for (const hex of ['ff7476', 'c0f4', 'eda080', '74c3']) assert.equal(name(TAG.utf8, hex), undefined, hex);
  assert.equal(name(TAG.printable, '74f6'), undefined);
  for (const hex of ['007400', 'd83dde00']) assert.equal(name(TAG.bmp, hex), undefined, hex);
});

test('dates: UTCTime of 1950 to 2049, GeneralizedTime beyond, and no 30th of February', () => {
  for (const at of [0, AT, 2_524_607_999, 2_524_608_000, 253_402_300_799]) {
    const { certificate } = device(root(), 'dated', { notBefore: at, notAfter: at });
    assert.deepEqual([certificate.notBefore, certificate.notAfter], [at, at]);
    const tag = at < 2_524_608_000 ? TAG.utcTime : TAG.generalizedTime;
    assert.equal(membersOf(membersOf(certificate.tbs)[4]!.raw)[0]!.tag, tag);
  }
  const utc = ['270101000000Z', '500101000000Z', '000229000000Z'];
  const starts = utc.map((text) => reader.readCertificate(startingAt(TAG.utcTime, text))?.notBefore);
  assert.deepEqual(starts, [1_798_761_600, -631_152_000, 951_782_400]);
  const general = ['20000229235959Z', '19000228000000Z', '01000101000000Z'];
  for (const text of general)
    assert.notEqual(reader.readCertificate(startingAt(TAG.generalizedTime, text)), null, text);
  const noUtc = [
    '270230000000Z',
    '270101240000Z',
    '270101000060Z',
    '2701010000Z',
    '270101000000+0000',
    '270001000000Z',
  ];
  for (const text of noUtc) assert.equal(reader.readCertificate(startingAt(TAG.utcTime, text)), null, text);
  const noGeneral = ['19000229000000Z', '20270101000000.5Z', '20270101000000', '00990101000000Z', '2027010100000 Z'];
  for (const text of noGeneral) assert.equal(reader.readCertificate(startingAt(TAG.generalizedTime, text)), null, text);
});

// ── PEM ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

test('PEM: all blocks of a label in order, whatever stands around them', () => {
  const [a, b] = [Uint8Array.of(1, 2, 3), new Uint8Array(100).fill(7)];
  const text = `subject=/CN=x\n${writePem('CERTIFICATE', a)}${writePem('X509 CRL', b)}noise\r\n${writePem('CERTIFICATE', b).replaceAll('\n', '\r\n')}`;
  assert.deepEqual(readPem(text, 'CERTIFICATE'), [a, b]);
  assert.deepEqual(readPem(encodeUtf8(text), 'X509 CRL'), [b]);
  assert.deepEqual(readPem('nothing', 'CERTIFICATE'), []);
});

test('PEM: a block that does not end or holds something else is refused', () => {
  const begin = '-----BEGIN CERTIFICATE-----\n';
  const end = '\n-----END CERTIFICATE-----';
  for (const text of [`${begin}AAAA`, `${begin}A${end}`, `${begin}AA*A${end}`, `${begin}${end}`]) {
    assert.equal(readPem(text, 'CERTIFICATE'), null);
  }
  assert.equal(readPem(Uint8Array.of(0xff, 0xfe), 'CERTIFICATE'), null);
});

test('IP addresses: both families, and what is none', () => {
  assert.deepEqual(ipBytes('::'), new Uint8Array(16));
  assert.deepEqual(ipBytes('fe80::1:2'), fromHex('fe800000000000000000000000010002'));
  for (const text of ['1.2.3', '256.1.1.1', '1::2::3', '1:2:3:4:5:6:7', 'g::', '1:2:3:4:5:6:7::8']) {
    assert.throws(() => ipBytes(text), RangeError);
  }
});

test('OpenSSL reads our lists', { skip: opensslAbsent }, () =>
  inDirectory((dir) => {
    const by = root('List root');
    const list = issueCrl(crypto, by.issuer, { number: 7, thisUpdate: AT, nextUpdate: AT + DAY, revoked: [] });
    writeFileSync(join(dir, 'list.pem'), writePem('X509 CRL', list));
    writeFileSync(join(dir, 'root.pem'), writePem('CERTIFICATE', by.certificate.der));
    const text = openssl(dir, 'crl', '-in', 'list.pem', '-noout', '-text', '-CAfile', 'root.pem');
    assert.match(text, /X509v3 CRL Number:\s+7/);
    assert.match(text, /No Revoked Certificates/);
    assert.ok(readFileSync(join(dir, 'list.pem')).length > 0);
  }),
);

test('an authority key identifier and names of other forms are read to the letter, though nobody here uses them', () => {
  const issue = (id: string, value: Uint8Array): boolean => {
    const { certificate } = device(root(), 'tv', {});
    const tbs = membersOf(certificate.der)[0]!.content;
    const parts = partsOf(tbs).map(({ raw }) => raw);
    const extensions = der(0xa3, sequence(sequence(oid(id), der(0x04, value))));
    const [, algorithm, signature] = membersOf(certificate.der).map(({ raw }) => raw);
    return (
      reader.readCertificate(sequence(sequence(...parts.slice(0, -1), extensions), algorithm!, signature!)) !== null
    );
  };
  const [keyId, serial] = [der(0x80, Uint8Array.of(1)), der(0x82, Uint8Array.of(1))];
  const issuer = der(0xa1, der(0x82, Uint8Array.of(0x61)));
  for (const good of [[], [keyId], [keyId, issuer, serial], [issuer, serial]]) {
    assert.ok(issue('2.5.29.35', sequence(...good)));
  }
  for (const bad of [[keyId, keyId], [keyId, issuer], [serial], [sequence(keyId)], [der(0x01, Uint8Array.of(0xff))]]) {
    assert.ok(!issue('2.5.29.35', sequence(...bad)));
  }
  const [type, value] = [oid('1.2.3'), der(0xa0, der(TAG.null))];
  assert.ok(issue('2.5.29.17', sequence(der(0xa0, type, value))));
  for (const bad of [[], [type], [value], [type, value, value], [type, der(0xa0)]]) {
    assert.ok(!issue('2.5.29.17', sequence(der(0xa0, ...bad))));
  }
});

test('a certificate whose key is no algorithm and whole bytes is none, whoever looks at its key later', () => {
  const { certificate } = device(root(), 'tv', {});
  const [algorithm, bits] = membersOf(certificate.spki).map(({ raw }) => raw) as [Uint8Array, Uint8Array];
  const withKey = (spki: Uint8Array): Uint8Array => {
    const [tbs, ...frame] = membersOf(certificate.der);
    const parts = partsOf(tbs!.content).map(({ raw }, i) => (i === 6 ? spki : raw));
    return sequence(sequence(...parts), ...frame.map(({ raw }) => raw));
  };
  assert.ok(reader.readCertificate(withKey(sequence(algorithm, bits))) !== null);
  const wrong = [
    [bits, algorithm],
    [algorithm, bits, bits],
    [sequence(algorithm), bits],
    [algorithm, der(TAG.bitString, Uint8Array.of(1, 2))],
    [algorithm],
  ];
  for (const parts of wrong) assert.equal(reader.readCertificate(withKey(sequence(...parts))), null);
});
