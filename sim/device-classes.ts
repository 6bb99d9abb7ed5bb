/**
 * The devices of a home (P22), as data: how they are linked, what they keep things on, which suites they run, whom they
 * talk to and how much. One row a class.
 */
import type { Proposal } from '../protocol/messages.ts';
import { CELLULAR, type LinkProfile, WIRED, WIRELESS } from './link-profile.ts';

export type ClassName = 'router' | 'pc' | 'phone' | 'pda' | 'television' | 'refrigerator';

export interface DeviceClass {
  readonly algorithm: 'p256' | 'ed25519';
  readonly link: LinkProfile;
  readonly diskMs: readonly [least: number, most: number];
  readonly proposals: readonly Proposal[];
  /** Whom it calls: the first class of which there is another device in the house. */
  readonly calls: readonly ClassName[];
  /** What it says in a session. */
  readonly messages: { readonly count: readonly [number, number]; readonly bytes: readonly [number, number] };
  /** Closes its channel when nothing was said for so long; the manager opens it when the device is wanted. */
  readonly closeWhenIdleSeconds: number | null;
}

const suite = (cipher: 'aes-gcm' | 'aes-ccm' | 'chacha20-poly1305', keyBits: number, tagBits = 128) =>
  ({ cipher, keyBits, hash: 'sha-256', tagBits }) as const;
/** In the order of preference. */
const proposals = (...suites: readonly ReturnType<typeof suite>[]): Proposal[] =>
  suites.map(({ cipher, keyBits, hash, tagBits }, index) => ({
    cipher,
    keyBits: [keyBits],
    hashes: [hash],
    tagBits,
    keyMode: 'seed',
    priority: index + 1,
  }));

const GCM_128 = suite('aes-gcm', 128);
const GCM_256 = suite('aes-gcm', 256);
const CHACHA = suite('chacha20-poly1305', 256);
const CCM_SHORT = suite('aes-ccm', 128, 64);

export const DEVICE_CLASSES: Readonly<Record<ClassName, DeviceClass>> = {
  router: {
    algorithm: 'p256',
    link: WIRED,
    diskMs: [4, 20],
    proposals: proposals(CHACHA, GCM_128),
    calls: ['pc', 'phone'],
    messages: { count: [1, 3], bytes: [40, 200] },
    closeWhenIdleSeconds: null,
  },
  pc: {
    algorithm: 'p256',
    link: WIRED,
    diskMs: [0.3, 2],
    proposals: proposals(GCM_256, GCM_128, CHACHA),
    calls: ['television', 'router'],
    messages: { count: [2, 4], bytes: [200, 4000] },
    closeWhenIdleSeconds: null,
  },
  phone: {
    algorithm: 'p256',
    link: WIRELESS,
    diskMs: [1, 8],
    proposals: proposals(CHACHA, GCM_128, CCM_SHORT),
    calls: ['refrigerator', 'television', 'router'],
    messages: { count: [1, 4], bytes: [20, 600] },
    closeWhenIdleSeconds: null,
  },
  pda: {
    algorithm: 'ed25519',
    link: CELLULAR,
    diskMs: [5, 25],
    proposals: proposals(GCM_128, CCM_SHORT),
    calls: ['pc', 'phone'],
    messages: { count: [1, 3], bytes: [20, 300] },
    closeWhenIdleSeconds: null,
  },
  television: {
    algorithm: 'p256',
    link: WIRED,
    diskMs: [4, 20],
    proposals: proposals(GCM_128, CHACHA),
    calls: ['phone', 'router'],
    messages: { count: [1, 3], bytes: [100, 1500] },
    closeWhenIdleSeconds: null,
  },
  refrigerator: {
    algorithm: 'ed25519',
    link: WIRELESS,
    diskMs: [5, 40],
    proposals: proposals(CCM_SHORT, GCM_128),
    calls: ['phone', 'pc'],
    messages: { count: [1, 2], bytes: [20, 80] },
    closeWhenIdleSeconds: 20,
  },
};

/** One house, in the order in which it fills up; more devices are more houses. */
export const HOUSE: readonly ClassName[] = [
  'router',
  'phone',
  'refrigerator',
  'pc',
  'television',
  'phone',
  'pda',
  'phone',
  'television',
  'pc',
  'refrigerator',
  'phone',
];
