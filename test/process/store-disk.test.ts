/**
 * The store on a disk that fails or is full, in a process of its own: named, survived, and nothing acknowledged lost.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Endured, endure, holdsWhatWasAcknowledged } from './store-endurance.ts';

const LONG = process.env.KAGIMORI_LONG === '1';
const ALL = Array.from({ length: 100 }, (_, i) => i + 1);
/** Which call fails; every one up to the hundredth in the long run. */
const PLACES = LONG ? ALL : [1, 2, 3, 5, 13, 34, 100];
const LANES = 3;

const noStrace = spawnSync('strace', ['-V']).status === 0 ? false : 'strace is not installed (apt-get install strace)';
const unprivileged = process.getuid?.() === 0 ? false : 'needs root, to mount a small file system';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'kagimori-disk-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** @param when  as strace takes it: `7` for the seventh call alone, `7+` from the seventh on */
function failing(call: string, when: string, trace: string): readonly string[] {
  const inject = `inject=${call}:error=EIO:when=${when}`;
  return ['strace', '-f', '--seccomp-bpf', '-qq', '-o', trace, '-e', `trace=${call}`, '-e', inject];
}

function survived(run: Endured, what: string): void {
  const told = `${what}: ended with ${run.code ?? run.signal}: ${run.others.join(', ')} ${run.errors}`;
  // refused at the start by name, or served to the end: never killed, never an error without a name
  assert.ok(run.opened ? run.done && run.code === 0 : run.code === 1, told);
  assert.deepEqual(run.others, run.opened ? [] : ['refused io'], told);
  assert.equal(run.outcomes.has('served'), false, `${what}: served what it had refused`);
}

for (const [call, title] of [
  ['fdatasync', 'EIO at the n-th fdatasync: named, the process lives, and what was acknowledged is there'],
  ['pwrite64', 'EIO at the n-th write, in the header page too: named, the process lives, nothing acknowledged is lost'],
  ['fsync', 'EIO at the n-th fsync of the first start: refused by name, and the next start is as the first'],
] as const) {
  test(`[P9] [B7] ${title}`, { skip: noStrace, timeout: 600_000 }, async (t) => {
    const base = folder(t);
    // a store that is made syncs four times before it is open, and never in this way again
    const places = (call === 'fsync' ? [1, 2, 3, 4, 5] : PLACES).values();
    let refusals = 0;
    const lane = async (): Promise<void> => {
      for (const n of places) {
        const [directory, trace, what] = [join(base, `${n}`), join(base, `${n}.trace`), `${call} ${n}`];
        const run = await endure(directory, 105, 120, failing(call, String(n), trace));
        assert.match(readFileSync(trace, 'latin1'), call === 'fsync' ? /^/ : /INJECTED/, `${what}: nothing failed`);
        survived(run, what);
        assert.equal(run.outcomes.get('ok')?.length ?? 105, 105, what);
        refusals += (run.outcomes.get('io')?.length ?? 0) + (run.opened ? 0 : 1);
        await holdsWhatWasAcknowledged(directory, run, what);
        rmSync(directory, { recursive: true });
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    assert.ok(refusals >= (call === 'fsync' ? 3 : PLACES.length), `${refusals} refusals`);
  });
}

test('[P9] [B7] a disk that fails for good: every commit is refused by name, the process rests and lives, nothing is lost', {
  skip: noStrace,
}, async (t) => {
  const base = folder(t);
  for (const call of ['fdatasync', 'pwrite64']) {
    const [directory, trace] = [join(base, call), join(base, 'trace')];
    const run = await endure(directory, 60, 60, failing(call, call === 'pwrite64' ? '40+' : '6+', trace));
    survived(run, call);
    const [stored, refused] = [run.outcomes.get('ok') ?? [], run.outcomes.get('io') ?? []];
    assert.ok(
      stored.length > 0 && refused.length === 60 - stored.length && refused.length > 30,
      JSON.stringify(refused),
    );
    // it rests longer and longer: most of the attempts never reach the disk
    const touched = readFileSync(trace, 'latin1').split('INJECTED').length - 1;
    assert.ok(touched < refused.length * 1.5, `${touched} failed calls for ${refused.length} commits`);
    await holdsWhatWasAcknowledged(directory, run, call);
  }
});

/** A file system of so many kilobytes. */
function mounted(t: TestContext, kilobytes: number): string {
  const place = mkdtempSync(join(tmpdir(), 'kagimori-disk-'));
  t.after(() => {
    spawnSync('umount', ['-l', place]);
    rmdirSync(place);
  });
  const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${kilobytes}k,mode=0700`, 'tmpfs', place]);
  assert.equal(mount.status, 0, String(mount.stderr));
  return place;
}

test('[P9] [B7] a disk that is full and then is not: refused by name meanwhile, stored afterwards, by the same process', {
  skip: unprivileged,
}, async (t) => {
  const place = mounted(t, 6000);
  const filler = join(place, 'filler');
  const directory = join(place, 'store');
  let refused = 0;
  const run = await endure(directory, 400, 460, [], (line) => {
    if (line === 'ok 20') fill(filler);
    if (line.startsWith('full ') && ++refused === 20) rmSync(filler);
  });
  survived(run, 'full');
  assert.equal(run.outcomes.get('ok')?.length, 400);
  assert.ok((run.outcomes.get('full')?.length ?? 0) >= 20, JSON.stringify([...run.outcomes.keys()]));
  await holdsWhatWasAcknowledged(directory, run, 'full');
});

/** Takes all that is left. */
function fill(path: string): void {
  const block = new Uint8Array(4096);
  try {
    for (;;) writeFileSync(path, block, { flag: 'a' });
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
  }
}

test('[P9] the first start on a full disk, or without a block to spare, is refused by name, and works when there is room', {
  skip: unprivileged,
}, async (t) => {
  // from no room at all to nearly enough, so that each file that is made in turn is the one that does not fit
  for (const spareKilobytes of [0, 8, 24, 700]) {
    const place = mounted(t, 3000);
    const filler = join(place, 'filler');
    fill(filler);
    const directory = join(place, 'store');
    mkdirSync(directory, { mode: 0o700 });
    const all = readFileSync(filler).length;
    writeFileSync(filler, new Uint8Array(all - 1024 * spareKilobytes));
    const first = await endure(directory, 3, 3);
    const told = `${spareKilobytes} KiB: ${first.code ?? first.signal} ${first.others.join()} ${first.errors}`;
    assert.equal(first.code, 1, told);
    assert.deepEqual(first.others, ['refused full'], told);
    rmSync(filler);
    const second = await endure(directory, 3, 3);
    assert.deepEqual([second.code, second.outcomes.get('ok')?.length], [0, 3], second.others.join());
  }
});

test('[P9] a limit on the size of files is named as such and takes nothing with it', async (t) => {
  const directory = join(folder(t), 'store');
  // 1200 blocks of 1 KiB: the first chunk of the file fits, the second does not
  const run = await endure(directory, 250, 250, ['bash', '-c', 'ulimit -f 1200; exec "$@"', 'bash']);
  survived(run, 'limit');
  assert.ok((run.outcomes.get('full')?.length ?? 0) > 0, JSON.stringify([...run.outcomes.keys()]));
  await holdsWhatWasAcknowledged(directory, run, 'limit');
});
