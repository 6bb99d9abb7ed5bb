/**
 * A medium that is pulled in the middle of anything: afterwards nobody is there.
 */
import { MANAGER } from '../party.ts';
import type { Stage, Story } from '../story.ts';

const ANNA = 'user:anna';
/** After the insertion, in ms: before, between and after the messages of a registration. */
const MOMENTS = [0, 1, 3, 5, 8, 12, 20, 40];

export const MEDIUM_PULLED: Story = {
  name: 'medium-pulled',
  about: 'a medium is pulled at every moment of its registration, without a link, and while processes die',
  plan: {
    users: [{ name: 'anna' }],
    devices: [{ name: 'phone' }, { name: 'tablet' }],
  },
  tell(stage) {
    const { world, device, call, open, deed, pass, fact, within, rest, insert, pull } = stage;
    within(10_000, 'both devices are registered', () => world.manager.state.registrations.size === 2);

    for (const moment of MOMENTS) {
      deed(`anna puts her medium into the tablet, and takes it out after ${moment} ms`, () => insert('anna', 'tablet'));
      pass(moment);
      pull('anna', 'tablet');
      fact('the tablet holds nothing of her', device('tablet').state.users.here.size === 0);
      pass(3000);
      nowhere(stage);
    }

    deed('anna is at the tablet, and the phone talks with her', () => insert('anna', 'tablet'));
    pass(1000);
    call('phone', ANNA);
    within(2000, 'the session is open', () => open('phone').length === 1);
    deed('the link of the tablet breaks, and she leaves before it is back', () => {
      world.breakLink('tablet');
      pull('anna', 'tablet');
    });
    fact('the tablet has no session with her any more', open('tablet').length === 0);
    within(10_000, 'the phone has none either, soon after the tablet is back', () => open('phone').length === 0);
    nowhere(stage);

    deed('anna is there again, and the manager dies', () => insert('anna', 'tablet'));
    pass(1000);
    call('phone', ANNA);
    within(2000, 'the session is open', () => open('phone').length === 1);
    world.crash(MANAGER);
    deed('she leaves while nobody can be told', () => pull('anna', 'tablet'));
    pass(2000);
    world.restart(MANAGER);
    within(15_000, 'the session is over when the manager is back', () => open('phone').length === 0);
    nowhere(stage);

    deed('anna is there again', () => insert('anna', 'tablet'));
    call('phone', ANNA, { waitSeconds: 30, timeoutSeconds: 30 });
    within(30_000, 'the phone waits for her, and the session is open', () => open('phone').length === 1);
    deed('the tablet dies with her medium in it, and she takes it out', () => {
      world.crash('tablet');
      pull('anna', 'tablet');
    });
    within(130_000, 'the manager waits for her a minute, no longer', () => open('phone').length === 0);
    nowhere(stage);
    deed('the tablet starts again without her', () => world.restart('tablet'));
    within(10_000, 'it is registered', () => device('tablet').state.channel !== null);
    nowhere(stage);
    rest();
  },
};

function nowhere({ news, call, within }: Stage): void {
  const before = news('phone').length;
  call('phone', ANNA);
  within(2000, 'and she is nowhere', () =>
    news('phone')
      .slice(before)
      .some((one) => one.news === 'callFailed' && one.reason === 'user-nowhere'),
  );
}
