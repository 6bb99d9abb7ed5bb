/**
 * What a refused caller is told: the setting, and what it registered there itself. It need not know what the callee has, and
 * learns no more of it than that setting.
 */
import { utf8Length } from './bytes.ts';
import { commonTo, keyLengthsOf, REQUIREMENTS, type RequirementName, unmet } from './match-replay.ts';
import { requirementText } from './match-sentences.ts';
import { type Match, meet, type Setting } from './matching.ts';
import type { Offer, OfferList } from './proposal.ts';
import type { Selection, Wishes } from './selection.ts';
import { spellSuitePattern, suiteFits } from './suite-pattern.ts';

const FAILED_ON: Readonly<Record<Setting, string>> = {
  cipher: 'the two devices have no cipher in common',
  keyBits: 'same cipher, but no key length in common',
  hash: 'same cipher and key length, but no hash in common',
  tagBits: 'same cipher, key length and hash, but no tag length in common',
  keyMode: 'same suite, but one wants the key and the other a seed',
  encryption: 'only integrity-only suites are common, and they were not asked for',
  rule: 'suites are common, and none is as the rule requires',
  retired: 'the suites in common are retired',
};

/** Of the detail of a Denied. */
const MAX_BYTES = 255;

/** One line of at most 255 bytes. @param refused of the match of these two */
export function refusalSentence(
  caller: OfferList,
  callee: OfferList,
  refused: Extract<Match, { matched: false }>,
  selection: Selection,
  wishes: Wishes,
): string {
  const said = FAILED_ON[refused.failedOn];
  const { failedOn } = refused;
  if (failedOn === 'encryption') return said;
  if (failedOn === 'rule') {
    const requirement = closestRequirement(caller, callee, selection, wishes);
    const wants = `${said}: ${selection.name}: ${requirementText(requirement, selection.require)}`;
    return fitting(wants, 'you registered', ownValues(REQUIRED_SETTING[requirement], caller));
  }
  if (failedOn === 'retired') return fitting(said, 'of yours', ownRetired(caller, wishes));
  return fitting(said, 'you registered', ownValues(failedOn, caller));
}

const REQUIRED_SETTING: Readonly<Record<RequirementName, Setting>> = {
  cipher: 'cipher',
  tag: 'tagBits',
  hash: 'hash',
  strength: 'keyBits',
};

/** The last one at which a common suite fell. */
function closestRequirement(
  caller: OfferList,
  callee: OfferList,
  selection: Selection,
  wishes: Wishes,
): RequirementName {
  let furthest = 0;
  const seen = new Set<string>(); // long lists overlap in the same few suites again and again
  for (const theirs of callee.offers) {
    for (const ours of caller.offers) {
      const meeting = meet(ours, theirs, selection, wishes);
      if (!('apart' in meeting) || meeting.apart !== 'rule') continue;
      const overlap = `${ours.cipher} ${ours.keys & theirs.keys} ${ours.hashMask & theirs.hashMask} ${ours.tagBits}`;
      if (seen.has(overlap)) continue;
      seen.add(overlap);
      for (const { suite } of commonTo(ours, theirs)) {
        const [first] = unmet(suite, selection.require);
        if (first !== undefined) furthest = Math.max(furthest, REQUIREMENTS.indexOf(first));
      }
    }
  }
  return REQUIREMENTS[furthest]!;
}

/** Of all its proposals: of those alone that came close it could tell what the callee has. */
function ownValues(setting: Setting, { offers }: OfferList): readonly string[] {
  const values = offers.flatMap((offer) => valuesOf(setting, offer));
  return [...new Set(values)].sort((a, b) => Number(a) - Number(b) || 0).map(String);
}

function valuesOf(setting: Setting, offer: Offer): readonly (string | number)[] {
  if (setting === 'keyBits') return keyLengthsOf(offer.cipher, offer.keys);
  if (setting === 'hash') return offer.hashes;
  if (setting === 'tagBits') return [offer.tagBits];
  return [setting === 'keyMode' ? offer.keyMode : offer.cipher];
}

const ownRetired = ({ offers }: OfferList, { retired }: Wishes): readonly string[] =>
  retired
    .filter((pattern) => offers.some((offer) => commonTo(offer, offer).some(({ suite }) => suiteFits(suite, pattern))))
    .map(spellSuitePattern);

/** As many values as there is room for. */
function fitting(said: string, lead: string, values: readonly string[]): string {
  if (values.length === 0) return cut(`${said}: you registered none that is known here`);
  for (let count = values.length; count > 0; count--) {
    const more = count < values.length ? `, and ${values.length - count} more` : '';
    const line = `${said}; ${lead} ${values.slice(0, count).join(', ')}${more}`;
    if (utf8Length(line) <= MAX_BYTES) return line;
  }
  return cut(said);
}

function cut(line: string): string {
  if (utf8Length(line) <= MAX_BYTES) return line;
  const characters = [...line];
  while (utf8Length(`${characters.join('')}…`) > MAX_BYTES) characters.pop();
  return `${characters.join('')}…`;
}
