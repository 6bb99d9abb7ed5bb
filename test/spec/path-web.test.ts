/**
 * Awkward chains of web servers, each with one thing wrong or merely odd, through the judgement of
 * `kagimori verifier check`; made by an authority of our own. @spec RFC 5280 §4, §6.1, RFC 9525 §6
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import type { CheckReason } from '../../cli/verifier-check/check-reasons.ts';
import { type JudgeQuestion, judge, readWantedName } from '../../cli/verifier-check/judgement.ts';
import { commonName } from '../../platform/certificate-issuing.ts';
import { generateSigningKey } from '../../platform/crypto-node.ts';
import { EXTENDED_KEY_USAGE as EKU } from '../../protocol/certificate.ts';
import {
  aki,
  authority,
  eku,
  endEntity,
  type General,
  ID,
  keyUsage,
  type Limits,
  type Made,
  type MadeWishes,
  makeCa,
  makeServer,
  nameConstraints,
  other,
  san,
  ski,
  utf8,
} from '../handmade-certificate.ts';
import { AT, DAY, reader } from '../test-authority.ts';
import { der, oid, sequence } from '../test-der.ts';

type Asked = Partial<Pick<JudgeQuestion, 'at' | 'purpose' | 'maxDepth'>> & { readonly names?: readonly string[] };

/** @returns the reason; a leaf that cannot be read is malformed, another certificate that cannot is not there */
function ask(leaf: Made, heap: readonly Made[], anchors: readonly Made[], asked: Asked = {}): CheckReason | 'valid' {
  const read = (all: readonly Made[]) =>
    all.map((one) => reader.readCertificate(one.der)).filter((one) => one !== null);
  const [certificate] = read([leaf]);
  if (certificate === undefined) return 'malformed';
  const { names = ['dns:host.example'], ...rest } = asked;
  const wanted = names.map(readWantedName);
  const given = { leaf: certificate, anchors: read(anchors), intermediates: read(heap), revocation: null };
  const found = judge({ ...given, at: AT, purpose: 'server', maxDepth: null, ...rest, names: wanted });
  return found.fault?.reason ?? 'valid';
}

const root = makeCa(null, 'Root');
const middle = makeCa(root, 'Middle');
const server = (wishes: MadeWishes = {}, asked: Asked = {}) => ask(makeServer(root, wishes), [], [root], asked);
const under = (rootWishes: MadeWishes, wishes: MadeWishes = {}): CheckReason | 'valid' => {
  const special = makeCa(null, 'Special root', rootWishes);
  return ask(makeServer(special, wishes), [], [special]);
};
const between = (wishes: MadeWishes): CheckReason | 'valid' => {
  const special = makeCa(root, 'Special CA', wishes);
  return ask(makeServer(special), [special], [root]);
};
const empty = commonName('').subarray(0, 0); // no bytes: for fields that are to be empty
const noName = sequence(empty);

/** Of a leaf: it signs nothing here. */
function rsa(modulusLength: number): ReturnType<typeof generateSigningKey> {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength });
  return { ...generateSigningKey('p256'), publicSpki: publicKey.export({ type: 'spki', format: 'der' }) };
}

type Case = readonly [what: string, expected: CheckReason | 'valid', () => CheckReason | 'valid'];

const CONFORMANCE: readonly Case[] = [
  ['a plain server', 'valid', () => server()],
  ['a plain server below an intermediate', 'valid', () => ask(makeServer(middle), [middle], [root])],
  ['the intermediate is not given', 'unknown-issuer', () => ask(makeServer(middle), [], [root])],
  ['the intermediate is the anchor, and the root a stranger', 'valid', () => ask(makeServer(middle), [root], [middle])],
  ['the leaf names an empty issuer', 'malformed', () => server({ issuer: noName })],
  ['a CA without a name', 'malformed', () => under({ subject: null })],
  [
    'an unknown critical extension of the leaf',
    'unknown-critical-extension',
    () => server({ extra: [['1.2.3.4', true, utf8('?')]] }),
  ],
  [
    'an unknown critical extension of the CA',
    'unknown-critical-extension',
    () => between({ extra: [['1.2.3.4', true, utf8('?')]] }),
  ],
  [
    'an unknown critical extension of the root',
    'unknown-critical-extension',
    () => under({ extra: [['1.2.3.4', true, utf8('?')]] }),
  ],
  ['an unknown extension that is not critical', 'valid', () => server({ extra: [['1.2.3.4', false, utf8('?')]] })],
  [
    'a CA whose basic constraints say no',
    'constraint-violated',
    () => between({ change: { [ID.basicConstraints]: endEntity, [ID.keyUsage]: null } }),
  ],
  ['a CA without basic constraints', 'constraint-violated', () => between({ change: { [ID.basicConstraints]: null } })],
  ['a root without basic constraints', 'constraint-violated', () => under({ change: { [ID.basicConstraints]: null } })],
  [
    'a root whose basic constraints are not critical',
    'malformed',
    () => under({ change: { [ID.basicConstraints]: authority(false) } }),
  ],
  [
    'a root that may not sign certificates',
    'constraint-violated',
    () => under({ change: { [ID.keyUsage]: keyUsage('digitalSignature') } }),
  ],
  [
    'a CA that may not sign certificates',
    'constraint-violated',
    () => between({ change: { [ID.keyUsage]: keyUsage('digitalSignature') } }),
  ],
  [
    'a leaf that is no CA and may sign certificates',
    'not-a-leaf',
    () => server({ extra: [endEntity], change: { [ID.keyUsage]: keyUsage('digitalSignature', 'keyCertSign') } }),
  ],
  ['a leaf that is a CA and may not sign certificates', 'not-a-leaf', () => server({ extra: [authority(true)] })],
  [
    'a whole CA as leaf',
    'valid',
    () =>
      ask(makeCa(root, 'Leaf', { extra: [eku(false, EKU.serverAuth), san(false, 'dns:host.example')] }), [], [root]),
  ],
  [
    'a whole CA as leaf, another name',
    'wrong-name',
    () => ask(makeCa(root, 'Leaf', { extra: [eku(false, EKU.serverAuth), san(false, 'dns:ca.example')] }), [], [root]),
  ],
  ['a leaf without key usage', 'valid', () => server({ change: { [ID.keyUsage]: null } })],
  [
    'a leaf without a use for its key',
    'wrong-purpose',
    () => server({ change: { [ID.keyUsage]: [ID.keyUsage, true, der(0x03, Uint8Array.of(0))] } }),
  ],
  [
    'a leaf with a key for encipherment alone',
    'valid',
    () => server({ change: { [ID.keyUsage]: keyUsage('keyEncipherment') } }),
  ],
  ['a leaf with basic constraints', 'valid', () => server({ extra: [endEntity] })],
  ['an extension that stands twice', 'malformed', () => server({ extra: [san(false, 'dns:host.example')] })],
  ['a leaf without authority key id', 'malformed', () => server({ change: { [ID.aki]: null } })],
  ['a CA without authority key id', 'malformed', () => between({ change: { [ID.aki]: null } })],
  ['a self-signed root without authority key id', 'valid', () => under({})],
  [
    'an anchor that another signed, without authority key id',
    'malformed',
    () => {
      const crossed = makeCa(root, 'Crossed', { change: { [ID.aki]: null } });
      return ask(makeServer(crossed), [], [crossed]);
    },
  ],
  [
    'a critical authority key id',
    'unknown-critical-extension',
    () => {
      const key = generateSigningKey('p256');
      return under({ key, extra: [aki(key, true)] });
    },
  ],
  [
    'a critical subject key id',
    'unknown-critical-extension',
    () => {
      const key = generateSigningKey('p256');
      return under({ key, change: { [ID.ski]: ski(key, true) } });
    },
  ],
  ['a root without subject key id', 'malformed', () => under({ change: { [ID.ski]: null } })],
  ['a CA without subject key id', 'malformed', () => between({ change: { [ID.ski]: null } })],
  [
    'a root with its own authority key id',
    'valid',
    () => {
      const key = generateSigningKey('p256');
      return under({ key, extra: [aki(key)] });
    },
  ],
  ['a root with an authority key id without key', 'malformed', () => under({ extra: [[ID.aki, false, sequence()]] })],
  [
    'a root with the authority key id of another key',
    'malformed',
    () => under({ extra: [aki(generateSigningKey('p256'))] }),
  ],
  [
    'a root that names its own certificate beside its key',
    'malformed',
    () => {
      const key = generateSigningKey('p256');
      const itself = [der(0xa1, der(0xa4, commonName('Special root'))), der(0x82, Uint8Array.of(5))];
      return under({ key, extra: [aki(key, false, itself)] });
    },
  ],
  [
    'a root that names its own certificate by half',
    'unknown-issuer',
    () => {
      const key = generateSigningKey('p256');
      return under({ key, extra: [aki(key, false, [der(0x82, Uint8Array.of(5))])] });
    },
  ],
  ['a root with an extended key usage', 'malformed', () => under({ extra: [eku(false, EKU.serverAuth)] })],
  ['the serial number 0', 'malformed', () => server({ serial: [0] })],
  ['a negative serial number', 'malformed', () => server({ serial: [0x80] })],
  ['a serial number of 22 bytes', 'malformed', () => server({ serial: Array.from({ length: 22 }, () => 0x42) })],
  ['a serial number of 20 bytes', 'valid', () => server({ serial: Array.from({ length: 20 }, () => 0x42) })],
  ['a root with the serial number 0', 'valid', () => under({ serial: [0] })],
  ['version 1', 'wrong-purpose', () => server({ version: 1 })],
  [
    'policy constraints that are not critical',
    'malformed',
    () => between({ extra: [[ID.policyConstraints, false, sequence(der(0x80, Uint8Array.of(3)))]] }),
  ],
  ['signed with SHA-1', 'weak-signature', () => server({ weakly: true })],
  ['an RSA key of 2048 bits', 'valid', () => server({ key: rsa(2048) })],
  ['an RSA key of 2052 bits', 'weak-key', () => server({ key: rsa(2052) })],
  ['an RSA key of 1024 bits', 'weak-key', () => server({ key: rsa(1024) })],
];

const PERIODS: readonly Case[] = [
  ['the second in which it begins', 'valid', () => server({ from: AT })],
  ['the second before it begins', 'not-yet-valid', () => server({ from: AT + 1 })],
  ['the second in which it ends', 'valid', () => server({ until: AT })],
  ['the second after it has ended', 'expired', () => server({ until: AT - 1 })],
  ['a root that has ended', 'expired', () => under({ until: AT - 1 })],
  ['a CA that has ended', 'expired', () => between({ until: AT - 1 })],
];

const USES: readonly Case[] = [
  ['no extended key usage', 'wrong-purpose', () => server({ change: { [ID.eku]: null } })],
  ['one that stands there empty', 'malformed', () => server({ change: { [ID.eku]: [ID.eku, false, sequence()] } })],
  ['for clients alone', 'wrong-purpose', () => server({ change: { [ID.eku]: eku(false, EKU.clientAuth) } })],
  ['for clients too', 'valid', () => server({ change: { [ID.eku]: eku(false, EKU.serverAuth, EKU.clientAuth) } })],
  ['for anything', 'wrong-purpose', () => server({ change: { [ID.eku]: eku(false, EKU.any) } })],
  ['for anything too', 'wrong-purpose', () => server({ change: { [ID.eku]: eku(false, EKU.serverAuth, EKU.any) } })],
  [
    'for code too',
    'wrong-purpose',
    () => server({ change: { [ID.eku]: eku(false, EKU.serverAuth, '1.3.6.1.5.5.7.3.3') } }),
  ],
  ['critical', 'malformed', () => server({ change: { [ID.eku]: eku(true, EKU.serverAuth) } })],
  ['a CA for mail alone', 'wrong-purpose', () => between({ extra: [eku(false, '1.3.6.1.5.5.7.3.4')] })],
  ['a CA for servers', 'valid', () => between({ extra: [eku(false, EKU.serverAuth)] })],
  ['a CA for anything', 'valid', () => between({ extra: [eku(false, EKU.any)] })],
];

const access = (...parts: readonly Uint8Array[]): MadeWishes => ({ extra: [[ID.access, false, sequence(...parts)]] });
const place = sequence(oid('1.3.6.1.5.5.7.48.2'), der(0x82, new TextEncoder().encode('host.example')));
const ACCESS: readonly Case[] = [
  ['a place', 'valid', () => server(access(place))],
  ['nothing', 'malformed', () => server(access())],
  ['no access', 'malformed', () => server({ extra: [[ID.access, false, new TextEncoder().encode('malformed')]] })],
  ['a critical one', 'unknown-critical-extension', () => server({ extra: [[ID.access, true, sequence(place)]] })],
];

const withNames = (names: readonly General[], asked: string, change: MadeWishes = {}, critical = false) =>
  server({ ...change, change: { [ID.san]: names.length === 0 ? null : san(critical, ...names) } }, { names: [asked] });
const NAMES: readonly (readonly [names: readonly General[], asked: string, expected: CheckReason | 'valid'])[] = [
  [['dns:example.com'], 'dns:example.com', 'valid'],
  [['dns:Example.COM'], 'dns:example.com', 'valid'],
  [['dns:example.com'], 'dns:EXAMPLE.com.', 'valid'],
  [['dns:example.com'], 'dns:example2.com', 'wrong-name'],
  [['dns:abc.example.com'], 'dns:def.example.com', 'wrong-name'],
  [['dns:example.com'], 'dns:abc.example.com', 'wrong-name'],
  [['dns:abc.example.com'], 'dns:example.com', 'wrong-name'],
  [['dns:*.example.com'], 'dns:foo.example.com', 'valid'],
  [['dns:*.example.com'], 'dns:foo.bar.example.com', 'wrong-name'],
  [['dns:*.example.com'], 'dns:example.com', 'wrong-name'],
  [['dns:*.com'], 'dns:example.com', 'wrong-name'],
  [['dns:*'], 'dns:com', 'malformed'],
  [['dns:ba*.example.com'], 'dns:baz.example.com', 'malformed'],
  [['dns:foo.*.example.com'], 'dns:foo.bar.example.com', 'malformed'],
  [['dns:xn--*-1b3c148a.example.com'], 'dns:xn--bliss-1b3c148a.example.com', 'malformed'],
  [[der(0x82, new TextEncoder().encode('😜.example.com'))], 'dns:xn--628h.example.com', 'malformed'],
  [['dns:xn--628h.example.com'], 'dns:😜.example.com', 'valid'],
  [['dns:example.com.'], 'dns:example.com', 'malformed'],
  [['dns:.example.com'], 'dns:a.example.com', 'malformed'],
  [['dns:a..example.com'], 'dns:a.example.com', 'malformed'],
  [['dns:under_score.example.com'], 'dns:under_score.example.com', 'malformed'],
  [['dns:'], 'dns:example.com', 'malformed'],
  [[], 'dns:host.example', 'wrong-name'],
  [['email:a@host.example'], 'dns:host.example', 'wrong-name'],
  [['dns:127.0.0.1'], 'ip:127.0.0.1', 'wrong-name'],
  [['dns:127.0.0.1'], 'dns:127.0.0.1', 'wrong-name'],
  [[{ ip: [127, 0, 0, 1] }], 'ip:127.0.0.1', 'valid'],
  [[{ ip: [127, 0, 0, 1] }], 'dns:127.0.0.1', 'valid'],
  [[{ ip: [127, 0, 0, 1] }], 'ip:127.0.0.2', 'wrong-name'],
  [[{ ip: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1] }], 'ip:127.0.0.1', 'wrong-name'],
  [[{ ip: [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1] }], 'ip:2001:DB8::1', 'valid'],
  [[{ ip: [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 127, 0, 0, 1] }], 'ip:2001:db8::127.0.0.1', 'valid'],
  [[{ ip: [127, 0, 0, 1, 255, 255, 255, 255] }, { ip: [127, 0, 0, 1] }], 'ip:127.0.0.1', 'malformed'],
  [['email:Foo@Example.com'], 'email:Foo@example.COM', 'valid'],
  [['email:Foo@example.com'], 'email:foo@example.com', 'wrong-name'],
  [['uri:HTTPS://Host.Example/Path'], 'uri:https://host.example/Path', 'valid'],
  [['uri:https://host.example/Path'], 'uri:https://host.example/path', 'wrong-name'],
];

/** A CA below a root that permits and excludes; the root's own names do not count. */
function limited(limits: Limits, names: readonly General[], wishes: MadeWishes = {}, critical = true) {
  const special = makeCa(null, 'Limiting root', { extra: [nameConstraints(critical, limits)] });
  const leaf = makeServer(special, { subject: 'leaf', change: { [ID.san]: san(false, ...names) }, ...wishes });
  return ask(leaf, [], [special], { names: [] });
}

const net = (...bytes: readonly number[]): General => ({ ip: bytes });
const dir = (text: string): General => ({ directory: commonName(text) });
const on = other('1.3.6.1.4.1.99999.1', Uint8Array.of(5, 0));
const LIMITS: readonly (readonly [limits: Limits, names: readonly General[], expected: CheckReason | 'valid'])[] = [
  [{ permitted: ['dns:example.com'] }, ['dns:example.com'], 'valid'],
  [{ permitted: ['dns:example.com'] }, ['dns:not-example.com'], 'constraint-violated'],
  [{ permitted: ['dns:example.com'] }, ['dns:a.b.example.com'], 'valid'],
  [{ permitted: ['dns:example.com'] }, ['dns:*.example.com'], 'valid'],
  [{ permitted: ['dns:foo.example.com'] }, ['dns:*.example.com'], 'constraint-violated'],
  [{ permitted: ['dns:example.com'], excluded: ['dns:bar.example.com'] }, ['dns:*.example.com'], 'constraint-violated'],
  [{ excluded: ['dns:x.bar.example.com'] }, ['dns:*.example.com'], 'valid'],
  [{ excluded: ['dns:example.com'] }, ['dns:*.example.com'], 'constraint-violated'],
  [{ excluded: ['dns:no.example.com'] }, ['dns:example.com', 'dns:no.example.com'], 'constraint-violated'],
  [{ permitted: ['dns:example.com'], excluded: ['dns:example.com'] }, ['dns:example.com'], 'constraint-violated'],
  [{ permitted: ['dns:'] }, ['dns:any.example'], 'valid'],
  [{ excluded: ['dns:'] }, ['dns:any.example'], 'constraint-violated'],
  [{ permitted: ['dns:*.example.com'] }, ['dns:foo.example.com'], 'constraint-violated'],
  [{ permitted: ['dns:.example.com'] }, ['dns:foo.example.com'], 'constraint-violated'],
  [{ excluded: ['dns:.example.com'] }, ['dns:foo.example.com'], 'constraint-violated'],
  [{ excluded: ['dns:.example.com'] }, ['dns:foo.example'], 'valid'],
  [{ excluded: ['dns:bad host'] }, ['dns:foo.example'], 'constraint-violated'],
  [{ permitted: ['dns:localhost'] }, ['dns:test.localhost'], 'valid'],
  [{ permitted: [net(192, 0, 2, 0, 255, 255, 255, 0)] }, [net(192, 0, 3, 1)], 'constraint-violated'],
  [{ permitted: [net(192, 0, 2, 0, 255, 255, 255, 0)] }, [net(192, 0, 2, 1)], 'valid'],
  [{ excluded: [net(192, 0, 2, 0, 255, 255, 255, 0)] }, [net(192, 0, 2, 1)], 'constraint-violated'],
  [{ permitted: [net(192, 0, 2, 0, 255, 255, 255, 0)] }, ['dns:example.com'], 'valid'],
  [{ excluded: [net(192, 0, 2, 0, 255, 255, 255, 0)] }, ['dns:example.com'], 'valid'],
  [{ permitted: [net(127, 0, 0, 1)] }, [net(127, 0, 0, 1)], 'unknown-issuer'],
  [{ permitted: [net(192, 0, 2, 0, 255, 0, 255, 0)] }, [net(192, 0, 2, 1)], 'constraint-violated'],
  [{ excluded: [net(192, 0, 2, 0, 255, 0, 255, 0)] }, [net(10, 0, 0, 1)], 'constraint-violated'],
  [{ permitted: [dir('leaf')] }, [dir('leaf')], 'valid'],
  [{ permitted: [dir('leaf')] }, [dir('another')], 'constraint-violated'],
  [{ permitted: [dir('another')] }, [dir('another')], 'constraint-violated'],
  [{ excluded: [dir('leaf')] }, ['dns:example.com'], 'constraint-violated'],
  [{ permitted: ['email:foo@example.com'] }, ['email:foo@example.com'], 'valid'],
  [{ permitted: ['email:example.com'] }, ['email:foo@example.com'], 'valid'],
  [{ permitted: ['email:example.com'] }, ['email:a@example.com', 'email:a@b@example.com'], 'constraint-violated'],
  [{ permitted: ['email:a@b@example.com'] }, ['email:a@example.com'], 'constraint-violated'],
  [{ permitted: ['email:*@example.com'] }, ['email:*@example.com'], 'valid'],
  [{ permitted: ['email:*@example.com'] }, ['email:a@example.com'], 'constraint-violated'],
  [{ permitted: ['dns:example.com'], excluded: [on] }, ['dns:example.com', on], 'constraint-violated'],
  [{ permitted: ['dns:example.com'], excluded: [on] }, ['dns:example.com'], 'valid'],
];

for (const [title, cases] of [
  ['what a server’s chain is made of', CONFORMANCE],
  ['periods', PERIODS],
  ['extended key usage', USES],
  ['authority information access', ACCESS],
] as const) {
  for (const [what, expected, judged] of cases) {
    test(`[P3] ${title}: ${what}: ${expected}`, () => assert.equal(judged(), expected));
  }
}

const shown = (names: readonly General[]): string =>
  names.map((one) => (typeof one === 'string' ? one : JSON.stringify(one))).join(' ');

for (const [names, asked, expected] of NAMES) {
  test(`[P3] RFC 9525 §6: asked for ${asked}, the certificate holds ${shown(names)}: ${expected}`, () => {
    assert.equal(withNames(names, asked), expected);
  });
}

for (const [limits, names, expected] of LIMITS) {
  test(`[P4] RFC 5280 §4.2.1.10: ${JSON.stringify(limits)}, the leaf holds ${shown(names)}: ${expected}`, () => {
    assert.equal(limited(limits, names), expected);
  });
}

test('RFC 5280 §4.2.1.6: an empty subject asks for critical alternative names, one that is there forbids it on the web', () => {
  const names: readonly General[] = ['dns:host.example'];
  assert.equal(withNames(names, 'dns:host.example', { subject: null }, true), 'valid');
  assert.equal(withNames(names, 'dns:host.example', { subject: null }, false), 'malformed');
  assert.equal(withNames(names, 'dns:host.example', {}, true), 'malformed');
});

test('a CA that is asked for as a server has a name', () => {
  const extra = [eku(false, EKU.serverAuth), san(true, 'dns:host.example')];
  assert.equal(ask(makeCa(root, '', { subject: null, extra }), [], [root]), 'malformed');
});

test('a common name is no name of a server: it neither stands for a host, nor is it under name constraints', () => {
  const permitted = ['dns:localhost'];
  assert.equal(limited({ permitted }, ['dns:test.localhost'], { subject: 'bad.example.com' }), 'valid');
  assert.equal(server({ change: { [ID.san]: null } }, { names: ['dns:host.example'] }), 'wrong-name');
});

test('RFC 5280 §4.2.1.10: constraints that are not critical, empty, of nobody, or of a leaf', () => {
  assert.equal(limited({ permitted: ['dns:example.com'] }, ['dns:example.com'], {}, false), 'malformed');
  assert.equal(limited({ permitted: [], excluded: [] }, ['dns:example.com']), 'unknown-issuer');
  assert.equal(limited({}, ['dns:example.com']), 'unknown-issuer');
  for (const critical of [true, false]) {
    const extra = [nameConstraints(critical, { permitted: ['dns:host.example'] })];
    assert.equal(server({ extra }), 'constraint-violated');
  }
});

test('RFC 5280 §4.2.1.10: constraints of several CAs all hold, on CAs too; a CA that rolls over its key is free of them', () => {
  const chain = (upper: Limits, lower: Limits | null, caNames: readonly General[], leafNames: readonly General[]) => {
    const a = makeCa(root, 'A', { extra: [nameConstraints(true, upper)] });
    const extra = [
      ...(lower === null ? [] : [nameConstraints(true, lower)]),
      ...(caNames.length > 0 ? [san(false, ...caNames)] : []),
    ];
    const b = makeCa(a, 'B', { extra });
    return ask(makeServer(b, { change: { [ID.san]: san(false, ...leafNames) } }), [b, a], [root], { names: [] });
  };
  const foo = 'dns:foo.example';
  const bar = 'dns:bar.example';
  assert.equal(chain({ permitted: [foo, bar] }, { permitted: [bar] }, [], [foo]), 'constraint-violated');
  assert.equal(chain({ permitted: [bar] }, { permitted: [foo, bar] }, [], [foo]), 'constraint-violated');
  assert.equal(chain({ permitted: [foo, bar] }, { permitted: [bar] }, [], [bar]), 'valid');
  assert.equal(chain({ permitted: [foo], excluded: [bar] }, null, [bar], [foo]), 'constraint-violated');
  const old = makeCa(null, 'Rolling', { extra: [nameConstraints(true, { permitted: [foo] })] });
  const rolled = makeCa(old, 'Rolling', { extra: [san(false, bar)] });
  const leafOf = (name: string, subject: string) =>
    makeServer(rolled, { subject, change: { [ID.san]: san(false, name) } });
  assert.equal(ask(leafOf(foo, 'x'), [rolled], [old], { names: [] }), 'valid');
  assert.equal(ask(leafOf(bar, 'Rolling'), [rolled], [old], { names: [] }), 'constraint-violated');
});

test('RFC 5280 §4.2.1.9: path lengths count CAs below, not leaves, and not those that roll over a key', () => {
  const length = (count: number): MadeWishes => ({ change: { [ID.basicConstraints]: authority(true, count) } });
  const line = (...lengths: readonly number[]): readonly Made[] => {
    const cas: Made[] = [];
    for (const [i, count] of lengths.entries()) cas.unshift(makeCa(cas[0] ?? root, `CA ${i}`, length(count)));
    return cas;
  };
  const judged = (lengths: readonly number[], asked: Asked = {}) => {
    const cas = line(...lengths);
    return ask(makeServer(cas[0]!), cas.toReversed(), [root], asked);
  };
  assert.equal(judged([0]), 'valid');
  assert.equal(judged([1, 2]), 'valid');
  assert.equal(judged([0, 0]), 'constraint-violated');
  assert.equal(judged([1, 0, 0]), 'constraint-violated');
  assert.equal(judged([9, 9, 9, 9]), 'valid');
  assert.equal(judged([9, 9, 9, 9, 9]), 'chain-too-long');
  const [lower, upper] = line(0, 0);
  assert.equal(ask(lower!, [upper!], [root], { purpose: 'any', names: [] }), 'valid');
  const first = makeCa(root, 'Rolled', length(0));
  const second = makeCa(first, 'Rolled', length(0));
  assert.equal(ask(makeServer(second), [first, second], [root]), 'valid');
  assert.equal(ask(makeServer(second), [first, second], [root], { maxDepth: 1 }), 'valid');
  const renewed = makeCa(root, 'Root');
  const below = makeCa(renewed, 'Below');
  assert.equal(ask(makeServer(below), [below, renewed], [root], { maxDepth: 1 }), 'valid');
  assert.equal(judged([9, 9], { maxDepth: 1 }), 'chain-too-long');
  assert.equal(judged([9], { maxDepth: 0 }), 'chain-too-long');
  assert.equal(server({}, { maxDepth: 0 }), 'valid');
});

test('RFC 4158 §2.4: another way round a CA that is expired, unreadable, or in a circle', () => {
  const key = generateSigningKey('p256');
  const other = makeCa(null, 'Other root');
  const selfSigned = makeCa(null, 'Old root', { key });
  const crossed = makeCa(other, 'Old root', { key, until: AT - DAY / 2 });
  assert.equal(
    ask(makeServer(selfSigned), [crossed], [selfSigned, other]),
    'valid',
    'the cross certificate is expired',
  );
  const aged = makeCa(null, 'Old root', { key, until: AT - DAY / 2 });
  const fresh = makeCa(other, 'Old root', { key });
  assert.equal(
    ask(makeServer(aged), [fresh], [aged, other]),
    'valid',
    'the root is expired, the cross certificate is not',
  );
  const keys = [generateSigningKey('p256'), generateSigningKey('p256')] as const;
  const [a, b] = [makeCa(null, 'Circle A', { key: keys[0] }), makeCa(null, 'Circle B', { key: keys[1] })];
  const circle = [makeCa(b, 'Circle A', { key: keys[0] }), makeCa(a, 'Circle B', { key: keys[1] })];
  assert.equal(ask(makeServer(a), circle, [root]), 'unknown-issuer');
  assert.equal(ask(makeServer(a), circle, [root], { maxDepth: 255 }), 'unknown-issuer');
  assert.equal(ask(makeServer(a), [...circle, makeCa(root, 'Circle B', { key: keys[1] })], [root]), 'valid');
  const broken = { ...middle, der: middle.der.with(middle.der.length - 1, middle.der.at(-1)! ^ 1) };
  assert.equal(ask(makeServer(middle), [broken, middle, { ...middle, der: middle.der.subarray(1) }], [root]), 'valid');
});

test('the purpose any asks for the duties of RFC 5280, and not for those of public CAs', () => {
  const any = { purpose: 'any', names: ['dns:host.example'] } as const;
  const home = makeCa(null, 'Home', { extra: [eku(false, EKU.serverAuth)] });
  assert.equal(ask(makeServer(home, { change: { [ID.eku]: null } }), [], [home], any), 'valid');
  assert.equal(ask(makeServer(home, {}), [], [home]), 'malformed', 'a root with an extended key usage');
  assert.equal(ask(makeServer(home, { version: 1 }), [], [home], { purpose: 'any', names: [] }), 'valid');
  assert.equal(ask(makeServer(home, { serial: [0] }), [], [home], any), 'malformed');
  assert.equal(ask(makeServer(home, { change: { [ID.aki]: null } }), [], [home], any), 'malformed');
  const lax = makeCa(null, 'Lax', { change: { [ID.ski]: null } });
  assert.equal(ask(makeServer(lax), [], [lax], any), 'malformed');
});
