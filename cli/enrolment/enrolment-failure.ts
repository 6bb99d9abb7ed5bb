/**
 * Why an enrolment ended without a certificate, in words for whoever stands before the device.
 */
import type { Refusal } from '../../device-agent/enrolment.ts';
import type { Invitation } from '../../protocol/invitation.ts';
import { Failure } from '../failure.ts';
import { printable } from '../output.ts';
import type { Ending } from './exchange-run.ts';

export function failureOf(
  ending: Exclude<Ending, { news: 'enrolled' }>,
  { broker, manager }: Pick<Invitation, 'broker' | 'manager'>,
): Failure {
  switch (ending.news) {
    case 'refused':
      return new Failure(
        'refused',
        ending.reason,
        `${manager} refuses this device (${ending.reason}): ${remedyFor(ending.reason)}`,
      );
    case 'untrusted': {
      const what = `whoever answers at ${broker} as ${manager} is not to be trusted: ${printable(ending.why)}`;
      const token = ending.tokenSent
        ? 'it has the token: have the invitation withdrawn, nothing is stored here'
        : 'the token was not sent, nothing is stored here';
      return new Failure('refused', 'untrusted-manager', `${what}: ${token}`);
    }
    case 'unreachable':
      return new Failure(
        'unreachable',
        'broker-unreachable',
        `the broker at ${broker} cannot be reached: ${printable(ending.why)}: ${remedyAtLink(ending.why)}`,
      );
    case 'silent':
      return ending.why === null
        ? new Failure(
            'timeout',
            'manager-silent',
            `the broker at ${broker} is there, the manager ${manager} does not answer: start it, then run the same command again`,
          )
        : new Failure(
            'refused',
            'manager-refuses',
            `the manager ${manager} ends each exchange: ${printable(ending.why)}: its log says more`,
          );
    case 'stopped':
      return new Failure(
        'refused',
        'stopped',
        'stopped before it was done: the same command goes on with the same key',
      );
    default:
      return ending satisfies never;
  }
}

const remedyAtLink = (why: string): string =>
  /certificate|issuer|self-signed|altname/i.test(why)
    ? 'nothing was sent; give the anchors of its TLS certificate with --broker-anchors'
    : 'nothing was sent, run the same command again';

function remedyFor(reason: Refusal): string {
  switch (reason) {
    case 'bad-token':
      return 'the invitation was used, has expired, was withdrawn, or is of another manager: ask for a new one with `kagimori device invite`';
    case 'name-taken':
      return 'another device has this name: take another (--name; copies of one image: an empty /etc/machine-id in it), or the operator gives this one its place: `kagimori device transfer`';
    case 'not-certified':
      return 'its CA issued no certificate: the log of the manager says why';
    case 'refused-by-user':
    case 'refused-by-policy':
      return 'the operator said no';
    case 'forbidden':
      return 'the operator said no, or the name does not fit the invitation (--name)';
    case 'duplicate':
      return 'its name is in quarantine (`kagimori device release`), or an agent with this key runs: stop that one first';
    case 'void':
      return 'this key was taken back with the device: run `kagimori agent reset`, then enrol with a new invitation';
    case 'revoked':
      return 'the certificate shown was revoked: ask the operator for an invitation with a token';
    case 'expired':
    case 'not-yet-valid':
      return 'the period of the certificate shown does not fit: check it, and the clocks';
    case 'unknown-issuer':
      return 'the verifier does not trust the CA of the certificate shown: ask for an invitation with a token';
    default:
      return 'see docs/enrolment.md';
  }
}
