/**
 * Real agents whose clock stands at 1970 or 2038 when they start, under libfaketime: the verifier tells the time; the clock
 * is set later, and is believed again.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { falseClock, falseClockLibrary, setClock } from '../false-clock.ts';
import { buildHouse, type House } from '../real-house.ts';

const skip = falseClockLibrary === null ? 'libfaketime absent: apt-get install faketime' : false;
const PINNED = 'verifierCertificateFile: certificates/verifier.chain.pem\n';
const NOT_PINNED_WAIT_MS = 3000;

/** Seconds by which the clock has to be off to stand there; libfaketime takes them as they are. */
const offsetTo = (date: string): string => {
  const off = Math.round((Date.parse(date) - Date.now()) / 1000);
  return `${off < 0 ? '-' : '+'}${Math.abs(off)}`;
};

interface Clock {
  readonly source: string;
  readonly time: string;
  readonly offsetSeconds?: number;
}

async function clockOf(house: House, id: string): Promise<Clock> {
  const { clock } = (await house.ask(id, 'status')) as unknown as { clock: Clock };
  return clock;
}

const houseFor = (end: (act: () => Promise<void>) => void): Promise<House> =>
  buildHouse(
    {
      occupants: [
        { id: 'lamp', yaml: PINNED },
        { id: 'horn', yaml: '' },
        { id: 'phone', yaml: PINNED },
      ],
      environment: (party, at) => (party === 'lamp' || party === 'horn' ? falseClock(at(`${party}.clock`)) : {}),
    },
    end,
  );

const LONG = process.env.KAGIMORI_LONG === '1';

suite('a clock that stands wrong at boot', { concurrency: true, skip }, () => {
  for (const date of LONG ? ['1970-01-02T00:00:00Z', '2038-01-10T00:00:00Z'] : ['1970-01-02T00:00:00Z']) {
    test(`[P3] ${date}: a device logs in, registers, connects; the clock is set, and is believed again`, async (t) => {
      const house = await houseFor((act) => t.after(act));
      setClock(house.at('lamp.clock'), offsetTo(date));
      const lamp = await house.admit('lamp');
      const said = await lamp.logged('the clock', ({ event }) => event === 'clock.wrong');
      assert.match(String(said.clock), new RegExp(date.slice(0, 4)));
      const told = await clockOf(house, 'lamp');
      assert.equal(told.source, 'verifier');
      assert.ok(Math.abs(Date.parse(told.time) - Date.now()) < 15_000, told.time);
      await house.admit('phone');
      assert.equal((await clockOf(house, 'phone')).source, 'system');
      const { sid } = (await house.ask('phone', 'connect', { callee: 'lamp' })) as { sid: string };
      assert.ok(sid.length > 0);
      // again from its disk
      await house.stop('lamp');
      await house.admit('lamp');
      setClock(house.at('lamp.clock'), '+0');
      await house.ask('lamp', 'register');
      assert.equal((await clockOf(house, 'lamp')).source, 'system');
    });

    if (!LONG) continue;
    test(`${date}: without a pinned verifier key the log says what to do, and with the clock the device comes in`, async (t) => {
      const house = await houseFor((act) => t.after(act));
      setClock(house.at('horn.clock'), offsetTo(date));
      const horn = await house.start('horn');
      const failed = await horn.logged('why it is not let in', ({ event }) => event === 'login.failed');
      assert.match(String(failed.why), /check this device's clock, or name verifierCertificateFile/);
      await delay(NOT_PINNED_WAIT_MS);
      assert.ok(!horn.log.some(({ event }) => event === 'registered'));
      setClock(house.at('horn.clock'), '+0');
      await horn.logged('its registration', ({ event }) => event === 'registered');
    });
  }
});
