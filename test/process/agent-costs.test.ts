/**
 * A real agent measures its suites at its first start, keeps what it found, and registers it.
 */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { test } from 'node:test';
import { readCpuFeatures } from '../../hardware/cpu-features.ts';
import { buildHouse, type House } from '../real-house.ts';

interface Status {
  readonly registration: {
    readonly proposals: readonly { readonly nsPerOp: number | null; readonly nsPerByte: number | null }[];
  };
  readonly costs: {
    readonly measured: string;
    readonly instructions: string[] | null;
    readonly openSslMask: string | null;
  };
}

const MASK = '~0x200000200000000';

const statusOf = async (house: House, id: string): Promise<Status> =>
  (await house.ask(id, 'status')) as unknown as Status;

test('[B4] an agent registers what its suites cost it, measured once in less than 100 ms of CPU, and again after a change', async (t) => {
  const environment: NodeJS.ProcessEnv = {};
  const house = await buildHouse(
    {
      occupants: [{ id: 'lamp' }, { id: 'plain', yaml: 'measureCosts: false\n' }],
      environment: () => environment,
    },
    (end) => t.after(end),
  );
  const [first] = await Promise.all([house.admit('lamp'), house.admit('plain')]);
  const measured = await first.logged('costs.measured', ({ event }) => event === 'costs.measured');
  assert.equal(measured.because, 'first start');
  assert.ok((measured.cpuMs as number) < 100, `${measured.cpuMs} ms`);
  const file = house.at('lamp', 'suite-costs.json');
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const before = await statusOf(house, 'lamp');
  assert.deepEqual(before.costs.instructions, readCpuFeatures().instructions);
  assert.equal(before.costs.openSslMask, null);
  assert.ok(Math.abs(Date.parse(before.costs.measured) - Date.now()) < 120_000, before.costs.measured);
  assert.equal(before.registration.proposals.length, 2);
  for (const { nsPerOp, nsPerByte } of before.registration.proposals) assert.ok(nsPerOp! > 0 && nsPerByte! > 0);
  const known = (await house.ask('manager', 'device.show', { id: 'lamp' })) as unknown as Status;
  const costsOf = ({ registration }: Status) => registration.proposals.map((one) => [one.nsPerOp, one.nsPerByte]);
  assert.deepEqual(costsOf(known), costsOf(before), 'the manager has them');
  await house.stop('lamp');
  const second = await house.admit('lamp');
  assert.ok(!second.log.some(({ event }) => event === 'costs.measured'), 'nothing has changed');
  const after = await statusOf(house, 'lamp');
  assert.deepEqual([after.costs, after.registration.proposals], [before.costs, before.registration.proposals]);

  await house.stop('lamp');
  environment.OPENSSL_ia32cap = MASK;
  const third = await house.admit('lamp');
  const again = await third.logged('costs.measured', ({ event }) => event === 'costs.measured');
  assert.match(again.because as string, /other instructions/);
  assert.equal((await statusOf(house, 'lamp')).costs.openSslMask, `OPENSSL_ia32cap=${MASK}`);

  const plain = await statusOf(house, 'plain');
  assert.equal(plain.costs, null);
  assert.ok(plain.registration.proposals.every(({ nsPerOp }) => nsPerOp === null));
});
