/**
 * A clock that is wrong at boot: in 1970, where a battery is empty; in 2038, where a counter ran over.
 */
import type { Story } from '../story.ts';
import { BEGINNING } from '../world.ts';

const YEAR = 365 * 86_400;
const LAST_OF_32_BITS = 2_147_483_647;

export const CLOCK_1970: Story = {
  name: 'clock-1970',
  about: 'two devices boot with a clock in 1970 and in 2038; they log in, talk, and go on when the clock is set',
  plan: {
    manager: { certifiedForSeconds: YEAR },
    devices: [
      { name: 'hub', certifiedForSeconds: YEAR },
      { name: 'sensor', certifiedForSeconds: YEAR, skewSeconds: 60 - BEGINNING },
      { name: 'camera', certifiedForSeconds: YEAR, skewSeconds: LAST_OF_32_BITS - BEGINNING },
    ],
  },
  tell({ world, device, call, endAll, open, deed, pass, fact, within, rest, logged }) {
    const [hub, sensor, camera] = [device('hub'), device('sensor'), device('camera')];
    const wrong = [sensor, camera];
    const isRegistered = (name: string): boolean => world.manager.state.registrations.has(device(name).id);
    within(10_000, 'the hub, whose clock is right, is registered', () => isRegistered('hub'));
    fact('and never asked for the time', hub.state.time.heard === null && !logged('hub', 'clock.doubted'));
    within(10_000, 'the sensor, which believes in 1970, is registered', () => isRegistered('sensor'));
    within(10_000, 'the camera, which believes in 2038, is registered', () => isRegistered('camera'));
    const apart = wrong.map((one) => Math.abs((one.state.time.heard?.time ?? 0) - BEGINNING));
    fact('both took the time of the verifier, within a minute', Math.max(...apart) < 60);
    fact(
      'and say so',
      wrong.every(({ id }) => logged(id, 'clock.wrong')),
    );

    pass(3000); // whoever called before the verifier was heard would be refused
    deed('the hub calls both, and the sensor the camera', () => {
      for (const [from, to] of [
        ['hub', 'sensor'],
        ['hub', 'camera'],
        ['sensor', 'camera'],
      ] as const) {
        call(from, to);
      }
    });
    const openEnds = (): number => ['hub', 'sensor', 'camera'].reduce((sum, name) => sum + open(name).length, 0);
    within(5000, 'three sessions are open at both ends', () => openEnds() === 6);

    deed('the network sets both clocks', () => {
      for (const one of wrong) one.skewSeconds = 0;
    });
    pass(1000);
    deed('their links break', () => {
      for (const { id } of wrong) world.breakLink(id);
    });
    pass(100);
    within(30_000, 'they are back, by the clock of the system', () =>
      wrong.every(({ state }) => state.channel !== null && state.time.heard === null),
    );
    fact('and no session was lost', openEnds() === 6);
    deed('the hub ends its sessions', () => endAll('hub'));
    within(5000, 'only the third is left', () => openEnds() === 2);
    rest();
  },
};
