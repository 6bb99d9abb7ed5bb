/**
 * Who lives in a simulation: certificates from a seed that real path validation and OpenSSL accept, and the real
 * machines over the model crypto.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { certificateReader, writePem } from '../../platform/certificates.ts';
import { newPublicKeyCounter, nodeCrypto } from '../../platform/crypto-node.ts';
import { encodeUtf8, toHex } from '../../protocol/bytes.ts';
import type { ParsedCertificate } from '../../protocol/certificate.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { validatePath } from '../../protocol/path-validation.ts';
import { crlSet } from '../../protocol/revocation-list.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { type SimAuthority, type SimPurpose, simAuthority } from '../../sim/identities.ts';
import { modelCrypto, modelSigningKey } from '../../sim/model-crypto.ts';
import { seededRandom } from '../../sim/seeded-random.ts';
import { assertTalks, connect, couple } from '../couple.ts';
import { AT, inDirectory, openssl, opensslAbsent } from '../test-authority.ts';

const KINDS = ['real', 'model'] as const;
const ALGORITHMS = ['p256', 'ed25519'] as const;
const PURPOSES: readonly SimPurpose[] = ['device', 'manager', 'verifier'];

const cryptoOf = (kind: (typeof KINDS)[number]): Crypto =>
  kind === 'real' ? nodeCrypto() : modelCrypto(seededRandom('judge'));

/** A second reader, which has nothing in memory. */
function judge(house: SimAuthority, crypto: Crypto, chain: readonly Uint8Array[], purpose: SimPurpose, name: string) {
  const reader = certificateReader();
  const parsed = chain.map((der) => reader.readCertificate(der)).filter((one) => one !== null);
  assert.equal(parsed.length, chain.length, 'each certificate can be read');
  return validatePath({ crypto, chain: parsed, anchors: [house.anchor], revocation: null, at: AT, purpose, name });
}

for (const kind of KINDS) {
  test(`${kind} certificates of a simulation pass path validation for their own purpose and name`, () => {
    const house = simAuthority(seededRandom(1), kind);
    for (const purpose of PURPOSES) {
      for (const algorithm of ALGORITHMS) {
        const name = `${purpose}-of-${algorithm}`;
        const { chain, certificate, signingKey } = house.issue(name, { purpose, algorithm });
        const crypto = cryptoOf(kind);
        const finding = judge(house, crypto, chain, purpose, name);
        assert.equal(finding.ok, true, JSON.stringify(finding));
        for (const other of PURPOSES) {
          if (other !== purpose) assert.equal(judge(house, crypto, chain, other, name).ok, false);
        }
        assert.equal(judge(house, crypto, chain, purpose, 'somebody-else').ok, false);
        const altered = chain.map((der) => der.slice());
        altered[0]![altered[0]!.length - 1]! ^= 1;
        const refusal = judge(house, crypto, altered, purpose, name);
        assert.deepEqual([refusal.ok, !refusal.ok && refusal.reason], [false, 'bad-signature']);
        const key = crypto.publicKey(certificate.spki);
        assert.ok(key);
        const how = algorithm === 'p256' ? 'ecdsa-sha256' : 'ed25519';
        const signature = signingKey.sign(how, encodeUtf8('x'));
        assert.equal(crypto.verify(how, key, signature, encodeUtf8('x'), 'raw'), true);
      }
    }
  });

  test(`${kind}: what the mould makes and what memory gives is what the real reader reads`, () => {
    const house = simAuthority(seededRandom(2), kind);
    const fresh = certificateReader();
    const names = [
      'a',
      'b',
      'Ab',
      'router-1',
      'router-2',
      'kühlschrank',
      'küche-lampe',
      'x'.repeat(64),
      'y'.repeat(64),
    ];
    const serials = new Set<string>();
    for (const name of names) {
      for (const algorithm of ALGORITHMS) {
        const { chain, certificate } = house.issue(name, { purpose: 'device', algorithm });
        assert.deepEqual(certificate, fresh.readCertificate(chain[0]!));
        assert.equal(house.reader.readCertificate(chain[0]!.slice()), certificate);
        assert.equal(certificate.subject.commonName, name);
        serials.add(toHex(certificate.serial));
        const strange = chain[0]!.slice();
        strange[20]! ^= 1;
        assert.deepEqual(house.reader.readCertificate(strange), fresh.readCertificate(strange));
      }
    }
    assert.equal(serials.size, names.length, 'a serial number of its own for each name');
  });

  test(`${kind}: a seed gives the same certificates on every machine`, () => {
    const house = simAuthority(seededRandom(3), kind);
    const { chain } = house.issue('router-1', { purpose: 'device', algorithm: 'p256' });
    const digest = toHex(nodeCrypto().hash('sha-256', Buffer.concat(chain)));
    assert.equal(
      digest,
      {
        real: '293387cc1215b65d3cdc9e8d93e6fbcd45b189691758ea0fde06ad89f55c7005',
        model: '7a20592893fb68f941da3cefa04cfc5289c13d10894c4ee8ce6b22336aab5c7b',
      }[kind],
    );
    const late = simAuthority(seededRandom(3), kind);
    for (let i = 0; i < 20; i++) late.issue(`other-${i}`, { purpose: 'device', algorithm: 'ed25519' });
    assert.deepEqual(late.issue('router-1', { purpose: 'device', algorithm: 'p256' }).chain, chain, 'in any order');
  });

  test(`${kind}: the lists of a simulation revoke what stands on them and nothing else`, () => {
    const house = simAuthority(seededRandom(4), kind);
    const [good, bad] = ['good', 'bad'].map((name) => house.issue(name, { purpose: 'device', algorithm: 'p256' }));
    const crls = crlSet(house.revocationLists([bad!.certificate], 2, AT - 10));
    const crypto = cryptoOf(kind);
    const reasonOf = (chain: readonly Uint8Array[]): string => {
      const parsed = chain.map((der) => house.reader.readCertificate(der)) as ParsedCertificate[];
      const question = { crypto, chain: parsed, anchors: [house.anchor], revocation: crls, at: EpochSeconds(AT) };
      const finding = validatePath({ ...question, purpose: 'device' });
      return finding.ok ? 'good' : finding.reason;
    };
    assert.deepEqual([reasonOf(good!.chain), reasonOf(bad!.chain)], ['good', 'revoked']);
  });
}

test('real and model certificates have the same sizes', () => {
  const sizes = KINDS.map((kind) => {
    const house = simAuthority(seededRandom(5), kind);
    return PURPOSES.flatMap((purpose) =>
      ALGORITHMS.flatMap((algorithm) => house.issue('somebody', { purpose, algorithm }).chain.map((der) => der.length)),
    );
  });
  assert.deepEqual(sizes[0], sizes[1]);
});

test('OpenSSL accepts the real chains, and refuses the model ones', { skip: opensslAbsent }, () =>
  inDirectory((dir) => {
    const put = (file: string, ...ders: readonly Uint8Array[]): void =>
      writeFileSync(join(dir, file), writePem('CERTIFICATE', ...ders));
    for (const kind of KINDS) {
      const house = simAuthority(seededRandom(6), kind);
      put('root.pem', house.anchor.der);
      for (const algorithm of ALGORITHMS) {
        const { chain } = house.issue('router-1', { purpose: 'device', algorithm });
        put('leaf.pem', chain[0]!);
        put('ca.pem', chain[1]!);
        const strict = ['-x509_strict', '-purpose', 'sslclient', '-attime', String(AT)];
        const verify = () =>
          openssl(dir, 'verify', ...strict, '-CAfile', 'root.pem', '-untrusted', 'ca.pem', 'leaf.pem');
        if (kind === 'real') assert.match(verify(), /leaf\.pem: OK/);
        else assert.throws(verify, /signature failure|unable to|error/i);
      }
    }
  }),
);

for (const algorithm of ALGORITHMS) {
  test(`real manager, verifier and agents log in and talk over the model crypto, ${algorithm}`, () => {
    const secrets = seededRandom(`keys ${algorithm}`);
    const keyCounter = newPublicKeyCounter();
    const pair = couple({
      town: {
        algorithm,
        newCrypto: (party, counter) => modelCrypto(seededRandom(party), counter),
        newKey: (kind) => {
          const key = modelSigningKey(kind, secrets.bytes(32), keyCounter);
          return { key, publicSpki: key.publicSpki, privatePkcs8Pem: new Uint8Array(0) };
        },
      },
    });
    assert.equal(pair.caller.crypto.name, 'model');
    const before = pair.caller.operations() + pair.callee.operations();
    assert.ok(before > 0, 'the logins did public-key operations, and the model counted them');
    const sid = connect(pair);
    assertTalks(pair, sid);
    assert.equal(pair.caller.operations() + pair.callee.operations(), before, 'the session none');
  });
}
