/**
 * What passes a gate, counted: payload bytes of each message of a login and of a resumption, public-key operations of each
 * party.
 */
import type { Ledger } from './figures.ts';
import { type EdhocSuite, ENTRIES, type Entry, type Passage } from './gate.ts';
import type { TlsBytes } from './tls-yardstick.ts';

export const ENTRY_NAMES: Readonly<Record<Entry, string>> = {
  first: 'first login',
  later: 'later login',
  resumption: 'resumption',
};

export type Visited = readonly { readonly suite: EdhocSuite; readonly visit: Readonly<Record<Entry, Passage>> }[];

const KINDS: Readonly<Record<number, string>> = {
  225: 'message_1',
  226: 'message_2',
  227: 'message_3',
  228: 'message_4',
  209: 'resume',
  210: 'resumed',
};

interface Sent {
  readonly name: string;
  readonly size: number;
  /** Between the device and the manager, on the device's link. */
  readonly onLink: boolean;
}

function sentIn({ packets }: Passage): Sent[] {
  return packets.map(({ from, topic, payload }) => {
    const size = payload.length;
    if (from === 'verifier') return { name: 'verifier: verdict', size, onLink: false };
    if (/\/v\/q\//.test(topic)) return { name: 'manager: question to the verifier', size, onLink: false };
    return { name: `${from}: ${KINDS[payload[0]!] ?? 'record'}`, size, onLink: true };
  });
}

const sum = (sent: readonly Sent[]): number => sent.reduce((total, { size }) => total + size, 0);

export function bytesOfLogin(visited: Visited, [x25519, hybrid]: readonly [TlsBytes, TlsBytes]): Ledger {
  const columns = visited.flatMap(({ suite, visit }) => [
    { title: `suite ${suite}, x5chain`, sent: sentIn(visit.first) },
    { title: `suite ${suite}, x5t`, sent: sentIn(visit.later) },
  ]);
  const row = (name: string, of: (sent: readonly Sent[]) => number) => [name, ...columns.map(({ sent }) => of(sent))];
  const { sent: messages } = columns[0]!;
  const named = ({ name }: Sent) => [
    name,
    ...columns.map(({ sent }) => sent.find((one) => one.name === name)?.size ?? ''),
  ];
  return {
    title: 'Payload bytes of a login (frame included)',
    columns: ['', ...columns.map(({ title }) => title)],
    rows: [
      ...messages.filter(({ onLink }) => onLink).map(named),
      row('all on the link', (sent) => sum(sent.filter(({ onLink }) => onLink))),
      ...messages.filter(({ onLink }) => !onLink).map(named),
    ],
    notes: [
      'A signature of P-256 in a certificate is 70 to 72 B long: x5chain differs by a few bytes from run to run.',
      `On its TCP connection mutual TLS 1.3 sends ${both(x25519)} B with X25519, ${both(hybrid)} B with X25519MLKEM768, tickets included.`,
    ],
  };
}

const both = ({ client, server }: TlsBytes): string => `${client} + ${server} = ${client + server}`;

export function bytesOfResumption(passage: Passage, [x25519, hybrid]: readonly [TlsBytes, TlsBytes]): Ledger {
  const sent = sentIn(passage);
  return {
    title: 'Payload bytes of a resumption (frame included)',
    columns: ['', 'payload'],
    rows: [...sent.map(({ name, size }) => [name, size]), ['all', sum(sent)]],
    notes: [
      'The two records carry the registration of the new process and its acknowledgement.',
      `TLS by ticket sends ${both(x25519)} B with X25519, ${both(hybrid)} B with X25519MLKEM768; the ticket holds the client's certificate.`,
    ],
  };
}

export function publicKeyWork(visited: Visited): Ledger {
  const rows = visited.flatMap(({ suite, visit }) =>
    ENTRIES.flatMap((entry) =>
      (['device', 'manager', 'verifier'] as const).map((party) => {
        const { generate, agree, sign, verify } = visit[entry].operations[party];
        const name = `suite ${suite}, ${ENTRY_NAMES[entry]}: ${party}`;
        return [name, generate, agree, sign, verify, generate + agree + sign + verify];
      }),
    ),
  );
  return {
    title: 'Public-key operations',
    columns: ['', 'generate', 'agree', 'sign', 'verify', 'all'],
    rows,
    notes: [
      'From the counters of the run. A mutual TLS 1.3 handshake with such chains needs, by its specification, 1, 1, 1 and 3 on',
      'each side; a resumption by node:tls, which agrees on a fresh key, 1, 1, 0 and 0.',
    ],
  };
}
