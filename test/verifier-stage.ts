/**
 * A verifier service on a hub in memory, with its files in a directory and a clock that the test sets; lists and OCSP answers
 * come over real HTTP.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { openKeyStore } from '../hardware/key-store.ts';
import { writePem } from '../platform/certificates.ts';
import { type HubAuthority, memoryHub } from '../platform/transport-memory.ts';
import { EXTENDED_KEY_USAGE, type ParsedCrl } from '../protocol/certificate.ts';
import type { VerdictReason } from '../protocol/message-values.ts';
import { checkEvent } from '../protocol/revocation-event.ts';
import { MANAGER, topicsUnder } from '../protocol/topics.ts';
import { EpochSeconds, Millis, type Topic } from '../protocol/units.ts';
import { checkVerdict } from '../protocol/verdict.ts';
import { Judgement, Question, type RevocationEvent } from '../protocol/verifier-messages.ts';
import { type VerifierConfig, verifierConfig } from '../verifier/config.ts';
import { startVerifier, type VerifierEvent, type VerifierService } from '../verifier/service.ts';
import { AT, ca, certify, crypto, device, type Holder, root } from './test-authority.ts';

export const anchor = root();
export const middle = ca(anchor);
export const router = device(middle);
export const lamp = device(middle, 'lamp-1');
export const VERIFIER_WISHES = {
  keyUsage: ['digitalSignature'],
  extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriVerifier],
} as const;
export const own = certify('verifier', VERIFIER_WISHES, middle);

const OPEN: HubAuthority = {
  connecting: () => null,
  publishing: () => 'allow',
  subscribing: () => true,
  forwarding: () => true,
  disconnected: () => {},
};
const WAIT_MS = 6_000;

export interface Stage {
  readonly service: VerifierService;
  readonly events: VerifierEvent[];
  /** Revocation events as a manager receives them, checked. */
  readonly told: RevocationEvent[];
  /** Whatever a manager might publish. */
  send(topic: Topic, payload: Uint8Array): void;
  /** @returns the reason of the verdict on a device below `middle` */
  ask(leaf?: Holder): Promise<VerdictReason>;
  /** Waits until that holds. */
  until(what: string, holds: () => boolean): Promise<void>;
  refusals(): readonly string[];
  /** Of all certificates that were told of. */
  readonly marks: ReadonlySet<string>;
  close(): Promise<void>;
}

export interface Clock {
  at: number;
}

/** Ends with the test at the latest. */
export async function startStage(t: TestContext, config: VerifierConfig, clock: Clock = { at: AT }): Promise<Stage> {
  const topics = topicsUnder(config.root);
  const hub = memoryHub(OPEN);
  const events: VerifierEvent[] = [];
  const answers = new Map<string, Uint8Array>();
  const told: RevocationEvent[] = [];
  const marks = new Set<string>();
  const manager = hub.transport({
    subscriptions: () => [topics.verifierAnswer(MANAGER), topics.verifierEvents],
    observer: {
      up: () => {},
      down: () => {},
      received(topic, payload) {
        if (topic === topics.verifierEvents) {
          const expected = { verifierKeys: [keyOf()], now: EpochSeconds(clock.at), maxClockSkew: 0 };
          const event = checkEvent(crypto, payload, expected);
          told.push(event);
          for (const mark of event.marks ?? []) marks.add(Buffer.from(mark).toString('hex'));
          return;
        }
        const { requestId, verdict } = Judgement.decode(payload);
        answers.set(Buffer.from(requestId).toString('hex'), verdict);
      },
    },
  });
  const service = await startVerifier(config, {
    crypto,
    clock: { now: () => Millis(performance.now()), wall: () => EpochSeconds(clock.at) },
    openKey: (keyFile) => openKeyStore(keyFile, crypto.counter),
    openTransport: (options) => hub.transport(options),
    observe: (event) => events.push(event),
  });
  const keyOf = () => crypto.publicKey(service.certificate.spki)!;
  hub.flush();
  let open = true;
  const close = async (): Promise<void> => {
    if (open) await service.close();
    open = false;
  };
  t.after(close);
  const until = async (what: string, holds: () => boolean): Promise<void> => {
    const end = performance.now() + WAIT_MS;
    for (;;) {
      hub.flush();
      if (holds()) return;
      assert.ok(performance.now() < end, `${what}: not within ${WAIT_MS} ms; ${JSON.stringify(events.slice(-3))}`);
      await pause(2);
    }
  };
  return {
    service,
    events,
    send(topic, payload) {
      manager.publish(topic, payload, 1);
      hub.flush();
    },
    told,
    until,
    close,
    refusals: () => events.flatMap((event) => (event.kind === 'refused' ? [event.reason] : [])),
    marks,
    async ask(leaf = router) {
      const chain = [leaf.certificate.der, middle.certificate.der];
      const requestId = crypto.random(16);
      const id = Buffer.from(requestId).toString('hex');
      const question = Question.encode({ requestId, purpose: 'device', chain });
      manager.publish(topics.verifierQuestion(MANAGER), question, 1);
      await until('an answer', () => answers.has(id));
      return checkVerdict(crypto, answers.get(id)!, {
        verifierKeys: [keyOf()],
        purpose: 'device',
        leafSha256: crypto.hash('sha-256', chain[0]!),
        nonce: null,
        now: EpochSeconds(clock.at),
        maxClockSkew: 0,
      }).reason;
    },
  };
}

/** A directory with the anchor and the verifier's own pair; `settings` over a configuration without any revocation source. */
export function houseFor(t: TestContext, settings: Readonly<Record<string, unknown>> = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'kagimori-verifier-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const at = (name: string): string => join(dir, name);
  writeFileSync(at('root.pem'), writePem('CERTIFICATE', anchor.certificate.der));
  writeFileSync(at('middle.pem'), writePem('CERTIFICATE', middle.certificate.der));
  writePair(dir, own);
  const configWith = (more: Readonly<Record<string, unknown>>): VerifierConfig =>
    verifierConfig.parse({
      broker: { url: 'mqtt://localhost:1883' },
      certificateFile: at('own.pem'),
      keyFile: at('own.key'),
      trustAnchorFiles: [at('root.pem')],
      dataDirectory: at('data'),
      ...settings,
      ...more,
    });
  return { dir, at, configWith };
}

/** The leaf alone: a chain would tell the verifier of a CA. */
export function writePair(dir: string, { certificate, key }: Holder): void {
  writeFileSync(join(dir, 'own.pem'), writePem('CERTIFICATE', certificate.der));
  writeFileSync(join(dir, 'own.key'), key.privatePkcs8Pem, { mode: 0o600 });
}

export interface ListServer {
  readonly url: (path: string) => string;
  /** What stands at a path: a list, bytes, or how it misbehaves. */
  readonly at: Map<string, ParsedCrl | Uint8Array | RequestListener>;
  /** Requests so far. */
  readonly asked: () => number;
  close(): Promise<void>;
}

export async function startListServer(t: TestContext): Promise<ListServer> {
  const at: ListServer['at'] = new Map();
  let asked = 0;
  const server = createServer((request, response) => {
    asked++;
    const found = at.get(request.url ?? '');
    if (found === undefined) return response.writeHead(404).end();
    if (typeof found === 'function') return found(request, response);
    response.end(found instanceof Uint8Array ? found : found.der);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    if (!server.listening) return;
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  t.after(close);
  return { url: (path) => `http://127.0.0.1:${port}${path}`, at, asked: () => asked, close };
}
