/**
 * What would change a match: small changes to a list, the rule or the wishes. Each is made and the match run again; a change
 * that changes nothing is not told.
 */
import { type Contender, keyLengthsOf, type Parting, type Replay, type RequirementName } from './match-replay.ts';
import {
  CRITERION_WORDS,
  calledProposal,
  fateWords,
  requirementText,
  type Side,
  shortened,
} from './match-sentences.ts';
import { type Match, match } from './matching.ts';
import type { Proposal } from './messages.ts';
import { type Offer, type OfferList, offersOf } from './proposal.ts';
import type { Criterion, Requirement, Selection, Wishes } from './selection.ts';
import { spellSuitePattern } from './suite-pattern.ts';
import { type KeyMode, type Suite, sameSuite, strengthBits, suiteName } from './suites.ts';

/** Everything that a match depends on. */
export interface Question {
  readonly caller: Side;
  readonly callee: Side;
  readonly selection: Selection;
  readonly wishes: Wishes;
}

export interface Hint {
  /** What follows on "if": `lamp's proposal 2 also allowed 256 bit`. */
  readonly change: string;
  /** With that change made. */
  readonly question: Question;
  readonly match: Match;
  /** Of what comes second: what made it so. */
  readonly note?: string;
}

/** For people: `If lamp's proposal 2 also allowed 256 bit: aes-gcm-256 sha-256 tag 128.` */
export function hintSentence({ change, match, note }: Hint): string {
  const retiring = match.matched && match.retiring ? ', which retires' : '';
  const second = note === undefined ? '' : `, which comes second (${note})`;
  return shortened(
    `If ${change}: ${match.matched ? `${suiteName(match.suite)}${retiring}${second}` : 'no suite at all'}.`,
  );
}

const MAX_HINTS = 6;
/** Of the pairs that came closest; more of them say the same. */
const MAX_PAIRS = 64;

/**
 * Pairs of proposals that all matches for one explanation may look at: two lists of 16 against each other 64 times, the
 * longest that there are four times.
 */
const MAX_WORK = 16_384;

/** What has been spent, and lists that were read already. */
interface Effort {
  work: number;
  readonly read: Map<readonly Proposal[], OfferList>;
}

export function hintsOf(question: Question, replay: Replay): readonly Hint[] {
  const effort: Effort = { work: 0, read: new Map() };
  const tried = replay.match.matched ? ifMatched(question, replay, effort) : ifNone(question, replay, effort);
  const told = new Map<string, Hint>();
  for (const hint of tried) {
    if (differs(replay.match, hint.match) && !told.has(hint.change)) told.set(hint.change, hint);
    if (told.size >= MAX_HINTS || effort.work >= MAX_WORK) break;
  }
  return [...told.values()];
}

function run({ caller, callee, selection, wishes }: Question, effort: Effort): Match {
  const [ours, theirs] = [read(caller.proposals, effort), read(callee.proposals, effort)];
  effort.work += ours.deciding.length * theirs.deciding.length;
  return match(ours, theirs, selection, wishes);
}

function read(proposals: readonly Proposal[], { read }: Effort): OfferList {
  const known = read.get(proposals);
  if (known !== undefined) return known;
  const list = offersOf(proposals);
  read.set(proposals, list);
  return list;
}

/** Another suite, or none, or one where none was; another reason for none is no change. */
const differs = (before: Match, after: Match): boolean =>
  before.matched !== after.matched ||
  (before.matched &&
    after.matched &&
    (suiteName(before.suite) !== suiteName(after.suite) || before.keyMode !== after.keyMode));

const hint = (change: string, question: Question, effort: Effort): Hint => ({
  change,
  question,
  match: run(question, effort),
});

// ── Where nothing matched ───────────────────────────────────────────────────────────────────────────────────────────

function* ifNone(question: Question, replay: Replay, effort: Effort): Iterable<Hint> {
  const { match: found, partings } = replay;
  if (found.matched) return;
  const { failedOn } = found;
  if (failedOn === 'encryption') {
    const wishes = { ...question.wishes, allowUnencrypted: true };
    yield hint('suites that do not encrypt were asked for', { ...question, wishes }, effort);
    return;
  }
  if (failedOn === 'rule') return yield* ifRuleWere(question, replay, effort);
  if (failedOn === 'retired') return yield* ifNotRetired(question, replay, 'retired', effort);
  const closest = partings.filter(({ at }) => at === failedOn).slice(0, MAX_PAIRS);
  if (failedOn === 'cipher') return yield* ifRegisteredToo(question, effort);
  yield* nearest(question, closest, 'caller', effort);
  yield* nearest(question, closest, 'callee', effort);
}

/** One side adds what the other has registered. */
function* ifRegisteredToo(question: Question, effort: Effort): Iterable<Hint> {
  const { caller, callee } = question;
  const borrow = (from: Side, to: Side, side: 'caller' | 'callee'): readonly Hint[] => {
    for (const [index, one] of from.proposals.entries()) {
      const { priority: _priority, cost: _cost, ...bare } = one;
      const added = { ...to, proposals: [...to.proposals, bare] };
      if (effort.work >= MAX_WORK) return [];
      if (!alone(question, side, bare, effort).matched) continue;
      return [
        hint(
          `${to.name} also registered ${from.name}'s proposal ${calledProposal(from, index)}`,
          { ...question, [side]: added },
          effort,
        ),
      ];
    }
    return [];
  };
  yield* borrow(callee, caller, 'caller');
  yield* borrow(caller, callee, 'callee');
}

/** One side gives way in one of the closest pairs, in as few settings as that takes. */
function nearest(
  question: Question,
  pairs: readonly Parting[],
  side: 'caller' | 'callee',
  effort: Effort,
): readonly Hint[] {
  const { name, proposals } = question[side];
  const ways = pairs.flatMap((pair) => {
    const [own, other] = side === 'caller' ? [pair.caller, pair.callee] : [pair.callee, pair.caller];
    const given = proposals[own.index]!;
    const wanted = question[side === 'caller' ? 'callee' : 'caller'].proposals[other.index]!;
    const found = alone(question, side, widened(given, wanted), effort);
    return found.matched ? [{ index: own.index, ...narrowed(given, own, found.suite, found.keyMode) }] : [];
  });
  const least = Math.min(...ways.map(({ words }) => words.length));
  const way = ways.find(({ words }) => words.length === least);
  if (way === undefined) return [];
  const changed = { ...question[side], proposals: proposals.with(way.index, way.proposal) };
  return [
    hint(
      `${name}'s proposal ${calledProposal(question[side], way.index)} ${way.words.join(' and ').replaceAll('and also allowed', 'and')}`,
      { ...question, [side]: changed },
      effort,
    ),
  ];
}

/** Where nothing matched, a changed proposal matches with the whole list as it does by itself. */
const alone = (question: Question, side: 'caller' | 'callee', proposal: Proposal, effort: Effort): Match =>
  run({ ...question, [side]: { ...question[side], proposals: [proposal] } }, effort);

/** With everything that the other allows. */
function widened(given: Proposal, wanted: Proposal): Proposal {
  const { cipher, tagBits, keyMode } = wanted;
  return { cipher, hashes: [...new Set([...given.hashes, ...wanted.hashes])], tagBits, keyMode };
}

/** With what one suite takes, and nothing more. */
function narrowed(
  given: Proposal,
  own: Offer,
  suite: Suite,
  keyMode: KeyMode,
): { readonly proposal: Proposal; readonly words: readonly string[] } {
  const words: string[] = [];
  let proposal = given;
  const lengths = keyLengthsOf(own.cipher, own.keys);
  if (!lengths.includes(suite.keyBits)) {
    proposal = { ...proposal, keyBits: [...lengths, suite.keyBits], minKeyBits: undefined, maxKeyBits: undefined };
    words.push(`also allowed ${suite.keyBits} bit`);
  }
  if (!own.hashes.includes(suite.hash)) {
    proposal = { ...proposal, hashes: [...own.hashes, suite.hash] };
    words.push(`also allowed ${suite.hash}`);
  }
  if (own.tagBits !== suite.tagBits) {
    proposal = { ...proposal, tagBits: suite.tagBits };
    words.push(`had a tag of ${suite.tagBits} bit`);
  }
  if (own.keyMode !== keyMode) {
    proposal = { ...proposal, keyMode };
    words.push(`wanted a ${keyMode}`);
  }
  return { proposal, words };
}

// ── The rule, and retirements ───────────────────────────────────────────────────────────────────────────────────────

/** The rule asks less: of one requirement where one alone stands in the way of something, else of all that one suite takes. */
function* ifRuleWere(question: Question, { contenders }: Replay, effort: Effort): Iterable<Hint> {
  const { selection } = question;
  const lacks = contenders
    .flatMap(({ suite, fate }) => (fate.step === 'requirement' ? [{ suite, failed: fate.unmet }] : []))
    .sort((a, b) => strengthBits(b.suite) - strengthBits(a.suite) || b.suite.tagBits - a.suite.tagBits);
  const fewest = Math.min(...lacks.map(({ failed }) => failed.length));
  const told = new Set<string>();
  for (const { suite, failed } of lacks) {
    const values = failed.map((one) => (one === 'cipher' ? suite.cipher : one === 'hash' ? suite.hash : one)).join(' ');
    if (failed.length > fewest || told.has(values)) continue;
    told.add(values);
    const require = failed.reduce((now, one) => loosened(now, one, suite), selection.require);
    const words = failed.map((one) => asksLess(one, require, suite)).join(' and ');
    yield hint(`rule ${selection.name} ${words}`, { ...question, selection: { ...selection, require } }, effort);
  }
}

function loosened(require: Requirement, requirement: RequirementName, suite: Suite): Requirement {
  switch (requirement) {
    case 'cipher':
      return { ...require, ciphers: [...require.ciphers, suite.cipher] };
    case 'hash':
      return { ...require, hashes: [...require.hashes, suite.hash] };
    case 'tag':
      return { ...require, minTagBits: suite.tagBits };
    case 'strength':
      return { ...require, minStrengthBits: strengthBits(suite) };
    default:
      return requirement satisfies never;
  }
}

function asksLess(requirement: RequirementName, require: Requirement, suite: Suite): string {
  if (requirement === 'cipher') return `also allowed ${suite.cipher}`;
  if (requirement === 'hash') return `also allowed ${suite.hash}`;
  return `asked for ${requirementText(requirement, require)} only`;
}

/** The best of what is on its way out, or out already, stays. */
function* ifNotRetired(
  question: Question,
  { contenders }: Replay,
  step: 'retired' | 'retiring',
  effort: Effort,
): Iterable<Hint> {
  const patterns = new Set(contenders.flatMap(({ fate }) => (fate.step === step ? [fate.pattern] : [])));
  for (const pattern of patterns) {
    const left = question.wishes[step].filter((one) => spellSuitePattern(one) !== pattern);
    const words = step === 'retired' ? 'were not retired' : 'did not retire';
    yield hint(`${pattern} ${words}`, { ...question, wishes: { ...question.wishes, [step]: left } }, effort);
  }
}

// ── Where something matched ─────────────────────────────────────────────────────────────────────────────────────────

const isThis = (one: Pick<Contender, 'suite' | 'keyMode'>, { suite, keyMode }: typeof one): boolean =>
  sameSuite(one.suite, suite) && one.keyMode === keyMode;

const TRIED_BYTES = [64, 1024, 16_384];

function* ifMatched(question: Question, replay: Replay, effort: Effort): Iterable<Hint> {
  const { match: found, cause } = replay;
  if (!found.matched) return;
  const { selection, wishes } = question;
  const withPrefer = (prefer: readonly Criterion[]): Question => ({ ...question, selection: { ...selection, prefer } });
  const pattern = { ...found.suite };
  const without = { ...wishes, retired: [...wishes.retired, pattern] };
  const second = hint(`${suiteName(found.suite)} were not there`, { ...question, wishes: without }, effort);
  const fell = replay.contenders.find((one) => second.match.matched && isThis(one, second.match));
  yield fell === undefined ? second : { ...second, note: fateWords(fell.fate) };
  if (cause.kind === 'criterion') {
    const prefer = selection.prefer.filter((one) => one !== cause.criterion);
    yield hint(`rule ${selection.name} did not go by ${CRITERION_WORDS[cause.criterion]}`, withPrefer(prefer), effort);
  }
  const [callee, caller] = [selection.prefer.indexOf('callee-priority'), selection.prefer.indexOf('caller-priority')];
  if (callee >= 0 && caller >= 0) {
    const prefer = selection.prefer.with(callee, 'caller-priority').with(caller, 'callee-priority');
    yield hint(`the ${callee < caller ? 'caller' : 'callee'}'s priorities came first`, withPrefer(prefer), effort);
  }
  if (selection.prefer.includes('cost')) {
    for (const messageBytes of TRIED_BYTES) {
      const sized = { ...question, selection: { ...selection, messageBytes } };
      yield hint(`messages had ${messageBytes} B`, sized, effort);
    }
  }
  yield* ifNotRetired(question, replay, 'retiring', effort);
  yield* ifRuleWere(question, replay, effort);
}
