/**
 * kill -9 and a new start of each party while a session is open: no registration and no living session is lost, and
 * nobody does public-key work for coming back.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { buildHouse, type Ear, type House, type Party } from '../real-house.ts';

const PROPOSALS = 'proposals: [{ cipher: aes-gcm, keyBits: 128, keyMode: seed }]\n';
/** What a user may notice of a restart. */
const BACK_MS = 10_000;
/** Between two attempts of a message that may be lost while somebody is away. */
const AGAIN_MS = 250;

/** Why a message is not taken while a party is away or a session is granted anew. */
const NOT_NOW = new Set(['no-link', 'no-session', 'not-open']);

let house: House;
let lamp: Ear;
let button: Ear;
const ends: (() => Promise<void>)[] = [];

before(async () => {
  house = await buildHouse(
    {
      occupants: [
        { id: 'lamp', yaml: PROPOSALS },
        { id: 'switch', yaml: PROPOSALS },
      ],
    },
    (end) => ends.push(end),
  );
  await Promise.all([house.admit('lamp'), house.admit('switch')]);
  [lamp, button] = await Promise.all([house.hear('lamp'), house.hear('switch')]);
});
after(async () => {
  for (const end of ends) await end();
});

/** What a failed test left open must not count in the next one. */
afterEach(async () => {
  for (const { sid } of (await house.ask('manager', 'session.list')) as { sid: string }[])
    await house.ask('manager', 'session.end', { sid });
});

interface Status {
  readonly channel: object | null;
  readonly publicKeyOperations: { readonly all: number };
  readonly openings: readonly { readonly opened: string; readonly publicKeyOps: number }[];
  readonly registration: { readonly version: number };
}

const statusOf = async (id: string): Promise<Status> => (await house.ask(id, 'status')) as unknown as Status;

async function connect(): Promise<string> {
  const { sid } = (await house.ask('switch', 'connect', { callee: 'lamp' })) as { sid: string };
  await lamp.until('the session', (news) => news.event === 'session.open' && news.sid === sid);
  return sid;
}

/** Sends until it arrives: the message transport is at most once while a link is down. */
async function carries(from: string, ear: Ear, sid: string, text: string): Promise<void> {
  const began = performance.now();
  const arrived = (): boolean =>
    ear.heard.some((news) => news.event === 'message' && news.sid === sid && news.text === text);
  while (!arrived()) {
    assert.ok(performance.now() - began < BACK_MS, `${text} did not arrive in ${BACK_MS} ms`);
    await house
      .ask(from, 'send', { to: sid, text })
      .catch((error: { code: string }) => assert.ok(NOT_NOW.has(error.code), error.code));
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

async function untilChannels(): Promise<void> {
  const began = performance.now();
  for (;;) {
    const open = await Promise.all(['lamp', 'switch'].map(async (id) => (await statusOf(id)).channel !== null));
    if (open.every(Boolean)) return;
    assert.ok(performance.now() - began < BACK_MS, `the channels are not open again after ${BACK_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

interface Registered {
  readonly id: string;
  readonly registration: { readonly version: number };
}

/** Without the count: a device that starts again registers again. [patent 0102] */
const registrations = async (): Promise<unknown> => {
  const devices = (await house.ask('manager', 'device.list')) as unknown as Registered[];
  return devices.map(({ id, registration }) => ({ id, ...registration, version: null }));
};

for (const party of ['manager', 'broker', 'verifier'] satisfies Party[]) {
  test(`[B7] [B5] kill -9 of the ${party}: registrations are there, the session carries messages, no public-key operation`, async () => {
    const sid = await connect();
    const [before, operations] = [await registrations(), await Promise.all(['lamp', 'switch'].map(statusOf))];
    await house.stop(party);
    if (party === 'broker') await toldWithoutBroker();
    else await carries('switch', lamp, sid, `while the ${party} is away`);
    await house.start(party);
    await carries('switch', lamp, sid, `there after the ${party}`);
    await carries('lamp', button, sid, `and back after the ${party}`);
    await untilChannels();
    assert.deepEqual(await registrations(), before);
    for (const [at, id] of ['lamp', 'switch'].entries()) {
      const { publicKeyOperations, openings } = await statusOf(id);
      assert.equal(publicKeyOperations.all, operations[at]!.publicKeyOperations.all, id);
      assert.deepEqual(
        openings.slice(1).filter(({ publicKeyOps }) => publicKeyOps > 0),
        [],
      );
    }
    const sessions = (await house.ask('manager', 'session.list')) as { sid: string; state: string }[];
    assert.deepEqual(
      sessions.map((one) => [one.sid, one.state]),
      [[sid, 'granted']],
    );
    await house.ask('switch', 'close', { sid });
    await lamp.until('the end', (news) => news.event === 'session.closed' && news.sid === sid);
    await connectAndClose();
  });
}

/** Everybody says why there is no link; nobody says of another what cannot be known now. */
async function toldWithoutBroker(): Promise<void> {
  for (const name of ['manager', 'switch'] as const) {
    await house
      .running(name)
      .logged('why', ({ event, reason }) => event === 'broker.down' && /refused by|closed|reset/.test(String(reason)));
  }
  const { linkReason } = (await house.ask('switch', 'status')) as { linkReason: string };
  assert.match(linkReason, /^connection refused by |^the broker at .* closed the connection$|was reset$/);
  const devices = (await house.ask('manager', 'device.list')) as { linked: boolean | null }[];
  assert.deepEqual(
    devices.map(({ linked }) => linked),
    [null, null],
  );
}

/** A new session, as proof that nothing is half way. */
async function connectAndClose(): Promise<void> {
  const sid = await connect();
  await house.ask('switch', 'close', { sid });
  await lamp.until('the end', (news) => news.event === 'session.closed' && news.sid === sid);
}

for (const killed of ['lamp', 'switch']) {
  test(`[B7] [B5] kill -9 of the ${killed}: it comes back by resumption, registered, and its session goes on by a new grant`, async () => {
    const sid = await connect();
    const before = await registrations();
    await house.stop(killed);
    const again = await house.admit(killed);
    if (killed === 'lamp') lamp = await house.hear('lamp');
    else button = await house.hear('switch');
    await carries('switch', lamp, sid, 'there after the restart');
    await carries('lamp', button, sid, 'and back after the restart');
    const { publicKeyOperations, openings } = await statusOf(killed);
    assert.equal(publicKeyOperations.all, 0);
    assert.deepEqual(
      openings.map(({ opened, publicKeyOps }) => [opened, publicKeyOps]),
      [['resume', 0]],
    );
    assert.deepEqual(await registrations(), before, 'the same is registered again');
    assert.ok(!again.log.some(({ level }) => level === 'error'), again.written());
    await house.ask('switch', 'close', { sid });
    await lamp.until('the end', (news) => news.event === 'session.closed' && news.sid === sid);
    await connectAndClose();
  });
}
