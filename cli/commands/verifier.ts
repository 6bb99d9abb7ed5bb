/**
 * `kagimori verifier …`
 */
import type { Command } from 'commander';
import { noun } from '../command.ts';
import { configVerb, runVerb } from './daemon-verbs.ts';
import { verifierCheckVerb } from './verifier-check.ts';
import { verifierStatusVerbs } from './verifier-status.ts';

export function verifierCommand(): Command {
  const run = runVerb('verifier', 'run the verifier until a signal comes', async (options) => {
    const { runDaemon } = await import('../daemon.ts');
    const { startVerifierDaemon } = await import('../daemons/verifier.ts');
    await runDaemon('verifier', options, startVerifierDaemon);
  });
  return noun('verifier', 'the verifier: judges certificates, signs verdicts', [
    run,
    verifierCheckVerb(),
    configVerb('verifier'),
    ...verifierStatusVerbs(),
  ]);
}
