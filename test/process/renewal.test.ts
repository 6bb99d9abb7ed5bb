/**
 * Real processes three weeks later, under libfaketime: certificates of thirty days are renewed by the CA of the manager;
 * kill -9 at any moment leaves a file that is good, and the renewal comes about all the same.
 */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { readCertificateFile } from '../../platform/certificate-file.ts';
import { falseClock, falseClockLibrary, setClock } from '../false-clock.ts';
import { buildHouse, type House } from '../real-house.ts';

const skip = falseClockLibrary === null ? 'libfaketime absent: apt-get install faketime' : false;
/** Two thirds of thirty days, the spread of 5 %, and a little. */
const LATER = '+22d';
const DAYS = 30;
const MANAGER = `enrolment:
  caDirectory: ca
  brokerUrl: mqtt://127.0.0.1
  trustAnchorFiles: [ca/root.pem]
  days: ${DAYS}
`;
const LONG = process.env.KAGIMORI_LONG === '1';
const KILLS = LONG ? 60 : 1;

async function houseLater(t: TestContext, lampYaml = ''): Promise<House> {
  return buildHouse(
    {
      occupants: [{ id: 'lamp', yaml: lampYaml }, { id: 'phone' }],
      managerYaml: MANAGER,
      environment: (_party, at) => {
        if (!existsSync(at('clock'))) setClock(at('clock'), LATER);
        return falseClock(at('clock'));
      },
    },
    (end) => t.after(end),
  );
}

const fileOf = (house: House, id: string): string => house.at('certificates', `${id}.chain.pem`);
const endOf = (house: House, id: string): number => readCertificateFile(fileOf(house, id))[0].notAfter;

suite('certificates that are renewed', { concurrency: true, skip }, () => {
  test('[P3] [P4] at two thirds of its life: a later end, the same key, in force at once; and files put there by hand', async (t) => {
    const house = await houseLater(t);
    const [end, key] = [endOf(house, 'lamp'), readCertificateFile(fileOf(house, 'lamp'))[0].spki];
    copyFileSync(fileOf(house, 'lamp'), house.at('before.pem'));
    const lamp = await house.admit('lamp');
    await lamp.logged('the new certificate', ({ event }) => event === 'certificate.in-force');
    const [leaf] = readCertificateFile(fileOf(house, 'lamp'));
    assert.ok(leaf.notAfter > end + 20 * 86_400);
    assert.deepEqual(leaf.spki, key);
    assert.equal(statSync(fileOf(house, 'lamp')).mode & 0o777, 0o644);
    const { certificate } = (await house.ask('lamp', 'status')) as { certificate: { ends: string; renewal: string } };
    assert.deepEqual([Date.parse(certificate.ends) / 1000, certificate.renewal], [leaf.notAfter, 'automatic']);
    await house.admit('phone');
    const { sid } = (await house.ask('phone', 'connect', { callee: 'lamp' })) as { sid: string };
    assert.ok(sid.length > 0, 'grants carry the new leaf');
    // the operator puts the one before back
    const seen = lamp.log.length;
    copyFileSync(house.at('before.pem'), fileOf(house, 'lamp'));
    for (let tries = 0; ; tries++) {
      if (lamp.log.slice(seen).some(({ event }) => event === 'certificate.in-force')) break;
      assert.ok(tries < 200, 'a file that was replaced is not followed');
      await delay(50);
    }
  });

  test('[P3] kill -9 of device and manager at any moment: the file is always good, and the renewal comes about', async (t) => {
    const house = await houseLater(t);
    copyFileSync(fileOf(house, 'lamp'), house.at('before.pem'));
    const before = readFileSync(house.at('before.pem'), 'utf8');
    const old = endOf(house, 'lamp');
    const [whole] = [performance.now()];
    await (await house.admit('lamp')).logged('the new certificate', ({ event }) => event === 'certificate.in-force');
    const took = performance.now() - whole;
    for (let n = 0; n < KILLS; n++) {
      await house.stop('lamp');
      rmSync(house.at('lamp'), { recursive: true, force: true });
      copyFileSync(house.at('before.pem'), fileOf(house, 'lamp'));
      const victim = n % 4 === 1 ? 'manager' : 'lamp';
      const starting = house.start('lamp').catch(() => null);
      await delay((took * (n + 1)) / (KILLS + 1));
      await house.stop(victim);
      await starting;
      await house.stop('lamp');
      const now = readFileSync(fileOf(house, 'lamp'), 'utf8');
      assert.ok(now === before || endOf(house, 'lamp') > old, `kill ${n}: the file before or the file after`);
      if (victim === 'manager') await house.start('manager');
      const again = await house.start('lamp');
      if (now === before) await again.logged('its renewal', ({ event }) => event === 'certificate.in-force');
      await again.logged('its registration', ({ event }) => event === 'registered');
      assert.ok(endOf(house, 'lamp') > old, `kill ${n}`);
    }
    const leftovers = readdirSync(house.at('certificates')).filter((name) => name.includes('lamp.chain.pem.'));
    assert.ok(leftovers.length <= KILLS, leftovers.join());
  });

  if (LONG) {
    test('renewal: off asks nobody', async (t) => {
      const house = await houseLater(t, 'renewal: off\n');
      const end = endOf(house, 'lamp');
      const lamp = await house.admit('lamp');
      await delay(3000);
      assert.ok(!lamp.log.some(({ event }) => event === 'certificate.in-force'));
      assert.equal(endOf(house, 'lamp'), end);
      const { certificate } = (await house.ask('lamp', 'status')) as { certificate: { renewal: string } };
      assert.equal(certificate.renewal, 'off');
    });
  }
});
