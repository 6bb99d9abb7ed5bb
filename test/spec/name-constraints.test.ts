/**
 * Name constraints in every form that the profile knows. @spec RFC 5280 §4.2.1.10
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commonName } from '../../platform/certificate-issuing.ts';
import type { VerdictReason } from '../../protocol/messages.ts';
import { validatePath } from '../../protocol/path-validation.ts';
import { AT, ca, crypto, device, type Holder, root } from '../test-authority.ts';

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
