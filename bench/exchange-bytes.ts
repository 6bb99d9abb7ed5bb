/**
 * Payload bytes of a resumption and of a connect, as the real machines send them.
 */
import { channelMessages } from '../protocol/messages.ts';
import { proposal, town } from '../test/town.ts';
import type { Packet, Town } from '../test/town-plan.ts';
import type { Ledger } from './figures.ts';
import { street } from './street.ts';

export function exchangeBytes(): Ledger[] {
  return [resumptionBytes(), connectBytes()];
}

const GCM = proposal('aes-gcm', 128, { priority: 1 });

function resumptionBytes(): Ledger {
  const place: Town = town();
  const own = place.add('router-1', { proposals: [GCM] });
  const begun = place.packets.length;
  own.breakLink();
  place.flush();
  const sent = place.packets.slice(begun).filter(({ topic }) => /\/[md]\//.test(topic));
  return {
    title: 'Bytes of a resumption',
    columns: ['', 'payload'],
    rows: sent.map((packet) => [`${packet.from}: ${kindOf(packet)}`, packet.payload.length]),
    notes: ['D1 and D2 hold nonces and MACs of 16 bytes each, the instance (8) and the exchange id (8).'],
  };
}

function kindOf({ payload }: Packet): string {
  const first = payload[0]!;
  if (first === 0xd1) return 'D1 resume';
  if (first === 0xd2) return 'D2 resumed';
  return first <= 0x7f ? 'record' : first.toString(16).toUpperCase();
}

/** The order of a street's packets is that of design §5.4. */
const CONNECT = ['Connect', 'Ask', 'Answer', 'Allow (to the broker)', 'Grant to callee', 'Grant to caller'];

function connectBytes(): Ledger {
  const sizes = (keyMode: 'key' | 'seed', tagBits: 64 | 128): number[] => {
    const suite = tagBits === 64 ? ('aes-ccm' as const) : ('aes-gcm' as const);
    return street(1, proposal(suite, 128, { keyMode, tagBits, priority: 1 }))
      .packets()
      .map(({ payload }) => payload.length);
  };
  const columns = [sizes('seed', 128), sizes('key', 128), sizes('seed', 64)];
  const names = [...CONNECT, 'Hello of caller', 'Hello of callee'];
  const connect = channelMessages.encode({ kind: 'Connect', nonceA: new Uint8Array(16), callee: 'callee-0' });
  return {
    title: 'Bytes of a connect, from Connect until open',
    columns: ['', 'gcm seed', 'gcm key', 'ccm-8 seed'],
    rows: [
      ...names.map((name, i) => [name, ...columns.map((column) => column[i]!)]),
      ['all', ...columns.map((column) => column.reduce((sum, size) => sum + size, 0))],
    ],
    notes: [`A record of the channel adds 10 B (tag 8): Connect is ${connect.length} B of CBOR, 16 of them the nonce.`],
  };
}
