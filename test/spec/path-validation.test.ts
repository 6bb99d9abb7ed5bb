/**
 * RFC 5280 §6.1 as the profile narrows it, every reason that a verdict can name.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ecdsaDer } from '../../platform/certificate-issuing.ts';
import { writeSignatureAlgorithm } from '../../platform/signature-algorithms.ts';
import { concat, fromHex, toHex } from '../../protocol/bytes.ts';
import { deviceNames, EXTENDED_KEY_USAGE, issuerAndSerial } from '../../protocol/certificate.ts';
import { VerdictReason } from '../../protocol/message-values.ts';
import { type PathQuestion, validatePath } from '../../protocol/path-validation.ts';
import { crlSet } from '../../protocol/revocation-list.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import {
  AT,
  ca,
  certify,
  crlOf,
  crypto,
  DAY,
  device,
  type Holder,
  MANAGER_WISHES,
  parse,
  root,
} from '../test-authority.ts';
import { bitString, der, membersOf, oid, sequence, TAG } from '../test-der.ts';

const anchor = root();
const middle = ca(anchor);
const router = device(middle);

type Question = Partial<Omit<PathQuestion, 'chain' | 'anchors'>> & {
  chain?: readonly Holder[];
  anchors?: readonly Holder[];
};

function ask({ chain = [router, middle], anchors = [anchor], ...rest }: Question = {}): VerdictReason {
  return explain({ chain, anchors, ...rest }).reason;
}

function explain({ chain = [router, middle], anchors = [anchor], ...rest }: Question) {
  const finding = validatePath({
    crypto,
    revocation: null,
    at: AT,
    purpose: 'device',
    chain: chain.map(({ certificate }) => certificate),
    anchors: anchors.map(({ certificate }) => certificate),
    ...rest,
  });
  return finding.ok ? ({ reason: 'good', index: -1 } as const) : finding;
}

/** The same holder with other certificate bytes. */
const withDer = (holder: Holder, bytes: Uint8Array): Holder => ({ ...holder, certificate: parse(bytes) });

const flipLast = (holder: Holder): Holder => {
  const bytes = holder.certificate.der.slice();
  bytes[bytes.length - 1]! ^= 1;
  return withDer(holder, bytes);
};

const P256_ORDER = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551');

/** The other valid signature of the same certificate: (r, n − s). */
function malleate(holder: Holder): Holder {
  const { tbs, signature } = holder.certificate;
  const [r, s] = membersOf(signature).map(({ content }) => BigInt(`0x${toHex(content)}`));
  const raw = fromHex(r!.toString(16).padStart(64, '0') + (P256_ORDER - s!).toString(16).padStart(64, '0'));
  return withDer(holder, sequence(tbs, writeSignatureAlgorithm('ecdsa-sha256'), bitString(ecdsaDer(raw))));
}

/** A certificate whose signature claims ecdsa-with-SHA1. */
function signedWithSha1(by: Holder): Holder {
  const holder = device(by);
  const members = membersOf(holder.certificate.tbs).map(({ raw }) => raw);
  const sha1 = sequence(oid('1.2.840.10045.4.1'));
  members[2] = sha1;
  return withDer(holder, sequence(sequence(...members), sha1, bitString(holder.certificate.signature)));
}

/** SubjectPublicKeyInfo of an RSA key of 1024 bits; only its size is looked at. */
const rsa1024 = sequence(
  sequence(oid('1.2.840.113549.1.1.1'), der(TAG.null)),
  bitString(
    sequence(
      der(TAG.integer, concat(Uint8Array.of(0), new Uint8Array(128).fill(0xab))),
      der(TAG.integer, Uint8Array.of(1, 0, 1)),
    ),
  ),
);

const manager = certify('manager.example', MANAGER_WISHES, middle);
const long = [router, middle, ...Array.from({ length: 4 }, (_, i) => ca(anchor, `Level ${i}`))];

const CASES: Readonly<Record<VerdictReason, readonly (readonly [string, () => VerdictReason])[]>> = {
  good: [
    ['a device under an intermediate', () => ask()],
    ['a device right under the anchor', () => ask({ chain: [device(anchor)] })],
    ['a chain that ends in the anchor itself', () => ask({ chain: [router, middle, anchor] })],
    [
      'Ed25519 all the way',
      () => {
        const top = root('Ed', { algorithm: 'ed25519' });
        const between = ca(top, 'Ed CA', { algorithm: 'ed25519' });
        return ask({ chain: [device(between, 'x', { algorithm: 'ed25519' }), between], anchors: [top] });
      },
    ],
    [
      'P-384 over P-256 over Ed25519',
      () => {
        const top = root('Mixed', { algorithm: 'ed25519' });
        const between = ca(top, 'Mixed CA', { algorithm: 'p384' });
        return ask({ chain: [device(between), between], anchors: [top] });
      },
    ],
    [
      'four intermediates',
      () => {
        let last = anchor;
        const chain: Holder[] = [];
        for (let i = 0; i < 4; i++) {
          last = ca(last, `Level ${i}`);
          chain.unshift(last);
        }
        return ask({ chain: [device(last), ...chain] });
      },
    ],
    [
      'TLS client authentication as a device',
      () => ask({ chain: [device(middle, 'a', { extendedKeyUsage: [EXTENDED_KEY_USAGE.clientAuth] }), middle] }),
    ],
    [
      'no extended key usage as a device',
      () => {
        return ask({ chain: [certify('plain', { keyUsage: ['digitalSignature'] }, middle), middle] });
      },
    ],
    [
      'the first and the last second of the period',
      () => {
        const edge = device(middle, 'a', { notBefore: AT, notAfter: AT });
        return ask({ chain: [edge, middle] });
      },
    ],
    ['the manager by its name', () => ask({ chain: [manager, middle], purpose: 'manager', name: 'manager.example' })],
    [
      'the manager by its DNS name',
      () => {
        const alternativeNames = [{ type: 'dns', value: 'M.example' }] as const;
        const other = certify('Boss', { ...MANAGER_WISHES, alternativeNames }, middle);
        return ask({ chain: [other, middle], purpose: 'manager', name: 'm.example' });
      },
    ],
    [
      'a list of each issuer that does not name it',
      () => ask({ revocation: crlSet([crlOf(anchor, []), crlOf(middle, [device(middle)])]) }),
    ],
    ['two anchors of one name', () => ask({ anchors: [root(), anchor] })],
  ],
  expired: [
    ['the leaf', () => ask({ at: EpochSeconds(AT + 366 * DAY) })],
    [
      'an intermediate',
      () => {
        const old = ca(anchor, 'Old', { notAfter: AT - 1 });
        return ask({ chain: [device(old), old] });
      },
    ],
    [
      'the anchor',
      () => {
        const old = root('Old root', { notAfter: AT - 1 });
        return ask({ chain: [device(old)], anchors: [old] });
      },
    ],
  ],
  'not-yet-valid': [['the leaf', () => ask({ at: EpochSeconds(AT - 2 * DAY) })]],
  revoked: [
    ['by its issuer', () => ask({ revocation: crlSet([crlOf(anchor, []), crlOf(middle, [router])]) })],
    ['the intermediate', () => ask({ revocation: crlSet([crlOf(anchor, [middle]), crlOf(middle, [])]) })],
    [
      'in a list that is out of date',
      () => ask({ revocation: crlSet([crlOf(anchor, []), crlOf(middle, [router], { nextUpdate: AT - 1 })]) }),
    ],
    [
      'by its public key, under another serial number',
      () => {
        const again = device(middle, 'other name', { key: router.key });
        const revokedKeys = new Set([toHex(crypto.hash('sha-256', router.certificate.spki))]);
        return ask({ chain: [again, middle], revokedKeys });
      },
    ],
  ],
  'unknown-issuer': [
    ['another root', () => ask({ anchors: [root('Stranger')] })],
    ['no anchor at all', () => ask({ anchors: [] })],
    ['the intermediate left out', () => ask({ chain: [router] })],
    ['the chain in another order', () => ask({ chain: [router, anchor, middle] })],
  ],
  'bad-signature': [
    ['a tampered leaf', () => ask({ chain: [flipLast(router), middle] })],
    ['a tampered intermediate', () => ask({ chain: [router, flipLast(middle)] })],
    ['another root of the same name', () => ask({ anchors: [root()] })],
    ['a CA of the same name, not certified', () => ask({ chain: [device(root('Test CA')), middle] })],
  ],
  'wrong-purpose': [
    ['a device as the manager', () => ask({ purpose: 'manager', name: 'router-1' })],
    ['the manager as a device', () => ask({ chain: [manager, middle] })],
    [
      'a plain certificate as the manager',
      () =>
        ask({
          chain: [certify('manager.example', { keyUsage: ['digitalSignature'] }, middle), middle],
          purpose: 'manager',
        }),
    ],
    ['a device as a user', () => ask({ purpose: 'user' })],
    [
      'a TLS server as a device',
      () => ask({ chain: [device(middle, 'a', { extendedKeyUsage: [EXTENDED_KEY_USAGE.serverAuth] }), middle] }),
    ],
    [
      'both device and manager',
      () => {
        const extendedKeyUsage = [EXTENDED_KEY_USAGE.kagimoriDevice, EXTENDED_KEY_USAGE.kagimoriManager];
        const both = device(middle, 'both', { extendedKeyUsage });
        const reasons = [ask({ chain: [both, middle] }), ask({ chain: [both, middle], purpose: 'manager' })];
        return reasons[0] === reasons[1] ? reasons[0]! : 'good';
      },
    ],
    ['a key that may not sign', () => ask({ chain: [device(middle, 'a', { keyUsage: ['keyAgreement'] }), middle] })],
    [
      'an intermediate for devices that makes a manager',
      () => {
        const limited = ca(anchor, 'Devices only', { extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriDevice] });
        return ask({ chain: [certify('manager.example', MANAGER_WISHES, limited), limited], purpose: 'manager' });
      },
    ],
  ],
  'not-a-leaf': [
    ['a CA certificate as a device', () => ask({ chain: [middle] })],
    ['the anchor as a device', () => ask({ chain: [anchor] })],
    [
      'a key that may sign certificates',
      () => ask({ chain: [device(middle, 'a', { keyUsage: ['digitalSignature', 'keyCertSign'] }), middle] }),
    ],
  ],
  malformed: [['no certificate', () => ask({ chain: [] })]],
  'weak-key': [['RSA of 1024 bits', () => ask({ chain: [device(middle, 'weak', { spki: rsa1024 }), middle] })]],
  'wrong-name': [
    ['another device', () => ask({ name: 'router-2' })],
    ['another manager', () => ask({ chain: [manager, middle], purpose: 'manager', name: 'manager.other' })],
    ['the name as the start of another', () => ask({ name: 'router' })],
  ],
  'chain-too-long': [['six certificates', () => ask({ chain: long })]],
  'constraint-violated': [
    [
      'a device that issues',
      () => {
        const child = device(router, 'child');
        return ask({ chain: [child, router, middle] });
      },
    ],
    [
      'an issuer without keyCertSign',
      () => {
        const weak = ca(anchor, 'No signer', { keyUsage: ['cRLSign'] });
        return ask({ chain: [device(weak), weak] });
      },
    ],
    [
      'a path longer than its length allows',
      () => {
        const short = ca(anchor, 'Short', { ca: { pathLength: 0 } });
        const below = ca(short, 'Below');
        return ask({ chain: [device(below), below, short] });
      },
    ],
    [
      'a path longer than the anchor allows',
      () => {
        const short = root('Short root', { ca: { pathLength: 0 } });
        const below = ca(short, 'Below');
        return ask({ chain: [device(below), below], anchors: [short] });
      },
    ],
    [
      'name constraints in a leaf',
      () => {
        const nameConstraints = { permitted: [{ type: 'dns', value: 'example.com' }] } as const;
        return ask({ chain: [device(middle, 'a', { nameConstraints }), middle] });
      },
    ],
  ],
  'unknown-critical-extension': [
    ['in the leaf', () => ask({ chain: [device(middle, 'a', { extra: [unknown(true)] }), middle] })],
    [
      'in an intermediate',
      () => {
        const odd = ca(anchor, 'Odd', { extra: [unknown(true)] });
        return ask({ chain: [device(odd), odd] });
      },
    ],
  ],
  'revocation-unknown': [
    ['no list of its issuer', () => ask({ revocation: crlSet([crlOf(anchor, [])]) })],
    ['no list at all', () => ask({ revocation: crlSet([]) })],
    [
      'a list out of date',
      () => ask({ revocation: crlSet([crlOf(anchor, []), crlOf(middle, [], { nextUpdate: AT - 1 })]) }),
    ],
    [
      'a list from the future',
      () => ask({ revocation: crlSet([crlOf(anchor, []), crlOf(middle, [], { thisUpdate: AT + 1 })]) }),
    ],
    [
      'a list of another CA with the same name',
      () => ask({ revocation: crlSet([crlOf(anchor, []), crlOf(ca(anchor), [])]) }),
    ],
    [
      'a list with an unknown critical extension',
      () => ask({ revocation: crlSet([crlOf(anchor, []), crlOf(middle, [], { extra: [unknown(true)] })]) }),
    ],
    [
      'an issuer that may not sign lists',
      () => {
        const mute = ca(anchor, 'Mute', { keyUsage: ['keyCertSign'] });
        return ask({ chain: [device(mute), mute], revocation: crlSet([crlOf(anchor, []), crlOf(mute, [])]) });
      },
    ],
  ],
  'weak-signature': [['ECDSA with SHA-1', () => ask({ chain: [signedWithSha1(middle), middle] })]],
  'work-limit': [
    [
      'more names and subtrees than are compared',
      () => {
        const dns = (i: number) => ({ type: 'dns', value: `n${i}.example` }) as const;
        const names = Array.from({ length: 200 }, (_, i) => dns(i));
        const excluded = Array.from({ length: 110 }, (_, i) => dns(1000 + i));
        const crafted = ca(anchor, 'Crafted', { nameConstraints: { excluded } });
        return ask({ chain: [device(crafted, 'a', { alternativeNames: names }), crafted] });
      },
    ],
  ],
};

function unknown(critical: boolean) {
  return { oid: '1.3.6.1.4.1.99999.1', critical, value: der(TAG.null) };
}

test('every reason that a verdict can name is produced by path validation', () => {
  for (const reason of VerdictReason.words) assert.ok(CASES[reason].length > 0, reason);
});

for (const [reason, cases] of Object.entries(CASES)) {
  for (const [what, outcome] of cases) {
    test(`[P3] [P4] [patent 1028-1030, 1102-1106] ${reason}: ${what}`, () => assert.equal(outcome(), reason));
  }
}

test('[5.6 manager impersonation] a device certificate that bears the manager’s name is not the manager', () => {
  const impostor = device(middle, 'manager.example', { alternativeNames: [{ type: 'dns', value: 'manager.example' }] });
  assert.equal(ask({ chain: [impostor, middle], purpose: 'manager', name: 'manager.example' }), 'wrong-purpose');
});

test('[5.6 malleated certificates] (r, n − s) is another hash, the same issuer, serial and key, and as revoked', () => {
  const twin = malleate(router);
  assert.notDeepEqual(crypto.hash('sha-256', twin.certificate.der), crypto.hash('sha-256', router.certificate.der));
  assert.deepEqual(issuerAndSerial(twin.certificate), issuerAndSerial(router.certificate));
  assert.equal(ask({ chain: [twin, middle] }), 'good');
  assert.equal(
    ask({ chain: [twin, middle], revocation: crlSet([crlOf(anchor, []), crlOf(middle, [router])]) }),
    'revoked',
  );
  const revokedKeys = new Set([toHex(crypto.hash('sha-256', router.certificate.spki))]);
  assert.equal(ask({ chain: [twin, middle], revokedKeys }), 'revoked');
});

test('RFC 5280 §4.2: an unknown extension that is not critical is passed over', () => {
  assert.equal(ask({ chain: [device(middle, 'a', { extra: [unknown(false)] }), middle] }), 'good');
});

test('RFC 5280 §7.1: names chain without regard to case and runs of white space', () => {
  const shouting = certify('TEST  CA', { ca: { pathLength: null }, key: middle.key }, anchor);
  assert.equal(ask({ chain: [router, shouting] }), 'good');
});

test('the place of the culprit is told, the anchor’s is the length of the chain', () => {
  const old = root('Old root', { notAfter: AT - 1 });
  assert.equal(explain({ chain: [device(old)], anchors: [old] }).index, 1);
  assert.equal(explain({ chain: [router, flipLast(middle)] }).index, 1);
});

test('a good path tells until when: the earliest end of a period or a list', () => {
  const chain = [router.certificate, middle.certificate];
  const crls = crlSet([crlOf(anchor, [], { nextUpdate: AT + 500 }), crlOf(middle, [])]);
  const input = { crypto, chain, anchors: [anchor.certificate], at: AT, purpose: 'device' } as const;
  const limited = validatePath({ ...input, revocation: crls });
  assert.equal(limited.ok && limited.validUntil, AT + 500);
  const free = validatePath({ ...input, revocation: null });
  assert.equal(free.ok && free.validUntil, AT + 365 * DAY);
});

test('[5.6 handshake floods] a chain of two costs two signature checks, one whose names do not chain none', () => {
  const before = crypto.counter.verify;
  ask({ anchors: [root('Stranger')] });
  assert.equal(crypto.counter.verify, before);
  ask();
  assert.equal(crypto.counter.verify, before + 2);
});

// ── names of a device ───────────────────────────────────────────────────────────────────────────────────────────────

test('[patent 0105] a device certificate proves its id, FQDN, mail address, SIP URI and MAC address', () => {
  const { certificate } = device(middle, 'phone-7', {
    alternativeNames: [
      { type: 'dns', value: 'Phone-7.Home.example' },
      { type: 'email', value: 'phone@Home.example' },
      { type: 'uri', value: 'sip:alice@Home.example' },
      { type: 'mac', value: '00-11-22-AA-BB-CC' },
    ],
  });
  assert.deepEqual(deviceNames(certificate), {
    id: 'phone-7',
    names: [
      'id:phone-7',
      'fqdn:phone-7.home.example',
      'mail:phone@home.example',
      'sip:alice@home.example',
      'mac:001122aabbcc',
    ],
  });
});

test('a subject whose CN is no device id names no device', () => {
  assert.equal(deviceNames(device(middle, '~manager').certificate), null);
  assert.equal(deviceNames(device(middle, 'a\u0000b').certificate), null);
  assert.equal(deviceNames(device(middle, 'u\u0308ber').certificate), null, 'not in NFC');
});
