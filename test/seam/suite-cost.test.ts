/**
 * What suites cost this machine: measured in bounded CPU time, kept until something changes on which it depends.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { everySuite, listSuites } from '../../cli/suites/suite-listing.ts';
import { hasAes, hasSha, parseCpuInfo, readCpuFeatures } from '../../hardware/cpu-features.ts';
import { costKey, MEASURE_BUDGET_MS, measureSuites, processCpuMicros, runsOn } from '../../hardware/suite-cost.ts';
import { type CostConditions, type CostFile, costConditions, suiteCosts } from '../../hardware/suite-cost-file.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { portableCrypto } from '../../platform/crypto-portable.ts';
import { EMPTY } from '../../protocol/bytes.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { deriveContext } from '../../protocol/key-schedule.ts';
import { FIRST_ID, makeRecordContext, SECOND_ID, sealRecord } from '../../protocol/record.ts';
import { resolveSuite, type Suite } from '../../protocol/suites.ts';
import { EpochSeconds } from '../../protocol/units.ts';

const GCM: Suite = { cipher: 'aes-gcm', keyBits: 128, hash: 'sha-256', tagBits: 128 };
const GCM_256: Suite = { ...GCM, keyBits: 256 };
const CHACHA: Suite = { cipher: 'chacha20-poly1305', keyBits: 256, hash: 'sha-256', tagBits: 128 };
const CTR: Suite = { cipher: 'aes-ctr-hmac', keyBits: 128, hash: 'sha-512', tagBits: 256 };
const HALVES: readonly Crypto[] = [nodeCrypto(), portableCrypto()];

// ── Measuring ───────────────────────────────────────────────────────────────────────────────────────────────────────

test('[B4] all suites of the registry together are measured in less than 100 ms of CPU, on either half', () => {
  for (const half of HALVES) {
    const began = processCpuMicros();
    const { costs, spentMs } = measureSuites(half, everySuite());
    const tookMs = (processCpuMicros() - began) / 1000;
    assert.ok(tookMs < 100, `${half.name}: ${tookMs} ms`);
    assert.ok(spentMs <= tookMs && spentMs > MEASURE_BUDGET_MS / 4, `${half.name}: says ${spentMs} ms of ${tookMs}`);
    const asked = new Set(everySuite().map(costKey));
    for (const [key, cost] of costs) assert.ok(asked.has(key) && cost !== null, key);
    if (half.name === 'node') assert.ok(costs.size >= 2, `only ${costs.size} suites`);
  }
});

test("[B4] a cost has two digits, and both of the agent's proposals have one; the portable half takes longer to warm", () => {
  for (const half of HALVES) {
    const budgetMs = half.name === 'node' ? MEASURE_BUDGET_MS : 500;
    const { costs } = measureSuites(half, [GCM_256, CHACHA], budgetMs);
    for (const suite of [GCM_256, CHACHA]) {
      const cost = costs.get(costKey(suite));
      assert.ok(cost, `${half.name}: ${costKey(suite)}`);
      const { picosPerOp, picosPerByte } = cost;
      assert.ok(picosPerOp > 1e5 && picosPerOp < 1e9, `${half.name}: ${picosPerOp} ps a record`);
      assert.ok(picosPerByte > 10 && picosPerByte < 1e6, `${half.name}: ${picosPerByte} ps a byte`);
      for (const picos of [picosPerOp, picosPerByte]) assert.equal(Number(picos.toPrecision(2)), picos);
    }
  }
});

test('[B4] what is measured is what the half does: a cipher that works eight times is eight times as dear', () => {
  const node = nodeCrypto();
  const seal: Crypto['seal'] = (aead, ...rest) => {
    for (let i = 0; i < (aead.keyBytes === 32 ? 7 : 0); i++) node.seal({ ...aead }, ...rest);
    return node.seal(aead, ...rest);
  };
  const { costs } = measureSuites({ ...node, seal }, [GCM, GCM_256], 300);
  const [once, eightTimes] = [costs.get(costKey(GCM)), costs.get(costKey(GCM_256))];
  assert.ok(once && eightTimes);
  const ratio = eightTimes.picosPerOp / once.picosPerOp;
  assert.ok(ratio > 4 && ratio < 16, `${ratio} times`);
});

test('[B4] a half too slow for the budget is given up in time, and costs nothing that would be a guess', () => {
  const node = nodeCrypto();
  const slow: Crypto = {
    ...node,
    seal(...args) {
      for (const end = processCpuMicros() + 8000; processCpuMicros() < end; );
      return node.seal(...args);
    },
  };
  const { costs, spentMs } = measureSuites(slow, [GCM, GCM_256, CHACHA]);
  assert.ok(spentMs < 100, `${spentMs} ms`);
  assert.equal(costs.size, 0);
});

test('[B4] where time is short a suite is measured well or not at all', () => {
  const { costs } = measureSuites(nodeCrypto(), everySuite(), 12);
  assert.ok(costs.size < new Set(everySuite().map(costKey)).size, `12 ms were enough for all ${costs.size}`);
  for (const cost of costs.values()) assert.ok(cost && cost.picosPerOp > 1e5 && cost.picosPerOp < 1e9);
});

test('[B4] a suite that a half does not offer has no cost, and the others have theirs', () => {
  const node = nodeCrypto();
  const fips: Crypto = {
    ...node,
    seal(aead, ...rest) {
      if (aead.cipher === 'chacha20-poly1305') throw new Error('error:0308010C:digital envelope routines::unsupported');
      return node.seal(aead, ...rest);
    },
  };
  assert.equal(runsOn(node, resolveSuite(CHACHA)!), true);
  assert.equal(runsOn(fips, resolveSuite(CHACHA)!), false);
  const { costs } = measureSuites(fips, [CHACHA, GCM]);
  assert.equal(costs.get(costKey(CHACHA)), null);
  assert.ok(costs.get(costKey(GCM)));
});

// ── The file ────────────────────────────────────────────────────────────────────────────────────────────────────────

const CONDITIONS: CostConditions = {
  processor: 'A: aes sha_ni',
  runtime: 'node 1, openssl 1, x64',
  cryptoHalf: 'node',
  openSslMask: '',
};

/** Its clock goes on by a second each time it is read, so that two measurements are told apart. */
function costFile(t: TestContext): CostFile {
  const directory = mkdtempSync(join(tmpdir(), 'kagimori-costs-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  let second = 1_000_000;
  const wall = () => EpochSeconds(second++);
  return {
    path: join(directory, 'suite-costs.json'),
    conditions: CONDITIONS,
    crypto: nodeCrypto(),
    wall,
    budgetMs: 70,
  };
}

/** A machine with other work may take several starts until each suite has a cost. @returns what the first one found */
function measured(file: CostFile, suites: readonly Suite[]): ReturnType<typeof suiteCosts> {
  const first = suiteCosts(file, suites);
  for (let more = 0; more < 20 && suiteCosts(file, suites).measured !== null; more++);
  return first;
}

test('[B4] costs are kept: the same machine and suites are not measured again, in whatever order they are asked', (t) => {
  const file = costFile(t);
  const begun = measured(file, [GCM, CHACHA]);
  assert.equal(begun.measured?.because, 'first start');
  assert.equal(begun.measured.fault, null);
  const first = suiteCosts(file, [GCM, CHACHA]);
  assert.equal(statSync(file.path).mode & 0o777, 0o600);
  for (const suites of [[GCM, CHACHA], [CHACHA, GCM], [GCM], []]) {
    const again = suiteCosts(file, suites);
    assert.equal(again.measured, null, JSON.stringify(suites));
    assert.equal(again.measuredAt, first.measuredAt);
    assert.deepEqual(
      again.costs,
      suites.map((suite) => first.costs[suite === GCM ? 0 : 1]),
    );
  }
  // another tag and another hash of the key derivation are the same work
  assert.equal(suiteCosts(file, [{ ...GCM, hash: 'sha-512' }]).measured, null);
});

test('[B4] another processor, runtime, crypto half, mask or suite is a reason to measure, each by itself', (t) => {
  const changes: readonly (readonly [because: RegExp, conditions: Partial<CostConditions>])[] = [
    [/processor/, { processor: 'A: aes' }],
    [/processor/, { processor: 'B: aes sha_ni' }],
    [/Node, OpenSSL/, { runtime: 'node 2, openssl 1, x64' }],
    [/Node, OpenSSL/, { runtime: 'node 1, openssl 2, x64' }],
    [/Node, OpenSSL/, { runtime: 'node 1, openssl 1, arm64' }],
    [/crypto half/, { cryptoHalf: 'portable' }],
    [/other instructions/, { openSslMask: 'OPENSSL_ia32cap=~0x200000200000000' }],
  ];
  for (const [because, change] of changes) {
    const file = costFile(t);
    const before = measured(file, [GCM]);
    const changed = { ...file, conditions: { ...CONDITIONS, ...change } };
    const after = measured(changed, [GCM]);
    assert.match(after.measured?.because ?? 'nothing', because);
    assert.ok(after.measuredAt > before.measuredAt);
    assert.equal(suiteCosts(changed, [GCM]).measured, null, 'once');
  }
  const file = costFile(t);
  measured(file, [GCM]);
  assert.equal(measured(file, [GCM, CTR]).measured?.because, 'aes-ctr-hmac-128 sha-512 was not measured yet');
  assert.equal(suiteCosts(file, [CTR, GCM]).measured, null);
});

test('[B4] a suite for which time was too short is tried at each start, and keeps its cost from the first time it has one', (t) => {
  const file = costFile(t);
  const short = { ...file, budgetMs: 0 };
  assert.deepEqual(suiteCosts(short, [GCM]).costs, [null]);
  const enough = { ...file, budgetMs: 100 };
  const found = suiteCosts(enough, [GCM]);
  assert.equal(found.measured?.because, 'aes-gcm-128 was not measured yet');
  assert.ok(found.costs[0]);
  // what is known stays, although another suite is wanted for which there is no time
  const both = suiteCosts(short, [GCM, CTR]);
  assert.deepEqual([both.costs, both.measuredAt], [[found.costs[0], null], found.measuredAt]);
  assert.equal(suiteCosts(short, [GCM]).measured, null);
});

test('[B4] a file that cannot be used is a reason to measure and nothing worse', (t) => {
  const file = costFile(t);
  measured(file, [GCM]);
  const good = readFileSync(file.path, 'utf8');
  const kept = JSON.parse(good) as { costs: Record<string, object> };
  const damaged: readonly string[] = [
    '',
    'null',
    '[]',
    '{"format":1}',
    good.slice(0, -20),
    good.replace('"format": 1', '"format": 2'),
    good.replace(/"measuredAt": \d+/, '"measuredAt": "soon"'),
    good.replace(/"measuredAt": \d+/, '"measuredAt": 9000000000000000'), // no date has so many seconds
    JSON.stringify({ ...kept, costs: { 'aes-gcm-128': { picosPerOp: -1, picosPerByte: 1 } } }),
    JSON.stringify({ ...kept, costs: { 'aes-gcm-128': { picosPerOp: 1.5, picosPerByte: 1 } } }),
    JSON.stringify({ ...kept, costs: { 'aes-gcm-128': { picosPerOp: 1, picosPerByte: 1e16 } } }),
    JSON.stringify({ ...kept, costs: { 'aes-gcm-128': 7 } }),
    `${' '.repeat(20_000)}${good}`,
  ];
  for (const text of damaged) {
    writeFileSync(file.path, text, { mode: 0o600 });
    assert.match(
      measured(file, [GCM]).measured?.because ?? 'taken',
      /damaged|more than 16384 bytes/,
      text.slice(0, 60),
    );
    assert.equal(suiteCosts(file, [GCM]).measured, null, 'written anew');
  }
  writeFileSync(file.path, Uint8Array.of(0xff, 0xfe));
  assert.match(suiteCosts(file, [GCM]).measured?.because ?? 'taken', /damaged/);
  chmodSync(file.path, 0o644);
  assert.match(suiteCosts(file, [GCM]).measured?.because ?? 'taken', /mode 0644/, 'others could have written it');
  assert.equal(statSync(file.path).mode & 0o777, 0o600);
});

test('[B4] costs that cannot be kept are used all the same, and it is told why', (t) => {
  const file = costFile(t);
  const nowhere = { ...file, path: join(file.path, 'missing', 'suite-costs.json') };
  const { costs, measured } = suiteCosts(nowhere, [GCM]);
  assert.match(measured?.fault ?? 'kept', /its directory does not exist/);
  assert.ok(costs[0]);
});

// ── The processor ───────────────────────────────────────────────────────────────────────────────────────────────────

const X64 = `processor\t: 0
vendor_id\t: GenuineIntel
model\t\t: 85
model name\t: Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz
flags\t\t: fpu vme sse sse2 ssse3 aes avx pclmulqdq avx2 bmi2 sha_ni
bogomips\t: 4200.00

processor\t: 1
model name\t: Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz
flags\t\t: fpu vme sse sse2 ssse3 aes avx pclmulqdq avx2 bmi2 sha_ni
`;
const core = (number: number, features: string, part: string): string =>
  `processor\t: ${number}\nBogoMIPS\t: 108.00\nFeatures\t: ${features}\nCPU implementer\t: 0x41\nCPU part\t: ${part}\n\n`;
const PI_4 = `${core(0, 'fp asimd evtstrm crc32 cpuid', '0xd08')}${core(1, 'fp asimd evtstrm crc32 cpuid', '0xd08')}Hardware\t: BCM2835
Revision\t: c03112
Model\t\t: Raspberry Pi 4 Model B Rev 1.2
`;
const PI_5 = `${core(
  0,
  'fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp',
  '0xd0b',
)}Revision\t: d04170
Model\t\t: Raspberry Pi 5 Model B Rev 1.0
`;

test('[B4] AES and SHA instructions are read from /proc/cpuinfo: x64, Raspberry Pi 4 without them, Raspberry Pi 5 with them', () => {
  const x64 = parseCpuInfo(X64);
  assert.equal(x64.model, 'Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz');
  assert.deepEqual(x64.instructions, ['aes', 'avx', 'avx2', 'bmi2', 'pclmulqdq', 'sha_ni', 'ssse3']);
  const pi4 = parseCpuInfo(PI_4);
  assert.deepEqual(pi4, { model: 'part 0xd08, Raspberry Pi 4 Model B Rev 1.2', instructions: ['asimd'] });
  const pi5 = parseCpuInfo(PI_5);
  assert.equal(pi5.model, 'part 0xd0b, Raspberry Pi 5 Model B Rev 1.0');
  assert.deepEqual(pi5.instructions, ['aes', 'asimd', 'pmull', 'sha1', 'sha2']);
  const both = [x64, pi4, pi5].map((cpu) => [hasAes(cpu), hasSha(cpu)]);
  assert.deepEqual(both, [
    [true, true],
    [false, false],
    [true, true],
  ]);
});

test('[B4] of cores that differ only what all have counts; where nothing is told, nothing is known', () => {
  const mixed = `${core(0, 'fp asimd aes sha2', '0xd05')}${core(1, 'fp asimd aes', '0xd0b')}`;
  assert.deepEqual(parseCpuInfo(mixed), { model: 'part 0xd05, part 0xd0b', instructions: ['aes', 'asimd'] });
  for (const text of ['', 'cpu : RISC-V\nisa : rv64imafdc\n', 'flags\n']) {
    const cpu = parseCpuInfo(text);
    assert.deepEqual([cpu.instructions, hasAes(cpu), hasSha(cpu)], [null, null, null], JSON.stringify(text));
  }
});

test('[B4] the conditions of a cost name processor, instructions, runtime, half and mask of this machine', () => {
  const cpu = readCpuFeatures();
  const { node, openssl } = process.versions;
  const { processor, runtime, cryptoHalf, openSslMask } = costConditions(cpu, portableCrypto(), 'OPENSSL_armcap=0');
  assert.ok(processor.startsWith(`${cpu.model ?? 'unknown'}: `), processor);
  for (const one of cpu.instructions ?? []) assert.ok(processor.includes(one), one);
  assert.deepEqual(
    [runtime, cryptoHalf, openSslMask],
    [`node ${node}, openssl ${openssl}, ${process.arch}`, 'portable', 'OPENSSL_armcap=0'],
  );
});

// ── The list ────────────────────────────────────────────────────────────────────────────────────────────────────────

test('[B4] the list of suites says what a record really adds, and offers every suite on both halves', () => {
  const suites = listSuites(HALVES, () => ({ picosPerOp: 3_616_000, picosPerByte: 1000 }));
  assert.equal(suites.length, everySuite().length);
  for (const { cipher, keyBits, hashes, tagBits, overheadBytes, keyBytes, halves, cost } of suites) {
    const algorithm = resolveSuite({ cipher, keyBits, hash: hashes[0]!, tagBits })!;
    const ids = { algorithm, senderId: FIRST_ID, recipientId: SECOND_ID };
    const [masterSecret, transcript] = [new Uint8Array(32), new Uint8Array(32)];
    const keys = deriveContext(HALVES[0]!, { ...ids, masterSecret, masterSalt: EMPTY, idContext: transcript });
    const context = makeRecordContext({ ...ids, keys, epochBit: 0, route: null, transcript });
    const record = sealRecord(HALVES[0]!, context, 'data', new Uint8Array(100));
    assert.equal(overheadBytes, record.length - 100, `${cipher}-${keyBits}`);
    assert.equal(keyBytes, algorithm.keyBytes);
    assert.deepEqual(halves, ['node', 'portable']);
    // 16,384 B in 3.616 + 16.384 µs
    assert.deepEqual(cost, { nsPerOp: 3616, nsPerByte: 1, megabytesPerSecond: 819 });
  }
  const constrained = suites.filter(({ profiles }) => profiles.some(({ name }) => name === 'constrained'));
  assert.deepEqual([...new Set(constrained.map(({ cipher }) => cipher))], ['aes-ccm']);
  const chacha = suites.find(({ cipher }) => cipher === 'chacha20-poly1305');
  assert.deepEqual(chacha?.profiles, [], 'neither FIPS nor CNSA knows it');
});
