/**
 * A CONNECT packet: what the policy sees of it, the keep-alive it is held to, the answer to a refused one.
 * @spec MQTT 3.1.1 §3.1, §3.2
 */
import type { AuthenticateError, ConnectPacket } from 'aedes';
import type { Crypto } from '../protocol/crypto.ts';
import type { Attempt, Refusal } from './policy.ts';

/** Seconds; who asks for less is not closed before. */
const LEAST_KEEP_ALIVE = 5;

/** CONNACK return codes; all others are 5, "not authorised". [MQTT-3.2.2-4] */
const RETURN_CODES: Partial<Record<Refusal, number>> = {
  'client-id': 2,
  'client-id-taken': 2,
  'manager-present': 3,
  credentials: 4,
};

export function attemptOf(packet: ConnectPacket, address: string, crypto: Crypto): Attempt {
  const { password } = packet;
  return {
    clientId: packet.clientId,
    username: packet.username ?? null,
    passwordSha256: password === undefined ? null : crypto.hash('sha-256', bytesOf(password)),
    clean: packet.clean === true,
    will: packet.will !== undefined,
    address,
  };
}

/** Bridges say so in the highest bit of the level, which the parser takes away. */
export function isVersion311(packet: ConnectPacket & { readonly bridgeMode?: boolean }): boolean {
  return packet.protocolId === 'MQTT' && packet.protocolVersion === 4 && packet.bridgeMode !== true;
}

/** @param most  seconds; a client that names none, or more, is held to it */
export function keepAliveOf({ keepalive }: ConnectPacket, most: number): number {
  return Math.min(Math.max(keepalive || most, LEAST_KEEP_ALIVE), most);
}

export function refusalError(reason: Refusal): AuthenticateError {
  return Object.assign(new Error(reason), { returnCode: RETURN_CODES[reason] ?? 5 });
}

/** A view without Buffer's own `slice`, which does not copy. */
export function bytesOf(payload: string | Buffer): Uint8Array {
  const buffer = typeof payload === 'string' ? Buffer.from(payload) : payload;
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
