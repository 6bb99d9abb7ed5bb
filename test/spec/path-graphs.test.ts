/**
 * Graphs of CAs that certify each other, some of the certificates bad: a path is found where a good one of at most four
 * intermediates exists, and nowhere else; and servers' names under every combination of DNS and IP constraints. After
 * the plan of the BetterTLS suites. @spec RFC 4158 §2, RFC 5280 §4.2.1.10
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type JudgeQuestion, judge, readWantedName } from '../../cli/verifier-check/judgement.ts';
import { generateSigningKey } from '../../platform/crypto-node.ts';
import type { ParsedCertificate } from '../../protocol/certificate.ts';
import { seededRandom } from '../../sim/seeded-random.ts';
import {
  eku,
  endEntity,
  type General,
  ID,
  type MadeWishes,
  makeCa,
  makeServer,
  nameConstraints,
  san,
} from '../handmade-certificate.ts';
import { AT, DAY, parse } from '../test-authority.ts';

const LONG = process.env.KAGIMORI_LONG === '1';

function isValid(given: Pick<JudgeQuestion, 'leaf' | 'intermediates' | 'anchors'>, name: string): boolean {
  const names = [readWantedName(name)];
  return judge({ ...given, revocation: null, at: AT, purpose: 'server', names, maxDepth: null }).fault === null;
}

// ── graphs ──────────────────────────────────────────────────────────────────────────────────────────────────────────

type Edge = readonly [issuer: string, subject: string];
/** `A>B` A certifies B, `A<>B` each the other. */
const edges = (text: string): readonly Edge[] =>
  text.split(' ').flatMap((one): readonly Edge[] => {
    const [a, b] = one.split(/<?>/) as [string, string];
    return one.includes('<')
      ? [
          [a, b],
          [b, a],
        ]
      : [[a, b]];
  });

/** The drawings of RFC 4158 §2.1 to §2.4, and a mesh. `EE` is the server; a root is whatever the test trusts. */
const GRAPHS: Readonly<Record<string, { readonly roots: readonly string[]; readonly edges: readonly Edge[] }>> = {
  line: { roots: ['T'], edges: edges('T>A A>EE') },
  twoRoots: { roots: ['R', 'S'], edges: edges('R>A S>A A>EE') },
  figureSeven: { roots: ['T'], edges: edges('T>A T>C A<>C A>B C>B B>EE') },
  bridge: {
    roots: ['W', 'X', 'Y', 'Z'],
    edges: edges(
      'F>H F<>G H<>I G>I W>F W>G J>K N>EE L>N L>M X>J X>L B>E B>D A>B C>B A<>C Y>A Y>C R>S O>R O>Q P>S Z>O Z>P W<>U X<>U Y<>U Z<>U',
    ),
  },
  mesh: { roots: ['A', 'B'], edges: edges('A<>B A<>C A<>D B<>C B<>D C<>D C>EE D>EE') },
};

/** Ways in which a certificate is bad. */
const BAD: Readonly<Record<string, MadeWishes>> = {
  expired: { until: AT - DAY / 2 },
  constrained: { extra: [nameConstraints(true, { permitted: ['dns:bad.example.com'] })] },
  forMail: { extra: [eku(false, '1.3.6.1.5.5.7.3.4')] },
  unmarked: { change: { [ID.basicConstraints]: null } },
  noCa: { change: { [ID.basicConstraints]: endEntity, [ID.keyUsage]: null } },
  sha1: { weakly: true },
  strange: { extra: [['1.2.3.4', true, Uint8Array.of(5, 0)]] },
};
const MAX_DEPTH = 4;

class Town {
  readonly #keys = new Map<string, ReturnType<typeof generateSigningKey>>();
  readonly #certificates = new Map<string, ParsedCertificate>();

  certificate([issuer, subject]: Edge, how: string | null): ParsedCertificate {
    const id = [issuer, subject, how].join();
    const known = this.#certificates.get(id);
    if (known !== undefined) return known;
    const by = makeCa(null, issuer, { key: this.#keyOf(issuer) });
    const wishes = { ...(how === null ? {} : BAD[how]), key: this.#keyOf(subject) };
    const made = subject === 'EE' ? makeServer(by, wishes) : makeCa(by, subject, wishes);
    const certificate = parse(made.der);
    this.#certificates.set(id, certificate);
    return certificate;
  }

  root(name: string): ParsedCertificate {
    const id = `root ${name}`;
    const root = this.#certificates.get(id) ?? parse(makeCa(null, name, { key: this.#keyOf(name) }).der);
    this.#certificates.set(id, root);
    return root;
  }

  #keyOf(name: string): ReturnType<typeof generateSigningKey> {
    const key = this.#keys.get(name) ?? generateSigningKey('p256');
    this.#keys.set(name, key);
    return key;
  }
}

/** Whether good certificates lead down from the root within the depth, no CA twice. */
function leadsTo(good: readonly Edge[], path: readonly string[], last: Edge): boolean {
  const at = path.at(-1)!;
  if (at === last[0]) return true;
  if (path.length > MAX_DEPTH) return false;
  return good.some(([a, b]) => a === at && b !== 'EE' && !path.includes(b) && leadsTo(good, [...path, b], last));
}

for (const [name, graph] of Object.entries(GRAPHS)) {
  test(`[P3] RFC 4158 §2: in the graph ${name} a good path is found whatever is bad beside it, and no bad one taken`, () => {
    const random = seededRandom(`graph ${name}`);
    const town = new Town();
    const seen = { valid: 0, refused: 0 };
    const runs = LONG ? 2000 : 60;
    for (let run = 0; run < runs; run++) {
      const root = graph.roots[random.uint32() % graph.roots.length]!;
      const kinds = Object.keys(BAD);
      const share = random.uint32() % 6;
      const how = graph.edges.map(([, subject]) =>
        subject !== 'EE' && random.uint32() % 10 < share ? kinds[random.uint32() % kinds.length]! : null,
      );
      const good = graph.edges.filter((_, i) => how[i] === null);
      const certificates = graph.edges.map((edge, i) => ({ edge, certificate: town.certificate(edge, how[i]!) }));
      const heap = certificates
        .filter(({ edge: [, subject] }) => subject !== 'EE')
        .map((one) => ({ ...one, place: random.uint32() }))
        .sort((a, b) => a.place - b.place);
      for (const { edge, certificate: leaf } of certificates.filter(({ edge: [, subject] }) => subject === 'EE')) {
        const expected = leadsTo(good, [root], edge);
        const given = { leaf, intermediates: heap.map(({ certificate }) => certificate), anchors: [town.root(root)] };
        assert.equal(isValid(given, 'dns:host.example'), expected, `run ${run}: ${root} to ${edge[0]}, ${how.join()}`);
        seen[expected ? 'valid' : 'refused']++;
      }
    }
    assert.ok(seen.valid > 5 && seen.refused > 5, `both come about: ${JSON.stringify(seen)}`);
  });
}

// ── names ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const RIGHT = {
  dns: 'dns:test.localhost',
  ip: { ip: [127, 0, 0, 1] },
  tree: 'dns:localhost',
  net: { ip: [127, 0, 0, 0, 255, 255, 255, 0] },
} as const;
const WRONG = {
  dns: 'dns:bad.example.com',
  ip: { ip: [1, 1, 1, 1] },
  tree: 'dns:example.com',
  net: { ip: [1, 1, 1, 0, 255, 255, 255, 0] },
} as const;
type Choice = 'right' | 'wrong' | null;
const CHOICES: readonly Choice[] = [null, 'right', 'wrong'];
const pick = (choice: Choice, what: keyof typeof RIGHT): readonly General[] =>
  choice === null ? [] : [(choice === 'right' ? RIGHT : WRONG)[what]];
const pairs = <A, B>(a: readonly A[], b: readonly B[]): readonly (readonly [A, B])[] =>
  a.flatMap((x) => b.map((y) => [x, y] as const));

/** Whether a name of one form passes. */
const passes = (held: Choice, permitted: Choice, excluded: Choice): boolean =>
  held === null || ((permitted === null || permitted === held) && excluded !== held);

test('[P4] BetterTLS: a host or address asked for is held by the certificate, and every name of it is where its CA may put one', () => {
  const root = makeCa(null, 'Root');
  const key = generateSigningKey('p256');
  const lists = (names: readonly General[]) => (names.length > 0 ? names : undefined);
  const cas = pairs(pairs(CHOICES, CHOICES), pairs(CHOICES, CHOICES)).map(([[dns, ip], [noDns, noIp]]) => {
    const permitted = lists([...pick(dns, 'tree'), ...pick(ip, 'net')]);
    const excluded = lists([...pick(noDns, 'tree'), ...pick(noIp, 'net')]);
    const limits = { ...(permitted && { permitted }), ...(excluded && { excluded }) };
    const extra = permitted === undefined && excluded === undefined ? [] : [nameConstraints(true, limits)];
    return { dns, ip, noDns, noIp, certificate: parse(makeCa(root, 'CA', { key, extra }).der) };
  });
  const issuer = makeCa(root, 'CA', { key });
  const commonNames = ['', 'test.localhost', 'bad.example.com', '127.0.0.1', '1.1.1.1'];
  const leaves = pairs(commonNames, pairs(CHOICES, CHOICES)).map(([subject, [dns, ip]]) => {
    const names = [...pick(dns, 'dns'), ...pick(ip, 'ip')];
    const change = { [ID.san]: names.length > 0 ? san(false, ...names) : null };
    return {
      subject,
      dns,
      ip,
      certificate: parse(makeServer(issuer, { subject: subject === '' ? 'x' : subject, change }).der),
    };
  });
  const anchors = [parse(root.der)];
  let asked = 0;
  for (const [i, [ca, leaf]] of pairs(cas, leaves).entries()) {
    if (!LONG && i % 11 !== 0) continue;
    const given = { leaf: leaf.certificate, intermediates: [ca.certificate], anchors };
    const path = passes(leaf.dns, ca.dns, ca.noDns) && passes(leaf.ip, ca.ip, ca.noIp);
    const what = JSON.stringify([
      { ...ca, certificate: '' },
      { ...leaf, certificate: '' },
    ]);
    assert.equal(isValid(given, 'dns:test.localhost'), path && leaf.dns === 'right', `host ${what}`);
    assert.equal(isValid(given, 'dns:127.0.0.1'), path && leaf.ip === 'right', `address ${what}`);
    asked += 2;
  }
  assert.ok(asked > 600);
});
