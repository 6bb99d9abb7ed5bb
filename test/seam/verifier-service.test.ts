/**
 * The verifier with its files on disk and its questions from a hub in memory.
 */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { writePem } from '../../platform/certificates.ts';
import { FileFault } from '../../platform/files.ts';
import { type HubAuthority, memoryHub } from '../../platform/transport-memory.ts';
import { EXTENDED_KEY_USAGE, type ParsedCrl } from '../../protocol/certificate.ts';
import { Judgement, Question, type VerdictReason } from '../../protocol/messages.ts';
import { MANAGER, topicsUnder } from '../../protocol/topics.ts';
import { Millis, Topic } from '../../protocol/units.ts';
import { checkVerdict } from '../../protocol/verdict.ts';
import { type VerifierConfig, verifierConfig } from '../../verifier/config.ts';
import { startVerifier, type VerifierEvent, type VerifierService } from '../../verifier/service.ts';
import { VerifierError } from '../../verifier/verifier-error.ts';
import { AT, ca, certify, crlOf, crypto, DAY, device, type Holder, inDirectory, root } from '../test-authority.ts';

const anchor = root();
const middle = ca(anchor);
const router = device(middle);
const own = certify(
  'verifier',
  { keyUsage: ['digitalSignature'], extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriVerifier] },
  middle,
);

const OPEN: HubAuthority = {
  connecting: () => null,
  publishing: () => 'allow',
  subscribing: () => true,
  forwarding: () => true,
  disconnected: () => {},
};

function writeFiles(dir: string, key: Holder = own): VerifierConfig {
  const at = (name: string): string => join(dir, name);
  writeFileSync(at('root.pem'), writePem('CERTIFICATE', anchor.certificate.der));
  writeFileSync(at('own.pem'), writePem('CERTIFICATE', own.certificate.der, middle.certificate.der));
  writeFileSync(at('own.key'), key.key.privatePkcs8Pem, { mode: 0o600 });
  writeLists(dir, 1, []);
  return verifierConfig.parse({
    broker: { url: 'mqtt://localhost:1883' },
    certificateFile: at('own.pem'),
    keyFile: at('own.key'),
    trustAnchorFiles: [at('root.pem')],
    crlFiles: [at('crl.pem')],
    revokedKeysFile: at('keys.txt'),
  });
}

function writeLists(dir: string, number: number, revoked: readonly Holder[], rest: readonly ParsedCrl[] = []): void {
  const lists = [crlOf(anchor, [], { number }), crlOf(middle, revoked, { number }), ...rest];
  writeFileSync(join(dir, 'crl.pem'), writePem('X509 CRL', ...lists.map(({ der }) => der)));
  writeFileSync(join(dir, 'keys.txt'), '# none\n');
}

interface Stage {
  readonly service: VerifierService;
  readonly events: VerifierEvent[];
  readonly crl: string;
  readonly config: VerifierConfig;
  send(topic: Topic, payload: Uint8Array): void;
  ask(): VerdictReason | null;
}

async function onStage(play: (stage: Stage, dir: string) => void): Promise<void> {
  await inDirectory(async (dir) => {
    const config = writeFiles(dir);
    const topics = topicsUnder(config.root);
    const hub = memoryHub(OPEN);
    const events: VerifierEvent[] = [];
    const answers: Uint8Array[] = [];
    const manager = hub.transport({
      subscriptions: () => [topics.verifierAnswer(MANAGER)],
      observer: { up: () => {}, down: () => {}, received: (_topic, payload) => answers.push(payload) },
    });
    const service = await startVerifier(config, {
      crypto,
      clock: { now: () => Millis(0), wall: () => AT },
      openTransport: (options) => hub.transport(options),
      observe: (event) => events.push(event),
    });
    hub.flush();
    const send = (topic: Topic, payload: Uint8Array): void => {
      manager.publish(topic, payload, 1);
      hub.flush();
    };
    const ask = (): VerdictReason | null => {
      const chain = [router.certificate.der, middle.certificate.der];
      const requestId = crypto.random(16);
      send(topics.verifierQuestion(MANAGER), Question.encode({ requestId, purpose: 'device', chain }));
      const answer = answers.pop();
      if (answer === undefined) return null;
      const judgement = Judgement.decode(answer);
      assert.deepEqual(judgement.requestId, requestId);
      return checkVerdict(crypto, judgement.verdict, {
        verifierKeys: [crypto.publicKey(service.certificate.spki)!],
        purpose: 'device',
        leafSha256: crypto.hash('sha-256', chain[0]!),
        nonce: null,
        now: AT,
        maxClockSkew: 0,
      }).reason;
    };
    try {
      play({ service, events, crl: join(dir, 'crl.pem'), config, send, ask }, dir);
    } finally {
      await service.close();
    }
  });
}

test('[P4] [patent 1100-1112] a question on the asker’s topic is answered on the asker’s topic, signed', () =>
  onStage(({ ask, events, service }) => {
    assert.equal(ask(), 'good');
    assert.deepEqual(
      events.map(({ kind }) => kind),
      ['up', 'answered'],
    );
    assert.equal(service.counters.good, 1);
  }));

test('[P4] garbage on any topic leaves the verifier up', () =>
  onStage(({ ask, send, service }) => {
    send(topicsUnder('km1').verifierQuestion(MANAGER), new Uint8Array(300).fill(0xff));
    send(Topic('km1/v/q/%zz'), new Uint8Array(1));
    assert.equal(service.counters.garbage, 1);
    assert.equal(ask(), 'good');
  }));

test('[P4] a newer list is adopted, a broken, forged or older one refused and the held one stays', () =>
  onStage(({ ask, service, crl, events }, dir) => {
    assert.equal(ask(), 'good');
    writeLists(dir, 3, [router]);
    service.reload(crl);
    assert.equal(ask(), 'revoked');
    const refused = (write: () => void, why: RegExp): void => {
      write();
      service.reload(crl);
      const last = events.at(-1)!;
      assert.ok(last.kind === 'refused' && why.test(last.reason), JSON.stringify(last));
      assert.equal(ask(), 'revoked');
    };
    refused(() => writeLists(dir, 2, []), /older than number 3/);
    refused(() => writeFileSync(crl, 'no list'), /neither PEM nor DER/);
    refused(
      () => writeFileSync(crl, writePem('X509 CRL', crlOf(anchor, [], { number: 4 }).der)),
      /list of Test CA is missing/,
    );
    refused(() => writeLists(dir, 4, [], [crlOf(root(), [], { number: 9 })]), /not signed by its issuer/);
    refused(
      () => writeFileSync(crl, writePem('X509 CRL', crlOf(anchor, []).der.subarray(0, 90))),
      /neither PEM nor DER/,
    );
    writeLists(dir, 4, []);
    service.reload(crl);
    assert.equal(ask(), 'good');
  }));

test('a revoked public key is out whatever the lists say', () =>
  onStage(({ ask, service, config }) => {
    const path = config.revokedKeysFile!;
    writeFileSync(path, `${Buffer.from(crypto.hash('sha-256', router.certificate.spki)).toString('hex')} # router\n`);
    service.reload(path);
    assert.equal(ask(), 'revoked');
    writeFileSync(path, 'not hex\n');
    service.reload(path);
    assert.equal(ask(), 'revoked');
  }));

test('a list out of date is adopted with a warning, and its certificates are refused', () =>
  onStage(({ ask, service, crl, events }) => {
    const lists = [
      crlOf(anchor, [], { number: 2 }),
      crlOf(middle, [], { number: 2, thisUpdate: AT - 2 * DAY, nextUpdate: AT - DAY }),
    ];
    writeFileSync(crl, writePem('X509 CRL', ...lists.map(({ der }) => der)));
    service.reload(crl);
    assert.ok(events.some(({ kind }) => kind === 'warning'));
    assert.equal(ask(), 'revocation-unknown');
  }));

test('a start with a file that cannot be used fails and names the file', () =>
  inDirectory(async (dir) => {
    const parts = {
      crypto,
      clock: { now: () => Millis(0), wall: () => AT },
      openTransport: () => assert.fail('no transport before the files are good'),
    };
    const config = writeFiles(dir);
    const fails = async (changed: Partial<VerifierConfig>, path: string): Promise<void> => {
      const names = (error: unknown): boolean =>
        (error instanceof VerifierError || error instanceof FileFault) && error.message.includes(path);
      await assert.rejects(startVerifier({ ...config, ...changed }, parts), names);
    };
    await fails({ trustAnchorFiles: [join(dir, 'absent.pem')] }, 'absent.pem');
    await fails({ trustAnchorFiles: [config.keyFile] }, 'own.key');
    await fails({ crlFiles: [config.certificateFile] }, 'own.pem');
    chmodSync(config.keyFile, 0o644);
    await fails({}, 'own.key');
    writeFiles(dir, router);
    chmodSync(config.keyFile, 0o600);
    await fails({}, 'does not belong to the certificate');
  }));

test('an unknown key in the configuration is refused', () => {
  assert.throws(() => verifierConfig.parse({ brokers: {} }), /brokers/);
});
