/**
 * `kagimori user …`: users and the media that they carry from device to device.
 */
import type { Command } from 'commander';
import { noun } from '../command.ts';
import { unlockVerb, userStatusVerb } from './user-medium.ts';
import { userListVerb, userRemoveVerb, userShowVerb } from './user-places.ts';

export function userCommand(): Command {
  return noun('user', 'users, and the media that they carry from device to device', [
    userListVerb(),
    userShowVerb(),
    userRemoveVerb(),
    unlockVerb(),
    userStatusVerb(),
  ]);
}
