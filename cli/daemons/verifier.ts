/**
 * Composition root of `verifier run`.
 */
import { join } from 'node:path';
import { openKeyStore } from '../../hardware/key-store.ts';
import { systemClock } from '../../platform/clock.ts';
import { serveControl } from '../../platform/control-socket.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { makePrivateDirectory, writeFault } from '../../platform/files.ts';
import { type LinkLog, linkLog } from '../../platform/link-log.ts';
import type { Log } from '../../platform/log.ts';
import { LockHeld, lockProcess, type ProcessLock } from '../../platform/process-lock.ts';
import { verifierConfig } from '../../verifier/config.ts';
import { startVerifier, type VerifierEvent } from '../../verifier/service.ts';
import { readConfigFile } from '../config-file.ts';
import type { Running } from '../daemon.ts';
import { Failure } from '../failure.ts';
import { brokerLink } from './broker-link.ts';

export async function startVerifierDaemon(configPath: string, log: Log): Promise<Running> {
  const config = readConfigFile(configPath, verifierConfig);
  const crypto = nodeCrypto();
  const clock = systemClock();
  const links = linkLog(log, () => clock.now());
  const { dataDirectory } = config;
  const closers: (() => Promise<void> | void)[] = [];
  const close = async (): Promise<void> => {
    for (const one of closers.splice(0).reverse()) await one();
  };
  try {
    if (dataDirectory !== undefined) {
      const lock = takeDirectory(dataDirectory);
      closers.push(() => lock.release());
    }
    const verifier = await startVerifier(config, {
      crypto,
      clock,
      openKey: (keyFileOrUri) => openKeyStore(keyFileOrUri, crypto.counter),
      openTransport: brokerLink(config.broker, 'verifier', crypto),
      observe: (event) => logVerifier(log, links, event),
    });
    closers.push(() => verifier.close());
    const hangUp = (): void => {
      log.info('verifier.reloading', { cause: 'signal' });
      void verifier.reloadAll();
    };
    process.on('SIGHUP', hangUp);
    closers.push(() => {
      process.off('SIGHUP', hangUp);
    });
    const socket = dataDirectory === undefined ? null : join(dataDirectory, 'verifier.sock');
    if (socket !== null) {
      const control = await serveControl(socket, verifier.control);
      closers.push(() => control.close());
    }
    const { responder } = verifier;
    return {
      ready: {
        certificate: verifier.certificate.subject.commonName,
        broker: config.broker.url,
        anchorFiles: config.trustAnchorFiles.length,
        crlFiles: config.crlFiles.length,
        crlUrls: config.crlUrls.length,
        ocsp: config.ocsp.length,
        responder: responder === null ? null : `http://${hostOf(responder.host)}:${responder.port}`,
        control: socket,
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const hostOf = (host: string): string => (host.includes(':') ? `[${host}]` : host);

/** Makes it when there is none; two verifiers would overwrite each other's lists. */
function takeDirectory(path: string): ProcessLock {
  makePrivateDirectory(path);
  try {
    return lockProcess(join(path, 'verifier.lock'));
  } catch (error) {
    if (!(error instanceof LockHeld)) throw writeFault(path, error);
    throw new Failure('refused', 'already-running', `${path} is in use by process ${error.pid}: stop it first`);
  }
}

function logVerifier(log: Log, links: LinkLog, event: VerifierEvent): void {
  switch (event.kind) {
    case 'up':
      return links.up();
    case 'down':
      return links.down(event.reason);
    case 'answered':
      if (event.answer.kind === 'ignored' && event.answer.why === 'bug')
        return log.error('bug', { asker: event.asker, detail: event.answer.detail, remedy: 'please report it' });
      if (event.answer.kind === 'ignored' && event.answer.why === 'key-store')
        return log.error('key-store.failed', { asker: event.asker, why: event.answer.detail });
      return log.debug('question.answered', { asker: event.asker, outcome: event.answer.kind });
    case 'adopted':
      if (event.unproven === 0) return log.info('file.adopted', { path: event.path, lists: event.lists });
      return log.warn('file.adopted', {
        path: event.path,
        lists: event.lists,
        unproven: event.unproven,
        remedy: 'lists of CAs that are not known count for no manager: put their certificates into `intermediateFiles`',
      });
    case 'refused':
      return log.warn('file.refused', { path: event.path, reason: event.reason });
    case 'recovered':
      return log.info('file.recovered', { path: event.path });
    case 'warning':
      return log.warn('file.warning', { path: event.path, detail: event.detail });
    case 'renewed':
      return log.info('verifier.renewed', { path: event.path, certificate: event.name });
    case 'stale':
      return log.warn('verdict.stale', {
        issuer: event.issuer,
        since: new Date(event.since * 1000).toISOString(),
        verdicts: event.verdicts,
        remedy: 'have its CA issue a new list: good verdicts end when `staleSeconds` are over',
      });
    case 'keyStore':
      if (event.fault === null) return log.info('key-store.recovered');
      return log.error('key-store.failed', { why: event.fault.what, remedy: event.fault.remedy });
    case 'fault':
      return log.error('responder.failed', { path: event.path, detail: event.detail });
    default:
      event satisfies never;
  }
}
