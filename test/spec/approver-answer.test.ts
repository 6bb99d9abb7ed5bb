/**
 * Answers by topic: what counts is a MAC under the approver's own key, made here by OpenSSL.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { type Approver, readAnswer } from '../../device-agent/approver-answer.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';
import { ProtocolError } from '../../protocol/errors.ts';
import type { DeviceId } from '../../protocol/units.ts';

const crypto = nodeCrypto();
const DOOR = 'door' as DeviceId;
const KEY = 'c2VjcmV0IG9mIHRoZSBwYW5lbCBhbG9uZQ';
const APPROVERS: readonly Approver[] = [
  { name: 'panel', key: encodeUtf8(KEY) },
  { name: 'phone', key: encodeUtf8('another') },
];
/** SHA-256 of the question, as the approver saw it. */
const SEEN = 'ab'.repeat(32);
const SAID = { sid: '00112233445566aa', decision: 'allow', rememberSeconds: 3600, approver: 'panel' } as const;

/** As docs/approval-topics.md tells integrators to make it. */
function macByOpenSsl(lines: readonly (string | number)[], key = KEY): string {
  const { status, stdout } = spawnSync('openssl', ['dgst', '-sha256', '-hmac', key, '-r'], {
    input: lines.join('\n'),
    encoding: 'utf8',
  });
  assert.equal(status, 0);
  return stdout.slice(0, 64);
}
const macOf = (
  { sid, decision, rememberSeconds, approver } = SAID as Record<keyof typeof SAID, string | number>,
): string => macByOpenSsl(['kagimori-approval-answer-1', DOOR, sid, decision, rememberSeconds, approver, SEEN]);
const read = (value: unknown, device = DOOR, asked: string | null = SEEN) =>
  readAnswer(
    crypto,
    device,
    APPROVERS,
    typeof value === 'string' ? encodeUtf8(value) : encodeUtf8(JSON.stringify(value)),
    () => asked,
  );
const codeOf = (act: () => unknown): string => {
  try {
    act();
    return 'taken';
  } catch (error) {
    assert.ok(error instanceof ProtocolError, String(error));
    return error.code;
  }
};

test('[P14] an answer under the approver’s key is taken as it was made by OpenSSL', () => {
  assert.deepEqual(read({ ...SAID, mac: macOf() }), SAID);
  const once = { ...SAID, rememberSeconds: 0 };
  const { rememberSeconds: _absent, ...short } = once;
  assert.deepEqual(read({ ...short, mac: macOf(once) }), once, 'not remembered when nothing is said of it');
});

test('[P14] an answer in which anything was changed, or that another key made, or for another device, does not count', () => {
  const mac = macOf();
  const changed = [
    { ...SAID, sid: '00112233445566ab' },
    { ...SAID, decision: 'refuse' },
    { ...SAID, rememberSeconds: 3601 },
    { ...SAID, approver: 'phone' },
    { ...SAID, approver: 'nobody' },
  ];
  for (const said of changed)
    assert.equal(
      codeOf(() => read({ ...said, mac })),
      'unauthenticated',
      JSON.stringify(said),
    );
  const lines = [
    'kagimori-approval-answer-1',
    DOOR,
    SAID.sid,
    SAID.decision,
    SAID.rememberSeconds,
    SAID.approver,
    SEEN,
  ];
  assert.equal(
    codeOf(() => read({ ...SAID, mac: macByOpenSsl(lines, 'another') })),
    'unauthenticated',
  );
  assert.equal(
    codeOf(() => read({ ...SAID, mac }, 'gate' as DeviceId)),
    'unauthenticated',
  );
});

test('[P14] an answer to a question that was shown otherwise does not count, nor one to a question that does not wait', () => {
  const good = { ...SAID, mac: macOf() };
  assert.equal(
    codeOf(() => read(good, DOOR, 'cd'.repeat(32))),
    'unauthenticated',
  );
  assert.equal(read(good, DOOR, null), null);
});

test('[P14] whatever else comes on the topic is refused as malformed', () => {
  const good = { ...SAID, mac: macOf() };
  const rows: unknown[] = [
    '',
    'allow',
    '[]',
    'null',
    '{"sid":',
    { ...good, more: 1 },
    { ...good, sid: 'x' },
    { ...good, sid: 7 },
    { ...good, decision: 'ask' },
    { ...good, rememberSeconds: -1 },
    { ...good, rememberSeconds: 1.5 },
    { ...good, rememberSeconds: 1e12 },
    { ...good, approver: 'a\nb' },
    { ...good, mac: good.mac.toUpperCase() },
    { ...good, mac: good.mac.slice(2) },
    JSON.stringify(good) + ' '.repeat(2048),
  ];
  for (const row of rows)
    assert.equal(
      codeOf(() => read(row)),
      'malformed',
      JSON.stringify(row),
    );
});
