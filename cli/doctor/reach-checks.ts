/**
 * What has to answer: the broker's port, the daemon's control socket.
 */
import { connect } from 'node:net';
import { BROKER_URL_FORM, type BrokerAddress, brokerAddress } from '../../platform/broker-url.ts';
import { ControlError, callControl } from '../../platform/control-socket.ts';
import { tryWebSocket } from '../../platform/web-socket.ts';
import { type Finding, ill, well } from './finding.ts';
import { checkStore } from './store-checks.ts';

const TIMEOUT_MS = 3_000;

/** A TCP port has to answer, of a WebSocket also the path. @param url  as platform/broker-url.ts has it */
export async function checkBroker(url: string): Promise<Finding> {
  const address = brokerAddress(url);
  if (address === null) return ill(`${url} is no address`, `write ${BROKER_URL_FORM}`);
  const port = await checkPort(url, address);
  if (address.webSocket === null || !port.ok) return port;
  try {
    await tryWebSocket(address.webSocket, TIMEOUT_MS);
    return port;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return ill(`${url} is no WebSocket of a broker (${why})`, 'correct its path, or the proxy in between');
  }
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
    return [well(`${socket} answers`), ...checkStore(status)];
  } catch (error) {
    const remedies: Readonly<Record<string, string>> = {
      'not-running': `start it with \`${start}\``,
      'no-socket': 'restart it',
      timeout: 'its process is stopped or overloaded; restart it if that does not pass',
      forbidden: 'run this as that user',
    };
    const what = error instanceof Error ? error.message : String(error);
    const code = error instanceof ControlError ? error.code : '';
    return [ill(what, remedies[code] ?? 'look at the log of the daemon')];
  }
}
