/**
 * `kagimori verifier check` over files, in process: what is read, what is passed over, what cannot be used, what is said.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { shownFailure } from '../../cli/failure.ts';
import { type CheckQuestion, type CheckResult, checkCertificate } from '../../cli/verifier-check/certificate-check.ts';
import { CHECK_REASONS } from '../../cli/verifier-check/check-reasons.ts';
import { checkText } from '../../cli/verifier-check/check-text.ts';
import { writePem } from '../../platform/certificates.ts';
import { EXTENDED_KEY_USAGE as EKU } from '../../protocol/certificate.ts';
import { VerdictReason } from '../../protocol/message-values.ts';
import { makeCa, san } from '../handmade-certificate.ts';
import { AT, ca, crlOf, DAY, device, type Holder, inDirectory, MANAGER_WISHES, root } from '../test-authority.ts';

const anchor = root();
const middle = ca(anchor, 'Middle');
const leaf = device(middle, 'router-1', { alternativeNames: [{ type: 'dns', value: 'r1.example' }] });
const pem = (...holders: readonly Holder[]): string =>
  writePem('CERTIFICATE', ...holders.map(({ certificate }) => certificate.der));
const lists = (...all: ReturnType<typeof crlOf>[]): string => writePem('X509 CRL', ...all.map(({ der }) => der));

type Contents = string | Uint8Array;
interface Files {
  readonly leaf?: Contents;
  readonly anchors?: readonly Contents[];
  readonly intermediates?: readonly Contents[];
  readonly crls?: readonly Contents[];
}

async function check(files: Files = {}, change: Partial<CheckQuestion> = {}): Promise<CheckResult> {
  let result: CheckResult | undefined;
  await inDirectory((dir) => {
    let count = 0;
    const put = (contents: Contents): string => {
      const path = join(dir, `file-${count++}`);
      writeFileSync(path, contents);
      return path;
    };
    result = checkCertificate({
      leaf: put(files.leaf ?? pem(leaf)),
      anchors: (files.anchors ?? [pem(anchor)]).map(put),
      intermediates: (files.intermediates ?? [pem(middle)]).map(put),
      crls: files.crls?.map(put) ?? null,
      at: AT,
      purpose: 'device',
      names: [],
      maxDepth: null,
      ...change,
    });
  });
  return result!;
}

const reasonOf = async (files: Files, change?: Partial<CheckQuestion>) => (await check(files, change)).reason;
async function refusalOf(files: Files, change?: Partial<CheckQuestion>): Promise<readonly [number, string]> {
  try {
    await check(files, change);
  } catch (error) {
    const { exitCode, lines, bug } = shownFailure(error);
    assert.equal(bug, false);
    return [exitCode, lines.join('\n')];
  }
  return assert.fail('it was used');
}

test('certificates and lists are read as PEM and as DER, several in a file, in any order, with text around them', async () => {
  const der = ({ certificate }: Holder): Uint8Array => certificate.der;
  const stranger = root('Stranger');
  const good: readonly Files[] = [
    {},
    { leaf: der(leaf), anchors: [der(anchor)], intermediates: [der(middle)] },
    { leaf: pem(leaf, middle), intermediates: [] },
    { leaf: `subject: router-1\n${pem(leaf).replaceAll('\n', '\r\n')}` },
    { leaf: pem(leaf).replaceAll('CERTIFICATE', 'X509 CERTIFICATE') },
    {
      anchors: [pem(stranger), pem(stranger, anchor)],
      intermediates: [pem(stranger), pem(leaf, middle, middle, anchor)],
    },
  ];
  for (const files of good) assert.equal(await reasonOf(files), null);
  const crls = [crlOf(anchor, []), crlOf(middle, [])] as const;
  assert.equal(await reasonOf({ crls: [lists(...crls)] }), null);
  assert.equal(await reasonOf({ crls: [crls[1].der, crls[0].der] }), null);
});

test('a leaf that is there and no good certificate is malformed: not valid, and not an unusable file', async () => {
  const { der } = leaf.certificate;
  const bad: readonly Contents[] = [
    der.subarray(0, -1),
    Uint8Array.of(...der, 0),
    writePem('CERTIFICATE', der.subarray(0, 100)),
    pem(leaf).replace(/\n[A-Za-z0-9+/]{10}/, '\n??????????'),
    pem(leaf).slice(0, -40),
    '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n',
  ];
  for (const contents of bad) assert.equal(await reasonOf({ leaf: contents }), 'malformed');
});

test('files that hold nothing of the kind cannot be used: exit code 2, and a line that says what is there', async () => {
  const unusable: readonly (readonly [Files, RegExp])[] = [
    [{ leaf: '' }, /no certificate in it \(it is empty\)/],
    [{ leaf: 'router-1' }, /no certificate in it \(neither PEM nor DER\)/],
    [{ leaf: '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n' }, /it holds PRIVATE KEY/],
    [{ leaf: lists(crlOf(anchor, [])) }, /it holds X509 CRL/],
    [{ leaf: new Uint8Array(70_000).fill(0x30) }, /a certificate of more than 65536 bytes/],
    [{ leaf: new Uint8Array(1_100_000).fill(0x30) }, /more than 1048576 bytes/],
    [{ anchors: ['nothing'] }, /no certificate in it/],
    [{ intermediates: ['x'] }, /no certificate in it/],
    [{ anchors: [''] }, /no certificate in it/],
    [{ crls: [pem(anchor)] }, /no revocation list in it \(it holds CERTIFICATE\)/],
  ];
  for (const [files, what] of unusable) {
    const [exitCode, text] = await refusalOf(files);
    assert.equal(exitCode, 2);
    assert.match(text, what);
  }
  assert.equal((await refusalOf({}, { leaf: '/no/such/file' }))[0], 2);
  await inDirectory(async (dir) => {
    mkdirSync(join(dir, 'a directory'));
    assert.match((await refusalOf({}, { leaf: join(dir, 'a directory') }))[1], /not a regular file|a directory/);
  });
});

test('what cannot be read among others is passed over with a remark, and never helps', async () => {
  const broken = writePem('CERTIFICATE', middle.certificate.der.subarray(0, 200));
  const heap = await check({ intermediates: [broken + pem(middle)] });
  assert.deepEqual([heap.valid, heap.remarks.length], [true, 1]);
  assert.match(heap.remarks[0]!, /certificate 1 is not in the form that the profile asks for; passed over$/);
  assert.equal(await reasonOf({ intermediates: [broken] }), 'unknown-issuer');
  assert.match((await check({ intermediates: ['\n', pem(middle)] })).remarks.join(), /: empty$/);
  assert.equal(
    await reasonOf({ anchors: [anchor.certificate.der.subarray(1, 100), pem(anchor)] }).catch(() => 'thrown'),
    'thrown',
  );
  assert.equal(await reasonOf({ anchors: [anchor.certificate.der.subarray(0, 100)] }), 'unknown-issuer');
  const list = crlOf(middle, []).der;
  const cut = await check({ crls: [crlOf(anchor, []).der, list.subarray(0, -1)] });
  assert.deepEqual([cut.reason, cut.remarks.length], ['revocation-unknown', 1]);
});

test('[P5] with lists, what they do not decide is not valid; without any, the answer says that nobody asked', async () => {
  const free = await check();
  assert.deepEqual([free.valid, free.revocation], [true, 'not-checked']);
  assert.match(checkText(free), /revocation {2}NOT checked/);
  const revoked = [crlOf(anchor, []).der, crlOf(middle, [leaf]).der];
  const found = await check({ crls: revoked });
  assert.deepEqual([found.reason, found.index, found.revocation], ['revoked', 0, 'checked']);
  assert.equal(await reasonOf({ crls: [crlOf(middle, []).der] }), 'revocation-unknown');
  assert.equal(await reasonOf({ crls: [crlOf(anchor, [middle]).der, crlOf(middle, []).der] }), 'revoked');
});

test('a device goes by its common name and its alternative names, a manager and a user so too; nobody by a wildcard', async () => {
  const named = async (purpose: CheckQuestion['purpose'], holder: Holder, ...names: string[]) =>
    reasonOf({ leaf: pem(holder) }, { purpose, names });
  for (const names of [['dns:r1.example'], ['dns:router-1'], ['uri:x:y']]) {
    assert.equal(await named('device', leaf, ...names), names[0] === 'uri:x:y' ? 'wrong-name' : null);
  }
  assert.equal(await named('device', leaf, 'dns:r1.example', 'dns:router-2'), 'wrong-name');
  assert.equal(await named('any', leaf, 'dns:router-1'), 'wrong-name', 'a common name is none for anybody else');
  const wild = device(middle, 'm', { ...MANAGER_WISHES, alternativeNames: [{ type: 'dns', value: '*.corp.example' }] });
  assert.equal(await named('manager', wild, 'dns:m'), null);
  assert.equal(await named('manager', wild, 'dns:a.corp.example'), 'wrong-name');
  assert.equal(await named('any', wild, 'dns:a.corp.example'), null);
  assert.equal(await named('device', wild, 'dns:m'), 'wrong-purpose');
  const user = device(middle, 'ann', {
    extendedKeyUsage: [EKU.kagimoriUser],
    alternativeNames: [{ type: 'email', value: 'Ann@example.com' }],
  });
  assert.equal(await named('user', user, 'email:Ann@EXAMPLE.com'), null);
  assert.equal(await named('user', user, 'email:ann@example.com'), 'wrong-name');
  for (const name of [
    'router-1',
    'dns:',
    'dns:*.example',
    'dns:a b',
    'ip:1.2.3',
    'ip:::1%eth0',
    'email:a',
    'uri:x',
    'cn:x',
  ]) {
    assert.deepEqual((await refusalOf({}, { names: [name] }))[0], 2, name);
  }
});

test('the answer names the path from the leaf to its anchor, until when it holds, and who is at fault', async () => {
  const good = await check();
  assert.deepEqual(
    good.path.map(({ subject, anchor: isAnchor }) => [subject, isAnchor]),
    [
      ['CN=router-1', false],
      ['CN=Middle', false],
      ['CN=Test root', true],
    ],
  );
  assert.equal(good.until, new Date((AT + 365 * DAY) * 1000).toISOString().replace('.000', ''));
  const old = ca(anchor, 'Middle', { notAfter: AT - 1 });
  const found = await check({ leaf: pem(device(old)), intermediates: [pem(old)] });
  assert.deepEqual([found.reason, found.index, found.until], ['expired', 1, null]);
  assert.equal(found.detail, 'its period ended at 2027-01-15T07:59:59Z');
  const shown = checkText(found).split('\n');
  assert.match(shown[0]!, /^not valid: expired: its period ended at 2027/);
  assert.match(shown[1]!, /what to do {2}renew it/);
  assert.ok(
    shown.some((line) => /CA 1 {3}! {3} CN=Middle/.test(line)),
    shown.join('\n'),
  );
  const itself = await check({ leaf: pem(anchor) });
  assert.deepEqual([itself.reason, itself.path.length], ['not-a-leaf', 1]);
});

test('names in certificates do not steer the terminal', async () => {
  const evil = makeCa(null, 'evil\u001b[2J\u202e', { extra: [san(false, 'dns:x.example')] });
  const text = checkText(await check({ leaf: writePem('CERTIFICATE', evil.der) }));
  assert.match(text, /evil\\u\{1b\}\[2J\\u\{202e\}/);
  assert.ok(!text.includes('\u001b') && !text.includes('\u202e'));
});

test('the list of reasons is closed: the verifier’s own, each with a remedy', () => {
  const own = VerdictReason.words.filter((word) => word !== 'good');
  assert.deepEqual(Object.keys(CHECK_REASONS).sort(), own.toSorted());
});
