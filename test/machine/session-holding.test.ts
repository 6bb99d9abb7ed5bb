/**
 * What a device says that it holds at the start of a channel, and what the manager makes of it. [design §5.4, P17]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromHex } from '../../protocol/bytes.ts';
import { assertTalks, bye, connect, couple, ending, GCM_128, session, talking } from '../couple.ts';

const WITHIN_MS = 10_000;

test('[P17] an end that was said peer to peer, and lost on its way to the manager, is found with the next channel', () => {
  const pair = talking();
  bye(pair.caller, pair.sid);
  pair.town.flush();
  pair.caller.state.riding.length = 0; // lost with the record that it rode on
  assert.equal(pair.town.manager.sessions.size, 1);
  pair.town.advance(1);
  pair.caller.breakLink();
  pair.town.advance(1000);
  assert.equal(pair.town.manager.sessions.size, 0);
});

test('[P17] a session that the manager does not know any more ends at the device that holds it', () => {
  const pair = talking();
  void pair.town.store.commit([{ table: 'sessions', key: pair.sid, value: null }]);
  pair.town.restartManager();
  pair.town.advance(WITHIN_MS);
  assert.equal(ending(pair.caller), 'peer-gone by manager');
  assert.deepEqual([pair.caller.state.sessions.size, pair.callee.state.sessions.size], [0, 0]);
});

test('[P17] more sessions than one message holds: none of them is taken for gone', () => {
  const pair = couple();
  const sids = Array.from({ length: 70 }, () => connect(pair));
  pair.caller.breakLink();
  pair.town.advance(WITHIN_MS);
  assert.equal(pair.town.manager.sessions.size, 70);
  assertTalks(pair, sids[0]!);
  assertTalks(pair, sids[69]!);
  assert.equal(session(pair.caller, sids[69]!).suite.cipher, GCM_128.cipher);
});

test('only a device of the session can renew it', () => {
  const pair = talking();
  const spy = pair.town.add('phone');
  spy.run((state) => {
    state.riding.push({ kind: 'Renewal', sid: fromHex(pair.sid), epoch: 1, nonce: new Uint8Array(16) });
  });
  spy.call('nobody');
  pair.town.flush();
  assert.deepEqual([session(pair.caller, pair.sid).epoch, session(pair.callee, pair.sid).epoch], [0, 0]);
  assertTalks(pair, pair.sid);
});
