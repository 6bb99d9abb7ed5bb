/**
 * What has to answer: the broker's port, the daemon's control socket.
 */
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { brokerFault } from '../../platform/broker-fault.ts';
import { BROKER_URL_FORM, type BrokerAddress, brokerAddress } from '../../platform/broker-url.ts';
import { type ClientTls, type ClientTrust, clientTls } from '../../platform/client-tls.ts';
import { ControlError, callControl } from '../../platform/control-socket.ts';
import { tryWebSocket } from '../../platform/web-socket.ts';
import { type Finding, ill, well } from './finding.ts';
import { checkAdmission, checkCopies } from './life-checks.ts';
import { checkStore } from './store-checks.ts';
import { checkRunning } from './verifier-checks.ts';

const TIMEOUT_MS = 3_000;

/**
 * The port has to answer, of a WebSocket also the path, over TLS with a certificate that counts.
 * @param url    as platform/broker-url.ts has it
 * @param trust  null: a listener of our own, whose certificate others have to trust
 */
export async function checkBroker(url: string, trust: ClientTrust | null): Promise<Finding> {
  const address = brokerAddress(url);
  if (address === null) return ill(`${url} is no address`, `write ${BROKER_URL_FORM}`);
  const port = await checkPort(url, address);
  const tls = trust === null ? null : clientTls(address.host, trust);
  if (!port.ok || (address.webSocket === null && (!address.tls || tls === null))) return port;
  try {
    if (address.webSocket !== null) await tryWebSocket(address.webSocket, TIMEOUT_MS, tls);
    else await tryTls(address, tls ?? {});
    return port;
  } catch (error) {
    const why = error instanceof Error ? brokerFault(error, `${address.host}:${address.port}`) : String(error);
    if (address.tls && !why.includes('WebSocket')) return ill(`the broker at ${url} is not used: ${why}`, TLS_REMEDY);
    return ill(`${url} is no WebSocket of a broker (${why})`, 'correct its path, or the proxy in between');
  }
}

const TLS_REMEDY = 'compare `anchorsFile` and the name in `url` with the certificate of the broker';

function tryTls({ host, port }: BrokerAddress, tls: ClientTls): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host, port, timeout: TIMEOUT_MS, ...tls });
    socket.once('secureConnect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('timeout', () => socket.destroy(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' })));
    socket.once('error', reject);
  });
}

function checkPort(url: string, { host, port }: BrokerAddress): Promise<Finding> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: TIMEOUT_MS });
    const end = (finding: Finding): void => {
      socket.destroy();
      resolve(finding);
    };
    const failed = (why: string): void =>
      end(ill(`the broker at ${url} cannot be reached (${why})`, 'start it, or correct its address or the firewall'));
    socket.once('connect', () => end(well(`the broker at ${url} can be reached`)));
    socket.once('timeout', () => failed(`no answer within ${TIMEOUT_MS / 1000} s`));
    socket.once('error', (error: NodeJS.ErrnoException) => failed(error.code ?? error.message));
  });
}

export async function checkControl(socket: string, start: string): Promise<readonly Finding[]> {
  try {
    const status = await callControl(socket, 'status', {}, { timeoutMs: TIMEOUT_MS });
    return [
      well(`${socket} answers`),
      ...checkStore(status),
      ...checkRunning(status),
      ...checkCopies(status),
      ...checkAdmission(status),
    ];
  } catch (error) {
    const remedies: Readonly<Record<string, string>> = {
      'not-running': `start it with \`${start}\``,
      'no-socket': 'it may be starting: ask again; if that stays, restart it',
      timeout: 'its process is stopped or overloaded; restart it if that does not pass',
      forbidden: 'run this as that user',
    };
    const what = error instanceof Error ? error.message : String(error);
    const code = error instanceof ControlError ? error.code : '';
    return [ill(what, remedies[code] ?? 'look at the log of the daemon')];
  }
}
