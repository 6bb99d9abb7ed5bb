/**
 * What a refused caller is told: the setting, and what it registered there itself. It need not know what the callee has, and
 * learns no more of it than that setting: the callee's list is no argument here. Which rule decided, and what that asks, depends
 * on what the callee is: it stands in the manager's log.
 */
import { utf8Length } from './bytes.ts';
import { commonTo, keyLengthsOf, REQUIREMENTS, type RequirementName, unmet } from './match-replay.ts';
import { type Match, meet, type Setting, scopeOf } from './matching.ts';
import type { Offer, OfferList } from './proposal.ts';
import type { Selection, Wishes } from './selection.ts';
import { type SuitePattern, spellSuitePattern, suiteFits } from './suite-pattern.ts';

const FAILED_ON: Readonly<Record<Setting, string>> = {
  cipher: 'the two devices have no cipher in common',
  keyBits: 'same cipher, but no key length in common',
  hash: 'same cipher and key length, but no hash in common',
  tagBits: 'same cipher, key length and hash, but no tag length in common',
  keyMode: 'same suite, but one wants the key and the other a seed',
  encryption: 'only integrity-only suites are common, and they were not asked for',
  rule: 'suites are common, and a rule of the manager refuses them',
  retired: 'the suites in common are retired',
};

/** Of the detail of a Denied. */
const MAX_BYTES = 255;

/** One line of at most 255 bytes. */
export function refusalSentence(
  caller: OfferList,
  { failedOn }: Extract<Match, { matched: false }>,
  wishes: Pick<Wishes, 'retired'>,
): string {
  const said = FAILED_ON[failedOn];
  if (failedOn === 'encryption' || failedOn === 'rule') return said;
  if (failedOn === 'retired') return fitting(said, 'of yours', ownRetired(caller, wishes));
  return fitting(said, 'you registered', ownValues(failedOn, caller));
}

/** For the manager: the last one at which a common suite fell. */
export function closestRequirement(
  caller: OfferList,
  callee: OfferList,
  selection: Selection,
  wishes: Wishes,
): RequirementName {
  let furthest = 0;
  const seen = new Set<string>(); // long lists overlap in the same few suites again and again
  const scope = scopeOf(selection, wishes);
  for (const theirs of callee.deciding) {
    for (const ours of caller.deciding) {
      const meeting = meet(ours, theirs, scope);
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

const ownRetired = ({ offers }: OfferList, { retired }: Pick<Wishes, 'retired'>): readonly string[] =>
  retired.filter((pattern) => offers.some((offer) => touches(offer, pattern))).map(spellSuitePattern);

const touches = (offer: Offer, pattern: SuitePattern): boolean =>
  offer.cipher === pattern.cipher && commonTo(offer, offer).some(({ suite }) => suiteFits(suite, pattern));

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
