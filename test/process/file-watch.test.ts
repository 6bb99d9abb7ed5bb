/**
 * File watching on the real file system and clock.
 */
import assert from 'node:assert/strict';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { watchFiles } from '../../platform/file-watch.ts';
import { inDirectory } from '../test-authority.ts';

test('a file that is written, replaced by a rename, removed or made again is noticed', { timeout: 20_000 }, () =>
  inDirectory(async (dir) => {
    const path = join(dir, 'list');
    writeFileSync(path, '1');
    let noticed: () => void = () => {};
    const watch = watchFiles([path], () => noticed(), 50);
    const after = (change: () => void): Promise<void> => {
      const done = new Promise<void>((resolve) => {
        noticed = resolve;
      });
      change();
      return done;
    };
    await after(() => writeFileSync(path, '22'));
    await after(() => {
      writeFileSync(`${path}.new`, '333');
      renameSync(`${path}.new`, path);
    });
    await after(() => rmSync(path));
    await after(() => writeFileSync(path, '4444'));
    watch.close();
    assert.ok(true);
  }),
);
