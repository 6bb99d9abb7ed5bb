/**
 * What an agent leaves in its state directory, all of it of one machine alone. What is not named here would be copied with
 * an image: test/seam/agent-clearing.test.ts holds this against the sources.
 */

/** Names, and with `*` their beginnings. */
export const STATE_FILES = [
  'agent.lock*',
  'agent.sock*',
  'channel.cbor*',
  'suite-costs.json*',
  'approvals.cbor*',
  'user-*',
] as const;

export function isStateFile(name: string): boolean {
  return STATE_FILES.some((one) => name.startsWith(one.slice(0, -1)));
}
