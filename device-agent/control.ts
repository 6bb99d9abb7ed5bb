/**
 * The agent's commands for programs on the device, over its control socket: JSON in, JSON out (docs/agent-control.md).
 */
import { ControlError, type ControlHandler, type JsonValue } from '../platform/control-socket.ts';
import type { Transport } from '../platform/transport.ts';
import { decodeUtf8, encodeUtf8 } from '../protocol/bytes.ts';
import { type Crypto, publicKeyOperations } from '../protocol/crypto.ts';
import type { Reason } from '../protocol/message-values.ts';
import { describeProposal } from '../protocol/proposal.ts';
import { suiteName } from '../protocol/suites.ts';
import { deviceId } from '../protocol/topics.ts';
import type { DeviceId } from '../protocol/units.ts';
import { MAX_MESSAGE_BYTES } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { approvalControl } from './approval-control.ts';
import { cancelCall, startCall } from './calling.ts';
import { certificateReport } from './certificate-life.ts';
import { closeChannel } from './channel.ts';
import { type Args, asObject, numberOf, textOf } from './control-arguments.ts';
import type { Cost } from './cost.ts';
import { clockReport } from './device-time.ts';
import type { News } from './effects.ts';
import { join } from './joining.ts';
import type { MeasuredCosts } from './priced-proposals.ts';
import { register, unregister } from './registration.ts';
import { endSession, findSession, type SendFault, sayBye, sendData } from './sessions.ts';
import type { AgentState, Session } from './state.ts';
import type { LocalUser } from './user-states.ts';

export interface ControlParts {
  readonly state: AgentState;
  readonly crypto: Crypto;
  /** As the device sees it. */
  readonly world: () => World;
  readonly systemWorld: () => World;
  /** Runs in a turn of the agent's loop. */
  readonly wish: (act: () => void) => void;
  readonly listeners: Set<(news: News) => void>;
  readonly traffic: Transport['traffic'];
  /** Why there is no link, or null. */
  readonly linkReason: () => string | null;
  /** Null: no cost is measured. */
  readonly costs: MeasuredCosts | null;
  /** Where the approval policy comes from, and what is wrong with a newer one. */
  readonly policySource: () => JsonValue;
}

const SEND_FAULTS: Readonly<Record<SendFault, string>> = {
  'no-session': 'no such session: kagimori agent status lists them',
  'not-open': 'the session is not open: it is being opened, renewed or ended',
  'too-large': 'the message is longer than a record of this suite carries',
  'no-link': 'no link to the broker: kagimori agent status says why; it is tried again',
};

/** What each refusal means to the person who asked. */
const REMEDIES: Readonly<Record<Reason, string>> = {
  done: 'it has ended',
  unreachable: 'it has no link, or has not registered: look at `kagimori agent status` on it',
  forbidden: 'no such device, or this device may not connect to it',
  'no-common-suite': 'the two devices have registered no suite in common',
  'refused-by-policy': 'the approval policy of that device says no',
  'refused-by-user': 'somebody at that device said no',
  busy: 'that device takes no more sessions now',
  timeout: 'nobody answered in time',
  self: 'that is this device itself',
  expired: 'its time is over',
  revoked: 'a certificate was revoked',
  restarted: 'the other device has started again: ask once more',
  'not-registered': 'this device is not registered: kagimori agent register',
  'bad-verdict': 'the verifier refuses the certificate of one of the two',
  'verifier-away': 'the verifier is away: it is tried again',
  'internal-error': 'the manager could not store it: look at its log',
  'name-taken': 'another certificate holds that name',
  'too-many': 'too many sessions: end some first; or too many refused connects: wait',
  'authenticate-only': 'this channel only authenticates: no session can be asked for',
  shutdown: 'the other device is going down',
  withdrawn: 'it was withdrawn',
  'peer-gone': 'the other device has gone',
  duplicate: 'another machine runs with this certificate: stop one of the two, enrol the copy anew',
  'user-nowhere': 'the user is at no device now: --wait waits',
  'user-moved': 'the user has gone to another device',
  'user-gone': 'the user has gone',
  'several-devices': 'the user is at several devices: choose one with --device',
  'user-elsewhere': 'the same medium is in another device: take it out there',
  'bad-user': 'the certificate or the signature is not good for that user',
  held: 'an operator has to let it in: kagimori enrolment list',
  'bad-token': 'the invitation is unknown, used up or out of date: ask for another',
  void: 'this device was reset or transferred: enrol it anew',
  'not-certified': 'the manager certifies no device by this way',
};

/** `callee` may be seconds away from its answer: a person may be asked. */
const DEFAULT_CALL_SECONDS = 60;

export function controlOf(parts: ControlParts): Readonly<Record<string, ControlHandler>> {
  const { state, world, wish } = parts;
  return {
    ...approvalControl(parts),
    status: async () => showStatus(parts),
    connect: async (args, _send, signal) => connect(parts, args, signal),
    send: async (args) => {
      const { to } = asObject(args);
      const found = findSession(state, textOf(to, 'to'));
      if (found === null) throw new ControlError('no-session', SEND_FAULTS['no-session']);
      const payload = payloadOf(asObject(args));
      const faults: SendFault[] = [];
      wish(() => {
        const fault = sendData(state, found[0], payload, world());
        if (fault !== null) faults.push(fault);
      });
      if (faults[0] !== undefined) {
        const isOut = faults[0] === 'no-link' && state.denied !== null;
        const said = isOut ? `this device is not let in: ${state.denied}` : SEND_FAULTS[faults[0]];
        throw new ControlError(faults[0], said);
      }
      return { sid: found[0], bytes: payload.length };
    },
    listen: (_args, send, signal) => listen(parts, send, signal),
    close: async (args, _send, signal) => close(parts, asObject(args), signal),
    'user.wait': async (args, _send, signal) => userRegistered(parts, asObject(args), signal),
    register: async (_args, _send, signal) => {
      const done = waitFor(parts, signal, 30, (news) =>
        news.news === 'registered' ? { version: news.version } : null,
      );
      wish(() => {
        register(state, state.registration.wanted, world());
        join(state, world());
      });
      return done;
    },
    delete: async (_args, _send, signal) => {
      const done = waitFor(parts, signal, 30, (news) => (news.news === 'deleted' ? { deleted: true } : null));
      wish(() => {
        unregister(state, world());
        join(state, world());
      });
      return done;
    },
  };
}

async function connect(parts: ControlParts, args: JsonValue, signal: AbortSignal): Promise<JsonValue> {
  const { callee, lifetimeSeconds, allowUnencrypted, messageBytes, purpose, waitSeconds, device, timeoutSeconds } =
    asObject(args);
  const wait = waitSeconds === undefined ? undefined : numberOf(waitSeconds, 'waitSeconds', 1, 86_400);
  const wished = {
    callee: textOf(callee, 'callee'),
    lifetimeSeconds: lifetimeSeconds === undefined ? null : numberOf(lifetimeSeconds, 'lifetimeSeconds', 1, 86_400),
    allowUnencrypted: allowUnencrypted === true,
    messageBytes: messageBytes === undefined ? undefined : numberOf(messageBytes, 'messageBytes', 1, MAX_MESSAGE_BYTES),
    purpose: purpose === undefined ? undefined : purposeOf(purpose),
    waitSeconds: wait,
    device: device === undefined ? undefined : knownDevice(textOf(device, 'device')),
    timeoutSeconds:
      (wait ?? 0) +
      (timeoutSeconds === undefined ? DEFAULT_CALL_SECONDS : numberOf(timeoutSeconds, 'timeoutSeconds', 1, 600)),
  };
  if (wished.callee.length > 255) throw new ControlError('usage', 'callee: at most 255 characters');
  const { state, world, wish } = parts;
  let call: string | null = null;
  const done = waitFor(parts, signal, wished.timeoutSeconds + 20, (news) => {
    if (news.news === 'callFailed' && news.call === call) {
      const code = news.reason === 'unreachable' && state.link === null ? 'no-link' : news.reason;
      throw new ControlError(code, `${wished.callee}: ${news.reason}: ${news.detail ?? REMEDIES[news.reason]}`);
    }
    if (news.news === 'sessionClosed' && call !== null && news.call === call)
      throw new ControlError(news.reason, 'the session ended before it was open');
    return news.news === 'sessionOpened' && news.call === call
      ? showSession(news.sid, state.sessions.get(news.sid)!)
      : null;
  });
  wish(() => {
    call = startCall(state, wished, world());
  });
  signal.addEventListener('abort', () => {
    const key = call;
    if (key !== null) wish(() => cancelCall(state, key, world()));
  });
  return done;
}

function purposeOf(value: JsonValue): string {
  const purpose = textOf(value, 'purpose');
  if (encodeUtf8(purpose).length > 64) throw new ControlError('usage', 'purpose: at most 64 bytes');
  return purpose;
}

function knownDevice(text: string): DeviceId {
  const device = deviceId(text);
  if (device === null) throw new ControlError('usage', `device: ${text} is no device id`);
  return device;
}

async function close(parts: ControlParts, args: Args, signal: AbortSignal): Promise<JsonValue> {
  const { state, world, wish } = parts;
  if (args.channel === true) {
    if (state.channel === null) throw new ControlError('no-channel', 'the channel is not open');
    const done = waitFor(parts, signal, 10, (news) =>
      news.news === 'channelClosed' ? { channel: 'closed', reason: news.reason } : null,
    );
    wish(() => closeChannel(state, 'done', world()));
    return done;
  }
  const found = findSession(state, textOf(args.sid, 'sid'));
  if (found === null) throw new ControlError('no-session', SEND_FAULTS['no-session']);
  const [sid, { peer }] = found;
  const others = [...state.sessions.values()].filter((session) => session.peer === peer).length - 1;
  const done = waitFor(parts, signal, 15, (news) =>
    news.news === 'sessionClosed' && news.sid === sid
      ? { sid, peer, others, reason: news.reason, closedBy: news.closedBy }
      : null,
  );
  wish(() => {
    if (args.through === 'peer') sayBye(state, sid, 'done', world());
    else {
      endSession(state, sid, 'done', world());
      join(state, world()); // [patent 0135] a closed channel is opened again to end the session
    }
  });
  return done;
}

/** Until the manager has said yes or no to a user whose medium is in, or was unlocked a moment ago. */
async function userRegistered(parts: ControlParts, args: Args, signal: AbortSignal): Promise<JsonValue> {
  const leaf = textOf(args.leaf, 'leaf');
  const refusal = (user: string, reason: Reason, detail: string | null): ControlError =>
    new ControlError(reason, `${user}: ${reason}: ${detail ?? REMEDIES[reason]}`);
  const local = parts.state.users.here.get(leaf);
  if (local?.step.name === 'here') return showUser(leaf, local);
  if (local?.step.name === 'refused') throw refusal(local.user, local.step.reason, local.step.detail);
  return waitFor(parts, signal, USER_SECONDS, (news) => {
    if (!('leaf' in news) || news.leaf !== leaf) return null;
    if (news.news === 'userRefused') throw refusal(news.user, news.reason, news.detail);
    if (news.news === 'userGone') throw new ControlError('user-gone', `${news.user}: the medium was taken out`);
    return showUser(leaf, parts.state.users.here.get(leaf)!);
  });
}

const USER_SECONDS = 25;

function listen(
  { listeners }: ControlParts,
  send: (event: JsonValue) => void,
  signal: AbortSignal,
): Promise<JsonValue> {
  return new Promise((resolve) => {
    const listener = (news: News): void => send(showNews(news));
    listeners.add(listener);
    signal.addEventListener('abort', () => {
      listeners.delete(listener);
      resolve(null);
    });
  });
}

/** Waits for news. @throws what `take` throws; ControlError `timeout` */
function waitFor(
  { listeners, linkReason }: ControlParts,
  signal: AbortSignal,
  seconds: number,
  take: (news: News) => JsonValue | null,
): Promise<JsonValue> {
  return new Promise((resolve, reject) => {
    const end = (act: () => void): void => {
      clearTimeout(timer);
      listeners.delete(listener);
      act();
    };
    const listener = (news: News): void => {
      try {
        const result = take(news);
        if (result !== null) end(() => resolve(result));
      } catch (error) {
        end(() => reject(error));
      }
    };
    const timer = setTimeout(() => {
      const why = linkReason() ?? 'does the manager run?';
      end(() => reject(new ControlError('timeout', `no answer in ${seconds} s: ${why}`)));
    }, seconds * 1000);
    signal.addEventListener('abort', () => end(() => reject(new ControlError('closed', 'the caller has gone'))));
    listeners.add(listener);
  });
}

// ── What is shown ───────────────────────────────────────────────────────────────────────────────────────────────────

function showStatus({ state, crypto, traffic, linkReason, costs, world, systemWorld }: ControlParts): JsonValue {
  const { channel, registration } = state;
  const down = state.link === null ? { linkReason: linkReason() } : {};
  return {
    id: state.id,
    manager: state.settings.manager,
    link: state.link === null ? 'down' : 'up',
    ...down,
    channel:
      channel === null
        ? null
        : {
            opened: channel.opening.opened,
            by: channel.opening.by,
            suite: suiteName(channel.channel.suite),
            encrypted: !channel.channel.authenticateOnly,
          },
    denied: state.denied,
    clock: { time: new Date(world().wall * 1000).toISOString(), ...clockReport(state, systemWorld()) },
    certificate: { ...certificateReport(state) },
    registration: {
      version: registration.acknowledged?.version ?? null,
      addresses: registration.wanted.addresses,
      proposals: registration.wanted.proposals.map((proposal) => ({
        suite: describeProposal(proposal),
        priority: proposal.priority ?? null,
        nsPerOp: proposal.cost === undefined ? null : proposal.cost.picosPerOp / 1000,
        nsPerByte: proposal.cost === undefined ? null : proposal.cost.picosPerByte / 1000,
      })),
    },
    costs:
      costs === null
        ? null
        : {
            measured: new Date(costs.measuredAt * 1000).toISOString(),
            instructions: costs.instructions,
            openSslMask: costs.openSslMask === '' ? null : costs.openSslMask,
          },
    asked: [...state.asked]
      .filter(([, asked]) => asked.nonceB === null)
      .map(([sid, { ask }]) => ({ sid, from: ask.from, name: ask.name, suite: suiteName(ask.suite) })),
    sessions: [...state.sessions].map(([sid, session]) => showSession(sid, session)),
    users: [...state.users.here].map(([leaf, local]) => showUser(leaf, local)),
    openings: state.openings.map(({ opened, by, cost }) => ({ opened, by, ...showCost(cost) })),
    publicKeyOperations: { ...crypto.counter, all: publicKeyOperations(crypto.counter) },
    traffic: { ...traffic },
  };
}

function showUser(leaf: string, { user, step }: LocalUser): JsonValue {
  const why = step.name === 'refused' ? { reason: step.reason, detail: step.detail ?? REMEDIES[step.reason] } : {};
  return { user, state: step.name, ...why, leaf };
}

function showSession(sid: string, session: Session): { readonly [key: string]: JsonValue } {
  const { role, peer, name, suite, keyMode, epoch, state, data, cost } = session;
  return {
    sid,
    state: state.name,
    role,
    peer,
    name,
    suite: suiteName(suite),
    cipher: suite.cipher,
    keyBits: suite.keyBits,
    encrypted: session.records.algorithm.kind !== 'integrity-only',
    keyMode,
    epoch,
    data: { ...data },
    opening: showCost(cost),
  };
}

const showCost = ({ sent, received, bytes, publicKeyOps, cpuMicros }: Cost) => ({
  sent,
  received,
  bytes,
  publicKeyOps,
  cpuMs: cpuMicros / 1000,
});

function showNews(news: News): JsonValue {
  switch (news.news) {
    case 'received': {
      const { sid, from, payload } = news;
      const text = textIfPrintable(payload);
      const content = text === null ? { base64: Buffer.from(payload).toString('base64') } : { text };
      return { event: 'message', sid, from, bytes: payload.length, ...content };
    }
    case 'asked': {
      const { sid, from, name, class: kind, groups, user, purpose } = news;
      const about = { class: kind ?? null, groups: [...(groups ?? [])], user: user ?? null, purpose: purpose ?? null };
      return { event: 'ask', sid, from, name, suite: suiteName(news.suite), ...about };
    }
    case 'askApproved':
      return { event: 'ask.approved', sid: news.sid, from: news.from, by: news.by };
    case 'askWithdrawn':
      return { event: 'ask.withdrawn', sid: news.sid, from: news.from, reason: news.reason };
    case 'askRefused':
      return {
        event: 'ask.refused',
        sid: news.sid,
        from: news.from,
        reason: news.reason,
        by: news.by,
        opening: showCost(news.cost),
      };
    case 'sessionOpened':
      return { event: 'session.open', sid: news.sid, peer: news.peer, role: news.role, epoch: news.epoch };
    case 'sessionClosed':
      return { event: 'session.closed', sid: news.sid, peer: news.peer, reason: news.reason, closedBy: news.closedBy };
    case 'callFailed':
      return {
        event: 'call.failed',
        callee: news.callee,
        reason: news.reason,
        detail: news.detail,
        opening: showCost(news.cost),
      };
    case 'channelOpened':
      return { event: 'channel.open', opened: news.how, by: news.by };
    case 'channelClosed':
      return { event: 'channel.closed', reason: news.reason };
    case 'loginDenied':
      return { event: 'login.denied', reason: news.reason };
    case 'registered':
      return { event: 'registered', version: news.version };
    case 'deleted':
      return { event: 'deleted' };
    case 'userHere':
      return { event: 'user.here', user: news.user, leaf: news.leaf };
    case 'userRefused': {
      const { user, leaf, reason, detail } = news;
      return { event: 'user.refused', user, leaf, reason, detail: detail ?? REMEDIES[reason] };
    }
    case 'userGone':
      return { event: 'user.gone', user: news.user, leaf: news.leaf };
    case 'sessionMoved':
      return { event: 'session.moved', from: news.from, to: news.to };
    default:
      return news satisfies never;
  }
}

function textIfPrintable(payload: Uint8Array): string | null {
  try {
    const text = decodeUtf8(payload);
    return /[\p{Cc}--[\n\t]]/v.test(text) ? null : text;
  } catch {
    return null;
  }
}

// ── What comes in ───────────────────────────────────────────────────────────────────────────────────────────────────

function payloadOf({ text, base64 }: Args): Uint8Array {
  if (typeof text === 'string') return encodeUtf8(text);
  if (typeof base64 === 'string') return new Uint8Array(Buffer.from(base64, 'base64'));
  throw new ControlError('usage', 'text or base64 is missing');
}
