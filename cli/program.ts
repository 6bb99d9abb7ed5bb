/**
 * All commands in one tree.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { agentCommand } from './commands/agent.ts';
import { approvalCommand } from './commands/approval.ts';
import { brokerCommand } from './commands/broker.ts';
import { caCommand } from './commands/ca.ts';
import { demoCommand } from './commands/demo.ts';
import { deviceCommand } from './commands/device.ts';
import { doctorCommand } from './commands/doctor.ts';
import { enrolmentCommand } from './commands/enrolment.ts';
import { invitationCommand } from './commands/invitation.ts';
import { keyCommand } from './commands/key.ts';
import { managerCommand } from './commands/manager.ts';
import { rulesCommand } from './commands/rules.ts';
import { sessionCommand } from './commands/session.ts';
import { simCommand } from './commands/sim.ts';
import { statusCommand } from './commands/status.ts';
import { suitesCommand } from './commands/suites.ts';
import { userCommand } from './commands/user.ts';
import { verifierCommand } from './commands/verifier.ts';

/** Every command throws instead of ending the process; errors are not printed here. */
export function createProgram(): Command {
  const program = new Command('kagimori')
    .description('One login to the manager, then any number of peers without public-key work.')
    .version(versionOf(), '--version', 'print the version')
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: false });
  const commands = [
    caCommand(),
    keyCommand(),
    brokerCommand(),
    verifierCommand(),
    managerCommand(),
    deviceCommand(),
    invitationCommand(),
    enrolmentCommand(),
    sessionCommand(),
    rulesCommand(),
    suitesCommand(),
    agentCommand(),
    approvalCommand(),
    userCommand(),
    statusCommand(),
    doctorCommand(),
    demoCommand(),
    simCommand(),
  ];
  for (const command of commands) program.addCommand(command);
  makeThrow(program);
  return program;
}

function makeThrow(command: Command): void {
  command.exitOverride().configureOutput({ outputError: () => {} });
  for (const child of command.commands) makeThrow(child);
}

function versionOf(): string {
  const text = readFileSync(join(import.meta.dirname, '../package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
