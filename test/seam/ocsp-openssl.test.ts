/**
 * OCSP against OpenSSL, both ways: its client believes our answers, and we its responder's, as far as they deserve it.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { writePem } from '../../platform/certificates.ts';
import { startHttpListener } from '../../platform/http-listener.ts';
import { ocspCodec as codec } from '../../platform/ocsp-codec.ts';
import { toHex } from '../../protocol/bytes.ts';
import { checkOcspAnswer } from '../../protocol/ocsp-check.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { ocspHandler } from '../../verifier/ocsp-over-http.ts';
import { createOcspResponder, type OcspKnowledge, type OcspResponder } from '../../verifier/ocsp-responder.ts';
import { freshNonce } from '../ocsp-forge.ts';
import { startOpensslOcsp } from '../openssl-ocsp.ts';
import {
  certify,
  crypto,
  DAY,
  device,
  type Holder,
  inDirectory,
  OCSP_WISHES,
  opensslAbsent,
  root,
} from '../test-authority.ts';

const NOW = EpochSeconds(Math.floor(Date.now() / 1000));
const PERIOD = { notBefore: NOW - DAY, notAfter: NOW + 30 * DAY };

const issuer = root('Home', PERIOD);
const delegate = certify('ocsp', { ...OCSP_WISHES, ...PERIOD }, issuer);
const [good, revoked, unknown] = ['good', 'revoked', 'unknown'].map((name) => device(issuer, name, PERIOD)) as [
  Holder,
  Holder,
  Holder,
];

const until = EpochSeconds(NOW + 3600);
const known = new Map<string, OcspKnowledge>([
  [toHex(good.certificate.serial), { status: 'good', thisUpdate: NOW, nextUpdate: until }],
  [
    toHex(revoked.certificate.serial),
    { status: 'revoked', revokedAt: EpochSeconds(NOW - 60), reason: 1, thisUpdate: NOW, nextUpdate: until },
  ],
]);

function responderOf(signer: Holder): OcspResponder {
  const signers = [{ issuer: issuer.certificate, certificate: signer.certificate, key: signer.key.key }];
  return createOcspResponder(
    { codec, signers, maxAgeSeconds: 300 },
    (_issuer, serial) => known.get(toHex(serial)) ?? { status: 'unknown' },
  );
}

/** Our responder on a port, and files that OpenSSL's client reads. */
async function serving(signer: Holder, use: (dir: string, url: string, port: number) => Promise<void>): Promise<void> {
  await inDirectory(async (dir) => {
    for (const [name, { certificate }] of Object.entries({ issuer, good, revoked, unknown })) {
      writeFileSync(join(dir, `${name}.pem`), writePem('CERTIFICATE', certificate.der));
    }
    const clock = () => EpochSeconds(Math.floor(Date.now() / 1000));
    const listener = await startHttpListener({
      host: '127.0.0.1',
      port: 0,
      handlers: { '*': ocspHandler(responderOf(signer), clock) },
    });
    try {
      await use(dir, `http://127.0.0.1:${listener.address.port}`, listener.address.port);
    } finally {
      await listener.close();
    }
  });
}

/** @returns what `openssl ocsp` writes; it ends with 0 whatever the answer says, unless it cannot be believed */
function askWithOpenssl(
  dir: string,
  url: string,
  ...args: readonly string[]
): Promise<{ text: string; code: number | null }> {
  const child = spawn('openssl', ['ocsp', '-issuer', 'issuer.pem', '-CAfile', 'issuer.pem', '-url', url, ...args], {
    cwd: dir,
    timeout: 20_000,
  });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ text, code })));
}

const skip = opensslAbsent;
const ALL = ['good', 'revoked', 'unknown'].flatMap((name) => ['-cert', `${name}.pem`]);

for (const [who, signer] of [
  ['the CA itself', issuer],
  ['a delegate', delegate],
  ['an Ed25519 delegate', certify('ocsp', { ...OCSP_WISHES, ...PERIOD, algorithm: 'ed25519' }, issuer)],
  ['a P-384 delegate', certify('ocsp', { ...OCSP_WISHES, ...PERIOD, algorithm: 'p384' }, issuer)],
] as const) {
  test(
    `RFC 6960: OpenSSL's client believes the verifier's answers, signed by ${who}: good, revoked, unknown in one`,
    { skip },
    () =>
      serving(signer, async (dir, url) => {
        const { text, code } = await askWithOpenssl(dir, url, ...ALL);
        assert.equal(code, 0, text);
        assert.match(text, /Response verify OK/);
        assert.doesNotMatch(text, /nonce/i);
        assert.match(text, /good\.pem: good/);
        assert.match(text, /revoked\.pem: revoked\n.*\n.*\n\s*Reason: keyCompromise/);
        assert.match(text, /unknown\.pem: unknown/);
      }),
  );
}

for (const [what, before, after] of [
  ['CertIDs of SHA-256', ['-sha256'], []],
  ['CertIDs of SHA-384', ['-sha384'], []],
  ['CertIDs of SHA-512', ['-sha512'], []],
  ['no nonce', [], ['-no_nonce']],
  ['a path of its own and a header', [], ['-path', '/ocsp/home', '-header', 'Host=ocsp.example']],
] as const) {
  test(`RFC 6960: OpenSSL's client believes the verifier's answers: ${what}`, { skip }, () =>
    serving(delegate, async (dir, url) => {
      const { text, code } = await askWithOpenssl(dir, url, ...before, '-cert', 'good.pem', ...after);
      assert.equal(code, 0, text);
      assert.match(text, /Response verify OK/);
      assert.match(text, /good\.pem: good/);
    }),
  );
}

test("the proof proves: OpenSSL's client refuses the same answers signed by a device", { skip }, () =>
  serving(device(issuer, 'liar', PERIOD), async (dir, url) => {
    const { text } = await askWithOpenssl(dir, url, '-cert', 'good.pem');
    assert.match(text, /Response Verify Failure/);
  }),
);

// ── GET ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Got {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

const get = (port: number, path: string): Promise<Got> =>
  new Promise((resolve, reject) => {
    const sent = request({ port, host: '127.0.0.1', path }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    sent.on('error', reject).end();
  });

test('RFC 6960 A.1: GET with the request in the path, escaped or not, at any place; RFC 9111: what has no nonce may be kept', () =>
  serving(delegate, async (_dir, _url, port) => {
    const asked = (nonce: Uint8Array | null): string =>
      Buffer.from(codec.writeRequest(good.certificate, issuer.certificate, nonce, 'sha-1')).toString('base64');
    for (const path of [
      `/${encodeURIComponent(asked(null))}`,
      `/${asked(null)}`,
      `/Many/ocsp/${asked(null)}`,
      `/ocsp/${encodeURIComponent(asked(null))}?x=1`,
    ]) {
      const { status, headers, body } = await get(port, path);
      assert.equal(status, 200, path);
      assert.equal(headers['content-type'], 'application/ocsp-response');
      assert.match(String(headers['cache-control']), /^max-age=(300|299), public/);
      assert.ok(Date.parse(String(headers.expires)) - Date.parse(String(headers['last-modified'])) === 300_000);
      assert.equal(codec.readAnswer(body)?.status, 'successful');
    }
    const nonce = await get(port, `/${encodeURIComponent(asked(freshNonce()))}`);
    assert.equal(nonce.headers['cache-control'], 'no-store');
    // A path that is no request at all.
    for (const path of [
      '/',
      '/favicon.ico',
      '/M',
      '/MEIw',
      '/%zz',
      `/${'M'.repeat(3000)}`,
      `/M/M/M/${'M/'.repeat(500)}`,
    ]) {
      assert.equal((await get(port, path)).status, 404, path);
    }
  }));

test('[B6] slashes in the base64 of a request do not hide where it begins', () =>
  serving(delegate, async (_dir, _url, port) => {
    let slashes = 0;
    for (const shift of [0, 1, 2]) {
      // `/M/M` when the three bytes of each group fall together
      const nonce = Uint8Array.from({ length: 32 }, (_, i) => [0xfc, 0xcf, 0xcc][(i + shift) % 3]!);
      const der = codec.writeRequest(good.certificate, issuer.certificate, nonce, 'sha-256');
      const text = Buffer.from(der).toString('base64');
      if (text.includes('/M/M')) slashes++;
      for (const path of [`/${text}`, `/ocsp/${text}`, `/M/${text}`]) {
        assert.equal((await get(port, path)).status, 200, path);
      }
    }
    assert.equal(slashes, 1);
  }));

// ── OpenSSL as responder ────────────────────────────────────────────────────────────────────────────────────────────

const post = async (url: string, body: Uint8Array): Promise<Uint8Array> => {
  const headers = { 'content-type': 'application/ocsp-request' };
  const response = await fetch(url, { method: 'POST', headers, body: body.slice() });
  return new Uint8Array(await response.arrayBuffer());
};

const entries = [
  { certificate: good.certificate },
  { certificate: revoked.certificate, revoked: { at: NOW - 60, reason: 'keyCompromise' } },
];

interface Ask {
  readonly of?: Holder;
  readonly sent?: Uint8Array | null;
  readonly expected?: Uint8Array | null;
  readonly at?: number;
  readonly hash?: 'sha-1' | 'sha-256';
}

async function ask(url: string, { of = good, hash = 'sha-256', ...rest }: Ask) {
  const nonce = freshNonce();
  const { sent = nonce, expected = sent, at = Math.floor(Date.now() / 1000) } = rest;
  const der = await post(url, codec.writeRequest(of.certificate, issuer.certificate, sent, hash));
  return checkOcspAnswer({
    crypto,
    codec,
    certificate: of.certificate,
    issuer: issuer.certificate,
    issuerKey: crypto.publicKey(issuer.certificate.spki)!,
    at: EpochSeconds(at),
    answer: codec.readAnswer(der),
    nonce: expected,
    nonceRequired: true,
  });
}

function detailOf(found: Awaited<ReturnType<typeof ask>>): string {
  return found.status === 'unknown' ? found.detail : found.status;
}

test("[P4] RFC 6960: what OpenSSL's responder answers: good, revoked, unknown, replayed, old", { skip }, () =>
  inDirectory(async (dir) => {
    const responder = await startOpensslOcsp(dir, issuer, delegate, entries, ['-nmin', '5']);
    try {
      for (const hash of ['sha-1', 'sha-256'] as const) {
        assert.equal((await ask(responder.url, { hash })).status, 'good');
        assert.equal((await ask(responder.url, { of: revoked, hash })).status, 'revoked');
        assert.match(detailOf(await ask(responder.url, { of: unknown, hash })), /does not know/);
      }
      assert.match(detailOf(await ask(responder.url, { sent: null })), /has no nonce/);
      assert.match(detailOf(await ask(responder.url, { expected: freshNonce() })), /nonce of another/);
      assert.match(detailOf(await ask(responder.url, { at: NOW + 3600 })), /out of date/);
      assert.match(detailOf(await ask(responder.url, { at: NOW - 3600 })), /from the future/);
    } finally {
      await responder.stop();
    }
  }),
);

for (const [who, signer, options, detail] of [
  ['the CA itself', issuer, [], /^good$/],
  ['the CA itself, named by its key', issuer, ['-resp_key_id'], /^good$/],
  ['a delegate, named by its key', delegate, ['-resp_key_id'], /^good$/],
  ['a delegate whose certificate is left out', delegate, ['-resp_no_certs'], /lacks/],
  ['a device', device(issuer, 'liar', PERIOD), [], /may not sign answers/],
  [
    'a delegate of another CA',
    certify('ocsp', { ...OCSP_WISHES, ...PERIOD }, root('Elsewhere', PERIOD)),
    [],
    /another CA/,
  ],
  ['a delegate over SHA-1', delegate, ['-rmd', 'sha1'], /algorithm outside the profile/],
] as const) {
  test(`[P4] RFC 6960: what OpenSSL's responder answers, signed by ${who}`, { skip }, () =>
    inDirectory(async (dir) => {
      const responder = await startOpensslOcsp(dir, issuer, signer, entries, ['-nmin', '5', ...options]);
      try {
        assert.match(detailOf(await ask(responder.url, {})), detail);
      } finally {
        await responder.stop();
      }
    }),
  );
}
