/**
 * Topic names of the wire: one spelling for each id, every other refused. @spec design §5.1
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeId, deviceId, encodeId, MANAGER, type Place, topicsUnder } from '../../protocol/topics.ts';
import { type DeviceId, LinkId } from '../../protocol/units.ts';

const topics = topicsUnder();
const A = 'router-1' as DeviceId;
const B = 'Küche/tv+#' as DeviceId;
const LINK = LinkId('z'.repeat(20));

test('[B1] every place of the wire has one topic, and is read back from it', () => {
  const rows: [topic: string, spelt: string, place: Place][] = [
    [
      topics.toManager({ kind: 'device', id: A }),
      'km1/m/router-1',
      { kind: 'to-manager', from: { kind: 'device', id: A } },
    ],
    [
      topics.toManager({ kind: 'link', link: LINK }),
      `km1/m/~${LINK}`,
      { kind: 'to-manager', from: { kind: 'link', link: LINK } },
    ],
    [
      topics.toDevice({ kind: 'device', id: B }),
      'km1/d/K%C3%BCche%2Ftv%2B%23',
      { kind: 'to-device', to: { kind: 'device', id: B } },
    ],
    [topics.peer(A, B), 'km1/p/router-1/K%C3%BCche%2Ftv%2B%23', { kind: 'peer', to: A, from: B }],
    [topics.verifierQuestion(A), 'km1/v/q/router-1', { kind: 'verifier-question', asker: A }],
    [topics.verifierAnswer(MANAGER), 'km1/v/a/~manager', { kind: 'verifier-answer', asker: MANAGER }],
    [topics.verifierEvents, 'km1/v/e', { kind: 'verifier-event' }],
    [topics.controlRequests, 'km1/c/q', { kind: 'control-request' }],
    [topics.controlReports, 'km1/c/a', { kind: 'control-report' }],
  ];
  for (const [topic, spelt, place] of rows) {
    assert.equal(topic, spelt);
    assert.deepEqual(topics.parse(topic), place);
  }
});

test('[B1] a topic outside the wire is none', () => {
  const outside = [
    '',
    'km1',
    'km1/m',
    'km1/m/',
    'km2/m/a',
    'km1/x/a',
    'km1/m/a/b',
    'km1/p/a',
    'km1/p/a/b/c',
    'km1/m/~short',
  ];
  for (const topic of [...outside, 'km1/v/q', 'km1/v/x/a', 'km1/c/x', 'km1/p/~manager/a', '/km1/m/a', 'km1/m/a/'])
    assert.equal(topics.parse(topic), null, topic);
});

test('[5.6 parser differences] an id has one spelling in a topic: a second one is refused', () => {
  for (const id of [A, B, 'a b', '100%', 'ü', '日本', '.', '..', '$SYS'] as DeviceId[])
    assert.equal(decodeId(encodeId(id)), id);
  const others = ['%41', '%c3%BC', '%C3', '%', '%4', '%zz', 'K%C3%BCche/tv', 'ü', 'a b', '%00', '%7Ea', 'e%CC%81', ''];
  for (const spelt of others) assert.equal(decodeId(spelt), null, spelt);
});

test('an id is 1 to 64 bytes of UTF-8 in NFC, without control characters or a leading tilde', () => {
  for (const text of ['', '~a', 'a\n', '\u0085', 'e\u0301', 'ü'.repeat(33), 'x'.repeat(65)])
    assert.equal(deviceId(text), null);
  for (const text of ['a', 'x'.repeat(64), 'ü'.repeat(32), 'a~']) assert.equal(deviceId(text), text);
});

test('the root is configurable, without slashes and wildcards', () => {
  assert.equal(topicsUnder('home').toManager({ kind: 'device', id: A }), 'home/m/router-1');
  for (const root of ['', 'a/b', '+', '#', '$SYS', 'a b', 'x'.repeat(33)])
    assert.throws(() => topicsUnder(root), RangeError);
});
