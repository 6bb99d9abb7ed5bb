/**
 * Every byte of a login: EDHOC as published, our EAD items field by field, our frame; and of what follows it.
 */

import { nodeCrypto } from '../platform/crypto-node.ts';
import { encode } from '../protocol/cbor.ts';
import { encodeEad } from '../protocol/edhoc/ead.ts';
import { EXCHANGE_ID_BYTES } from '../protocol/frame.ts';
import {
  answerLogin,
  chooseLogin,
  type LoginIdentity,
  type PeerLeaf,
  readChoice,
  readOffer,
  readRequest,
  requestLogin,
  startLogin,
  verifyChoice,
  verifyRequest,
} from '../protocol/login.ts';
import {
  channelMessages,
  EAD_LABELS,
  LoginAnswer,
  LoginChoice,
  LoginOffer,
  LoginRequest,
} from '../protocol/messages.ts';
import type { Fields } from '../protocol/schema.ts';
import { CHANNEL_SUITES } from '../protocol/suites.ts';
import { ca, device, type Holder, root } from '../test/test-authority.ts';
import { proposal } from '../test/town.ts';
import type { Ledger } from './figures.ts';

const FRAME_BYTES = 1 + EXCHANGE_ID_BYTES;
/** RFC 9529 §2: method 0, suite 0, x5t of 8 bytes, no EAD. */
const PUBLISHED = [37, 115, 90, null] as const;
const crypto = nodeCrypto();
const channelSuites = CHANNEL_SUITES.map((_, number) => number);

interface Login {
  readonly messages: readonly Uint8Array[];
  readonly eads: readonly {
    readonly name: string;
    readonly label: number;
    readonly value: Uint8Array;
    readonly fields: string;
  }[];
}

/** As the agent does it, at its first login (chains both ways) or a later one (both leaves are held). */
function login(suite: number, first: boolean): Login {
  const algorithm = suite === 0 || suite === 4 ? 'ed25519' : 'p256';
  const issuer = ca(root('Bench root'), 'Bench CA');
  const identity = (holder: Holder): LoginIdentity => ({
    chain: [holder.certificate.der, issuer.certificate.der],
    signingKey: holder.key.key,
    cipherSuites: [suite],
    channelSuites,
  });
  const leafOf = ({ certificate }: Holder): PeerLeaf => ({
    der: certificate.der,
    publicKey: crypto.publicKey(certificate.spki)!,
  });
  const [own, manager] = [device(issuer, 'router-1', { algorithm }), device(issuer, 'home-manager', { algorithm })];
  const register = {
    kind: 'Register',
    requestId: crypto.random(16),
    addresses: ['mqtt:km1'],
    proposals: [proposal('aes-gcm', 128, { priority: 1 })],
  } as const;
  const registered = { kind: 'Registered', requestId: register.requestId, version: 1 } as const;
  const offer = { suites: channelSuites, sendChain: first ? true : undefined };
  const choice = { suite: 0, sendChain: first ? true : undefined, instance: crypto.random(8) };
  const request = { instance: crypto.random(8), messages: channelMessages.encodeAll([register]) };
  const answer = { permitted: true, chainHeld: true, messages: channelMessages.encodeAll([registered]) };

  const started = startLogin(crypto, identity(own), offer, suite);
  const offered = readOffer(crypto, identity(manager), started.message1);
  if ('error' in offered) throw new Error(`EDHOC suite ${suite} was refused`);
  const chosen = chooseLogin(crypto, identity(manager), offered, choice);
  const read = readChoice(crypto, started.state, chosen.message2);
  const verified = verifyChoice(crypto, read, leafOf(manager));
  const requested = requestLogin(crypto, identity(own), verified, request, first);
  const asked = readRequest(crypto, chosen.state, requested.message3);
  const answered = answerLogin(crypto, verifyRequest(crypto, asked, leafOf(own)), answer);
  return {
    messages: [started.message1, chosen.message2, requested.message3, answered.message4],
    eads: [
      {
        name: 'offer',
        label: EAD_LABELS.offer,
        value: LoginOffer.encode(offer),
        fields: fieldBytes(LoginOffer, offer),
      },
      {
        name: 'choice',
        label: EAD_LABELS.choice,
        value: LoginChoice.encode(choice),
        fields: fieldBytes(LoginChoice, choice),
      },
      {
        name: 'request',
        label: EAD_LABELS.request,
        value: LoginRequest.encode(request),
        fields: fieldBytes(LoginRequest, request),
      },
      {
        name: 'answer',
        label: EAD_LABELS.answer,
        value: LoginAnswer.encode(answer),
        fields: fieldBytes(LoginAnswer, answer),
      },
    ],
  };
}

/** `suites 6 + sendChain 2`: bytes of each field with its label. */
function fieldBytes(definition: { readonly fields: Fields }, value: Readonly<Record<string, unknown>>): string {
  const parts: string[] = [];
  for (const [name, field] of Object.entries(definition.fields)) {
    const given = value[name];
    if (given === undefined) continue;
    const item = (field.type as { toItem(value: unknown): Parameters<typeof encode>[0] }).toItem(given);
    parts.push(`${name} ${encode(field.label).length + encode(item).length}`);
  }
  return parts.join(' + ');
}

const CASES = [
  { suite: 0, first: false, what: 'suite 0 (Ed25519, tag 8 B), x5t' },
  { suite: 2, first: false, what: 'suite 2 (P-256, tag 8 B), x5t' },
  { suite: 6, first: false, what: 'suite 6 (X25519, P-256, tag 16 B), x5t' },
  { suite: 6, first: true, what: 'suite 6, first login, x5chain of two' },
] as const;

export function loginBytes(): Ledger[] {
  const rows: (string | number)[][] = [];
  for (const { suite, first, what } of CASES) {
    const { messages, eads } = login(suite, first);
    messages.forEach((message, i) => {
      const ead = eads[i]!;
      const eadBytes = encodeEad([{ label: ead.label, critical: true, value: ead.value }]).length;
      const edhoc = message.length - eadBytes;
      const published = PUBLISHED[i];
      const beside = published === null || published === undefined || first ? '' : published;
      rows.push([`message_${i + 1}, ${what}`, edhoc, beside, eadBytes, FRAME_BYTES, message.length + FRAME_BYTES]);
    });
  }
  const { eads } = login(2, true);
  const account = eads.map(({ name, label, value, fields }, i) => {
    const total = encodeEad([{ label, critical: true, value }]).length;
    const head = encode(-label).length;
    return [`EAD_${i + 1} ${name}`, total, head, total - head - value.length, 1, fields];
  });
  return [
    {
      title: 'Bytes of a login',
      columns: ['', 'EDHOC', 'RFC 9529', 'EAD', 'frame', 'payload'],
      rows,
      notes: [
        'RFC 9529 §2 names its certificates by 8 bytes of a hash (x5t, algorithm -15), ours by all 32 (-16): 25 bytes more in message_2 and message_3.',
        'message_4, optional there, is mandatory here. Frame: kind 1, exchange id 8.',
      ],
    },
    {
      title: 'Every byte of the EAD items (a first login)',
      columns: ['', 'EAD', 'label', 'length', 'map', 'fields'],
      rows: account,
      notes: [`The certificate chain is ${certificateBytes()}.`],
    },
  ];
}

function certificateBytes(): string {
  const issuer = ca(root('Bench root'), 'Bench CA');
  const leaf = device(issuer, 'router-1');
  return `${leaf.certificate.der.length} B of leaf and ${issuer.certificate.der.length} B of intermediate, P-256`;
}
