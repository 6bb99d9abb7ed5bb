/**
 * Names of devices: each kind in one canonical spelling, what a caller's text may mean, what a certificate proves.
 * @spec patent 0105, design §5.7, RFC 9039
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { certifiedNames, fqdnName, macName, mailName, namesMeant, sipName } from '../../protocol/names.ts';

const MAC = 'mac:aabbccddee0f';

test('[P11] [patent 0105] a MAC address in any spelling is one name', () => {
  for (const text of ['AA:BB:CC:DD:EE:0F', 'aa-bb-cc-dd-ee-0f', 'aabbccddee0f', 'aabb.ccdd.ee0f', 'AABBCC-DDEE0F'])
    assert.equal(macName(text), MAC, text);
  for (const text of [
    '',
    'aa:bb:cc:dd:ee',
    'aa:bb:cc:dd:ee:0f:11',
    'ga:bb:cc:dd:ee:0f',
    'aa::bb:cc:dd:ee:0f',
    `${MAC}`,
  ])
    assert.equal(macName(text), null, text);
});

test('[P11] [patent 0105] an FQDN is compared without case and without its final dot', () => {
  assert.equal(fqdnName('TV.Home.Example.'), 'fqdn:tv.home.example');
  for (const text of [
    'tv',
    'a..b',
    '-a.example',
    'a-.example',
    'a_b.example',
    'tv home.example',
    `${'a'.repeat(64)}.b`,
    '',
  ])
    assert.equal(fqdnName(text), null, text);
  assert.equal(fqdnName(`${'a.'.repeat(127)}`.repeat(2)), null, 'longer than 253');
});

test('[P11] [patent 0105] a mail address: the domain without case, the local part as it stands', () => {
  assert.equal(mailName('Anna.B@Home.EXAMPLE'), 'mail:Anna.B@home.example');
  assert.notEqual(mailName('anna.b@home.example'), mailName('Anna.B@home.example'));
  for (const text of ['@home.example', 'anna@', 'anna', `${'a'.repeat(255)}@b.example`])
    assert.equal(mailName(text), null, text);
});

test('[P11] [patent 0105] a SIP URI: scheme and host without case; parameters and headers are no identity', () => {
  assert.equal(sipName('SIP:Anna@Home.Example'), 'sip:Anna@home.example');
  assert.equal(sipName('sips:anna@home.example'), 'sip:anna@home.example');
  assert.equal(sipName('sip:home.example'), 'sip:home.example');
  for (const text of ['sip:', 'anna@home.example', 'sip:a@b;transport=tcp', 'sip:a@b?x=y', 'sip:a@b@c', 'tel:+49'])
    assert.equal(sipName(text), null, text);
});

test('[P11] what a text may mean: the id first, then the kinds that its form allows', () => {
  const rows: [text: string, meant: string[]][] = [
    ['tv', ['id:tv']],
    ['aabbccddee0f', ['id:aabbccddee0f', MAC]],
    ['tv.home.example', ['id:tv.home.example', 'fqdn:tv.home.example']],
    ['anna@home.example', ['id:anna@home.example', 'mail:anna@home.example']],
    ['sip:anna@home.example', ['id:sip:anna@home.example', 'sip:anna@home.example']],
    ['id:tv', ['id:tv']],
    ['mac:AA:BB:CC:DD:EE:0F', [MAC]],
    ['mail:anna@home.example', ['mail:anna@home.example']],
    ['fqdn:TV.home.example', ['fqdn:tv.home.example']],
    ['mac:tv', []],
    ['mail:tv', []],
    ['fqdn:tv', []],
    ['id:~tv', []],
    ['~manager', []],
    ['', []],
    ['a\u0000b', []],
    ['e\u0301', []],
    ['x'.repeat(65), []],
  ];
  for (const [text, meant] of rows) assert.deepEqual(namesMeant(text), meant, JSON.stringify(text));
});

test('[P11] [patent 0105] names that a certificate proves: DNS, mail, SIP and MAC of its subject alternative names', () => {
  const names = certifiedNames({
    dns: ['TV.home.example', 'single'],
    email: ['anna@HOME.example'],
    uri: [
      'urn:dev:mac:AABBCCDDEE0F',
      'sip:anna@home.example',
      'https://home.example/',
      'urn:dev:mac:aabb',
      'urn:dev:ow:1',
    ],
  });
  assert.deepEqual(names, ['fqdn:tv.home.example', 'mail:anna@home.example', MAC, 'sip:anna@home.example']);
});
