/**
 * Makes grants and seals them as the manager does, with garbage collections in between, wipes the secrets and stays, so
 * that its memory can be looked at. Prints each secret inverted: no copy of its own must be found.
 * Arguments: `sealed` for the manager's way, `kept` for a secret that lies in the heap of V8; `seed`, or `key` for the
 * longest keys that any suite has.
 */
import { makeGrants } from '../../manager/grants.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { openChannel, sealMessages } from '../../protocol/channel.ts';
import { type DeviceId, EpochSeconds, Millis } from '../../protocol/units.ts';

const GRANTS = 20;
const { gc } = globalThis;
if (gc === undefined) throw new Error('usage: node --expose-gc grant-sealer.ts sealed|kept seed|key');
const [, , keeping, keyMode] = process.argv;
const crypto = nodeCrypto();
const world = { crypto, now: Millis(0), wall: EpochSeconds(0) };
const channel = openChannel(crypto, {
  masterSecret: crypto.random(32),
  masterSalt: crypto.random(8),
  suite: 0,
  authenticateOnly: false,
  role: 'responder',
  generation: 0,
});
const party = (name: string) => ({
  id: name as DeviceId,
  leaf: crypto.random(32),
  registration: crypto.random(32),
  version: 1,
  addresses: ['mqtt:km1'],
  instance: null,
  consent: null,
});

const inverted: string[] = [];
for (let round = 0; round < GRANTS; round++) {
  const terms = {
    sid: crypto.random(8),
    caller: party('switch'),
    callee: party('lamp'),
    name: 'lamp',
    about: { class: null, groups: [], user: null, purpose: null },
    call: crypto.random(16),
    nonceA: crypto.random(16),
    suite: { cipher: 'aes-ctr-hmac', keyBits: 256, hash: 'sha-512', tagBits: 128 },
    keyMode: keyMode === 'key' ? 'key' : 'seed',
    rule: 'precedence',
    decision: null,
    user: null,
    lifetimeSeconds: 60,
    route: 0,
  } as const;
  const made = makeGrants(terms, 0, crypto.random(16), world);
  // a slice of up to 64 bytes lies in the heap, where `pinned` keeps the manager's from
  const secret = keeping === 'kept' ? made.secret.slice() : made.secret;
  inverted.push(Buffer.from(secret.map((byte) => ~byte)).toString('hex'));
  gc({ type: 'minor' });
  sealMessages(crypto, channel, [{ ...made.callee, secret }]);
  gc({ type: 'minor' });
  sealMessages(crypto, channel, [{ ...made.caller, secret }]);
  secret.fill(0);
  made.secret.fill(0);
}
process.stdout.write(`${JSON.stringify(inverted)}\n`);
setInterval(() => {}, 60_000);
