/**
 * Verdicts and revocation events bent in every way: none is taken that is not the verifier's, of now, about what was asked.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EpochSeconds } from '../../protocol/units.ts';
import { RevocationEvent, Verdict } from '../../protocol/verifier-messages.ts';
import { BYTES, cborTree } from './cbor-tree.ts';
import { assertSound, isLong, LONG, type Offence, runMutations } from './mutations.ts';
import { eventStructure, honestVerdictJudge, type VerdictJudge, verdictStructure } from './verdict-mutants.ts';

const SEED = 'verdicts 1';

for (const structure of [verdictStructure(honestVerdictJudge), eventStructure(honestVerdictJudge)]) {
  test(`the honest ${structure.name} is taken, and the second judge agrees`, () => {
    const mutant = { what: 'nothing', signedAnew: false, bytes: structure.honest[0]! };
    assert.equal(structure.judge(mutant), 'accepted');
    assert.equal(structure.objection(mutant, 'accepted'), null);
  });

  test(
    `[P4] [5.6 parser differences] bent ${structure.name}s: read or refused with a reason, none believed unsigned, none beyond the work limit`,
    LONG,
    (t) => {
      assertSound(t, runMutations(structure, SEED, isLong ? 9_000 : 600));
    },
  );
}

/** What is signed, and whoever signed it. */
function payloadOf(bytes: Uint8Array): Uint8Array {
  const payload = cborTree(bytes).children?.[2];
  return payload?.major === BYTES ? payload.content : new Uint8Array(0);
}

const checkingVerdicts = (checkVerdict: VerdictJudge['checkVerdict']): VerdictJudge => ({
  ...honestVerdictJudge,
  checkVerdict,
});
const { checkVerdict, checkEvent } = honestVerdictJudge;
const FOREVER = 2 ** 32;

/** Each skips one check, as a careless change could; the run has to notice. */
const CARELESS: Readonly<Record<string, readonly [Offence, VerdictJudge]>> = {
  'signatures are not checked': [
    'believed without signature',
    checkingVerdicts((own, bytes, expected) => checkVerdict({ ...own, verify: () => true }, bytes, expected)),
  ],
  'the purpose is not looked at': [
    'second judge objects',
    checkingVerdicts((own, bytes, expected) => {
      const { purpose } = peek(bytes) ?? expected;
      return checkVerdict(own, bytes, { ...expected, purpose });
    }),
  ],
  'the leaf is not looked at': [
    'second judge objects',
    checkingVerdicts((own, bytes, expected) => {
      const leafSha256 = peek(bytes)?.leaf ?? expected.leafSha256;
      return checkVerdict(own, bytes, { ...expected, leafSha256 });
    }),
  ],
  'the nonce is not looked at': [
    'second judge objects',
    checkingVerdicts((own, bytes, expected) => checkVerdict(own, bytes, { ...expected, nonce: null })),
  ],
  'the time is not looked at': [
    'second judge objects',
    checkingVerdicts((own, bytes, expected) => checkVerdict(own, bytes, { ...expected, now: null })),
  ],
  'a reader throws what nobody expects': [
    'threw',
    checkingVerdicts((own, bytes, expected) => {
      Verdict.decode(payloadOf(bytes));
      return checkVerdict(own, bytes, expected);
    }),
  ],
};

function peek(bytes: Uint8Array): Verdict | null {
  try {
    return Verdict.decode(payloadOf(bytes));
  } catch {
    return null;
  }
}

const CARELESS_OF_EVENTS: Readonly<Record<string, readonly [Offence, VerdictJudge]>> = {
  'signatures are not checked': [
    'believed without signature',
    { ...honestVerdictJudge, checkEvent: (_, bytes) => RevocationEvent.decode(payloadOf(bytes)) },
  ],
  'the time is not looked at': [
    'second judge objects',
    {
      ...honestVerdictJudge,
      checkEvent: (own, bytes, expected) =>
        checkEvent(own, bytes, { ...expected, now: EpochSeconds(0), maxClockSkew: FOREVER }),
    },
  ],
  'one signature is checked again and again': [
    'too much work',
    {
      ...honestVerdictJudge,
      checkEvent: (own, bytes, expected) => [1, 2, 3].map(() => checkEvent(own, bytes, expected))[0]!,
    },
  ],
};

for (const [make, careless] of [
  [verdictStructure, CARELESS],
  [eventStructure, CARELESS_OF_EVENTS],
] as const) {
  for (const [what, [offence, judge]] of Object.entries(careless)) {
    const structure = make(judge);
    test(`the run catches a judge of ${structure.name}s so careless that ${what}`, (t) => {
      const { caught } = runMutations(structure, SEED, 300);
      const count = caught.filter((one) => one.offence === offence).length;
      t.diagnostic(`${structure.name}: ${what}: ${count} cases, ${offence}`);
      assert.ok(count > 0);
    });
  }
}
