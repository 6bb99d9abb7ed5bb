/**
 * A device that comes out of a drawer after months: its certificate has run out, its secret too.
 */
import { MANAGER, VERIFIER } from '../party.ts';
import type { Stage, Story } from '../story.ts';

const DAY_S = 86_400;
const DAY_MS = DAY_S * 1000;

export const MONTHS_IN_A_DRAWER: Story = {
  name: 'months-in-a-drawer',
  about:
    'a certificate is renewed by itself; one that ran out in a drawer is renewed where the operator allows, a revoked one never',
  plan: {
    manager: { enrolment: { approval: 'automatic', renewExpiredDays: 0 }, certifiesForSeconds: 90 * DAY_S },
    devices: [
      { name: 'hub', renews: true, certifiedForSeconds: 90 * DAY_S },
      { name: 'lantern', renews: true, certifiedForSeconds: 90 * DAY_S },
      { name: 'stolen', renews: true, certifiedForSeconds: 90 * DAY_S },
    ],
  },
  tell(stage) {
    const { world, device, call, open, configure, endAll, deed, pass, fact, within, rest, logged } = stage;
    const [hub, lantern, stolen] = [device('hub'), device('lantern'), device('stolen')];
    const isIn = (one: typeof hub): boolean => one.state.channel !== null;
    within(10_000, 'three devices are registered', () => world.manager.state.registrations.size === 3);

    deed('lantern and stolen are put into a drawer', () => {
      for (const name of ['lantern', 'stolen']) world.crash(name);
    });
    deed('two months go by; everything in the house is switched off, and on again', () => sleep(stage, 66));
    within(70_000, 'the hub is in', () => isIn(hub));
    within(
      3_700_000,
      'and has a new certificate',
      () => logged(MANAGER, 'renewal.issued') && daysLeft(stage, 'hub') > 80,
    );
    fact('with which it is in', isIn(hub));

    deed('two months more', () => sleep(stage, 66));
    deed('the stolen one is revoked, and all come out of the drawer', () => {
      stage.laws.revoked('stolen');
      world.revoke('stolen');
      for (const name of ['lantern', 'stolen']) world.restart(name);
    });
    within(70_000, 'the lantern hears that its certificate has run out', () => lantern.state.denied === 'expired');
    pass(70_000);
    fact('it is not in: the operator has not allowed it', !isIn(lantern));

    deed('the operator allows it for half a year', () => {
      const { enrolment } = world.manager.state.settings;
      if (enrolment !== undefined) configure({ enrolment: { ...enrolment, renewExpiredDays: 180 } });
    });
    within(
      4_000_000,
      'the lantern is in, with a new certificate',
      () => isIn(lantern) && daysLeft(stage, 'lantern') > 80,
    );
    fact('without anybody who touched it', lantern.state.denied === null);
    pass(70_000);
    fact('the stolen one is not, whatever its certificate says', !isIn(stolen));
    deed('the hub calls the lantern', () => call('hub', 'lantern'));
    within(2000, 'they talk', () => open('lantern').length === 1);
    endAll('hub');
    rest();
  },
};

/** An empty house, in which all is switched off. */
function sleep({ world, pass }: Stage, days: number): void {
  const awake = ['hub', MANAGER, VERIFIER];
  for (const party of awake) world.crash(party);
  pass(days * DAY_MS);
  for (const party of awake.toReversed()) world.restart(party);
}

function daysLeft({ world, device }: Stage, name: string): number {
  const { life } = device(name).state;
  return (life.current.notAfter - world.manager.world().wall) / DAY_S;
}
