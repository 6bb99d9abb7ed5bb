/**
 * The house rules as tables and checkers: who may import whom, what is pure, how files are named.
 */
import { dirname, posix } from 'node:path';
import { findImports, type Import, maskLiterals } from './source-text.ts';

export interface Complaint {
  readonly rule: 'import' | 'cycle' | 'crypto' | 'name' | 'length' | 'purity' | 'state' | 'reexport' | 'portable';
  readonly text: string;
}

interface Layer {
  /** Packages; `node:` stands for every built-in module, a trailing `/*` for a scope. */
  readonly packages: readonly string[];
  /** Folders, or single files of a folder: of a folder named by its files the rest may be imported as types. */
  readonly folders: readonly string[];
  readonly because: string;
}

const SERVICE: Layer = {
  packages: [],
  folders: ['protocol', 'platform'],
  because: 'services meet only as bytes: what two of them share belongs in protocol/ or platform/',
};

export const LAYERS: Readonly<Record<string, Layer>> = {
  protocol: {
    packages: [],
    folders: [],
    because: 'the protocol runs on any device, in any test, in a browser: crypto and certificates arrive as arguments',
  },
  platform: {
    packages: ['node:', 'mqtt', 'ws', 'lmdb', '@noble/*', 'pkijs', 'asn1js', 'pino'],
    folders: ['protocol/bytes.ts', 'protocol/units.ts', 'protocol/errors.ts', 'protocol/crypto.ts'],
    because: 'the platform alone touches the machine and knows no message: of protocol it takes types and bytes',
  },
  manager: SERVICE,
  verifier: SERVICE,
  'device-agent': SERVICE,
  broker: {
    packages: ['aedes', 'ws'],
    folders: [
      'protocol/topics.ts',
      'protocol/approval-topics.ts',
      'protocol/id-pattern.ts',
      'protocol/frame.ts',
      'protocol/bytes.ts',
      'protocol/units.ts',
      'protocol/errors.ts',
      'platform',
    ],
    because: 'the broker moves bytes: it knows topics and the kind of a frame, and never opens what it carries',
  },
  hardware: {
    packages: ['node:', 'koffi'],
    folders: [
      'platform',
      'protocol/suites.ts',
      'protocol/protection.ts',
      'protocol/bytes.ts',
      'protocol/units.ts',
      'protocol/crypto.ts',
    ],
    because: 'boards differ here only; everything else is told through platform/ seams',
  },
  cli: {
    packages: ['node:', 'commander', 'yaml', 'zod', 'pino', 'uqr'],
    folders: ['protocol', 'platform', 'broker', 'manager', 'verifier', 'device-agent', 'hardware', 'sim'],
    because: 'the composition roots are the only place that knows everybody, and nobody knows them',
  },
  docs: {
    packages: ['node:'],
    folders: ['protocol', 'cli/reference.ts'],
    because: 'documents are generated from the definitions of the protocol and of the commands',
  },
  sim: {
    packages: [],
    folders: ['protocol', 'platform', 'broker', 'manager', 'verifier', 'device-agent', 'hardware'],
    because: 'a simulation drives the machines and takes its numbers from its seed: it needs no package and no command',
  },
  bench: { packages: ['*'], folders: ['*'], because: 'measurements may use everything; nobody imports them' },
  test: { packages: ['*'], folders: ['*'], because: 'tests may use everything; nobody imports them' },
};

const SERVICES = ['manager', 'verifier', 'device-agent', 'broker'];
/** Where a service touches the outside; every other file of it is pure. The broker is mostly edge: sockets and Aedes. */
const EDGES =
  /^(?:[^/]+\/(?:service|config)\.ts|(?:device-agent|manager)\/(?:[a-z]+-)?control(?:-arguments)?\.ts|verifier\/(?:list-fetching|list-memory|ocsp-asking|ocsp-signers|own-key|responder|revocation-data)\.ts|broker\/(?:attachment|aedes-host|listeners|web-door|socket-guard|blank-persistence)\.ts)$/;
const CONFIG = /^[^/]+\/config\.ts$/;
const SIM_COMMAND = 'cli/commands/sim.ts';
/** Where the time that a run took is measured. */
const SIM_EDGE = 'sim/scenarios.ts';
const UNBOUND = ['test', 'bench'];
const MAX_LINES = 500;

const IMPURE: ReadonlyArray<readonly [RegExp, string]> = [
  [/(?<![.\w])Date\.now\b|\bnew Date\(\s*\)/, 'reads the clock: time arrives in `world`'],
  [/(?<![.\w])performance\.now\b/, 'reads the clock: time arrives in `world`'],
  [/(?<![.\w])Math\.random\b/, 'draws randomness: it arrives through the crypto seam'],
  [/(?<![.\w])process\./, 'reads the process: settings arrive as arguments'],
  [/(?<![.\w])(?:setTimeout|setInterval|setImmediate|queueMicrotask)\b/, 'sets a timer: wish for it as an effect'],
  [/(?<![.\w])console\./, 'prints: wish for it as an effect'],
  [/(?<![.\w])fetch\(/, 'reaches for the network: wish for it as an effect'],
  [/(?<![.\w$])(?:async|await)\b(?!\s*[:?])/, 'is asynchronous: a published vector cannot be run through an await'],
  [/(?<![.\w])Promise\b/, 'is asynchronous: a published vector cannot be run through a promise'],
];

/** Everything that one file can break by itself. @param path from the project's root, with `/` */
export function checkFile(path: string, source: string): Complaint[] {
  const masked = maskLiterals(source);
  const imports = findImports(source, masked);
  return [
    ...checkName(path),
    ...checkLength(path, source),
    ...imports.flatMap((one) => checkImport(path, one)),
    ...checkCrypto(path, masked, imports),
    ...checkPurity(path, masked, imports),
    ...checkState(path, masked),
  ];
}

function checkName(path: string): Complaint[] {
  const name = posix.basename(path);
  if (!/^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.test)?\.ts$/.test(name)) {
    return [{ rule: 'name', text: `${path}: a file is a noun in kebab-case` }];
  }
  if (/^(?:utils?|helpers?|common|data|index|misc|shared|types)(?:\.test)?\.ts$/.test(name)) {
    return [{ rule: 'name', text: `${path}: says nothing about what is inside; name the noun` }];
  }
  return [];
}

function checkLength(path: string, source: string): Complaint[] {
  const lines = source.split('\n').length - 1;
  if (lines <= MAX_LINES) return [];
  return [{ rule: 'length', text: `${path}: ${lines} lines, at most ${MAX_LINES}: there are two nouns in it` }];
}

function checkImport(path: string, { specifier, typeOnly, reexport, names, line }: Import): Complaint[] {
  const folder = path.split('/')[0]!;
  const layer = LAYERS[folder];
  const where = `${path}:${line}`;
  if (layer === undefined) return [{ rule: 'import', text: `${where}: the folder ${folder}/ has no row in the table` }];
  const refuse = (text: string): Complaint[] => [{ rule: 'import', text: `${where}: ${text}` }];
  const barrel: Complaint[] = reexport
    ? [{ rule: 'reexport', text: `${where}: a re-export gives one name two homes; import it where it is defined` }]
    : [];
  if (specifier === '?') {
    return UNBOUND.includes(folder) ? [] : refuse('a computed import cannot be checked; name the module');
  }
  if (!specifier.startsWith('.')) {
    if (allowsPackage(path, folder, layer, specifier)) return barrel;
    return refuse(`${folder}/ may not import '${specifier}': ${layer.because}`);
  }
  const target = resolveImport(path, specifier);
  const targetFolder = target.split('/')[0]!;
  if (targetFolder === folder || layer.folders.includes('*')) return barrel;
  // `import()` names nothing; a static import would load the simulator with every daemon.
  if (folder === 'cli' && targetFolder === 'sim' && (path !== SIM_COMMAND || (names.length > 0 && !typeOnly))) {
    return refuse(`no daemon loads the simulator: ${SIM_COMMAND} alone, by import() inside its action`);
  }
  // What the manager tells the broker is defined with all other messages; of those the broker may know nothing else.
  const control = names.length > 0 && names.every((name) => /^(?:type )?broker/i.test(name));
  if (folder === 'broker' && target === 'protocol/messages.ts' && control) return barrel;
  const named = layer.folders.filter((allowed) => allowed.split('/')[0] === targetFolder);
  if (named.includes(targetFolder) || named.includes(target) || (named.length > 0 && typeOnly)) return barrel;
  return refuse(`${folder}/ may not import ${target}: ${layer.because}`);
}

function allowsPackage(path: string, folder: string, layer: Layer, specifier: string): boolean {
  if (layer.packages.includes('*')) return true;
  if (specifier === 'zod' && CONFIG.test(path)) return true;
  if (specifier.startsWith('node:')) {
    return layer.packages.includes('node:') || (SERVICES.includes(folder) && EDGES.test(path));
  }
  return layer.packages.some((allowed) =>
    allowed.endsWith('/*') ? specifier.startsWith(allowed.slice(0, -1)) : specifier === allowed,
  );
}

function checkCrypto(path: string, masked: string, imports: readonly Import[]): Complaint[] {
  if (UNBOUND.includes(path.split('/')[0]!) || /^platform\/crypto-[a-z0-9-]+\.ts$/.test(path)) return [];
  const named = imports.find(({ specifier }) => /^(?:node:)?crypto$|^@noble\//.test(specifier));
  const ambient = /(?<![.\w])(?:globalThis\.)?crypto\.(?:subtle|getRandomValues|randomUUID)\b/.test(masked);
  if (named === undefined && !ambient) return [];
  const why = 'every public-key operation passes one counter: cryptography lives in platform/crypto-*.ts alone';
  return [{ rule: 'crypto', text: `${path}: uses ${named?.specifier ?? 'WebCrypto'}; ${why}` }];
}

function isPure(path: string): boolean {
  const folder = path.split('/')[0]!;
  return folder === 'protocol' || (SERVICES.includes(folder) && !EDGES.test(path));
}

function checkPurity(path: string, masked: string, imports: readonly Import[]): Complaint[] {
  // a simulation that reads a clock or draws its own lots is not the same twice
  const seeded = path.startsWith('sim/') && path !== SIM_EDGE;
  if (!isPure(path) && !seeded) return [];
  const complaints: Complaint[] = [];
  for (const [pattern, why] of IMPURE) {
    const match = pattern.exec(masked);
    if (match === null) continue;
    const line = masked.slice(0, match.index).split('\n').length;
    complaints.push({ rule: 'purity', text: `${path}:${line}: '${match[0]}' ${why}` });
  }
  if (seeded) return complaints;
  for (const { specifier, typeOnly, line } of imports) {
    if (typeOnly || !specifier.startsWith('.') || !resolveImport(path, specifier).startsWith('platform/')) continue;
    const why = 'only service.ts and config.ts touch the outside; here platform/ may give types';
    complaints.push({ rule: 'purity', text: `${path}:${line}: imports ${specifier}; ${why}` });
  }
  return complaints;
}

function checkState(path: string, masked: string): Complaint[] {
  const folder = path.split('/')[0]!;
  if (folder !== 'protocol' && !SERVICES.includes(folder)) return [];
  const match = /^(?:export\s+)?(?:(?:let|var)\s|const \w+[^=\n]*= new (?:Map|Set)\b[^(\n]*\(\))/m.exec(masked);
  if (match === null) return [];
  const line = masked.slice(0, match.index).split('\n').length;
  return [{ rule: 'state', text: `${path}:${line}: state of the module: two instances in one process would share it` }];
}

/** Import cycles, type imports counted. @param sources path → source */
export function findCycles(sources: ReadonlyMap<string, string>): Complaint[] {
  const edges = new Map<string, string[]>();
  for (const [path, source] of sources) {
    const targets = findImports(source)
      .filter(({ specifier }) => specifier.startsWith('.'))
      .map(({ specifier }) => resolveImport(path, specifier));
    edges.set(
      path,
      targets.filter((target) => sources.has(target)),
    );
  }
  const complaints: Complaint[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]) => {
    const start = trail.indexOf(path);
    if (start >= 0) {
      const loop = [...trail.slice(start), path].join(' → ');
      complaints.push({ rule: 'cycle', text: `${loop}: cut it by moving what both need into a file of its own` });
      return;
    }
    if (done.has(path)) return;
    for (const target of edges.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of edges.keys()) visit(path, []);
  return complaints;
}

/** What a browser or a phone would load: the agent's machine, and the halves of its seams that need no Node. */
export const PORTABLE: readonly string[] = [
  'device-agent/agent.ts',
  'platform/certificates.ts',
  'platform/crypto-portable.ts',
  'platform/crypto-portable-keys.ts',
];
const PORTABLE_PACKAGES = /^(?:@noble\/|asn1js$)/;

/** Whatever of Node the portable files load, themselves or through others; types are erased and load nothing. */
export function findNodeUse(sources: ReadonlyMap<string, string>, roots = PORTABLE): Complaint[] {
  const complaints: Complaint[] = [];
  const refuse = (text: string): number =>
    complaints.push({ rule: 'portable', text: `${text}: it has to run where there is no Node` });
  const trails = new Map(roots.map((root) => [root, root]));
  for (const [path, trail] of trails) {
    const source = sources.get(path);
    if (source === undefined) {
      refuse(`${trail} is not there`);
      continue;
    }
    const masked = maskLiterals(source);
    const ambient = /(?<![.\w])(?:Buffer|process|require|__dirname)\b(?!\s*[:?])/.exec(masked);
    if (ambient !== null) refuse(`${trail} uses ${ambient[0]}`);
    for (const { specifier, typeOnly } of findImports(source, masked)) {
      if (typeOnly) continue;
      if (!specifier.startsWith('.')) {
        if (!PORTABLE_PACKAGES.test(specifier)) refuse(`${trail} loads '${specifier}'`);
        continue;
      }
      const target = resolveImport(path, specifier);
      if (!trails.has(target)) trails.set(target, `${trail} → ${target}`);
    }
  }
  return complaints;
}

function resolveImport(path: string, specifier: string): string {
  return posix.normalize(posix.join(dirname(path), specifier));
}
