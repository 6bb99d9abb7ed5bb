/**
 * Where the verifier's revocation data comes from: lists over HTTP from servers that misbehave, what outlives a restart, OCSP.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { writePem } from '../../platform/certificates.ts';
import { EXTENDED_KEY_USAGE } from '../../protocol/certificate.ts';
import { certificateMark } from '../../protocol/revocation-mark.ts';
import { AT, certify, crlOf, crypto, DAY, type Holder } from '../test-authority.ts';
import {
  anchor,
  houseFor,
  type ListServer,
  lamp,
  middle,
  router,
  startListServer,
  startStage,
  VERIFIER_WISHES,
  writePair,
} from '../verifier-stage.ts';

const markOf = ({ certificate }: Holder): string => certificateMark(crypto, certificate.issuer, certificate.serial);

/** Lists of both CAs by URL. */
async function overHttp(t: TestContext, more: Readonly<Record<string, unknown>> = {}) {
  const server = await startListServer(t);
  publish(server, 1, []);
  const crlUrls = ['/root.crl', '/middle.crl'].map((path) => ({ url: server.url(path), inside: true }));
  const house = houseFor(t, { crlUrls, ...more });
  return { server, house };
}

function publish(server: ListServer, number: number, revoked: readonly Holder[]): void {
  server.at.set('/root.crl', crlOf(anchor, [], { number }));
  server.at.set('/middle.crl', crlOf(middle, revoked, { number }));
}

test('[P4] [B6] lists are fetched, and what a newer one names is told to managers at once', async (t) => {
  const { server, house } = await overHttp(t, { intermediateFiles: [] });
  const stage = await startStage(t, house.configWith({ intermediateFiles: [house.at('middle.pem')] }));
  await stage.service.reloadAll();
  assert.equal(await stage.ask(), 'good');
  publish(server, 2, [router]);
  await stage.service.reloadAll();
  assert.equal(await stage.ask(), 'revoked');
  await stage.until('the event', () => stage.marks.has(markOf(router)));
  assert.equal(await stage.ask(lamp), 'good');
});

test('[P4] before the first list has come nothing is good', async (t) => {
  const { server, house } = await overHttp(t);
  server.at.set('/middle.crl', () => {}); // never answers
  const stage = await startStage(t, house.configWith({}));
  assert.equal(await stage.ask(), 'revocation-unknown');
});

test('[P4] an older list, garbage, a redirect, a gibibyte, an error: each is refused and told once, and the list in force stays', async (t) => {
  const { server, house } = await overHttp(t);
  publish(server, 5, [router]);
  const stage = await startStage(t, house.configWith({ intermediateFiles: [house.at('middle.pem')] }));
  await stage.service.reloadAll();
  const path = '/middle.crl';
  const rows: [ListServer['at'] extends Map<string, infer V> ? V : never, RegExp][] = [
    [crlOf(middle, [], { number: 4 }), /older than number 5/],
    [crlOf(middle, [], { number: 5 }), /number 5 again, with other content/],
    [new TextEncoder().encode('<html>'), /neither PEM nor DER/],
    [crlOf(middle, []).der.subarray(0, 100), /neither PEM nor DER/],
    [(_, response) => response.writeHead(301, { location: '/elsewhere.crl' }).end(), /leads on to \/elsewhere\.crl/],
    [(_, response) => response.writeHead(200, { 'content-length': 2 ** 30 }).write('x'), /more than 8388608 bytes/],
    [(_, response) => response.writeHead(500).end(), /HTTP 500/],
    [(_, response) => response.destroy(), /127\.0\.0\.1/],
  ];
  for (const [answer, told] of rows) {
    server.at.set(path, answer);
    await stage.service.reloadAll();
    const before = stage.refusals().length;
    assert.match(stage.refusals().at(-1)!, told);
    await stage.service.reloadAll();
    assert.equal(stage.refusals().length, before, `told twice: ${told}`);
    assert.equal(await stage.ask(), 'revoked');
    assert.equal(await stage.ask(lamp), 'good');
  }
  publish(server, 6, []);
  await stage.service.reloadAll();
  assert.ok(stage.events.some((event) => event.kind === 'recovered' && event.path.endsWith(path)));
  assert.equal(await stage.ask(), 'good');
});

test('a list at a private address is fetched only where the configuration allows it', async (t) => {
  const { server, house } = await overHttp(t);
  const stage = await startStage(t, house.configWith({ crlUrls: [{ url: server.url('/middle.crl') }] }));
  await stage.service.reloadAll();
  assert.match(
    stage.refusals()[0]!,
    /127\.0\.0\.1 is a private or local address, and is not asked: say `inside: true`/,
  );
  assert.equal(server.asked(), 0);
});

test('[P4] a restart without network begins with the lists that were fetched, and with their numbers', async (t) => {
  const { server, house } = await overHttp(t);
  publish(server, 5, [router]);
  const config = house.configWith({ intermediateFiles: [house.at('middle.pem')] });
  const first = await startStage(t, config);
  await first.service.reloadAll();
  await first.close();
  await server.close();
  const second = await startStage(t, config);
  assert.equal(await second.ask(), 'revoked');
  assert.equal(await second.ask(lamp), 'good');
  await second.close();

  // an older list in a file is refused now as it was before
  const lists = [crlOf(anchor, [], { number: 5 }), crlOf(middle, [], { number: 4 })];
  writeFileSync(house.at('crl.pem'), writePem('X509 CRL', ...lists.map(({ der }) => der)));
  const third = await startStage(t, { ...config, crlUrls: [], crlFiles: [house.at('crl.pem')] });
  assert.match(third.refusals()[0]!, /older than number 5/);
  assert.equal(await third.ask(), 'revoked');
});

test('[P4] damaged memory is named and set aside; the verifier starts, closed for what it no longer knows', async (t) => {
  const { server, house } = await overHttp(t);
  const config = house.configWith({});
  const first = await startStage(t, config);
  await first.service.reloadAll();
  assert.equal(await first.ask(), 'good');
  await first.close();
  const lists = house.at('data/lists');
  const [one] = readdirSync(lists);
  for (const path of [join(lists, one!), house.at('data/list-numbers.json'), house.at('data/known-cas.pem')]) {
    writeFileSync(path, readFileSync(path).subarray(1, 60));
  }
  await server.close();
  const second = await startStage(t, config);
  const warnings = second.events.flatMap((event) => (event.kind === 'warning' ? [event.path] : []));
  assert.equal(warnings.length, 3, warnings.join());
  for (const path of warnings) assert.ok(existsSync(`${path}.damaged`) && !existsSync(path));
  assert.equal(await second.ask(), 'revocation-unknown');
  assert.equal(second.service.counters.bad, 1);
});

test('[P4] the list of a CA that nobody named counts once a chain was judged good, and at once after a restart', async (t) => {
  const { server, house } = await overHttp(t);
  publish(server, 2, [router]);
  const stage = await startStage(t, house.configWith({}));
  await stage.service.reloadAll();
  assert.equal(await stage.ask(), 'revoked'); // its chain proves the list for this question
  assert.equal(stage.marks.has(markOf(router)), false);
  assert.equal(await stage.ask(lamp), 'good');
  await stage.until('the event', () => stage.marks.has(markOf(router)));
  await stage.close();
  const again = await startStage(t, house.configWith({}));
  assert.equal((await statusOf(again)).revokedCertificates, 1);
});

test('[P4] data out of date counts as long as the anchor’s settings say, and each such verdict is told of', async (t) => {
  const { server, house } = await overHttp(t);
  const clock = { at: AT as number };
  const staleSeconds = 3600;
  const config = house.configWith({ trustAnchorFiles: [{ file: house.at('root.pem'), staleSeconds }] });
  const stage = await startStage(t, config, clock);
  await stage.service.reloadAll();
  assert.equal(await stage.ask(), 'good');
  await server.close();
  const told = () => stage.events.flatMap((event) => (event.kind === 'stale' ? [event] : []));
  clock.at = AT + DAY + 10;
  assert.equal(await stage.ask(), 'good');
  assert.deepEqual(
    told().map(({ issuer, since, verdicts }) => [issuer, since, verdicts]),
    [
      ['Test root', AT + DAY, 1],
      ['Test CA', AT + DAY, 1],
    ],
  );
  assert.match(String((await statusOf(stage)).problems), /the list of Test CA is out of date since/);
  clock.at = AT + DAY + 3601;
  assert.equal(await stage.ask(), 'revocation-unknown');
  const closed = await startStage(t, house.configWith({}), { at: AT + DAY + 10 });
  assert.equal(await closed.ask(), 'revocation-unknown');
});

test('revocation that nobody configured is warned of', async (t) => {
  const stage = await startStage(t, houseFor(t).configWith({}));
  assert.ok(stage.events.some((event) => event.kind === 'warning' && /not looked at/.test(event.detail)));
  assert.equal(await stage.ask(), 'good');
});

// ── the own key ─────────────────────────────────────────────────────────────────────────────────────────────────────

test('[P4] another pair of key and certificate signs without a restart; half a pair leaves the old one in use', async (t) => {
  const house = houseFor(t);
  const stage = await startStage(t, house.configWith({}));
  const next = certify('verifier-2', VERIFIER_WISHES, middle);
  writeFileSync(house.at('own.pem'), writePem('CERTIFICATE', next.certificate.der, middle.certificate.der));
  await stage.service.reloadAll();
  assert.match(stage.refusals().at(-1)!, /the key does not belong to the certificate .*: the key in use stays/);
  assert.equal(await stage.ask(), 'good');
  assert.equal(stage.service.certificate.subject.commonName, 'verifier');
  writePair(house.dir, next);
  await stage.until('the new key', () => stage.events.some(({ kind }) => kind === 'renewed'));
  assert.equal(stage.service.certificate.subject.commonName, 'verifier-2');
  assert.equal(await stage.ask(), 'good'); // checked with the new key
  assert.equal(stage.service.counters.cached, 0);
});

// ── OCSP ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const OCSP_WISHES = {
  keyUsage: ['digitalSignature'],
  extendedKeyUsage: [EXTENDED_KEY_USAGE.ocspSigning],
  extra: [{ oid: '1.3.6.1.5.5.7.48.1.5', critical: false, value: Uint8Array.of(5, 0) }],
} as const;
const ocspSigner = certify('ocsp', OCSP_WISHES, middle);
const writeSigner = (at: (name: string) => string, { certificate, key }: Holder): void => {
  writeFileSync(at('ocsp.pem'), writePem('CERTIFICATE', certificate.der, middle.certificate.der));
  writeFileSync(at('ocsp.key'), key.privatePkcs8Pem, { mode: 0o600 });
};

/** A verifier with the lists, that answers over HTTP; and the configuration of one that asks it. */
async function withResponder(t: TestContext) {
  const { server, house } = await overHttp(t);
  writeSigner(house.at, ocspSigner);
  const signers = [{ certificateFile: house.at('ocsp.pem'), keyFile: house.at('ocsp.key') }];
  const known = { intermediateFiles: [house.at('middle.pem')] };
  const answering = await startStage(t, house.configWith({ ...known, responder: { port: 0, signers } }));
  await answering.service.reloadAll();
  const { host, port } = answering.service.responder!;
  const asking = houseFor(t);
  const url = `http://${host}:${port}/`;
  const root = crlOf(anchor, []);
  writeFileSync(asking.at('crl.pem'), writePem('X509 CRL', root.der));
  const ocsp = [{ issuerFile: asking.at('middle.pem'), url, inside: true }];
  const config = asking.configWith({ crlFiles: [asking.at('crl.pem')], ocsp });
  return { server, house, answering, asking, config, url };
}

test('[P4] [B6] what a list does not decide is asked of the CA’s responder; a revocation found so is told to managers', async (t) => {
  const { server, answering, config } = await withResponder(t);
  publish(server, 2, [router]);
  await answering.service.reloadAll();
  const stage = await startStage(t, config);
  const reasons = await Promise.all([stage.ask(lamp), stage.ask(lamp), stage.ask(), stage.ask(lamp)]);
  assert.deepEqual(reasons, ['good', 'good', 'revoked', 'good']);
  await stage.until('the event', () => stage.marks.has(markOf(router)));
  const [responder] = (await statusOf(stage)).ocsp as { asked: number; fault: null }[];
  assert.deepEqual([responder!.asked, responder!.fault], [2, null], 'each certificate once');
  const { good, bad } = stage.service.counters;
  assert.deepEqual([good, bad], [3, 1], 'a question that waited counts once');
});

test('[P4] a responder that is away makes a verdict bad, not late, and is told once', async (t) => {
  const { answering, config } = await withResponder(t);
  await answering.close();
  const stage = await startStage(t, config);
  assert.equal(await stage.ask(), 'revocation-unknown');
  assert.equal(await stage.ask(lamp), 'revocation-unknown');
  assert.equal(stage.refusals().length, 1);
  assert.match(stage.refusals()[0]!, /connection refused by 127\.0\.0\.1/);
});

test('[P4] an answer that OCSP would give is worth nothing when a list says revoked', async (t) => {
  const { config, asking } = await withResponder(t);
  const lists = [crlOf(anchor, []), crlOf(middle, [router])];
  writeFileSync(asking.at('crl.pem'), writePem('X509 CRL', ...lists.map(({ der }) => der)));
  const stage = await startStage(t, config);
  assert.equal(await stage.ask(), 'revoked');
  assert.equal(await stage.ask(lamp), 'good');
});

test('another signer of OCSP answers signs without a restart; a certificate without its key leaves the old one', async (t) => {
  const { house, answering, config } = await withResponder(t);
  const next = certify('ocsp-2', OCSP_WISHES, middle);
  writeFileSync(house.at('ocsp.key'), next.key.privatePkcs8Pem, { mode: 0o600 });
  await answering.service.reloadAll();
  assert.match(answering.refusals().at(-1)!, /the key does not belong .*: the signer in use stays/);
  assert.match(String((await statusOf(answering)).problems), /the signer in use stays/);
  const stage = await startStage(t, config);
  assert.equal(await stage.ask(), 'good');
  writeSigner(house.at, next);
  await answering.service.reloadAll();
  assert.ok(answering.events.some((event) => event.kind === 'renewed' && event.name === 'ocsp-2'));
  assert.deepEqual((await statusOf(answering)).problems, []);
  assert.equal(await stage.ask(lamp), 'good');
});

const long = process.env.KAGIMORI_LONG === '1' ? test : () => {}; // seconds of waiting

long('[P4] a responder that never answers holds up so many questions for 4 s, and no more', async (t: TestContext) => {
  const { server, asking } = await withResponder(t);
  server.at.set('/ocsp', () => {});
  const ocsp = [{ issuerFile: asking.at('middle.pem'), url: server.url('/ocsp'), inside: true }];
  const stage = await startStage(t, asking.configWith({ crlFiles: [asking.at('crl.pem')], ocsp }));
  const asked = Array.from({ length: 300 }, () => stage.ask());
  await stage.until('the first refusals', () => stage.service.counters.bad === 300);
  const answered = () => stage.events.filter(({ kind }) => kind === 'answered').length;
  assert.equal(answered(), 300 - 256);
  assert.deepEqual(new Set(await Promise.all(asked)), new Set(['revocation-unknown']));
  assert.equal(stage.service.counters.bad, 300);
  assert.match(stage.refusals()[0]!, /no whole answer within 4 s/);
});

test('metrics tell age and what is left of each list, and what fails', async (t) => {
  const { answering, url } = await withResponder(t);
  await answering.ask();
  const text = await (await fetch(`${url}metrics`)).text();
  assert.match(text, /^kagimori_verifier_list_age_seconds\{issuer="Test CA",scope="all",key="[0-9a-f]{16}"\} 100$/m);
  assert.match(text, /^kagimori_verifier_list_left_seconds\{issuer="Test root",.*\} 86400$/m);
  assert.match(text, /^kagimori_verifier_questions_total\{outcome="good"\} 1$/m);
  assert.match(text, /^kagimori_verifier_place_failing\{where="http.*middle\.crl"\} 0$/m);
  for (const line of text.trimEnd().split('\n')) {
    assert.match(line, /^(?:# (?:HELP|TYPE) \w+ .+|\w+(?:\{\w+="[^"]*"(?:,\w+="[^"]*")*\})? -?\d+)$/);
  }
});

async function statusOf(stage: Awaited<ReturnType<typeof startStage>>) {
  const status = await stage.service.control.status!({}, () => {}, new AbortController().signal);
  return status as Readonly<Record<string, unknown>>;
}
