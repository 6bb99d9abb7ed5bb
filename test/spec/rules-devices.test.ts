/**
 * The devices that stand in a rules file for its tests: what of them is warned about.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRules } from '../../cli/rules/loaded-rules.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';

const load = (text: string) => parseRules(encodeUtf8(text), 'r.yaml', nodeCrypto());

test('[P19] a device of the file with a cipher that nobody knows, or the same priority twice, is warned about with its place', () => {
  const proposals = ['aes-gmc', 'aes-gcm'].map(
    (cipher) => `{ cipher: ${cipher}, keyBits: 128, hash: sha-256, priority: 1 }`,
  );
  const { warnings } = load(`default: {}\ndevices:\n  a: { proposals: [${proposals.join(', ')}] }\n`);
  assert.deepEqual(warnings, [
    'r.yaml:3:6: a: priority 1 is given to several proposals: among these it decides nothing',
    'r.yaml:3:6: a: proposal aes-gmc 128 bit, sha-256, tag longest, seed: no such cipher: passed over',
  ]);
});
