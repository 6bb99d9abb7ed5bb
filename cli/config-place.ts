/**
 * Where configuration files lie when nobody says so, and which schema each kind has.
 */
import { existsSync } from 'node:fs';
import type { z } from 'zod';
import { Failure } from './failure.ts';

export const KINDS = ['broker', 'verifier', 'manager', 'agent'] as const;
export type Kind = (typeof KINDS)[number];

export const placesOf = (kind: Kind): readonly string[] => [`kagimori-${kind}.yaml`, `/etc/kagimori/${kind}.yaml`];

/** @returns the given path, else the first of the usual places where a file lies, else null */
export function findConfig(kind: Kind, given?: string): string | null {
  return given ?? placesOf(kind).find((path) => existsSync(path)) ?? null;
}

/** @throws Failure `no-config` when there is none */
export function requireConfig(kind: Kind, given?: string): string {
  const found = findConfig(kind, given);
  if (found !== null) return found;
  const [here, system] = placesOf(kind);
  throw new Failure(
    'usage',
    'no-config',
    `no configuration in ${here} or ${system}: give --config, or begin with \`kagimori ${kind} config > ${here}\``,
  );
}

/** Loaded only when it is needed: help has to be quick. */
export async function schemaOf(kind: Kind): Promise<z.ZodObject> {
  switch (kind) {
    case 'broker':
      return (await import('../broker/config.ts')).brokerConfig;
    case 'verifier':
      return (await import('../verifier/config.ts')).verifierConfig;
    case 'manager':
      return (await import('../manager/config.ts')).managerConfig;
    case 'agent':
      return (await import('../device-agent/config.ts')).agentConfig;
    default:
      return kind satisfies never;
  }
}
