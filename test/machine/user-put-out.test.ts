/**
 * A user whom the manager puts out: the device hears why, and what stays the same is said once.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { userLeaves } from '../../manager/user-leaving.ts';
import { EXTENDED_KEY_USAGE } from '../../protocol/certificate.ts';
import type { Reason } from '../../protocol/message-values.ts';
import { certify, DEVICE_WISHES } from '../test-authority.ts';
import { town } from '../town.ts';
import type { TownDevice } from '../town-plan.ts';

const USER_WISHES = { ...DEVICE_WISHES, extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriUser] };

function scene() {
  const t = town();
  const [lamp, tv, radio] = ['lamp', 'tv', 'radio'].map((name) => t.add(name)) as [TownDevice, TownDevice, TownDevice];
  return { t, lamp, tv, radio, anna: certify('anna', USER_WISHES, t.ca) };
}
const step = (device: TownDevice) => [...device.state.users.here.values()][0]?.step;
const said = (device: TownDevice, level: string): number =>
  device.logs.filter((line) => line.startsWith(`${level} user.refused`)).length;

for (const [reason, put] of [
  ['revoked', (t, holder) => t.revoke(holder)],
  [
    'withdrawn',
    (t) =>
      t.runManager((manager) => {
        for (const leaf of [...manager.users.at.keys()]) userLeaves(manager, leaf, 'withdrawn', t.world());
      }),
  ],
] as const satisfies readonly (readonly [Reason, (t: ReturnType<typeof town>, holder: never) => void])[]) {
  test(`[P21] a user who is put out (${reason}): the device says why, its session is over, and the medium is not tried again`, () => {
    const { t, lamp, tv, anna } = scene();
    tv.insert(anna);
    lamp.call('user:anna');
    t.flush();
    assert.equal(lamp.state.sessions.size, 1);
    put(t, anna as never);
    t.flush();
    assert.deepEqual(step(tv), { name: 'refused', reason, detail: 'the manager has put the user out', final: true });
    assert.equal(tv.latest('userRefused')?.reason, reason);
    assert.equal(lamp.state.sessions.size + tv.state.sessions.size, 0);
    t.advance(700_000);
    assert.equal(step(tv)?.name, 'refused');
    assert.equal(said(tv, 'warn'), 1);
  });
}

test('[P21] a medium that is in another device is refused again and again, ever more rarely, and told of once', () => {
  const { t, tv, radio, anna } = scene();
  tv.insert(anna);
  radio.insert(anna);
  t.advance(3_600_000);
  assert.equal(said(radio, 'warn'), 1);
  assert.equal(radio.news.filter(({ news }) => news === 'userRefused').length, 1);
  const tries = said(radio, 'debug');
  assert.ok(tries > 5 && tries < 25, `${tries} tries in an hour`);
  tv.pull(anna);
  t.advance(310_000);
  assert.equal(step(radio)?.name, 'here', 'in the end it gets its turn');
});

test('a login that is denied for the same reason is an error once an hour', () => {
  const t = town();
  const lamp = t.add('lamp');
  t.revoke(lamp.holder);
  t.advance(3_500_000);
  const errors = (): number => lamp.logs.filter((line) => line.startsWith('error login.denied')).length;
  assert.equal(errors(), 1);
  assert.ok(
    lamp.logs.filter((line) => line.startsWith('debug login.denied')).length > 20,
    'it was tried all the while',
  );
  t.advance(3_600_000);
  assert.equal(errors(), 2);
});
