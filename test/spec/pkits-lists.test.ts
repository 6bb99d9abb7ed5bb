/**
 * The cases of NIST PKITS about revocation lists, sections 4.4, 4.5, 4.14 and 4.15, that the half in the vectors does not
 * hold, built again from their descriptions.
 */

import * as H from '../hand-made.ts';
import { dn, EE, type Given, judgeCases, R, rootList, simple } from '../pkits-case.ts';
import { AT, DAY } from '../test-authority.ts';

const KEY_COMPROMISE = [H.reason(H.REASON.keyCompromise)];
const HOLD = [H.reason(H.REASON.hold)];

// ── several keys of one CA ──────────────────────────────────────────────────────────────────────────────────────────

const oldKey = H.maker('Rolling CA');
const newKey = H.maker('Rolling CA');
const partition = { full: [H.directory(H.under('self-issued'))] } as const;
const ofPartition = { at: partition } as const;

/** New key certified by the anchor, the old one by the new one, or the other way round; the leaf by either. */
function rolled(wishes: {
  certified: H.Maker;
  rolledTo: H.Maker;
  leafBy: H.Maker;
  listBy: H.Maker;
  isRevoked?: boolean;
}): Given {
  const { certified, rolledTo, leafBy, listBy, isRevoked = false } = wishes;
  const bridge = { serial: [2], extensions: [H.distributionPoints({ at: partition })] };
  return {
    certificates: [
      H.authorityCertificate(certified, R, { serial: [9] }),
      H.authorityCertificate(rolledTo, certified, bridge),
      H.certificate(EE, leafBy, { serial: [3] }),
    ],
    lists: [
      rootList,
      H.list(certified, [], { scope: ofPartition }),
      H.list(listBy, isRevoked ? [{ serial: [3], extensions: KEY_COMPROMISE }] : []),
    ],
  };
}

/** A key that signs lists alone, certified by the CA itself. */
function listKey(wishes: { leafBy?: 'list key'; isRevoked?: boolean }): Given {
  const own = H.maker('Two Keys CA');
  const forLists = H.maker('Two Keys CA');
  const leafBy = wishes.leafBy === undefined ? own : forLists;
  const extensions = [H.keyUsage(true, H.CRL_SIGN), H.distributionPoints({ at: partition })];
  return {
    certificates: [
      H.authorityCertificate(own, R, { serial: [9] }),
      H.certificate(forLists, own, { serial: [2], extensions }),
      H.certificate(EE, leafBy, { serial: [3] }),
    ],
    lists: [
      rootList,
      H.list(own, [], { scope: ofPartition }),
      H.list(forLists, wishes.isRevoked === true ? [{ serial: [3], extensions: KEY_COMPROMISE }] : []),
    ],
  };
}

/** One key for certificates, one for lists, both certified by the anchor. */
function separateKeys(wishes: { isRevoked?: boolean; isSignerRevoked?: boolean }): Given {
  const own = H.maker('Separate Keys CA');
  const forLists = H.maker('Separate Keys CA');
  return {
    certificates: [
      H.certificate(own, R, { serial: [9], extensions: [H.basicConstraints(true), H.keyUsage(true, H.KEY_CERT_SIGN)] }),
      H.certificate(forLists, R, { serial: [10], extensions: [H.keyUsage(true, H.CRL_SIGN)] }),
      H.certificate(EE, own, { serial: [3] }),
    ],
    lists: [
      H.list(R, wishes.isSignerRevoked === true ? [{ serial: [10], extensions: KEY_COMPROMISE }] : []),
      H.list(forLists, wishes.isRevoked === true ? [{ serial: [3], extensions: KEY_COMPROMISE }] : []),
    ],
  };
}

// ── distribution points ─────────────────────────────────────────────────────────────────────────────────────────────

const POINT = dn(['OU', 'point CA'], ['CN', 'CRL1']);
const OTHER_POINT = dn(['OU', 'point CA'], ['CN', 'CRL2']);
const pointCa = dn(['OU', 'point CA']);
const at = (dnOfPoint: Uint8Array): H.Place => ({ full: [H.directory(dnOfPoint)] });
const relative = (text: string): H.Place => ({ relative: H.rdn(['CN', text]) });

function point(certified: H.Place, listed: H.Place, isRevoked = false): Given {
  return simple({
    caName: pointCa,
    leaf: { serial: [3], extensions: [H.distributionPoints({ at: certified })] },
    entries: isRevoked ? [{ serial: [3], extensions: KEY_COMPROMISE }] : [],
    list: { scope: { at: listed } },
  });
}

const [COMPROMISE, REST] = [
  [1, 2],
  [3, 4, 5, 6, 7, 8],
];

/** Two lists that share the reasons, at two places. */
function byReasons(revoked: 'in neither' | 'compromise' | 'rest'): Given {
  const named = (wanted: string, code: number): H.Entry[] =>
    revoked === wanted ? [{ serial: [3], extensions: [H.reason(code)] }] : [];
  return simple({
    caName: pointCa,
    leaf: {
      serial: [3],
      extensions: [
        H.distributionPoints({ at: at(POINT), reasons: COMPROMISE }, { at: at(OTHER_POINT), reasons: REST }),
      ],
    },
    lists: (by) => [
      H.list(by, named('compromise', H.REASON.keyCompromise), { scope: { at: at(POINT), reasons: COMPROMISE } }),
      H.list(by, named('rest', H.REASON.affiliationChanged), { scope: { at: at(OTHER_POINT), reasons: REST } }),
    ],
  });
}

/** A CA whose lists another one signs. */
function indirect(wishes: {
  /** Issuer of the list as the leaf names it; null: it names nobody. */
  designated?: Uint8Array | null;
  entries?: (own: Uint8Array) => readonly H.Entry[];
  isIndirect?: boolean;
}): Given {
  const [own, other] = [H.maker('Indirect CA'), H.maker('Other CA')];
  const { designated = other.name, entries = () => [], isIndirect = true } = wishes;
  const extensions = designated === null ? [] : [H.distributionPoints({ crlIssuer: designated })];
  return {
    certificates: [
      H.authorityCertificate(own, R, { serial: [11] }),
      H.authorityCertificate(other, R, { serial: [12] }),
      H.certificate(EE, own, { serial: [3], extensions }),
    ],
    lists: [rootList, H.list(other, entries(own.name), { scope: { indirect: isIndirect } })],
  };
}

// ── deltas ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function delta(wishes: {
  base?: readonly H.Entry[];
  changes?: readonly H.Entry[];
  baseNumber?: number;
  deltaNumber?: number;
  appliesTo?: number;
  isBaseOld?: boolean;
}): Given {
  const { base = [], changes = [], baseNumber = 4, deltaNumber = 6, appliesTo = 4, isBaseOld = false } = wishes;
  const to = H.utcTime(isBaseOld ? AT - 50 : AT + DAY);
  return simple({
    leaf: { serial: [3] },
    lists: (by) => [
      H.list(by, base, { number: baseNumber, to, extensions: [H.freshestList(by)] }),
      H.list(by, changes, { number: deltaNumber, extensions: [H.deltaOf(appliesTo)] }),
    ],
  });
}

const entry = (...extensions: readonly Uint8Array[]): H.Entry => ({ serial: [3], extensions });
const REMOVED = [H.reason(H.REASON.removeFromCrl)];
const long = [0x7f, ...Array.from({ length: 19 }, (_, i) => i + 1)];

judgeCases([
  ['4.4.3', 'revoked EE', false, () => simple({ entries: [{ serial: [1], extensions: KEY_COMPROMISE }] })],
  ['4.4.5', 'a list with another issuer name', false, () => simple({ list: { issuerName: H.under('Somebody') } })],
  ['4.4.16', 'a serial of 20 bytes', true, () => simple({ leaf: { serial: long }, entries: [{ serial: [5] }] })],
  [
    '4.4.17',
    'nearly the same long serial is revoked',
    true,
    () => simple({ leaf: { serial: long }, entries: [{ serial: [...long.slice(0, -1), 99] }] }),
  ],
  [
    '4.4.18',
    'a revoked serial of 20 bytes',
    false,
    () => simple({ leaf: { serial: long }, entries: [{ serial: long }] }),
  ],
  ['4.4.19', 'separate keys for certificates and lists', true, () => separateKeys({})],
  ['4.4.20', 'separate keys, EE revoked', false, () => separateKeys({ isRevoked: true })],
  ['4.4.21', 'separate keys, the one for lists revoked', false, () => separateKeys({ isSignerRevoked: true })],
  [
    '4.5.1',
    'old with new',
    true,
    () => rolled({ certified: newKey, rolledTo: oldKey, leafBy: oldKey, listBy: newKey }),
  ],
  [
    '4.5.2',
    'old with new, revoked',
    false,
    () => rolled({ certified: newKey, rolledTo: oldKey, leafBy: oldKey, listBy: newKey, isRevoked: true }),
  ],
  [
    '4.5.3',
    'new with old',
    true,
    () => rolled({ certified: oldKey, rolledTo: newKey, leafBy: newKey, listBy: newKey }),
  ],
  [
    '4.5.4',
    'new with old, the leaf by the old key',
    true,
    () => rolled({ certified: oldKey, rolledTo: newKey, leafBy: oldKey, listBy: newKey }),
  ],
  [
    '4.5.5',
    'new with old, revoked',
    false,
    () => rolled({ certified: oldKey, rolledTo: newKey, leafBy: oldKey, listBy: newKey, isRevoked: true }),
  ],
  ['4.5.6', 'a key that signs lists alone', true, () => listKey({})],
  ['4.5.7', 'a key that signs lists alone, revoked', false, () => listKey({ isRevoked: true })],
  ['4.5.8', 'a leaf by the key that signs lists alone', false, () => listKey({ leafBy: 'list key' })],
  ['4.14.1', 'a place', true, () => point(at(POINT), at(POINT))],
  ['4.14.2', 'a place, revoked', false, () => point(at(POINT), at(POINT), true)],
  ['4.14.3', 'another place', false, () => point(at(OTHER_POINT), at(POINT))],
  ['4.14.4', 'a place relative to the issuer', true, () => point(relative('CRL1'), at(POINT))],
  ['4.14.5', 'a place relative in both', true, () => point(relative('CRL1'), relative('CRL1'))],
  ['4.14.6', 'relative in both, revoked', false, () => point(relative('CRL1'), relative('CRL1'), true)],
  ['4.14.7', 'relative in the list', true, () => point(at(POINT), relative('CRL1'))],
  ['4.14.8', 'relative, another place', false, () => point(at(OTHER_POINT), relative('CRL1'))],
  ['4.14.9', 'relative in both, another place', false, () => point(relative('CRL2'), relative('CRL1'))],
  [
    '4.14.13',
    'a list for CAs, the end is one',
    true,
    () => simple({ leaf: { extensions: H.CA }, list: { scope: { only: 'ca' } } }),
  ],
  [
    '4.14.11',
    'a list for users, the end is a CA',
    false,
    () => simple({ leaf: { extensions: H.CA }, list: { scope: { only: 'user' } } }),
  ],
  ['4.14.14', 'a list for attribute certificates', false, () => simple({ list: { scope: { only: 'attribute' } } })],
  ['4.14.19', 'reasons at two places', true, () => byReasons('in neither')],
  ['4.14.20', 'reasons at two places, revoked in the first', false, () => byReasons('compromise')],
  ['4.14.21', 'reasons at two places, revoked in the second', false, () => byReasons('rest')],
  [
    '4.14.23',
    'an indirect list of its own issuer, revoked',
    false,
    () => simple({ entries: [{ serial: [1], extensions: KEY_COMPROMISE }], list: { scope: { indirect: true } } }),
  ],
  ['4.14.24', 'an indirect list of somebody else', true, () => indirect({})],
  [
    '4.14.25',
    'its serial is revoked for the list’s own issuer',
    true,
    () => indirect({ entries: () => [entry(...KEY_COMPROMISE)] }),
  ],
  ['4.14.26', 'an indirect list that the certificate does not name', false, () => indirect({ designated: null })],
  [
    '4.14.27',
    'an indirect list of another than the certificate names',
    false,
    () => indirect({ designated: H.under('Nobody') }),
  ],
  [
    '4.14.31',
    'revoked in an indirect list',
    false,
    () => indirect({ entries: (own) => [entry(...KEY_COMPROMISE, H.certificateIssuer(own))] }),
  ],
  [
    '4.14.32',
    'revoked by an entry that inherits its issuer',
    false,
    () =>
      indirect({
        entries: (own) => [
          { serial: [90], extensions: [H.certificateIssuer(own)] },
          { serial: [91] },
          entry(...KEY_COMPROMISE),
        ],
      }),
  ],
  [
    '4.14.33',
    'named before its issuer is',
    true,
    () =>
      indirect({
        entries: (own) => [entry(...KEY_COMPROMISE), { serial: [90], extensions: [H.certificateIssuer(own)] }],
      }),
  ],
  [
    '4.14.34',
    'named, then another issuer’s',
    false,
    () =>
      indirect({
        entries: (own) => [
          entry(H.certificateIssuer(own)),
          { serial: [90], extensions: [H.certificateIssuer(H.under('Third'))] },
        ],
      }),
  ],
  ['4.14.35', 'a list of somebody else that is not indirect', false, () => indirect({ isIndirect: false })],
  ['4.15.2', 'base and delta', true, () => delta({})],
  ['4.15.3', 'revoked in the base', false, () => delta({ base: [entry(...KEY_COMPROMISE)] })],
  ['4.15.4', 'revoked in the delta', false, () => delta({ changes: [entry(...KEY_COMPROMISE)] })],
  [
    '4.15.5',
    'on hold in the base, removed in the delta',
    true,
    () => delta({ base: [entry(...HOLD)], changes: [entry(...REMOVED)] }),
  ],
  [
    '4.15.6',
    'on hold in the base, revoked in the delta',
    false,
    () => delta({ base: [entry(...HOLD)], changes: [entry(...KEY_COMPROMISE)] }),
  ],
  ['4.15.8', 'a base newer than the delta asks for', true, () => delta({ baseNumber: 5, appliesTo: 3 })],
  [
    '4.15.9',
    'a newer base, revoked in the delta',
    false,
    () => delta({ baseNumber: 5, appliesTo: 3, changes: [entry(...KEY_COMPROMISE)] }),
  ],
  [
    '4.15.10',
    'the base is too old for the delta',
    false,
    () => delta({ baseNumber: 3, appliesTo: 4, isBaseOld: true }),
  ],
]);
