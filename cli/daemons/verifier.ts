/**
 * Composition root of `verifier run`.
 */
import { systemClock } from '../../platform/clock.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { type LinkLog, linkLog } from '../../platform/link-log.ts';
import type { Log } from '../../platform/log.ts';
import { verifierConfig } from '../../verifier/config.ts';
import { startVerifier, type VerifierEvent } from '../../verifier/service.ts';
import { readConfigFile } from '../config-file.ts';
import type { Running } from '../daemon.ts';
import { brokerLink } from './broker-link.ts';

export async function startVerifierDaemon(configPath: string, log: Log): Promise<Running> {
  const config = readConfigFile(configPath, verifierConfig);
  const crypto = nodeCrypto();
  const clock = systemClock();
  const links = linkLog(log, () => clock.now());
  const verifier = startVerifier(config, {
    crypto,
    clock,
    openTransport: brokerLink(config.broker, 'verifier', crypto),
    observe: (event) => logVerifier(log, links, event),
  });
  return {
    ready: {
      certificate: verifier.certificate.subject.commonName,
      broker: config.broker.url,
      anchorFiles: config.trustAnchorFiles.length,
      crlFiles: config.crlFiles.length,
    },
    close: () => verifier.close(),
  };
}

function logVerifier(log: Log, links: LinkLog, event: VerifierEvent): void {
  switch (event.kind) {
    case 'up':
      return links.up();
    case 'down':
      return links.down(event.reason);
    case 'answered':
      return log.debug('question.answered', { asker: event.asker, outcome: event.answer.kind });
    case 'adopted':
      return log.info('file.adopted', { path: event.path, lists: event.lists });
    case 'refused':
      return log.warn('file.refused', { path: event.path, reason: event.reason });
    case 'warning':
      return log.warn('file.warning', { path: event.path, detail: event.detail });
    default:
      event satisfies never;
  }
}
