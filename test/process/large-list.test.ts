/**
 * A revocation list of 100,000 entries in a file: from its change to the word to the managers.
 */
import assert from 'node:assert/strict';
import { renameSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { ecdsaDer } from '../../platform/certificate-issuing.ts';
import { writePem } from '../../platform/certificates.ts';
import { bitStringTree, derTree, sequenceTree, writeDer, writeGeneralizedTime } from '../../platform/der-writing.ts';
import { writeSignatureAlgorithm } from '../../platform/signature-algorithms.ts';
import { certificateMark } from '../../protocol/revocation-mark.ts';
import { AT, crlOf, crypto, DAY, type Holder } from '../test-authority.ts';
import { anchor, houseFor, middle, router, startStage } from '../verifier-stage.ts';

const ENTRIES = 100_000;
/** [B6] */
const PROMISE_MS = 5_000;
const INTEGER = 0x02;
const OCTETS = 0x04;
const CRL_NUMBER = Uint8Array.of(6, 3, 0x55, 0x1d, 0x14);

/** @returns DER; the issuing library would take ten seconds */
function largeList(by: Holder, number: number, serials: readonly Uint8Array[]): Uint8Array {
  const integer = (bytes: Uint8Array) => derTree(INTEGER, bytes);
  const algorithm = writeSignatureAlgorithm('ecdsa-sha256');
  const revokedAt = writeGeneralizedTime(AT - 200);
  const numbered = sequenceTree(CRL_NUMBER, derTree(OCTETS, integer(Uint8Array.of(number))));
  const tbs = writeDer(
    sequenceTree(
      integer(Uint8Array.of(1)),
      algorithm,
      by.certificate.subject.der,
      writeGeneralizedTime(AT - 100),
      writeGeneralizedTime(AT + DAY),
      sequenceTree(Buffer.concat(serials.map((serial) => writeDer(sequenceTree(integer(serial), revokedAt))))),
      derTree(0xa0, sequenceTree(numbered)),
    ),
  );
  const signature = by.key.key.sign('ecdsa-sha256', tbs);
  return writeDer(sequenceTree(tbs, algorithm, bitStringTree(ecdsaDer(signature))));
}

test('[B6] a list of 100,000 entries is in force, and told to managers, within 5 s of the change of its file', async (t) => {
  const house = houseFor(t);
  const serials = Array.from({ length: ENTRIES }, () => {
    const serial = crypto.random(16);
    serial[0] = 0x40 | (serial[0]! & 0x3f);
    return serial;
  });
  const put = (der: Uint8Array): void => {
    const lists = writePem('X509 CRL', crlOf(anchor, []).der, der);
    writeFileSync(house.at('next.pem'), lists);
    renameSync(house.at('next.pem'), house.at('crl.pem'));
  };
  put(largeList(middle, 1, []));
  const config = house.configWith({ crlFiles: [house.at('crl.pem')], intermediateFiles: [house.at('middle.pem')] });
  const stage = await startStage(t, config);
  const timed = async (what: string, list: Uint8Array, serial: Uint8Array): Promise<void> => {
    put(list);
    const from = process.cpuUsage();
    const mark = certificateMark(crypto, middle.certificate.subject, serial);
    await stage.until(what, () => stage.marks.has(mark));
    // of the processor, that of whoever listens included: how busy the machine is besides is no concern of this test
    const { user, system } = process.cpuUsage(from);
    const took = (user + system) / 1000;
    t.diagnostic(`${what}: ${Math.round(took)} ms`);
    assert.ok(took < PROMISE_MS, `${what}: ${took} ms`);
  };
  await timed('all of it', largeList(middle, 2, serials), serials.at(-1)!);
  assert.equal(await stage.ask(), 'good');
  const { serial } = router.certificate;
  await timed('one more', largeList(middle, 3, [...serials, serial]), serial);
  assert.equal(await stage.ask(), 'revoked');
  assert.equal(stage.marks.size, ENTRIES + 1);
});
