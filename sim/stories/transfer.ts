/**
 * A device is sold: what its last owner could use is void, whatever dies on the way, and the new owner has it to himself.
 */
import { newInvitation } from '../../manager/invitations.ts';
import { voidDevice } from '../../manager/voiding.ts';
import { MANAGER } from '../party.ts';
import type { Stage, Story } from '../story.ts';

/** After the command, in ms, when the manager is killed: before, at and after its commit. */
const MOMENTS = [0, 0.5, 1, 2, 10];
const SOLD = MOMENTS.map((moment) => `tv-${moment}`);

export const TRANSFER: Story = {
  name: 'transfer',
  about:
    'televisions are sold, and the manager is killed meanwhile: all of the last owner is void, or the sale has not begun',
  plan: {
    manager: { enrolment: { approval: 'automatic', renewExpiredDays: 0 } },
    devices: [{ name: 'hub' }, ...SOLD.map((name) => ({ name })), { name: 'new-tv', enrols: true, enrolsAs: SOLD[0]! }],
  },
  tell(stage) {
    const { world, device, call, open, enrol, enrolment, deed, pass, fact, within, rest } = stage;
    within(10_000, 'all are registered', () => world.manager.state.registrations.size === 1 + SOLD.length);
    pass(3000); // whoever called before the verifier was heard would be refused
    deed('the hub calls all of them', () => SOLD.forEach((name) => void call('hub', name)));
    within(5000, 'its sessions are open', () => open('hub').length === SOLD.length);

    let invitation: string | null = null;
    for (const [turn, moment] of MOMENTS.entries()) {
      const name = SOLD[turn]!;
      deed(`${name} is sold; after ${moment} ms the manager is killed`, () => {
        for (const [sid] of open(name)) stage.laws.ended(sid);
        invitation ??= transfer(stage, name);
        if (turn > 0) transfer(stage, name);
      });
      pass(moment);
      world.crash(MANAGER);
      pass(500);
      world.restart(MANAGER);
      pass(20_000);
      const isSold = !world.manager.state.devices.has(device(name).id);
      const traces = tracesOf(stage, name);
      const all = isSold ? traces.length === 0 : traces.length === WHAT_ONE_HAS;
      fact(isSold ? 'nothing of its last owner is left' : 'nothing has happened yet', all);
      if (isSold) continue;
      deed('the operator says it again', () => {
        const again = transfer(stage, name);
        if (turn === 0) invitation = again;
      });
      within(5000, 'and now nothing of its last owner is left', () => tracesOf(stage, name).length === 0);
    }
    within(5000, 'the hub has no session any more', () => open('hub').length === 0);
    within(70_000, 'the devices hear that they are void', () =>
      SOLD.every((name) => device(name).state.denied === 'void'),
    );
    fact(
      'and have forgotten what they could resume with',
      SOLD.every((name) => device(name).state.secret === null),
    );
    deed('the last owner switches them off and on, with all that their disks have', () => {
      for (const name of SOLD) {
        world.crash(name);
        world.restart(name);
      }
    });
    pass(130_000);
    fact(
      'none of them is in',
      SOLD.every((name) => device(name).state.channel === null),
    );

    const [name] = SOLD;
    deed('the new owner enrols the first with the invitation', () => enrol('new-tv', invitation ?? ''));
    within(10_000, 'it has its certificate', () => enrolment('new-tv') === 'enrolled');
    world.restart('new-tv');
    within(10_000, 'it is registered', () => device('new-tv').state.channel !== null);
    deed('the hub calls it by its name', () => call('hub', name!));
    within(
      10_000,
      'the new owner answers, and nobody else',
      () => open('new-tv').length === 1 && open(name!).length === 0,
    );
    for (const old of SOLD) world.crash(old);
    rest();
  },
};

function transfer({ world, device }: Stage, name: string): string {
  let written = '';
  world.manager.run((state) => {
    const now = world.manager.world();
    const wish = { name, class: null, groups: [], uses: 1, ttlSeconds: 3600 };
    const made = newInvitation(state, wish, now, true);
    if ('detail' in made) throw new RangeError(made.detail);
    written = made.written;
    voidDevice(state, device(name).id, made, () => {}, now);
  });
  return written;
}

const WHAT_ONE_HAS = 4;

/** What the manager has of a device that only its owner can use. */
function tracesOf({ world, device }: Stage, name: string): string[] {
  const { devices, registrations, resumption, sessionsOf } = world.manager.state;
  const { id } = device(name);
  return Object.entries({ devices, registrations, resumption, sessionsOf }).flatMap(([what, of]) =>
    of.has(id) ? [what] : [],
  );
}
