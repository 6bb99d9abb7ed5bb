/**
 * A match in words: short sentences for people, the most telling first. What a refused caller is told stands in
 * `match-refusal.ts`: it may know less.
 */
import {
  type Contender,
  type Fate,
  keyLengthsOf,
  type Parting,
  type Replay,
  type RequirementName,
  type Tie,
  type Unusable,
} from './match-replay.ts';
import { type Candidate, SETTINGS, type Setting, type TablePlace } from './matching.ts';
import type { Proposal } from './messages.ts';
import { type CutAt, describeProposal, NO_PRIORITY, type Offer } from './proposal.ts';
import {
  CIPHER_ORDER,
  type Criterion,
  HASH_ORDER,
  messageBytesOf,
  type Requirement,
  type Selection,
  type Wishes,
} from './selection.ts';
import { assumedCost, cipherWeight, costOf, HASH_WEIGHT } from './suite-cost.ts';
import { type KeyMode, type Suite, strengthBits, suiteName } from './suites.ts';

/** Who it is told of, and what they registered. */
export interface Side {
  readonly name: string;
  readonly proposals: readonly Proposal[];
  /** A proposal is called by what it says, not by its place: the list comes from where places mean nothing. */
  readonly unordered?: boolean;
}

export interface Story {
  readonly caller: Side;
  readonly callee: Side;
  readonly selection: Selection;
  readonly wishes: Wishes;
  readonly replay: Replay;
}

const MAX_SENTENCES = 12;
const MAX_CHARACTERS = 300;
/** Suites that one sentence names. */
const MAX_NAMED = 5;

/** At most twelve, each of at most 300 characters; the last one counts what is left out. */
export function sentencesOf(story: Story): readonly string[] {
  const { contenders, ties, unusable } = story.replay;
  const fallen = contenders.filter(({ fate }) => fate.step !== 'chosen' && fate.step !== 'overlap');
  // each written only when there is room for it
  const all: readonly (() => string)[] = [
    () => headline(story),
    () => ruleSentence(story.selection),
    ...fallen.map((one) => () => contenderSentence(one, story)),
    ...overlapSentences(story).map((one) => () => one),
    ...ties.map((tie) => () => tieSentence(tie)),
    ...unusable.map((one) => () => unusableSentence(one, story)),
    ...partingSentences(story).map((one) => () => one),
  ];
  const room = all.length <= MAX_SENTENCES ? all.length : MAX_SENTENCES - 1;
  const told = all.slice(0, room).map((write) => shortened(write()));
  return room === all.length ? told : [...told, `And ${all.length - room} more that came less far.`];
}

/** Names and lists may be long: what stands first in a sentence tells the most. */
export function shortened(sentence: string): string {
  if (sentence.length <= MAX_CHARACTERS) return sentence;
  return `${sentence.slice(0, MAX_CHARACTERS - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}

/** `2`, or in brackets what it allows. */
export const calledProposal = ({ proposals, unordered }: Side, index: number): string =>
  unordered === true ? `(${describeProposal(proposals[index]!)})` : String(index + 1);

// ── Words ───────────────────────────────────────────────────────────────────────────────────────────────────────────

export const SETTING_WORDS: Readonly<Record<Setting, string>> = {
  cipher: 'the cipher',
  keyBits: 'the key length',
  hash: 'the hash',
  tagBits: 'the tag length',
  keyMode: 'the key mode',
  encryption: 'encryption',
  rule: 'the rule',
  retired: 'retirement',
};

export const CRITERION_WORDS: Readonly<Record<Criterion, string>> = {
  strength: 'strength',
  'key-length': 'key length',
  'cipher-lightness': 'lightness of cipher',
  'hash-lightness': 'lightness of hash',
  cost: 'cost',
  'callee-priority': "the callee's priority",
  'caller-priority': "the caller's priority",
};

const PLACE_WORDS: Readonly<Record<TablePlace, string>> = {
  cipher: 'cipher',
  'key-length': 'the shorter key',
  'hash-order': "the callee's order of hashes",
  hash: 'hash',
  tag: 'the longer tag',
  'key-mode': 'a seed before a key',
};

const CUT_WORDS: Readonly<Record<CutAt, string>> = {
  cipher: 'its cipher is not known here',
  keyBits: 'the cipher has no key of a length that it allows',
  hash: 'none of its hashes is known here',
  tagBits: 'the cipher has no tag of that length',
};

/** `a strength of at least 192 bit` */
export function requirementText(requirement: RequirementName, require: Requirement): string {
  switch (requirement) {
    case 'cipher':
      return `the cipher has to be ${orNone(require.ciphers)}`;
    case 'tag':
      return `a tag of at least ${require.minTagBits} bit`;
    case 'hash':
      return `the hash has to be ${orNone(require.hashes)}`;
    case 'strength':
      return `a strength of at least ${require.minStrengthBits} bit`;
    default:
      return requirement satisfies never;
  }
}

const orNone = (words: readonly string[]): string => (words.length === 0 ? 'none' : words.join(' or '));

/** What the suite has where a requirement looks. */
function hasText(requirement: RequirementName, suite: Suite): string {
  switch (requirement) {
    case 'cipher':
      return suite.cipher;
    case 'tag':
      return `${suite.tagBits} bit`;
    case 'hash':
      return suite.hash;
    case 'strength':
      return `${strengthBits(suite)} bit`;
    default:
      return requirement satisfies never;
  }
}

export function settingText(setting: Setting, offer: Offer): string {
  switch (setting) {
    case 'keyBits':
      return `${keyLengthsOf(offer.cipher, offer.keys).join(' or ')} bit`;
    case 'hash':
      return offer.hashes.join(' or ');
    case 'tagBits':
      return `${offer.tagBits} bit`;
    case 'keyMode':
      return offer.keyMode;
    case 'cipher':
    case 'encryption':
    case 'rule':
    case 'retired':
      return offer.cipher;
    default:
      return setting satisfies never;
  }
}

/** Of a candidate as a criterion sees it: `256 bit`, `4.1 µs on lamp (measured)`. */
export function scoreText(criterion: Criterion, { caller, callee, suite }: Candidate, story: Story): string {
  switch (criterion) {
    case 'strength':
      return `${strengthBits(suite)} bit`;
    case 'key-length':
      return `${suite.keyBits} bit`;
    case 'cipher-lightness':
      return `${cipherWeight(suite) / 1000} ns a byte`;
    case 'hash-lightness':
      return `${HASH_WEIGHT[suite.hash] / 1000} ns a block`;
    case 'cost':
      return costText(caller, callee, suite, story);
    case 'callee-priority':
      return priorityText(callee.priority);
    case 'caller-priority':
      return priorityText(caller.priority);
    default:
      return criterion satisfies never;
  }
}

const priorityText = (priority: number): string => (priority === NO_PRIORITY ? 'none' : String(priority));

/** Of the slower side, which decides. */
function costText(caller: Offer, callee: Offer, suite: Suite, story: Story): string {
  const bytes = messageBytesOf(story.selection, story.wishes);
  const sides = [
    { name: story.caller.name, cost: caller.cost },
    { name: story.callee.name, cost: callee.cost },
  ].map(({ name, cost }) => ({ name, cost, picos: costOf(cost ?? assumedCost(suite), bytes) }));
  const [ours, theirs] = sides as [(typeof sides)[0], (typeof sides)[0]];
  const slower = theirs.picos > ours.picos ? theirs : ours;
  const even = ours.picos === theirs.picos && (ours.cost === null) === (theirs.cost === null);
  return `${micros(slower.picos)} on ${even ? 'both' : slower.name} (${slower.cost === null ? 'assumed' : 'measured'})`;
}

/** Three figures: `4.12 µs`. */
const micros = (picos: number): string => `${Number((picos / 1e6).toPrecision(3))} µs`;

/** `cost at 1024 B`, or the criterion alone. */
export const criterionText = (criterion: Criterion, { selection, wishes }: Pick<Story, 'selection' | 'wishes'>) =>
  criterion === 'cost' ? `cost at ${messageBytesOf(selection, wishes)} B` : CRITERION_WORDS[criterion];

/** With the key mode where the same suite stands in both. */
export function contenderName({ suite, keyMode }: { suite: Suite; keyMode: KeyMode }, { contenders }: Replay): string {
  const name = suiteName(suite);
  const twice = contenders.some((one) => one.keyMode !== keyMode && suiteName(one.suite) === name);
  return twice ? `${name} ${keyMode}` : name;
}

/** In a column: `chosen`, `rule: strength`, `cost`, `suite table: cipher`. */
export function fateWords(fate: Fate): string {
  switch (fate.step) {
    case 'requirement':
      return `rule: ${fate.unmet.join(', ')}`;
    case 'criterion':
      return fate.criterion;
    case 'table':
      return `suite table: ${fate.place}`;
    case 'overlap':
      return fate.place === 'key-length' ? 'a shorter key does' : 'a hash before it does';
    case 'chosen':
    case 'retired':
    case 'retiring':
      return fate.step;
    default:
      return fate satisfies never;
  }
}

// ── Sentences ───────────────────────────────────────────────────────────────────────────────────────────────────────

function headline(story: Story): string {
  const { replay, selection } = story;
  const { match, contenders } = replay;
  return match.matched
    ? `${contenderName(match, replay)} is chosen: ${whyChosen(story)}${match.retiring ? '; it retires, and nothing else is common' : ''}.`
    : `No suite: ${whyNone(story, contenders[0], selection)}.`;
}

function whyChosen(story: Story): string {
  const { replay, selection, callee } = story;
  const { cause, contenders } = replay;
  const last = contenders[1];
  switch (cause.kind) {
    case 'only':
      return 'no other suite is common';
    case 'requirement':
      return `rule ${selection.name} refuses the others`;
    case 'retired':
      return 'the others are retired';
    case 'retiring':
      return 'the others retire';
    case 'overlap':
      return cause.place === 'key-length'
        ? 'the shortest key that both allow'
        : `the first in ${callee.name}'s order of hashes`;
    case 'table':
      return `it stands first in the suite table (${PLACE_WORDS[cause.place]}), before ${contenderName(last!, replay)}`;
    case 'criterion':
      return last?.fate.step === 'criterion'
        ? `${criterionText(cause.criterion, story)} ${versus(last.fate.against, last.fate.own, cause.criterion, story)} for ${contenderName(last, replay)}`
        : criterionText(cause.criterion, story);
    case 'apart':
    case 'nothing-offered':
      throw new RangeError(`a choice because of ${cause.kind}`);
    default:
      return cause satisfies never;
  }
}

const versus = (better: Candidate, worse: Candidate, criterion: Criterion, story: Story): string =>
  `${scoreText(criterion, better, story)} against ${scoreText(criterion, worse, story)}`;

function whyNone(story: Story, closest: Contender | undefined, { name, require }: Selection): string {
  const { cause, partings } = story.replay;
  switch (cause.kind) {
    case 'nothing-offered':
      return `${story[cause.side].name} offers nothing that is known here`;
    case 'requirement':
      return `rule ${name} refuses all that is common: ${requirementText(cause.requirement, require)}, and ${suiteName(closest!.suite)} has ${hasText(cause.requirement, closest!.suite)}`;
    case 'retired':
      return 'all that is common is retired';
    default:
      return partingText(partings[0]!, story);
  }
}

function partingText({ caller, callee, at }: Parting, story: Story): string {
  const [ours, theirs] = [
    `${story.caller.name}'s proposal ${calledProposal(story.caller, caller.index)}`,
    `${story.callee.name}'s ${calledProposal(story.callee, callee.index)}`,
  ];
  if (at === 'encryption')
    return `${ours} and ${theirs} agree on ${caller.cipher}, which does not encrypt and was not asked for`;
  return `${ours} and ${theirs} part at ${SETTING_WORDS[at]}: ${settingText(at, caller)} against ${settingText(at, callee)}`;
}

/** One for each setting at which pairs part, the closest first; what the rule or a retirement took is told by suite. */
function partingSentences(story: Story): readonly string[] {
  const { match, partings } = story.replay;
  return [...SETTINGS].reverse().flatMap((setting) => {
    if (setting === 'rule' || setting === 'retired') return [];
    const told = !match.matched && match.failedOn === setting ? 1 : 0;
    const [first, ...more] = partings.filter(({ at }) => at === setting).slice(told);
    if (first === undefined) return [];
    const others = more.length === 0 ? '' : ` (and ${more.length} more ${more.length === 1 ? 'pair' : 'pairs'} there)`;
    return [`${partingText(first, story)}${others}.`];
  });
}

/** `Rule office: a strength of at least 192 bit; by cost, then strength.` */
export function ruleSentence({ name, require, prefer }: Selection): string {
  const asked: RequirementName[] = [];
  if (require.minStrengthBits > 0) asked.push('strength');
  if (require.minTagBits > 0) asked.push('tag');
  if (CIPHER_ORDER.some((one) => !require.ciphers.includes(one))) asked.push('cipher');
  if (HASH_ORDER.some((one) => !require.hashes.includes(one))) asked.push('hash');
  const wants = asked.map((one) => requirementText(one, require));
  const order = prefer.map((one) => CRITERION_WORDS[one]);
  const by = order.length === 0 ? 'by the suite table' : `by ${[...order, 'the suite table'].join(', then ')}`;
  return `Rule ${name}: ${[...wants, by].join('; ')}.`;
}

/** The same suite comes out of many pairs of proposals, and is named once. */
function tieSentence({ criterion, best, near }: Tie): string {
  const names = [...new Set(near.map(({ suite }) => suiteName(suite)))];
  const named = names.slice(0, MAX_NAMED).join(', ');
  const more = names.length <= MAX_NAMED ? '' : ` and ${names.length - MAX_NAMED} more`;
  return `${CRITERION_WORDS[criterion]}: ${named}${more} ${names.length === 1 ? 'is' : 'are'} within 10 % of ${suiteName(best.suite)}: a tie.`;
}

function unusableSentence({ side, index, at }: Unusable, story: Story): string {
  const { name, proposals, unordered } = story[side];
  const place = unordered === true ? '' : `${index + 1} `;
  return `${name}'s proposal ${place}(${describeProposal(proposals[index]!)}) is passed over: ${CUT_WORDS[at]}.`;
}

/** One for the keys, one for the hashes: they are many, and all fall alike. */
function overlapSentences({ callee, replay }: Story): readonly string[] {
  return (['hash-order', 'key-length'] as const).flatMap((place) => {
    const fallen = replay.contenders.filter(({ fate }) => fate.step === 'overlap' && fate.place === place);
    const [first] = fallen;
    if (first === undefined) return [];
    const one = contenderName(first, replay);
    const who = fallen.length === 1 ? `${one} has` : `${fallen.length} suites, such as ${one}, have`;
    return place === 'key-length'
      ? [`${who} a longer key: a shorter one does, and the rule does not look at keys.`]
      : [`${who} a hash that stands later in ${callee.name}'s order, and the rule does not look at hashes.`];
  });
}

function contenderSentence(one: Contender, story: Story): string {
  const { fate } = one;
  const { replay, selection } = story;
  const name = contenderName(one, replay);
  switch (fate.step) {
    case 'requirement': {
      const [what] = fate.unmet;
      return `${name} is refused by rule ${selection.name}: ${requirementText(what!, selection.require)}, it has ${hasText(what!, one.suite)}.`;
    }
    case 'retired':
      return `${name} is retired (${fate.pattern}).`;
    case 'retiring':
      return `${name} retires (${fate.pattern}) and is taken only when nothing else is common.`;
    case 'criterion':
      return `${name} falls at ${criterionText(fate.criterion, story)}: ${scoreText(fate.criterion, fate.own, story)} against ${scoreText(fate.criterion, fate.against, story)}.`;
    case 'table':
      return `${name} ties in all criteria and stands later in the suite table (${PLACE_WORDS[fate.place]}).`;
    case 'overlap':
    case 'chosen':
      throw new RangeError(`${fate.step} is told in another place`);
    default:
      return fate satisfies never;
  }
}
