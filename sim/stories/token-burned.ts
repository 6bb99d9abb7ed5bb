/**
 * An invitation and everything that can go wrong with it: no token is spent without effect, none has effect twice.
 */

import { toHex } from '../../protocol/bytes.ts';
import { readInvitation } from '../../protocol/invitation.ts';
import { MANAGER } from '../party.ts';
import { newcomerName } from '../residents.ts';
import type { Stage, Story } from '../story.ts';

/** After the start of an enrolment, in ms, when everything dies: before, between and after its messages and its commit. */
const MOMENTS = [2, 8, 14, 20, 24, 26, 27, 28, 29, 30, 31, 32, 40];
const LAMPS = MOMENTS.map((moment) => `lamp-${moment}`);

export const TOKEN_BURNED: Story = {
  name: 'token-burned',
  about: 'manager and device die in the middle of an enrolment; two use one invitation at once; one comes too late',
  plan: {
    manager: { enrolment: { approval: 'automatic', renewExpiredDays: 0 } },
    devices: [
      { name: 'hub' },
      ...LAMPS.map((name) => ({ name, enrols: true })),
      { name: 'shade', enrols: true },
      { name: 'rival', enrols: true, enrolsAs: 'shade' },
      { name: 'late', enrols: true },
    ],
  },
  tell(stage) {
    const { world, device, call, open, endAll, invite, enrol, enrolment, deed, pass, fact, within, rest } = stage;
    within(10_000, 'the hub is registered', () => world.manager.state.registrations.size === 1);
    for (const [turn, moment] of MOMENTS.entries()) {
      const name = LAMPS[turn]!;
      const invitation = invite(name);
      pass(50); // it is on disk
      deed(`${name} enrols; after ${moment} ms it and the manager are killed`, () => enrol(name, invitation));
      pass(moment);
      for (const party of [MANAGER, newcomerName(name)]) world.crash(party);
      pass(1000);
      world.restart(MANAGER);
      pass(2000);
      const isStored = world.manager.state.devices.has(device(name).id);
      fact(
        isStored ? 'the device is stored, and its token is spent' : 'nothing is stored, and the token is good',
        isStored === (usesLeft(stage, invitation) === 0),
      );
      deed('the same command again', () => enrol(name, invitation));
      within(20_000, `${name} has its certificate`, () => enrolment(name) === 'enrolled');
      fact('and one use of its token was spent', usesLeft(stage, invitation) === 0);
      world.restart(name);
    }
    within(20_000, 'all of them are registered', () => world.manager.state.registrations.size === 1 + LAMPS.length);

    const shared = invite('shade');
    deed('two devices use one invitation in the same instant', () => {
      for (const name of ['shade', 'rival']) enrol(name, shared);
    });
    const ends = (): (string | null)[] => ['shade', 'rival'].map(enrolment);
    within(20_000, 'both hear what came of it', () => ends().every((end) => end !== null));
    fact('one of them is enrolled, the other is not', ends().toSorted().join() === 'bad-token,enrolled');
    const winner = enrolment('shade') === 'enrolled' ? 'shade' : 'rival';
    world.restart(winner);
    within(20_000, 'it is registered', () => device(winner).state.channel !== null);
    deed('the hub calls it', () => call('hub', 'shade'));
    within(10_000, 'they talk', () => open(winner).length === 1);
    endAll('hub');

    const old = invite('late');
    deed('an invitation lies about until it is out of date', () => pass(3_700_000));
    enrol('late', old);
    within(20_000, 'whoever comes with it is refused', () => enrolment('late') === 'bad-token');
    fact('and nothing is stored', !world.manager.state.devices.has(device('late').id));
    rest();
  },
};

/** @returns 0 when it is spent, or not kept any more */
function usesLeft({ world }: Stage, invitation: string): number {
  const { token } = readInvitation(world.manager.world().crypto, invitation);
  const id = token === undefined ? '' : toHex(token.subarray(0, 8));
  return world.manager.state.enrolment.invitations.get(id)?.left ?? 0;
}
