/**
 * The whole stack on Debian's Mosquitto, set up by `kagimori broker export mosquitto`: with passwords, moved there from our
 * own broker, and with client certificates, from the beginning. @see docs/outside-broker.md
 */
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { after, before, describe, type TestContext, test } from 'node:test';
import {
  freePorts,
  handOver,
  type Listener,
  listenAs,
  type Mosquitto,
  mosquittoAbsent,
  publishAs,
  startMosquitto,
} from '../mosquitto.ts';
import { certifyByOpenssl } from '../openssl-house.ts';
import { buildHouse, type Ear, type House, type Occupant, type Wanted } from '../real-house.ts';
import { runCommand } from '../real-process.ts';
import { opensslAbsent } from '../test-authority.ts';

const PROPOSALS = 'proposals: [{ cipher: aes-gcm, keyBits: 128, keyMode: seed }]\n';
const QUICK = 'limits: { exchangeTimeoutSeconds: 1 }\nsessions: { openTimeoutSeconds: 2 }\n';
/** What a user may notice of a restart. */
const BACK_MS = 20_000;
const AGAIN_MS = 250;

/** No frame of ours begins with their first byte, so the manager says that it refuses them. */
const [FOREIGN, OWN] = ['éforeign', 'éown'];

interface Status {
  readonly channel: object | null;
  readonly publicKeyOperations: { readonly all: number };
  readonly openings: readonly { readonly opened: string; readonly by: string; readonly publicKeyOps: number }[];
}

const statusOf = async (house: House, id: string): Promise<Status> =>
  (await house.ask(id, 'status')) as unknown as Status;

async function connect(house: House, from: string, to: string, ear: Ear): Promise<string> {
  const { sid } = (await house.ask(from, 'connect', { callee: to })) as { sid: string };
  await ear.until('the session', (news) => news.event === 'session.open' && news.sid === sid);
  return sid;
}

/** Sends until it arrives: a message may be lost while a link is down. */
async function carries(house: House, from: string, ear: Ear, sid: string, text: string): Promise<void> {
  const arrived = (): boolean =>
    ear.heard.some((news) => news.event === 'message' && news.sid === sid && news.text === text);
  await within(`${text} arrives`, async () => {
    if (arrived()) return true;
    await house
      .ask(from, 'send', { to: sid, text })
      .catch((error: { code: string }) => assert.equal(error.code, 'no-link'));
    return arrived();
  });
}

async function within(what: string, holds: () => Promise<boolean>): Promise<void> {
  const began = performance.now();
  while (!(await holds())) {
    assert.ok(performance.now() - began < BACK_MS, `${what}: not in ${BACK_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

const channelsOpen = (house: House, ids: readonly string[]) => async (): Promise<boolean> =>
  (await Promise.all(ids.map((id) => statusOf(house, id)))).every(({ channel }) => channel !== null);

async function exported(
  house: House,
  args: readonly string[],
): Promise<{ removed: string[]; next: string[]; passwords: object }> {
  const { code, stdout, stderr } = await runCommand([
    ...['broker', 'export', 'mosquitto', '--json', '--out', house.at('mosquitto')],
    ...args,
  ]);
  assert.equal(code, 0, stderr + stdout);
  handOver(house.at('mosquitto', 'broker'), [house.directory, house.at('mosquitto')]);
  return JSON.parse(stdout);
}

const listenFor =
  (t: TestContext) =>
  (login: readonly string[], filters: readonly string[] = ['#']): Promise<Listener> =>
    listenAs(login, filters, (end) => t.after(end));

/** Puts another broker into a configuration. */
function move(house: House, party: string, broker: string): void {
  house.write(`${party}.yaml`, house.read(`${party}.yaml`).replace(/^broker: .*$/m, `broker: { ${broker} }`));
}

const ownBrokerUrl = (house: House): string => /url: '([^']+)'/.exec(house.read('manager.yaml'))![1]!;

async function stopAll(house: House, parties: readonly string[]): Promise<void> {
  await Promise.all(parties.map((party) => house.stop(party)));
}

describe('with passwords', { skip: mosquittoAbsent }, () => {
  const ends: (() => Promise<void>)[] = [];
  const occupants: readonly Occupant[] = [
    { id: 'lamp', yaml: PROPOSALS },
    { id: 'wall switch', yaml: PROPOSALS },
    { id: 'clock', yaml: PROPOSALS },
  ];
  let house: House;
  let broker: Mosquitto;
  let ports: readonly number[];
  let [lamp, button]: Ear[] = [];
  let operations: number[];
  const ids = ['lamp', 'wall switch'];
  const startBroker = (): Promise<Mosquitto> => startMosquitto(house.at('mosquitto/broker/mosquitto.conf'), ports);
  const passwordOf = (id: string): string =>
    house.read(`mosquitto/passwords/${encodeURIComponent(id)}.password`).trim();
  const login = (id: string, password = passwordOf(id)): string[] => [
    ...['-h', '127.0.0.1', '-p', String(ports[0]), '-u', encodeURIComponent(id), '-P', password],
  ];
  const exportArgs = (): string[] => ['--port', String(ports[0]), '--services-port', String(ports[1])];

  before(async () => {
    house = await buildHouse({ occupants, managerYaml: QUICK }, (end) => ends.push(end));
    house.settle(occupants[1]!, { certificate: 'wall%20switch', key: 'wall%20switch' });
    await Promise.all(ids.map((id) => house.admit(id)));
    assert.match(ownBrokerUrl(house), /^mqtt:/);
    ports = await freePorts(2);
    await exported(house, [
      ...exportArgs(),
      ...[
        '--from-manager',
        '--data',
        house.at('manager'),
        '--device',
        'clock',
        '--device',
        'probe',
        '--device',
        'mark',
      ],
    ]);
    await stopAll(house, [...ids, 'manager', 'verifier', 'broker']);
    broker = await startBroker();
    ends.unshift(() => broker.stop());
    const services = `mqtt://127.0.0.1:${ports[1]}`;
    move(house, 'manager', `kind: outside, url: '${services}', tokenFile: mosquitto/passwords/manager.token`);
    move(house, 'verifier', `url: '${services}', tokenFile: mosquitto/passwords/verifier.token`);
    for (const { id } of occupants) {
      const file = `mosquitto/passwords/${encodeURIComponent(id)}.password`;
      move(house, id, `kind: outside, url: 'mqtt://127.0.0.1:${ports[0]}', passwordFile: '${file}'`);
    }
    await house.start('verifier');
    await house.start('manager');
    await Promise.all(ids.map((id) => house.admit(id)));
    [lamp, button] = await Promise.all(ids.map((id) => house.hear(id)));
    operations = (await Promise.all(ids.map((id) => statusOf(house, id)))).map((one) => one.publicKeyOperations.all);
  });
  after(async () => {
    for (const end of ends) await end();
  });

  test('[B7] [B5] Mosquitto: devices that our own broker knew come by resumption, connect, talk both ways and end', async () => {
    assert.deepEqual(operations, [0, 0]);
    const sid = await connect(house, 'wall switch', 'lamp', lamp!);
    await carries(house, 'wall switch', lamp!, sid, 'on');
    await carries(house, 'lamp', button!, sid, 'it is');
    await house.ask('wall switch', 'close', { sid });
    await lamp!.until('the end', (news) => news.event === 'session.closed' && news.sid === sid);
  });

  test('[B1] Mosquitto: a device that is new logs in in full, with the verdict of the verifier, and is reached', async () => {
    await house.admit('clock');
    const { openings } = await statusOf(house, 'clock');
    assert.deepEqual(
      openings.map(({ opened }) => opened),
      ['edhoc'],
    );
    await connect(house, 'clock', 'lamp', lamp!);
  });

  for (const party of ['broker', 'manager'] as const) {
    test(`[B7] [B5] Mosquitto: kill -9 of the ${party}: the session goes on, all resume, no public-key operation`, async () => {
      const sid = await connect(house, 'wall switch', 'lamp', lamp!);
      if (party === 'broker') {
        await broker.stop('SIGKILL');
        broker = await startBroker();
      } else {
        await house.stop('manager');
        await house.start('manager');
      }
      await carries(house, 'wall switch', lamp!, sid, `after the ${party}`);
      await carries(house, 'lamp', button!, sid, `back after the ${party}`);
      await within('channels', channelsOpen(house, ids));
      await connect(house, 'lamp', 'wall switch', button!);
      const now = await Promise.all(ids.map((id) => statusOf(house, id)));
      assert.deepEqual(
        now.map((one) => one.publicKeyOperations.all),
        operations,
      );
    });
  }

  test('[B7] [B5] Mosquitto: kill -9 of an agent: it resumes and is reached; while it is away callers hear unreachable', async () => {
    await house.stop('lamp');
    await assert.rejects(house.ask('wall switch', 'connect', { callee: 'lamp' }), { code: 'unreachable' });
    await house.admit('lamp');
    lamp = await house.hear('lamp');
    const { openings, publicKeyOperations } = await statusOf(house, 'lamp');
    assert.deepEqual([openings.map(({ opened }) => opened), publicKeyOperations.all], [['resume'], 0]);
    const sid = await connect(house, 'wall switch', 'lamp', lamp);
    await carries(house, 'wall switch', lamp, sid, 'on again');
  });

  test('[B1] Mosquitto: who is not invited gets nothing, on either listener', async (t) => {
    const listen = listenFor(t);
    const nobody = ['-h', '127.0.0.1', '-p', String(ports[0])];
    const refused = /not authorised/i;
    for (const args of [nobody, [...nobody, '-u', 'lamp'], login('lamp', 'wrong'), login('manager', 'wrong')]) {
      const listener = await listen(args);
      assert.match((await listener.ended).said, refused);
      assert.deepEqual(listener.heard, []);
    }
    const asManager = ['-h', '127.0.0.1', '-p', String(ports[0]), '-u', 'manager', '-P'];
    const token = house.read('mosquitto/passwords/manager.token').trim();
    assert.match((await (await listen([...asManager, token])).ended).said, refused, 'no service among devices');
    const amongServices = ['-h', '127.0.0.1', '-p', String(ports[1]), '-u', 'probe', '-P', passwordOf('probe')];
    assert.match((await (await listen(amongServices)).ended).said, refused, 'no device among services');
  });

  test('[B1] [5.6 wildcards, retained messages] Mosquitto: a device reads its own topics alone and writes under its own name alone', async (t) => {
    const sid = await connect(house, 'wall switch', 'lamp', lamp!);
    const mark = await listenFor(t)(login('mark'), [
      '#',
      '$SYS/#',
      '+/+/+',
      'km1/p/lamp/+',
      'km1/d/lamp',
      '$share/x/km1/#',
    ]);
    await carries(house, 'wall switch', lamp!, sid, 'not for everybody');
    const foreign = [
      'km1/d/mark',
      'km1/m/mark',
      'km1/m/lamp',
      'km1/p/mark/lamp',
      'km1/p/lamp/mark',
      'km1/v/a/mark',
      'km1/v/q/mark',
      'km1/v/a/~manager',
      'km1/v/e',
      'km1/c/q',
      'km1/c/a',
      'mark',
      '$SYS/broker/mark',
      'km1/p/mark/probe/more',
    ];
    for (const topic of foreign) publishAs(login('probe'), topic, FOREIGN);
    const retained = publishAs(login('probe'), 'km1/p/mark/probe', FOREIGN, ['-r']);
    assert.notEqual(retained.stderr + String(retained.status), '0', 'nothing is retained');
    publishAs(login('probe'), 'km1/m/probe', OWN);
    publishAs(login('probe'), 'km1/p/mark/probe', OWN);
    await mark.until('the one topic that they share', (line) => line === `km1/p/mark/probe ${OWN}`);
    assert.deepEqual(mark.heard, [`km1/p/mark/probe ${OWN}`]);
    const managerLog = house.running('manager');
    await managerLog.logged(
      'what is refused',
      ({ event, from }) => event === 'message.refused' && from === 'km1/m/probe',
    );
    assert.deepEqual(
      managerLog.log.flatMap(({ event, from }) => (event === 'message.refused' ? [from] : [])),
      ['km1/m/probe'],
    );
  });

  test('[5.6 link takeover] Mosquitto: nobody throws out another by its client id', async (t) => {
    const { log } = house.running('lamp');
    const link = log.findLast(({ event }) => event === 'broker.up')?.link;
    const down = (): number => log.filter(({ event }) => event === 'broker.down').length;
    const before = down();
    for (const id of ['lamp', String(link)]) await listenFor(t)([...login('probe'), '-i', id], ['km1/p/probe/+']);
    await connect(house, 'wall switch', 'lamp', lamp!);
    assert.equal(down(), before);
  });

  test('Mosquitto: export again: refused without --force; with it users stay with their passwords, or are out at once', async () => {
    const again = ['broker', 'export', 'mosquitto', '--out', house.at('mosquitto'), '--device', 'lamp'];
    const refused = await runCommand(again);
    assert.deepEqual([refused.code === 0, /--force/.test(refused.stderr)], [false, true]);
    const others = ['lamp', 'clock', 'probe', 'mark'].flatMap((id) => ['--device', id]);
    const { removed, passwords } = await exported(house, [...exportArgs(), ...others, '--force']);
    assert.deepEqual([removed, passwords], [['wall%20switch'], {}]);
    const link = house.running('wall switch');
    const already = link.log.length;
    broker.child.kill('SIGHUP');
    await link.logged('thrown out', (line) => line.event === 'broker.down' && link.log.indexOf(line) >= already);
    await link.logged('kept out', (line) => /refused user name|not authorised/.test(String(line.reason)));
    assert.equal((await statusOf(house, 'lamp')).channel === null, false, 'who stays is not disturbed');
    for (const file of [
      'broker/devices.passwd',
      'broker/services.passwd',
      'passwords/lamp.password',
      'passwords/manager.token',
    ])
      assert.equal(statSync(house.at('mosquitto', file)).mode & 0o777, 0o600, file);
    const list = readFileSync(house.at('mosquitto/broker/devices.passwd'), 'utf8');
    assert.ok(!list.includes(passwordOf('lamp')));
  });
});

describe('with client certificates', { skip: mosquittoAbsent || opensslAbsent }, () => {
  const ends: (() => Promise<void>)[] = [];
  const occupants: readonly Occupant[] = ['lamp', 'switch', 'thief', 'living room'].map((id) => ({
    id,
    yaml: PROPOSALS,
  }));
  let house: House;
  let ports: readonly number[];
  let broker: Mosquitto;
  const startBroker = (): Promise<Mosquitto> => startMosquitto(house.at('mosquitto/broker/mosquitto.conf'), ports);

  before(async () => {
    const certify = (directory: string, wanted: readonly Wanted[]): void =>
      certifyByOpenssl(
        directory,
        [...wanted, { name: '127.0.0.1', kind: 'server', sans: [{ type: 'ip', value: '127.0.0.1' }] }],
        'P-256',
      );
    house = await buildHouse({ occupants, certify, managerYaml: QUICK }, (end) => ends.push(end));
    await stopAll(house, ['manager', 'verifier', 'broker']);
    ports = await freePorts(2);
    await exported(house, [
      ...['--port', String(ports[0]), '--services-port', String(ports[1]), '--auth', 'certificate'],
      ...['--anchors', house.at('ca/root.pem'), '--device', 'living room'],
      ...['--certificate', house.at('certificates/127.0.0.1.chain.pem')],
      ...['--key', house.at('certificates/127.0.0.1.key.pem')],
    ]);
    handOver(house.at('certificates/127.0.0.1.key.pem'), [house.at('certificates'), house.at('ca')]);
    broker = await startBroker();
    ends.unshift(() => broker.stop());
    const services = `mqtt://127.0.0.1:${ports[1]}`;
    move(house, 'manager', `kind: outside, url: '${services}', tokenFile: mosquitto/passwords/manager.token`);
    move(house, 'verifier', `url: '${services}', tokenFile: mosquitto/passwords/verifier.token`);
    for (const { id } of occupants) moveAgent(id, id);
    await house.start('verifier');
    await house.start('manager');
  });
  after(async () => {
    for (const end of ends) await end();
  });

  /** @param shown  whose certificate it shows to the broker */
  const moveAgent = (id: string, shown: string): void => {
    const own = `certificateFile: 'certificates/${shown}.chain.pem', keyFile: 'certificates/${shown}.key.pem'`;
    move(house, id, `kind: outside, url: 'mqtts://127.0.0.1:${ports[0]}', anchorsFile: ca/root.pem, ${own}`);
  };

  test('[B1] [B7] Mosquitto: devices known by their certificates log in, talk, and resume after the broker was killed', async () => {
    await Promise.all(['lamp', 'living room'].map((id) => house.admit(id)));
    const ears = { lamp: await house.hear('lamp'), room: await house.hear('living room') };
    const sid = await connect(house, 'living room', 'lamp', ears.lamp);
    await carries(house, 'living room', ears.lamp, sid, 'on');
    await carries(house, 'lamp', ears.room, sid, 'it is');
    await broker.stop('SIGKILL');
    broker = await startBroker();
    await carries(house, 'lamp', ears.room, sid, 'still');
    await within('channels', channelsOpen(house, ['lamp', 'living room']));
    const { openings } = await statusOf(house, 'lamp');
    assert.deepEqual([openings[0]?.opened, openings.at(-1)?.opened], ['edhoc', 'resume']);
    await house.ask('lamp', 'close', { sid });
    await ears.room.until('the end', (news) => news.event === 'session.closed' && news.sid === sid);
  });

  test('[B1] [5.6 link takeover] Mosquitto: a device that shows the broker the certificate of another cannot speak, nor can one without', async (t) => {
    moveAgent('thief', 'switch');
    await house.start('thief');
    const tls = ['-h', '127.0.0.1', '-p', String(ports[0]), '--cafile', house.at('ca/root.pem')];
    const listener = await listenFor(t)([...tls, '-u', 'lamp']);
    assert.notEqual((await listener.ended).code, 0);
    await within('the denial', async () => /Denied PUBLISH from switch .*'km1\/m\/thief'/.test(broker.written()));
    const manager = house.running('manager');
    assert.ok(
      manager.log.some(({ from }) => from === 'device:lamp'),
      'others are heard',
    );
    assert.deepEqual(
      manager.log.filter((line) => JSON.stringify(line).includes('thief')),
      [],
    );
    await house.stop('thief');
    house.write('thief.yaml', house.read('thief.yaml').replace(/, certificateFile: [^}]*/, ' '));
    const bare = await house.start('thief');
    await bare.logged('what it lacks', ({ reason }) => /wants a client certificate/.test(String(reason)));
    await house.stop('thief');
    moveAgent('thief', 'thief');
    await house.admit('thief');
  });
});
