/**
 * A copied card: two machines with one key, one certificate and one memory.
 */
import { sendData } from '../../device-agent/sessions.ts';
import { release } from '../../manager/twins.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';
import { MANAGER } from '../party.ts';
import type { Stage, Story } from '../story.ts';

export const CLONED_CARD: Story = {
  name: 'cloned-card',
  about:
    'the card of a sensor is copied: the copy is noticed within 10 s, and refused, or replaces, or both are put out',
  plan: {
    devices: [{ name: 'hub' }, { name: 'sensor' }, { name: 'copy', copyOf: 'sensor' }],
  },
  tell(stage) {
    const { world, device, call, open, configure, deed, pass, fact, within, rest, logged } = stage;
    const [sensor, copy] = [device('sensor'), device('copy')];
    const isIn = (one: typeof sensor): boolean => one.running && one.state.channel !== null;
    within(10_000, 'hub and sensor are registered', () => world.manager.state.registrations.size === 2);
    pass(3000); // whoever called before the verifier was heard would be refused
    deed('the hub calls the sensor', () => call('hub', 'sensor'));
    within(2000, 'their session is open', () => open('hub').length === 1 && open('sensor').length === 1);

    deed('the sensor is started again: a machine that was there before', () => {
      world.crash('sensor');
      world.restart('sensor');
    });
    within(10_000, 'it is back, and nobody takes it for two', () => isIn(sensor) && open('sensor').length === 1);
    fact('no alarm', !logged(MANAGER, 'device.duplicate'));

    deed('somebody copies its card, and starts the copy', () => startCopy(stage));
    within(10_000, 'the manager tells of two machines', () => logged(MANAGER, 'device.duplicate'));
    within(10_000, 'the copy hears why it stays out', () => copy.state.denied === 'duplicate');
    fact('the sensor is in, and its session was never touched', isIn(sensor) && open('hub').length === 1);
    deed('the hub says something', () => say(stage));
    within(2000, 'the sensor hears it', () => stage.news('sensor').some(({ news }) => news === 'received'));
    deed('the copy tries for two minutes', () => pass(120_000));
    fact('it is not in, the sensor is', !isIn(copy) && isIn(sensor) && open('hub').length === 1);
    world.crash('copy');

    deed('the operator has both put out, and the copy comes again', () => {
      configure({ duplicates: 'quarantine' });
      for (const [sid] of open('hub')) stage.laws.ended(sid);
      startCopy(stage);
    });
    within(10_000, 'neither is in, and the hub has no session any more', () => {
      return !isIn(sensor) && !isIn(copy) && open('hub').length === 0;
    });
    pass(70_000);
    fact('that stays so', !isIn(sensor) && !isIn(copy));
    world.crash(MANAGER);
    world.restart(MANAGER);
    pass(70_000);
    fact('over a restart of the manager, too', !isIn(sensor) && !isIn(copy));
    world.crash('copy');
    deed('the copy is found and switched off, and the operator releases the sensor', () => {
      world.manager.run((state) => void release(state, sensor.id, () => {}));
    });
    within(700_000, 'the sensor, which stayed away for ten minutes, is in', () => isIn(sensor));

    deed('the operator lets the later one replace the other, and a new machine gets the card', () => {
      configure({ duplicates: 'replace' });
      startCopy(stage);
    });
    within(10_000, 'the new machine is in, the old one is not', () => isIn(copy) && !isIn(sensor));
    pass(120_000);
    fact('the old one stays away', isIn(copy) && !isIn(sensor));
    world.crash('sensor');
    rest();
  },
};

function startCopy({ world, device }: Stage): void {
  device('copy').restore(device('sensor').image());
  world.restart('copy');
}

function say({ laws, device, open }: Stage): void {
  const [sid] = open('hub')[0] ?? [];
  if (sid === undefined) return;
  laws.sent('hub', sid, 'hello');
  device('hub').run((state, now) => void sendData(state, sid, encodeUtf8('hello'), now));
}
