/**
 * Revoked by other ways than our own CA, between real processes, with certificates and lists that OpenSSL made: a file that
 * is replaced, a URL, an OCSP responder, the list of keys, the CA above.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readCertificateFile } from '../../platform/certificate-file.ts';
import { nodeCrypto, signingKey } from '../../platform/crypto-node.ts';
import { certifyByOpenssl, KEY_KINDS } from '../openssl-house.ts';
import { startOpensslOcsp } from '../openssl-ocsp.ts';
import { buildHouse, type House, MANAGER, type Wanted } from '../real-house.ts';
import {
  assertInTime,
  assertStaysOut,
  hearWithTimes,
  PROPOSALS,
  type Span,
  talk,
  untilSome,
  wayOut,
} from '../revocation-house.ts';
import { type Holder, openssl, opensslAbsent } from '../test-authority.ts';

const VICTIMS = ['by-file', 'by-url', 'by-ocsp', 'by-key', 'below', 'below-too'] as const;
const PEERS = ['lamp', 'horn'] as const;
/** The least of each: what is fetched is fetched that often, what was judged is judged anew after 0.8 of it. */
const FETCH_S = 5;
const MAX_AGE_S = 10;

test('[P4] [B6] a replaced file, a fetched list, an OCSP answer, a listed key, a revoked CA: 5 s later whom it concerns is out', {
  skip: opensslAbsent,
}, async (t) => {
  const house = await houseOfSources(t);
  const lamp = await hearWithTimes(house, 'lamp');
  const talks = await Promise.all(VICTIMS.map((victim) => talk(t, house, { victim, peer: 'lamp', ear: lamp })));
  const out = async (what: string, victim: string, since: Span): Promise<void> => {
    assertInTime(t, what, await wayOut(house, victim, since, talks));
    await assertStaysOut(house, victim, since.ended);
  };

  const atResponder = Date.now();
  await house.revokeAtResponder();
  house.running('verifier').child.kill('SIGHUP'); // its answer held for minutes

  revokeByOpenssl(house, 'middle', 'by-file');
  await out('a file, since its rename', 'by-file', replace(house, 'ca/crl.pem', listsOf(house)));

  const key = readCertificateFile(house.at('certificates/by-key.chain.pem'))[0].spki;
  const listed = replace(house, 'keys.txt', `${createHash('sha256').update(key).digest('hex')} # stolen\n`);
  await out('a listed key, since its rename', 'by-key', listed);

  revokeByOpenssl(house, 'middle', 'by-url');
  const serving = Date.now();
  house.write('served.crl', listOf(house, 'middle'));
  const fetched = await untilSome('the URL is fetched', () => house.served());
  await out('a URL, since the end of the fetch', 'by-url', { began: serving, ended: fetched });

  const asked = await untilSome('the responder is asked', () => house.answered());
  await out('OCSP, since the end of the fetch', 'by-ocsp', { began: atResponder, ended: asked });

  await house.ask('lamp', 'connect', { callee: 'below' });
  revokeByOpenssl(house, 'root', 'middle');
  const since = replace(house, 'ca/crl.pem', listsOf(house));
  await Promise.all(['below', 'below-too'].map((victim) => out('the CA above, since the rename', victim, since)));
  await house.ask('lamp', 'connect', { callee: 'horn' }); // they are under the root itself
});

// ── The house ───────────────────────────────────────────────────────────────────────────────────────────────────────

interface SourcesHouse extends House {
  /** From now on the responder answers that the certificate is revoked. */
  revokeAtResponder(): Promise<void>;
  /** When it did so first, ms since 1970; null: not yet. */
  answered(): number | null;
  /** When what stands in `served.crl` was fetched, ms since 1970; null: not yet. */
  served(): number | null;
}

async function houseOfSources(t: TestContext): Promise<SourcesHouse> {
  let directory = '';
  let served: { readonly text: string; readonly at: number } = { text: '', at: 0 };
  const server = createServer((_request, response) => {
    const text = readFileSync(join(directory, 'served.crl'), 'utf8');
    response.end(text, () => {
      served = { text, at: Date.now() };
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const listUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/middle.crl`;
  const responder = await relayToOcsp(t);
  const house = await buildHouse(
    {
      occupants: [...VICTIMS, ...PEERS].map((id) => ({ id, yaml: PROPOSALS })),
      logLevel: 'info',
      files: { 'keys.txt': '' },
      certify: (into, wanted) => {
        directory = into;
        certify(into, wanted);
      },
      // the broker runs by now, and the verifier not yet
      between: async (url) => {
        writeFileSync(join(directory, 'served.crl'), readFileSync(join(directory, 'ca/middle.first.crl')));
        responder.target = await startOcsp(t, directory, false);
        return url;
      },
      verifierYaml: `verdictMaxAgeSeconds: ${MAX_AGE_S}
intermediateFiles: [ca/middle.pem]
revokedKeysFile: keys.txt
crlUrls: [{ url: '${listUrl}', everySeconds: ${FETCH_S}, inside: true }]
`,
    },
    (end) => t.after(end),
  );
  await house.stop('verifier');
  const ocsp = `ocsp: [{ issuerFile: ca/other.pem, url: '${responder.url}', inside: true }]\n`;
  const anchors = 'trustAnchorFiles: [ca/root.pem, ca/other.pem]';
  house.write('verifier.yaml', house.read('verifier.yaml').replace(/^trustAnchorFiles: .*$/m, anchors) + ocsp);
  await house.start('verifier');
  await Promise.all([...VICTIMS, ...PEERS].map((id) => house.admit(id)));
  return {
    ...house,
    async revokeAtResponder() {
      responder.target = await startOcsp(t, directory, true);
      responder.answeredAt = null;
    },
    answered: () => responder.answeredAt,
    served: () => (served.text === house.read('served.crl') ? served.at : null),
  };
}

/** Victims are under the CA in the middle, which is revoked at the end; one under another, which issues no list. */
function certify(directory: string, wanted: readonly Wanted[]): void {
  certifyByOpenssl(directory, wanted, 'P-256');
  const ca = join(directory, 'ca');
  const above = new Set<string>([...PEERS, MANAGER, 'verifier']);
  for (const { name } of wanted) {
    if (above.has(name)) certifyAnew(directory, name, 'root');
  }
  writeFileSync(join(ca, 'other.conf'), '[req]\ndistinguished_name=names\n[names]\n');
  const { key, digest } = KEY_KINDS['P-256'];
  openssl(ca, 'genpkey', ...key, '-out', 'other.key');
  const request = ['-new', '-x509', '-key', 'other.key', '-subj', '/CN=other', '-days', '60', `-${digest}`];
  const usage = ['-addext', 'basicConstraints=critical,CA:true', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
  openssl(ca, 'req', '-config', 'other.conf', ...request, ...usage, '-out', 'other.pem');
  certifyAnew(directory, 'by-ocsp', 'other');
  writeFileSync(join(ca, 'middle.first.crl'), openssl(ca, 'ca', '-config', 'middle.conf', '-gencrl'));
}

function certifyAnew(directory: string, name: string, issuer: 'root' | 'other'): void {
  const ca = join(directory, 'ca');
  const by = ['-CA', `${issuer}.pem`, '-CAkey', `${issuer}.key`, '-days', '60', '-extfile', `${name}.ext`];
  openssl(ca, 'x509', '-req', '-in', `${name}.csr`, ...by, '-out', `${name}.pem`);
  writeFileSync(join(directory, 'certificates', `${name}.chain.pem`), readFileSync(join(ca, `${name}.pem`)));
}

const entryOf = (house: { at: House['at'] }, name: string, revoked: boolean) => ({
  certificate: readCertificateFile(house.at(`certificates/${name}.chain.pem`))[0],
  ...(revoked ? { revoked: { at: Math.floor(Date.now() / 1000), reason: 'keyCompromise' } } : {}),
});

interface OcspRelay {
  readonly url: string;
  target: string;
  answeredAt: number | null;
}

/** In front of OpenSSL's responder, which reads its index once: another one can take its place. */
async function relayToOcsp(t: TestContext): Promise<OcspRelay> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const headers = { 'Content-Type': 'application/ocsp-request' };
    const answer = await fetch(relay.target, { method: 'POST', headers, body });
    response.setHeader('Content-Type', 'application/ocsp-response');
    response.end(Buffer.from(await answer.arrayBuffer()), () => {
      relay.answeredAt ??= Date.now();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const relay: OcspRelay = { url: `http://127.0.0.1:${port}/`, target: '', answeredAt: null };
  return relay;
}

/** The other CA answers for itself. */
async function startOcsp(t: TestContext, directory: string, revoked: boolean): Promise<string> {
  const at = (...parts: readonly string[]): string => join(directory, ...parts);
  const [certificate] = readCertificateFile(at('ca/other.pem'));
  const privatePkcs8Pem = readFileSync(at('ca/other.key'));
  const key = signingKey(privatePkcs8Pem, nodeCrypto().counter);
  const { spki, subject } = certificate;
  const other: Holder = {
    certificate,
    key: { publicSpki: spki, privatePkcs8Pem, key },
    issuer: { name: subject.der, spki, key },
  };
  const place = at(revoked ? 'ocsp-later' : 'ocsp');
  mkdirSync(place);
  const responder = await startOpensslOcsp(place, other, other, [entryOf({ at }, 'by-ocsp', revoked)]);
  t.after(() => responder.stop());
  return responder.url;
}

const revokeByOpenssl = (house: House, tier: 'root' | 'middle', name: string): void =>
  void openssl(house.at('ca'), 'ca', '-config', `${tier}.conf`, '-revoke', `${name}.pem`);
const listOf = (house: House, tier: string): string =>
  openssl(house.at('ca'), 'ca', '-config', `${tier}.conf`, '-gencrl');
const listsOf = (house: House): string => ['root', 'middle'].map((tier) => listOf(house, tier)).join('');

/** As everybody should: nobody ever reads half of it. */
function replace(house: House, file: string, text: string): Span {
  house.write(`${file}.new`, text);
  const began = Date.now();
  renameSync(house.at(`${file}.new`), house.at(file));
  return { began, ended: Date.now() };
}
