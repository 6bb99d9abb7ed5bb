/**
 * A device that has no certificate yet: what would bring it one.
 */
import { existsSync } from 'node:fs';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { readInvitationFile } from '../enrolment/invitation-source.ts';
import { advice, attempt, type Finding, ill } from './finding.ts';

export interface EnrolmentSettings {
  readonly certificateFile?: string;
  readonly keyFile?: string;
  readonly trustAnchorFiles?: readonly unknown[];
  readonly verifierCertificateFile?: string;
  readonly invitationFile?: string;
  readonly manager?: string;
}

/** @returns null for a device that has a certificate, good or bad */
export function checkEnrolment(path: string, settings: EnrolmentSettings): readonly Finding[] | null {
  const { certificateFile, invitationFile, manager } = settings;
  if (certificateFile === undefined || existsSync(certificateFile)) return null;
  const what = `this device has no certificate yet: there is no ${certificateFile}`;
  const byHand = `enrol it: \`kagimori agent enrol - --config ${path}\` with an invitation (\`kagimori device invite\` at the manager)`;
  if (invitationFile === undefined) return [ill(what, byHand)];
  if (!existsSync(invitationFile)) return [ill(what, `put an invitation into ${invitationFile}, or ${byHand}`)];
  return attempt(`${invitationFile} cannot be used`, () => {
    const { manager: named } = readInvitationFile(invitationFile, nodeCrypto());
    return named === manager
      ? [advice(what, `it enrols at its next start, with ${invitationFile}`)]
      : [ill(`${invitationFile} is for the manager ${named}, this device for ${manager}`, 'correct one of them')];
  });
}

/** What is only there once the device is enrolled. */
export function withoutEnrolled<Settings extends EnrolmentSettings>(settings: Settings): Settings {
  const { certificateFile: _, keyFile: __, trustAnchorFiles: ___, verifierCertificateFile: ____, ...rest } = settings;
  return rest as Settings;
}
