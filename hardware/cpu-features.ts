/**
 * Which instructions for AES and SHA this machine's processor has, and those for wide vectors, which ciphers use as well.
 * @spec Linux, arch/x86/include/asm/cpufeatures.h and Documentation/arch/arm64/elf_hwcaps.rst: names in /proc/cpuinfo
 */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

export interface CpuFeatures {
  /** Null where the machine does not say. */
  readonly model: string | null;
  /** Of `CIPHER_INSTRUCTIONS`, sorted, as /proc/cpuinfo spells them; null where the machine does not say. */
  readonly instructions: readonly string[] | null;
}

const AES: ReadonlySet<string> = new Set(['aes']);
/** SHA-256; the x64 and the arm64 name. */
const SHA: ReadonlySet<string> = new Set(['sha_ni', 'sha2']);

/** Those that change what a cipher or a hash costs. */
const CIPHER_INSTRUCTIONS: ReadonlySet<string> = new Set([
  ...AES,
  ...SHA,
  // carry-less products, for GCM
  ...['pclmulqdq', 'vpclmulqdq', 'pmull'],
  ...['vaes', 'sha1', 'sha512', 'sha3'],
  ...['ssse3', 'avx', 'avx2', 'avx512f', 'avx512vl', 'avx512ifma', 'bmi2', 'adx'],
  ...['neon', 'asimd', 'sve', 'sve2'],
]);

/** Whether it has AES instructions; null: not known. */
export const hasAes = (cpu: CpuFeatures): boolean | null => hasOneOf(cpu, AES);
/** Whether it has instructions for SHA-256; null: not known. */
export const hasSha = (cpu: CpuFeatures): boolean | null => hasOneOf(cpu, SHA);

const hasOneOf = ({ instructions }: CpuFeatures, names: ReadonlySet<string>): boolean | null =>
  instructions === null ? null : instructions.some((one) => names.has(one));

/** Where Linux tells. */
const CPU_INFO = '/proc/cpuinfo';

export function readCpuFeatures(): CpuFeatures {
  const text = textOf(CPU_INFO);
  const told = text === null ? NOTHING_TOLD : parseCpuInfo(text);
  return { ...told, model: told.model ?? cpus()[0]?.model ?? null };
}

/** Other systems have no such file, and a container may hide it. */
function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

const NOTHING_TOLD: CpuFeatures = { model: null, instructions: null };

/** What every core has: a process may run on any of them. @param text  of /proc/cpuinfo, x64 or arm */
export function parseCpuInfo(text: string): CpuFeatures {
  const models = new Set<string>();
  let everywhere: readonly string[] | null = null;
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    const [key, value] = [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
    if (key === 'flags' || key === 'Features') {
      const core = value.split(/\s+/).filter((one) => CIPHER_INSTRUCTIONS.has(one));
      everywhere = everywhere === null ? core : everywhere.filter((one) => core.includes(one));
    } else if (value !== '' && Object.hasOwn(MODEL_KEYS, key)) {
      models.add(`${MODEL_KEYS[key]}${value}`);
    }
  }
  const model = models.size === 0 ? null : [...models].join(', ');
  return { model, instructions: everywhere === null ? null : [...everywhere].sort() };
}

/** x64 names the processor; arm gives each core's part number, and names the board, if anything. */
const MODEL_KEYS: Readonly<Record<string, string>> = { 'model name': '', Model: '', 'CPU part': 'part ' };
