/**
 * Composition root of `agent run`.
 */
import { join } from 'node:path';
import { agentConfig } from '../../device-agent/config.ts';
import type { MeasureCosts } from '../../device-agent/priced-proposals.ts';
import { startAgent } from '../../device-agent/service.ts';
import { readCpuFeatures } from '../../hardware/cpu-features.ts';
import { openKeyStore } from '../../hardware/key-store.ts';
import { watchNetwork } from '../../hardware/network-watch.ts';
import { MEASURE_BUDGET_MS } from '../../hardware/suite-cost.ts';
import { costConditions, suiteCosts } from '../../hardware/suite-cost-file.ts';
import { systemClock } from '../../platform/clock.ts';
import { serveControl } from '../../platform/control-socket.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { makePrivateDirectory, writeFault } from '../../platform/files.ts';
import type { Log } from '../../platform/log.ts';
import { LockHeld, lockProcess, type ProcessLock } from '../../platform/process-lock.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import type { EpochSeconds } from '../../protocol/units.ts';
import { readConfigFile } from '../config-file.ts';
import type { Running } from '../daemon.ts';
import { Failure } from '../failure.ts';
import { openSslMask } from '../openssl-mask.ts';
import { enrolAtStart } from './agent-enrolment.ts';
import { hookAsker } from './approval-hook.ts';
import { keepApproval } from './approval-keeper.ts';
import { brokerLink } from './broker-link.ts';
import { userMedia } from './user-media.ts';

export async function startAgentDaemon(
  configPath: string,
  log: Log,
  signalled: Promise<unknown>,
): Promise<Running | null> {
  const config = readConfigFile(configPath, agentConfig);
  if (!(await enrolAtStart(configPath, config, log, signalled))) return null;
  const crypto = nodeCrypto();
  const keyStore = openKeyStore(config.keyFile, crypto.counter);
  const openTransport = brokerLink(config.broker, null, crypto);
  const { stateDirectory } = config;
  const closers: (() => Promise<void> | void)[] = [() => keyStore.close()];
  const close = async (): Promise<void> => {
    for (const one of closers.splice(0).reverse()) await one();
  };
  try {
    const lock = takeDirectory(stateDirectory);
    closers.push(() => lock.release());
    const clock = systemClock();
    const measureCosts = costMeter(join(stateDirectory, 'suite-costs.json'), crypto, clock.wall);
    const approval = config.approvalFile === undefined ? null : keepApproval(config.approvalFile, log);
    if (approval !== null) closers.push(() => approval.close());
    const media = config.users === undefined ? null : userMedia(config.users, stateDirectory, crypto, log);
    const agent = startAgent(config, {
      crypto,
      clock,
      log,
      keyStore,
      openTransport,
      watchNetwork,
      measureCosts,
      ...(media === null ? {} : { signAsUser: media.sign }),
      askers: (policy) => [hookAsker(policy, log)],
      ...(approval === null ? {} : { approval }),
    });
    closers.push(() => agent.close());
    media?.start(agent);
    closers.push(() => media?.close());
    const socket = join(stateDirectory, 'agent.sock');
    const control = await serveControl(socket, { ...agent.control, ...media?.control });
    closers.push(() => control.close());
    const { manager, broker } = config;
    return { ready: { device: agent.id, manager, broker: broker.url, control: socket }, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function costMeter(path: string, crypto: Crypto, wall: () => EpochSeconds): MeasureCosts {
  const [cpu, mask] = [readCpuFeatures(), openSslMask()];
  const file = { path, conditions: costConditions(cpu, crypto, mask), crypto, wall, budgetMs: MEASURE_BUDGET_MS };
  return (suites) => ({ ...suiteCosts(file, suites), instructions: cpu.instructions, openSslMask: mask });
}

/** Makes it when there is none; no second agent may log in with the same state. */
function takeDirectory(path: string): ProcessLock {
  makePrivateDirectory(path);
  try {
    return lockProcess(join(path, 'agent.lock'));
  } catch (error) {
    if (!(error instanceof LockHeld)) throw writeFault(path, error);
    throw new Failure('refused', 'already-running', `${path} is in use by process ${error.pid}: stop it first`);
  }
}
