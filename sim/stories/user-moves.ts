/**
 * A user goes from device to device, and whoever talks with her stays with her.
 */
import type { Stage, Story } from '../story.ts';

const ANNA = 'user:anna';

export const USER_MOVES: Story = {
  name: 'user-moves',
  about: 'a session with a user follows her from the tablet to the television; nobody reaches her where she is not',
  plan: {
    manager: { settings: { users: { several: 'most-recent', onLeave: 'follow' } } },
    users: [{ name: 'anna' }],
    devices: [{ name: 'phone' }, { name: 'tablet' }, { name: 'tv' }],
  },
  tell(stage) {
    const { world, device, call, open, deed, pass, fact, within, rest, insert, pull } = stage;
    const peers = (): string[] => open('phone').map(([, { peer }]) => peer);
    within(10_000, 'three devices are registered', () => world.manager.state.registrations.size === 3);

    deed('the phone asks for anna, who is nowhere', () => call('phone', ANNA));
    within(1000, 'it hears so at once', () => failures(stage, 'phone').at(-1) === 'user-nowhere');
    deed('it asks again, and waits', () => call('phone', ANNA, { waitSeconds: 60, timeoutSeconds: 60 }));
    pass(5000);
    fact('nothing happens', open('phone').length === 0 && failures(stage, 'phone').length === 1);

    deed('anna puts her medium into the tablet', () => insert('anna', 'tablet'));
    within(2000, 'the phone has a session with the tablet', () => peers().join() === 'tablet');
    deed('and one with the tablet itself, whoever sits there', () => call('phone', 'tablet'));
    within(2000, 'both are open', () => peers().length === 2);

    deed('anna takes her medium out', () => pull('anna', 'tablet'));
    fact(
      'the tablet has forgotten the session with her in the same moment',
      [...device('tablet').state.sessions.values()].every(
        ({ name, state }) => name !== ANNA || state.name === 'ending',
      ),
    );
    within(5000, 'and so has the phone; the session with the tablet itself goes on', () => named(stage).length === 0);
    fact('it is still open', peers().join() === 'tablet');
    pass(3000);
    deed('she puts it into the television', () => insert('anna', 'tv'));
    within(5000, 'the phone talks with the television', () => peers().includes('tv'));
    fact(
      'and was told where its session went',
      stage.news('phone').some(({ news }) => news === 'sessionMoved'),
    );

    deed('her certificate is revoked', () => stage.revokeUser('anna'));
    within(
      5000,
      'the session with her is over at both ends',
      () => named(stage).length === 0 && open('tv').length === 0,
    );
    fact('the other one is not', peers().join() === 'tablet');
    deed('the phone asks for her once more', () => call('phone', ANNA));
    within(1000, 'she is nowhere', () => failures(stage, 'phone').at(-1) === 'user-nowhere');
    deed('she tries the tablet', () => insert('anna', 'tablet'));
    within(5000, 'which hears that she is revoked', () =>
      stage.news('tablet').some((news) => news.news === 'userRefused' && news.reason === 'revoked'),
    );
    rest();
  },
};

/** Sessions of the phone with anna. */
const named = ({ open }: Stage) => open('phone').filter(([, { name }]) => name === ANNA);

const failures = ({ news }: Stage, name: string): string[] =>
  news(name).flatMap((one) => (one.news === 'callFailed' ? [one.reason] : []));
