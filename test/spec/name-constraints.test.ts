/**
 * Name constraints in every form that the profile knows. @spec RFC 5280 §4.2.1.10
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commonName } from '../../platform/certificate-issuing.ts';
import type { VerdictReason } from '../../protocol/message-values.ts';
import { validatePath } from '../../protocol/path-validation.ts';
import { ID, type Made, makeCa, makeServer, nameConstraints, other, san, utf8 } from '../handmade-certificate.ts';
import { AT, ca, crypto, device, type Holder, parse, root } from '../test-authority.ts';

const anchor = root();

function judge(...chain: readonly Holder[]): VerdictReason {
  const finding = validatePath({
    crypto,
    revocation: null,
    at: AT,
    purpose: 'device',
    chain: chain.map(({ certificate }) => certificate),
    anchors: [anchor.certificate],
  });
  return finding.ok ? 'good' : finding.reason;
}

type Names = NonNullable<Parameters<typeof device>[2]>['alternativeNames'];
type Constraints = NonNullable<NonNullable<Parameters<typeof ca>[2]>['nameConstraints']>;

function constrained(
  nameConstraints: Constraints,
  alternativeNames: NonNullable<Names>,
  name = 'router-1',
): VerdictReason {
  const limited = ca(anchor, 'Limited', { nameConstraints });
  return judge(device(limited, name, { alternativeNames }), limited);
}

const ip = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);
const NAME_CASES: readonly (readonly [string, Constraints, NonNullable<Names>, VerdictReason])[] = [
  [
    'a DNS name below',
    { permitted: [{ type: 'dns', value: 'example.com' }] },
    [{ type: 'dns', value: 'a.Example.com' }],
    'good',
  ],
  [
    'a DNS name that only ends alike',
    { permitted: [{ type: 'dns', value: 'example.com' }] },
    [{ type: 'dns', value: 'anexample.com' }],
    'constraint-violated',
  ],
  [
    'an excluded DNS name',
    { excluded: [{ type: 'dns', value: 'secret.example.com' }] },
    [{ type: 'dns', value: 'x.secret.example.com' }],
    'constraint-violated',
  ],
  [
    'a wildcard over an excluded name',
    { excluded: [{ type: 'dns', value: 'secret.example.com' }] },
    [{ type: 'dns', value: '*.example.com' }],
    'constraint-violated',
  ],
  [
    'no name of the form',
    { permitted: [{ type: 'dns', value: 'example.com' }] },
    [{ type: 'email', value: 'a@b.example' }],
    'good',
  ],
  [
    'a mailbox at the host',
    { permitted: [{ type: 'email', value: 'example.com' }] },
    [{ type: 'email', value: 'a@EXAMPLE.com' }],
    'good',
  ],
  [
    'a mailbox below the host',
    { permitted: [{ type: 'email', value: 'example.com' }] },
    [{ type: 'email', value: 'a@x.example.com' }],
    'constraint-violated',
  ],
  [
    'a mailbox below a domain',
    { permitted: [{ type: 'email', value: '.example.com' }] },
    [{ type: 'email', value: 'a@x.example.com' }],
    'good',
  ],
  [
    'one excluded mailbox',
    { excluded: [{ type: 'email', value: 'a@example.com' }] },
    [{ type: 'email', value: 'a@example.com' }],
    'constraint-violated',
  ],
  [
    'a URI of the host',
    { permitted: [{ type: 'uri', value: 'example.com' }] },
    [{ type: 'uri', value: 'https://u@example.com:8/x' }],
    'good',
  ],
  [
    'a URI of another host',
    { permitted: [{ type: 'uri', value: 'example.com' }] },
    [{ type: 'uri', value: 'https://example.com.evil.example/' }],
    'constraint-violated',
  ],
  [
    'a URI without a host',
    { permitted: [{ type: 'uri', value: 'example.com' }] },
    [{ type: 'uri', value: 'sip:a@example.com' }],
    'constraint-violated',
  ],
  [
    'a MAC under excluded URIs',
    { excluded: [{ type: 'uri', value: 'example.com' }] },
    [{ type: 'mac', value: '00-11-22-33-44-55' }],
    'constraint-violated',
  ],
  [
    'an address of the net',
    { permitted: [{ type: 'ip', value: ip(10, 0, 0, 0, 255, 0, 0, 0) }] },
    [{ type: 'ip', value: '10.1.2.3' }],
    'good',
  ],
  [
    'an address outside of the net',
    { permitted: [{ type: 'ip', value: ip(10, 0, 0, 0, 255, 0, 0, 0) }] },
    [{ type: 'ip', value: '11.1.2.3' }],
    'constraint-violated',
  ],
  [
    'IPv6 where IPv4 is permitted',
    { permitted: [{ type: 'ip', value: ip(10, 0, 0, 0, 255, 0, 0, 0) }] },
    [{ type: 'ip', value: '2001:db8::1' }],
    'constraint-violated',
  ],
  [
    'the one permitted directory name',
    { permitted: [{ type: 'directory', value: commonName('ROUTER-1') }] },
    [],
    'good',
  ],
  [
    'another directory name',
    { permitted: [{ type: 'directory', value: commonName('phone') }] },
    [],
    'constraint-violated',
  ],
];

for (const [what, constraints, names, expected] of NAME_CASES) {
  test(`RFC 5280 §4.2.1.10: ${what} under name constraints: ${expected}`, () => {
    assert.equal(constrained(constraints, names), expected);
  });
}

test('a host name in the CN of a leaf is under the DNS constraints of its issuers', () => {
  const permitted = [{ type: 'dns', value: 'devices.example' }] as const;
  assert.equal(constrained({ permitted }, [], 'manager.example'), 'constraint-violated');
  assert.equal(constrained({ permitted }, [], 'tv.devices.example'), 'good');
});

test('RFC 5280 §6.1.3 (b): a self-issued intermediate is not under name constraints, a self-issued leaf is', () => {
  const limited = ca(anchor, 'Limited', {
    nameConstraints: { excluded: [{ type: 'directory', value: commonName('Limited') }] },
  });
  const rolled = ca(limited, 'Limited');
  assert.equal(judge(device(rolled), rolled, limited), 'good');
  assert.equal(judge(device(limited, 'Limited'), limited), 'constraint-violated');
});

test('names and subtrees beyond the limit are refused instead of compared', () => {
  const many = Array.from({ length: 200 }, (_, i) => ({ type: 'dns', value: `h${i}.example` }) as const);
  assert.equal(
    constrained({ excluded: many.map(({ value }) => ({ type: 'dns', value: `x.${value}` })) }, many),
    'work-limit',
  );
});

// ── names and subtrees that two readers could read in two ways: each falls on the refusing side ─────────────────────

const host = (value: string): Constraints => ({ permitted: [{ type: 'dns', value }] });
const noHost = (value: string): Constraints => ({ excluded: [{ type: 'dns', value }] });
const mail = (value: string): Constraints => ({ permitted: [{ type: 'email', value }] });
const noMail = (value: string): Constraints => ({ excluded: [{ type: 'email', value }] });
const uri = (value: string): Constraints => ({ permitted: [{ type: 'uri', value }] });
const noUri = (value: string): Constraints => ({ excluded: [{ type: 'uri', value }] });
const net = (...value: number[]): Constraints => ({ permitted: [{ type: 'ip', value: ip(...value) }] });
const noNet = (...value: number[]): Constraints => ({ excluded: [{ type: 'ip', value: ip(...value) }] });
const OUT = 'constraint-violated';
const MAPPED_TEN = [...Array.from({ length: 10 }, () => 0), 0xff, 0xff, 10, 0, 0, 0];
const MASK_104 = [...Array.from({ length: 13 }, () => 255), 0, 0, 0];

const AWKWARD: readonly (readonly [Constraints, NonNullable<Names>[number], VerdictReason])[] = [
  [host('example.com'), { type: 'dns', value: 'a.example.com.' }, OUT],
  [host('example.com.'), { type: 'dns', value: 'a.example.com' }, OUT],
  [noHost('example.com.'), { type: 'dns', value: 'other.example' }, OUT],
  [noHost('example.com'), { type: 'dns', value: 'example.com.' }, OUT],
  [noHost('example.com'), { type: 'dns', value: 'a..example.net' }, OUT],
  [host('example.com'), { type: 'dns', value: '.example.com' }, OUT],
  [host('example.com'), { type: 'dns', value: 'a b.example.com' }, OUT],
  [host('example.com'), { type: 'dns', value: '-a.example.com' }, OUT],
  [host('example.com'), { type: 'dns', value: 'un_der.example.com' }, 'good'],
  [host('example.com'), { type: 'dns', value: `${'a'.repeat(64)}.example.com` }, OUT],
  [host('EXAMPLE.com'), { type: 'dns', value: 'a.example.COM' }, 'good'],
  [host('.example.com'), { type: 'dns', value: 'a.example.com' }, OUT],
  [noHost('.example.com'), { type: 'dns', value: 'example.com' }, OUT],
  [noHost('*.example.com'), { type: 'dns', value: 'a.b.example.com' }, OUT],
  [host('*.example.com'), { type: 'dns', value: '*.example.com' }, OUT],
  [host('example.com'), { type: 'dns', value: '*.com' }, OUT],
  [noHost('a.example.com'), { type: 'dns', value: '*.com' }, 'good'],
  [noHost('example.com'), { type: 'dns', value: '*.com' }, OUT],
  [noHost('example.com'), { type: 'dns', value: 'f*o.example.net' }, OUT],
  [mail('example.com'), { type: 'email', value: 'a@b@example.com' }, OUT],
  [mail('example.com'), { type: 'email', value: '"a@b"@example.com' }, 'good'],
  [mail('example.com'), { type: 'email', value: '@example.com' }, OUT],
  [mail('example.com'), { type: 'email', value: 'a.@example.com' }, OUT],
  [mail('example.com'), { type: 'email', value: 'example.com' }, OUT],
  [noMail('example.com'), { type: 'email', value: 'a@[10.0.0.1]' }, OUT],
  [mail('A@example.com'), { type: 'email', value: 'a@example.com' }, OUT],
  [noMail('a@b@example.com'), { type: 'email', value: 'x@other.example' }, OUT],
  [mail('.example.com'), { type: 'email', value: 'a@example.com' }, OUT],
  [uri('example.com'), { type: 'uri', value: 'HTTPS://EXAMPLE.COM' }, 'good'],
  [uri('example.com'), { type: 'uri', value: 'https://a.example.com/' }, OUT],
  [uri('.example.com'), { type: 'uri', value: 'https://a.example.com?x' }, 'good'],
  [uri('.example.com'), { type: 'uri', value: 'https://example.com/' }, OUT],
  [uri('example.com'), { type: 'uri', value: 'https://evil.example\\@example.com/' }, OUT],
  [uri('example.com'), { type: 'uri', value: 'https://evil.example#@example.com/' }, OUT],
  [uri('example.com'), { type: 'uri', value: 'https://example.com:x/' }, OUT],
  [uri('example.com'), { type: 'uri', value: 'https://example.com./' }, OUT],
  [uri('example.com'), { type: 'uri', value: 'https:///example.com' }, OUT],
  [uri('example.com'), { type: 'uri', value: 'example.com' }, OUT],
  [noUri('example.com'), { type: 'uri', value: 'https://10.0.0.1/' }, OUT],
  [noUri('example.com'), { type: 'uri', value: 'https://0x0a000001/' }, OUT],
  [noUri('example.com'), { type: 'uri', value: 'https://[::1]/' }, OUT],
  [noUri('example.com'), { type: 'uri', value: 'https://ex%61mple.com/' }, OUT],
  [noUri('https://example.com/'), { type: 'uri', value: 'https://other.example/' }, OUT],
  [noUri('example.com'), { type: 'uri', value: 'https://other.example/' }, 'good'],
  [net(10, 0, 0, 0, 255, 0, 255, 0), { type: 'ip', value: '10.0.0.1' }, OUT],
  [noNet(10, 0, 0, 0, 255, 0, 255, 0), { type: 'ip', value: '192.0.2.1' }, OUT],
  [net(0, 0, 0, 0, 0, 0, 0, 0), { type: 'ip', value: '192.0.2.1' }, 'good'],
  [net(10, 9, 9, 9, 255, 0, 0, 0), { type: 'ip', value: '10.1.1.1' }, 'good'],
  [net(10, 0, 0, 0, 255, 0, 0, 0), { type: 'ip', value: '::ffff:a01:101' }, OUT],
  [noNet(10, 0, 0, 0, 255, 0, 0, 0), { type: 'ip', value: '::ffff:a01:101' }, OUT],
  [noNet(10, 0, 0, 0, 255, 0, 0, 0), { type: 'ip', value: '::ffff:b01:101' }, 'good'],
  [noNet(...MAPPED_TEN, ...MASK_104), { type: 'ip', value: '10.1.1.1' }, OUT],
  [noNet(...MAPPED_TEN, ...MASK_104), { type: 'ip', value: '11.1.1.1' }, 'good'],
];

for (const [constraints, name, expected] of AWKWARD) {
  const what = JSON.stringify(constraints, (_, value) => (value instanceof Uint8Array ? [...value].join('.') : value));
  test(`RFC 5280 §4.2.1.10: ${name.value} under ${what}: ${expected}`, () => {
    assert.equal(constrained(constraints, [name]), expected);
  });
}

test('RFC 9598 §6: a mail address beyond ASCII is under the constraints on mail, and cannot be judged; other otherNames are not', () => {
  const limited = makeCa(null, 'Limited', { extra: [nameConstraints(true, { permitted: ['email:example.com'] })] });
  const ask = (name: Uint8Array, by: Made): VerdictReason => {
    const leaf = makeServer(by, { subject: 'router-1', change: { [ID.san]: san(false, name), [ID.eku]: null } });
    const chain = [parse(leaf.der)];
    const found = validatePath({
      crypto,
      revocation: null,
      at: AT,
      purpose: 'device',
      chain,
      anchors: [parse(by.der)],
    });
    return found.ok ? 'good' : found.reason;
  };
  const smtpUtf8 = other('1.3.6.1.5.5.7.8.9', utf8('x@example.com'));
  assert.equal(ask(smtpUtf8, limited), OUT);
  assert.equal(ask(smtpUtf8, makeCa(null, 'Free')), 'good');
  assert.equal(ask(other('1.3.6.1.4.1.311.20.2.3', utf8('x@example.com')), limited), 'good');
});
