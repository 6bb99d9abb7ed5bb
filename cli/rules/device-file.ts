/**
 * A device as people write it, in a file of its own or in the tests of a rules file: what the operator says of it, and its
 * proposals.
 */
import { z } from 'zod';
import type { Subject } from '../../manager/policy.ts';
import { FileFault, readBounded } from '../../platform/files.ts';
import { MAX_COST_PICOS, MAX_HASHES, MAX_KEY_LENGTHS, MAX_PROPOSALS, type Proposal } from '../../protocol/messages.ts';
import {
  describeProposal,
  type OfferList,
  offersOf,
  proposalOf,
  type WrittenProposal,
} from '../../protocol/proposal.ts';
import { HASH_WIRE } from '../../protocol/suites.ts';
import { deviceId } from '../../protocol/topics.ts';
import type { DeviceId } from '../../protocol/units.ts';
import { MAX_MESSAGE_BYTES } from '../../protocol/units.ts';
import { MAX_CONFIG_BYTES, parseConfig, textOf } from '../config-file.ts';
import { Failure } from '../failure.ts';

/** Of JSON: room to say of a list that is far too long that it is too long. */
const MAX_COUNTED_BYTES = 16 * 1024 * 1024;
const MAX_BITS = 4096;
const MAX_NS = MAX_COST_PICOS / 1000;

const bits = z.int().min(1).max(MAX_BITS);
const word = z.string().min(1).max(64);
const ns = z.number().min(0).max(MAX_NS);
export const messageBytesSchema = z.int().min(1).max(MAX_MESSAGE_BYTES);

const rangeSchema = z
  .strictObject({ min: bits.optional(), max: bits.optional() })
  .superRefine(({ min, max }, context) => {
    const fault = min === undefined || max === undefined || min <= max ? null : `min ${min} is above max ${max}`;
    if (fault !== null) context.addIssue({ code: 'custom', message: `${fault}: no key length is both` });
  });

/** Ciphers and hashes may have names that this version does not know: such proposals are passed over. */
const proposalSchema = z.strictObject({
  cipher: word,
  keyBits: z.union([bits, z.array(bits).min(1).max(MAX_KEY_LENGTHS), rangeSchema]),
  hash: z.union([word, z.array(word).min(1).max(MAX_HASHES)]),
  tagBits: z.int().min(1).max(MAX_BITS).optional(),
  keyMode: z.enum(['key', 'seed']).default('seed'),
  priority: z.int().min(1).max(1000).optional(),
  cost: z.strictObject({ nsPerOp: ns, nsPerByte: ns }).optional(),
});

const idSchema = z.string().refine((text) => deviceId(text) !== null, {
  message: 'no device id: 1 to 64 bytes, no control characters, no leading ~',
});

export const deviceSchema = z.strictObject({
  id: idSchema,
  class: word.nullable().default(null),
  groups: z.array(word).max(64).default([]),
  user: z.string().min(1).max(255).nullable().default(null),
  proposals: z.array(proposalSchema).min(1).max(MAX_PROPOSALS),
});
/** Where it has a name otherwise. */
export const namelessDeviceSchema = deviceSchema.extend({ id: idSchema.optional() });
export type WrittenDevice = z.output<typeof namelessDeviceSchema>;

export interface Device {
  readonly subject: Subject;
  readonly proposals: readonly Proposal[];
  readonly offers: OfferList;
  /** What was passed over and what looks like a slip, each once; the order of the proposals does not show. */
  readonly remarks: readonly string[];
}

/** @param name  for a device without an id of its own */
export function deviceOf(written: WrittenDevice, name: string): Device {
  const id = (written.id ?? name) as DeviceId;
  const proposals = written.proposals.map((one) => proposalOf(one as WrittenProposal));
  const offers = offersOf(proposals);
  const remarks = [...passedOverOf(id, proposals, offers), ...doublesOf(id, proposals)];
  const { class: kind, groups, user } = written;
  return { subject: { id, class: kind, groups, user }, proposals, offers, remarks: [...new Set(remarks)].sort() };
}

const WHY = {
  cipher: 'no such cipher',
  keyBits: 'the cipher has no key of such a length',
  hash: 'no such hash',
  tagBits: 'the cipher has no tag of such a length',
} as const;

function passedOverOf(id: string, proposals: readonly Proposal[], { passedOver }: OfferList): readonly string[] {
  const whole = new Set(passedOver.map(({ index }) => index));
  const unknownHashes = proposals
    .filter((_, index) => !whole.has(index))
    .flatMap((proposal) => proposal.hashes.filter((hash) => !Object.hasOwn(HASH_WIRE, hash)))
    .map((hash) => `${id}: hash ${hash}: no such hash: passed over`);
  const proposed = passedOver.map(({ index, at }) => {
    return `${id}: proposal ${describeProposal(proposals[index]!)}: ${WHY[at]}: passed over`;
  });
  return [...proposed, ...unknownHashes];
}

function doublesOf(id: string, proposals: readonly Proposal[]): readonly string[] {
  const given = proposals.map(({ priority }) => priority).filter((one) => one !== undefined);
  return given
    .filter((one, at) => given.indexOf(one) !== at)
    .map((one) => `${id}: priority ${one} is given to several proposals: among these it decides nothing`);
}

/** @throws Failure `config` with a line for each problem; FileFault */
export function readDeviceFile(path: string): Device {
  const isYaml = /\.ya?ml$/i.test(path);
  const bytes = readBounded(path, isYaml ? MAX_CONFIG_BYTES : MAX_COUNTED_BYTES);
  const text = textOf(bytes, path);
  return deviceOf(isYaml ? parseConfig(text, path, deviceSchema) : parseJsonDevice(text, bytes.length, path), '');
}

function parseJsonDevice(text: string, sizeBytes: number, path: string): WrittenDevice {
  const length = lengthOf(parseJson(text, path));
  if (length > MAX_PROPOSALS) {
    const limit = `allowed: a list from 1 to ${MAX_PROPOSALS} entries`;
    throw new Failure('usage', 'config', `${path}: proposals: ${length} of them are too many, ${limit}`);
  }
  // where it stands in the file only the YAML parser tells, which takes seconds for megabytes
  if (sizeBytes > MAX_CONFIG_BYTES) throw new FileFault('too-large', path, `more than ${MAX_CONFIG_BYTES} bytes`);
  // JSON is YAML, but for the tab between two words
  return parseConfig(text.replaceAll('\t', ' '), path, deviceSchema);
}

function lengthOf(value: unknown): number {
  const proposals = typeof value === 'object' && value !== null && 'proposals' in value ? value.proposals : undefined;
  return Array.isArray(proposals) ? proposals.length : 0;
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const [, line, column] = / \(line (\d+) column (\d+)\)$/.exec(reason) ?? [];
    const place = line === undefined ? path : `${path}:${line}:${column}`;
    throw new Failure('usage', 'config', `${place}: no valid JSON: ${reason.replace(/ \(line .*$/, '')}`);
  }
}
