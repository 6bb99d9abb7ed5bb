/**
 * `agent run` on a device without a certificate: it enrols by itself with the invitation that lies in `invitationFile`,
 * for as long as it takes, and goes on as itself.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { AgentConfig } from '../../device-agent/config.ts';
import { systemClock } from '../../platform/clock.ts';
import { ControlError, type ControlHandler, type JsonValue, serveControl } from '../../platform/control-socket.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { makePrivateDirectory } from '../../platform/files.ts';
import type { Log } from '../../platform/log.ts';
import { enrolDevice, type Progress } from '../enrolment/enrolment.ts';
import { eraseFile } from '../enrolment/erasing.ts';
import { findInvitation } from '../enrolment/invitation-source.ts';
import { placesIn } from '../enrolment/places.ts';
import { Failure } from '../failure.ts';

const FIRST_RETRY_MS = 5_000;
const LAST_RETRY_MS = 300_000;

/**
 * @returns false: a signal came first
 * @throws  Failure `not-enrolled` when there is neither a certificate nor an invitation, or what no repeat can mend
 */
export async function enrolAtStart(
  configPath: string,
  config: AgentConfig,
  log: Log,
  signalled: Promise<unknown>,
): Promise<boolean> {
  const { certificateFile, invitationFile, stateDirectory } = config;
  const isThere = invitationFile !== undefined && existsSync(invitationFile);
  if (!isThere) {
    if (existsSync(certificateFile)) return true;
    throw notEnrolled(configPath, config);
  }
  const stopped = new AbortController();
  void signalled.then(() => stopped.abort());
  const story = { state: 'asking the manager', since: new Date().toISOString() };
  makePrivateDirectory(stateDirectory);
  const control = await serveControl(join(stateDirectory, 'agent.sock'), handlersBefore(config, story));
  try {
    return await enrolWithFile(configPath, config, invitationFile, log, stopped.signal, story);
  } finally {
    await control.close();
  }
}

function notEnrolled(configPath: string, { certificateFile, invitationFile }: AgentConfig): Failure {
  const missing = `${certificateFile}: no such file: this device has no certificate yet`;
  const enrol = `\`kagimori agent enrol - --config ${configPath}\` with an invitation of the operator`;
  const remedy =
    invitationFile === undefined ? `run ${enrol}` : `put an invitation into ${invitationFile}, or run ${enrol}`;
  return new Failure('usage', 'not-enrolled', `${missing}: ${remedy}`);
}

async function enrolWithFile(
  configPath: string,
  config: AgentConfig,
  invitationFile: string,
  log: Log,
  signal: AbortSignal,
  story: { state: string },
): Promise<boolean> {
  const crypto = nodeCrypto();
  const tell = (news: Progress): void => {
    const told = logged(news);
    if (story.state === told.state) return;
    story.state = told.state;
    log[told.level](told.event, told.fields);
  };
  for (let retryMs = FIRST_RETRY_MS; ; retryMs = Math.min(LAST_RETRY_MS, retryMs * 2)) {
    // read anew: the operator may have put another one there
    const invitation = findInvitation(invitationFile, crypto);
    if (invitation === null) {
      if (existsSync(config.certificateFile)) return true;
      throw notEnrolled(configPath, config);
    }
    const order = {
      invitation,
      places: placesIn(configPath, config),
      name: undefined,
      own: null,
      algorithm: 'p256',
      brokerAnchorsFile: null,
      writesConfig: false,
      patienceMs: null,
    } as const;
    try {
      const { id, already, notAfter } = await enrolDevice(order, { crypto, clock: systemClock(), signal, tell });
      log.info('enrolled', { device: id, already, until: new Date(notAfter * 1000).toISOString() });
      eraseFile(invitationFile);
      return true;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (error.code === 'stopped') return false;
      if (error.code === 'enrolled-elsewhere') {
        log.warn('enrolment.not-needed', { reason: error.message });
        return true;
      }
      if (error.exit === 'usage') throw error;
      story.state = error.message;
      log.error('enrolment.failed', { reason: error.message, againInSeconds: retryMs / 1000 });
      if (!(await pause(retryMs, signal))) return false;
    }
  }
}

function logged(news: Progress): {
  readonly level: 'info' | 'warn';
  readonly event: string;
  readonly state: string;
  readonly fields: Readonly<Record<string, string>>;
} {
  switch (news.news) {
    case 'begun': {
      const { key } = news;
      return {
        level: 'info',
        event: 'enrolment.begun',
        state: `asking the manager, with the key ${key}`,
        fields: { key },
      };
    }
    case 'managerProven':
      return { level: 'info', event: 'enrolment.asked', state: 'waiting for the answer of the manager', fields: {} };
    case 'waiting': {
      const { reason } = news;
      const remedy =
        reason === 'held' ? 'the operator compares the key, and says yes: `kagimori enrolment allow`' : 'none needed';
      return { level: 'info', event: 'enrolment.waiting', state: reason, fields: { reason, remedy } };
    }
    case 'failed':
    case 'linkDown': {
      const reason = news.why ?? 'no answer from the manager';
      return { level: 'warn', event: 'enrolment.trying', state: reason, fields: { reason } };
    }
    default:
      return news satisfies never;
  }
}

/** @returns false: a signal came first */
function pause(forMs: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(false);
    const timer = setTimeout(() => resolve(true), forMs);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve(false);
    });
  });
}

const APPROVAL_COMMANDS = [
  'list',
  'allow',
  'refuse',
  'remembered',
  'forget',
  'standing',
  'standing.add',
  'standing.withdraw',
  'mode',
  'check',
].map((name) => `approval.${name}`);
const LATER_COMMANDS = ['connect', 'send', 'listen', 'close', 'register', 'delete', ...APPROVAL_COMMANDS];

/** What can be asked of an agent that is nobody yet. */
function handlersBefore(
  { manager, broker }: AgentConfig,
  story: { readonly state: string; readonly since: string },
): Readonly<Record<string, ControlHandler>> {
  const status = async (): Promise<JsonValue> => ({
    device: null,
    manager,
    broker: broker.url,
    enrolment: { state: story.state, since: story.since },
  });
  const refuse: ControlHandler = async () => {
    throw new ControlError('not-enrolled', `this device has no certificate yet: ${story.state}`);
  };
  return { ...Object.fromEntries(LATER_COMMANDS.map((name) => [name, refuse])), status };
}
