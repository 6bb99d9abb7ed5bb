/**
 * What operators ask of invitations and of those who wait to be enrolled.
 */
import { ControlError, type ControlHandler, type JsonValue } from '../platform/control-socket.ts';
import { toHex } from '../protocol/bytes.ts';
import { writeInvitation } from '../protocol/invitation.ts';
import type { World } from '../protocol/world.ts';
import { number, optionalText, text, texts } from './control-arguments.ts';
import { type ApprovalFault, allowHeld, refuseHeld } from './enrolment-approval.ts';
import type { HeldApplicant } from './enrolment-desk.ts';
import type { InvitationRecord } from './enrolment-records.ts';
import { addressOf, type InvitationFault, newInvitation, withdrawInvitation } from './invitations.ts';
import { commit } from './outbox.ts';
import type { Done } from './retiring.ts';
import type { EnrolmentSettings, ManagerState } from './state.ts';

export interface EnrolmentControlParts {
  readonly state: ManagerState;
  readonly act: (change: () => void) => void;
  /** Resolved when it is on disk. */
  readonly stored: (change: (done: Done) => void) => Promise<void>;
  readonly world: () => World;
}

const MAX_GROUPS = 64;
const MAX_LABEL = 64;

export function enrolmentControl(parts: EnrolmentControlParts): Readonly<Record<string, ControlHandler>> {
  const { state, act, stored, world } = parts;
  return {
    'invitation.make': async (args) => {
      const enrolment = settingsOf(state);
      const wish = {
        name: text(args, 'name').normalize('NFC'),
        class: labelled(optionalText(args, 'class')),
        groups: texts(args, 'groups', MAX_GROUPS).map(labelled),
        uses: number(args, 'uses'),
        ttlSeconds: number(args, 'ttlSeconds'),
      };
      const made = newInvitation(state, wish, world());
      if ('code' in made) throw refusalOf(made);
      await stored((done) => {
        const kept = (failure: string | null): void => {
          if (failure === null) made.adopt();
          done(failure);
        };
        commit(state, [made.change], { next: 'told', done: kept });
      });
      const shown = showInvitation(made.id, made.record, world());
      return { ...shown, ...whereTo(state, enrolment, world()), invitation: made.written };
    },
    /** For devices that show a certificate of their own. */
    'invitation.address': async () => {
      const address = addressOf(state, settingsOf(state), world());
      return { ...whereTo(state, settingsOf(state), world()), invitation: writeInvitation(world().crypto, address) };
    },
    'invitation.list': async () =>
      [...state.enrolment.invitations]
        .sort(([, a], [, b]) => a.since - b.since)
        .map(([id, record]) => showInvitation(id, record, world())),
    'invitation.withdraw': async (args) => {
      const id = text(args, 'id');
      const record = state.enrolment.invitations.get(id);
      if (record === undefined) throw new ControlError('not-found', `no invitation ${id}: kagimori invitation list`);
      await stored((done) => void withdrawInvitation(state, id, done));
      return { id, name: record.name };
    },
    'enrolment.list': async () => [...state.enrolment.held].map(([id, held]) => showHeld(id, held)),
    'enrolment.allow': async (args) => {
      const id = text(args, 'id');
      const device = state.enrolment.held.get(id)?.applicant.device ?? null;
      let fault: ApprovalFault = null;
      act(() => {
        fault = allowHeld(state, id, world());
      });
      if (fault !== null) throw faultOf(fault, id, device);
      return { id, device };
    },
    'enrolment.refuse': async (args) => {
      const id = text(args, 'id');
      const refused: HeldApplicant[] = [];
      act(() => {
        const found = refuseHeld(state, id);
        if (found !== null) refused.push(found);
      });
      if (refused[0] === undefined) throw faultOf('unknown', id, null);
      const { device, invitation } = refused[0].applicant;
      return { id, device, invitation };
    },
  };
}

function settingsOf({ settings }: ManagerState): EnrolmentSettings {
  if (settings.enrolment !== undefined) return settings.enrolment;
  throw new ControlError('no-ca', 'this manager certifies nobody: give its configuration a part `enrolment`');
}

function labelled<T extends string | null>(label: T): T {
  if (label === null || label.length <= MAX_LABEL) return label;
  throw new ControlError('usage', `a class or group has up to ${MAX_LABEL} characters: ${label.slice(0, MAX_LABEL)}…`);
}

const refusalOf = ({ code, detail }: InvitationFault): ControlError =>
  new ControlError(code === 'bad-name' || code === 'bad-option' ? 'usage' : code, detail);

const whereTo = (state: ManagerState, { brokerUrl, anchors, approval }: EnrolmentSettings, { crypto }: World) => ({
  broker: brokerUrl,
  manager: state.settings.name,
  anchor: toHex(crypto.hash('sha-256', anchors[0]!)),
  approval,
});

function showInvitation(id: string, record: InvitationRecord, { wall }: World): { readonly [key: string]: JsonValue } {
  const { name, groups, uses, left, since, until } = record;
  const open = left > 0 ? 'open' : 'used up';
  return {
    id,
    name,
    class: record.class ?? null,
    groups: [...groups],
    uses,
    left,
    since: iso(since),
    until: iso(until),
    state: until <= wall ? 'over' : open,
  };
}

const showHeld = (id: string, { applicant, since, refused }: HeldApplicant): { readonly [key: string]: JsonValue } => ({
  id,
  device: applicant.device,
  key: applicant.key,
  invitation: applicant.invitation,
  since: iso(since),
  state: refused ? 'refused' : 'waiting',
});

function faultOf(fault: Exclude<ApprovalFault, null>, id: string, device: string | null): ControlError {
  switch (fault) {
    case 'unknown':
      return new ControlError('not-found', `nobody waits under ${id}: kagimori enrolment list`);
    case 'name-taken':
      return new ControlError('name-taken', `the name ${device} is another device's: kagimori device show ${device}`);
    case 'bad-token':
      return new ControlError('bad-token', 'its invitation is used up, over or withdrawn: make another one');
    default:
      return fault satisfies never;
  }
}

const iso = (epochSeconds: number): string => new Date(epochSeconds * 1000).toISOString();
