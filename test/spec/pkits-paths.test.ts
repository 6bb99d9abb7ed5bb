/**
 * The cases of NIST PKITS about paths and names, sections 4.1 to 4.3, 4.6, 4.7, 4.13 and 4.16, that the half in the
 * vectors does not hold, built again from their descriptions.
 */
import * as H from '../hand-made.ts';
import { dn, EE, type Given, judgeCases, R, rootList, simple } from '../pkits-case.ts';
import { AT, DAY } from '../test-authority.ts';
import { bitString, TAG } from '../test-der.ts';

const UTF8 = TAG.utf8;
const sign = H.keyUsage(true, H.KEY_CERT_SIGN, H.CRL_SIGN);
const caWith = (pathLength: number | null): readonly Uint8Array[] => [H.basicConstraints(true, pathLength), sign];

/** CAs below each other, a leaf below the last, all with their lists. */
function line(...extensions: readonly (readonly Uint8Array[])[]): Given {
  const makers = extensions.map((_, i) => H.maker(i + 1 === extensions.length ? 'EE' : `CA ${i}`));
  return {
    certificates: makers.map((one, i) => H.certificate(one, makers[i - 1] ?? R, { extensions: extensions[i]! })),
    lists: [rootList, ...makers.slice(0, -1).map((one) => H.list(one))],
  };
}

// ── names ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const chained = (caName: Uint8Array, issuerName: Uint8Array): Given =>
  simple({ caName, leaf: { issuerName }, list: { issuerName } });

function selfIssued(below: readonly Uint8Array[], ...more: readonly (readonly Uint8Array[])[]): Given {
  const [first, second, sub] = [H.maker('Same CA'), H.maker('Same CA'), H.maker('Sub CA')];
  const leafBy = more.length === 0 ? second : sub;
  return {
    certificates: [
      H.certificate(first, R, { serial: [4], extensions: below }),
      H.authorityCertificate(second, first, { serial: [5] }),
      ...more.map((extensions) => H.certificate(sub, second, { serial: [6], extensions })),
      H.certificate(EE, leafBy, { serial: [7] }),
    ],
    lists: [rootList, H.list(first), H.list(sub)],
  };
}

// ── name constraints ────────────────────────────────────────────────────────────────────────────────────────────────

const below = (text: string): Uint8Array => dn(['OU', text]);
const subtree = (text: string): Uint8Array => H.directory(below(text));
const entity = (text: string): Uint8Array => dn(['OU', text], ['CN', 'EE']);

function constrained(
  constraints: Parameters<typeof H.nameConstraints>[0],
  leafName: Uint8Array,
  alternative: readonly Uint8Array[] = [],
): Given {
  const leaf = alternative.length === 0 ? {} : { leaf: { extensions: [H.alternativeNames(...alternative)] } };
  return simple({ ca: { extensions: [H.nameConstraints(constraints)] }, leafName, ...leaf });
}

/** A constrained CA above another one. */
function constrainedTwice(
  upper: Parameters<typeof H.nameConstraints>[0],
  lower: Parameters<typeof H.nameConstraints>[0] | null,
  subName: Uint8Array,
  leafName: Uint8Array,
): Given {
  const [top, sub] = [H.maker('Constrained CA'), H.maker(subName)];
  return {
    certificates: [
      H.authorityCertificate(top, R, { extensions: [H.nameConstraints(upper)] }),
      H.authorityCertificate(sub, top, { extensions: lower === null ? [] : [H.nameConstraints(lower)] }),
      H.certificate(H.maker(leafName), sub),
    ],
    lists: [rootList, H.list(top), H.list(sub)],
  };
}

/** A constrained CA that rolls over its key, outside of its own constraints; the leaf may bear its name too. */
function constrainedRolled(leafName: Uint8Array): Given {
  const name = below('elsewhere');
  const [first, second] = [H.maker(name), H.maker(name)];
  const extensions = [H.nameConstraints({ permitted: [subtree('permitted')] })];
  return {
    certificates: [
      H.authorityCertificate(first, R, { serial: [2], extensions }),
      H.authorityCertificate(second, first, { serial: [3] }),
      H.certificate(H.maker(leafName), second, { serial: [4] }),
    ],
    lists: [rootList, H.list(first)],
  };
}

judgeCases([
  ['4.1.2', 'bad CA signature', false, () => simple({ ca: { corrupt: true } })],
  ['4.1.3', 'bad EE signature', false, () => simple({ leaf: { corrupt: true } })],
  ['4.2.1', 'CA not yet valid', false, () => simple({ ca: { from: H.utcTime(AT + 1) } })],
  ['4.2.3', 'notBefore before 2000', true, () => simple({ leaf: { from: H.utcTime(-631_152_000) } })],
  ['4.2.4', 'notBefore as GeneralizedTime', true, () => simple({ leaf: { from: H.generalizedTime(AT - DAY) } })],
  ['4.2.6', 'EE expired', false, () => simple({ leaf: { to: H.utcTime(AT - 1) } })],
  ['4.2.8', 'notAfter in 2050', true, () => simple({ leaf: { to: H.generalizedTime(2_540_000_000) } })],
  ['4.3.2', 'RDNs in another order', false, () => chained(dn(['OU', 'a'], ['OU', 'b']), dn(['OU', 'b'], ['OU', 'a']))],
  ['4.3.3', 'runs of white space', true, () => chained(H.under('Good CA'), H.under('Good   CA'))],
  ['4.3.4', 'white space at the ends', true, () => chained(H.under('Good CA'), H.under('  Good CA  '))],
  ['4.3.5', 'capitals', true, () => chained(H.under('Good CA'), H.under('GOOD cA'))],
  [
    '4.3.6',
    'unique ids',
    true,
    () =>
      simple({
        leaf: { ids: [0x81, 0x82].map((tag) => Uint8Array.of(tag, ...bitString(Uint8Array.of(1)).subarray(1))) },
      }),
  ],
  ['4.3.9', 'UTF-8 names', true, () => chained(dn(['CN', 'Größe', UTF8]), dn(['CN', 'Größe', UTF8]))],
  ['4.3.10', 'printable and UTF-8', true, () => chained(dn(['CN', 'CA']), dn(['CN', 'CA', UTF8]))],
  [
    '4.3.11',
    'UTF-8, capitals and white space',
    true,
    () => chained(dn(['CN', 'Groß CA', UTF8]), dn(['CN', ' gROß  cA', UTF8])),
  ],
  ['4.6.1', 'no basicConstraints', false, () => simple({ caExtensions: [sign] })],
  ['4.6.5', 'path length 0, a CA below', false, () => line(caWith(0), caWith(null), [])],
  ['4.6.6', 'path length 0, a CA as the end', false, () => line(caWith(0), caWith(null), caWith(null))],
  ['4.6.7', 'path length 0', true, () => line(caWith(0), [])],
  ['4.6.8', 'path length 0, the end is a CA', true, () => line(caWith(0), caWith(null))],
  ['4.6.9', '6, 0, a CA below', false, () => line(caWith(6), caWith(0), caWith(null), [])],
  ['4.6.10', '6, 0, a CA below, a CA as the end', false, () => line(caWith(6), caWith(0), caWith(null), caWith(null))],
  ['4.6.11', '6, 1, 1, a CA below', false, () => line(caWith(6), caWith(1), caWith(1), caWith(null), [])],
  [
    '4.6.12',
    '6, 1, 1, a CA below, a CA as the end',
    false,
    () => line(caWith(6), caWith(1), caWith(1), caWith(null), caWith(null)),
  ],
  ['4.6.14', '6, 4, 1, CA as the end', true, () => line(caWith(6), caWith(4), caWith(1), caWith(null), caWith(null))],
  ['4.6.15', 'path length 0, its key rolled over', true, () => selfIssued(caWith(0))],
  ['4.6.16', 'path length 0, its key rolled over, a CA below', false, () => selfIssued(caWith(0), caWith(null))],
  ['4.6.17', 'path length 1, its key rolled over, a CA below', true, () => selfIssued(caWith(1), caWith(null))],
  [
    '4.7.1',
    'no keyCertSign',
    false,
    () => simple({ caExtensions: [H.basicConstraints(true), H.keyUsage(true, H.CRL_SIGN)] }),
  ],
  [
    '4.7.2',
    'no keyCertSign, not critical',
    false,
    () => simple({ caExtensions: [H.basicConstraints(true), H.keyUsage(false, H.CRL_SIGN)] }),
  ],
  [
    '4.7.3',
    'key usage not critical',
    true,
    () => simple({ caExtensions: [H.basicConstraints(true), H.keyUsage(false, H.KEY_CERT_SIGN, H.CRL_SIGN)] }),
  ],
  [
    '4.7.4',
    'no cRLSign',
    false,
    () => simple({ caExtensions: [H.basicConstraints(true), H.keyUsage(true, H.KEY_CERT_SIGN)] }),
  ],
  ['4.13.1', 'a name within', true, () => constrained({ permitted: [subtree('a')] }, entity('a'))],
  ['4.13.2', 'a name outside', false, () => constrained({ permitted: [subtree('a')] }, entity('b'))],
  [
    '4.13.3',
    'an alternative name outside',
    false,
    () => constrained({ permitted: [subtree('a')] }, entity('a'), [H.directory(entity('b'))]),
  ],
  ['4.13.5', 'two permitted', true, () => constrained({ permitted: [subtree('a'), subtree('b')] }, entity('b'))],
  ['4.13.6', 'one excluded, another name', true, () => constrained({ excluded: [subtree('a')] }, entity('b'))],
  [
    '4.13.10',
    'permitted, and excluded below',
    false,
    () =>
      constrained(
        { permitted: [subtree('a')], excluded: [H.directory(dn(['OU', 'a'], ['OU', 'x']))] },
        dn(['OU', 'a'], ['OU', 'x'], ['CN', 'EE']),
      ),
  ],
  [
    '4.13.11',
    'permitted, excluded elsewhere below',
    true,
    () =>
      constrained(
        { permitted: [subtree('a')], excluded: [H.directory(dn(['OU', 'a'], ['OU', 'x']))] },
        dn(['OU', 'a'], ['OU', 'y'], ['CN', 'EE']),
      ),
  ],
  [
    '4.13.13',
    'two CAs that permit different names',
    false,
    () => constrainedTwice({ permitted: [subtree('a')] }, { permitted: [subtree('b')] }, entity('a'), entity('a')),
  ],
  [
    '4.13.18',
    'excluded twice, another name',
    true,
    () => constrainedTwice({ excluded: [subtree('a')] }, { excluded: [subtree('b')] }, below('c'), entity('c')),
  ],
  ['4.13.19', 'a key rolled over outside its own constraints', true, () => constrainedRolled(entity('permitted'))],
  ['4.13.20', 'a self-issued leaf outside', false, () => constrainedRolled(below('elsewhere'))],
  [
    '4.13.22',
    'mail outside a domain',
    false,
    () => constrained({ permitted: [H.email('.example.test')] }, entity('a'), [H.email('a@example.test')]),
  ],
  [
    '4.13.25',
    'mail, excluded elsewhere',
    true,
    () => constrained({ excluded: [H.email('other.test')] }, entity('a'), [H.email('a@example.test')]),
  ],
  [
    '4.13.26',
    'mail, excluded',
    false,
    () => constrained({ excluded: [H.email('example.test')] }, entity('a'), [H.email('a@example.test')]),
  ],
  [
    '4.13.27',
    'name and mail within',
    true,
    () => constrained({ permitted: [subtree('a'), H.email('example.test')] }, entity('a'), [H.email('a@example.test')]),
  ],
  [
    '4.13.29',
    'mail in the subject, outside',
    false,
    () => constrained({ permitted: [subtree('a'), H.email('example.test')] }, dn(['OU', 'a'], ['E', 'a@other.test'])),
  ],
  [
    '4.13.31',
    'a host outside',
    false,
    () => constrained({ permitted: [H.dns('example.test')] }, entity('a'), [H.dns('other.test')]),
  ],
  [
    '4.13.32',
    'a host, excluded elsewhere',
    true,
    () => constrained({ excluded: [H.dns('bad.test')] }, entity('a'), [H.dns('good.test')]),
  ],
  [
    '4.13.34',
    'a URI below a domain',
    true,
    () => constrained({ permitted: [H.uri('.example.test')] }, entity('a'), [H.uri('http://www.example.test/x')]),
  ],
  [
    '4.13.36',
    'a URI, excluded elsewhere',
    true,
    () => constrained({ excluded: [H.uri('bad.test')] }, entity('a'), [H.uri('ftp://good.test:21/bad.test')]),
  ],
  [
    '4.13.37',
    'a URI, excluded',
    false,
    () => constrained({ excluded: [H.uri('bad.test')] }, entity('a'), [H.uri('ftp://bad.test:21/x')]),
  ],
  ['4.16.2', 'an unknown critical extension', false, () => simple({ leaf: { extensions: [H.unknownCritical] } })],
]);
