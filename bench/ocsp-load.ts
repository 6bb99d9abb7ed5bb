/**
 * OCSP responders under load: CPU of the responder's process for one answer, over HTTP with a connection kept and with one
 * for each request; the verifier's responder core without HTTP; `openssl ocsp` beside it. `node bench/ocsp-load.ts`
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { ocspCodec } from '../platform/ocsp-codec.ts';
import { decodeUtf8, toHex } from '../protocol/bytes.ts';
import { EpochSeconds } from '../protocol/units.ts';
import { startOpensslOcsp } from '../test/openssl-ocsp.ts';
import { certify, crypto, DAY, device, type Holder, inDirectory, OCSP_WISHES, root } from '../test/test-authority.ts';
import { createOcspResponder } from '../verifier/ocsp-responder.ts';
import type { OcspServerWish } from './ocsp-server.ts';

export interface OcspFigure {
  readonly what: string;
  /** CPU of the responder for one answer, µs. */
  readonly cpuMicros: number;
  readonly answersPerSecond: number;
}

export interface OcspLoad {
  readonly answers: number;
  readonly connections: number;
  readonly algorithm: 'p256' | 'ed25519';
}

interface House {
  readonly issuer: Holder;
  readonly signer: Holder;
  readonly leaf: Holder;
}

/** @returns one figure for each way to ask */
export async function measureOcsp(load: OcspLoad): Promise<OcspFigure[]> {
  const now = Math.floor(Date.now() / 1000);
  const period = { notBefore: now - 60, notAfter: now + DAY };
  const issuer = root('OCSP load', period);
  const signer = certify('signer', { ...OCSP_WISHES, ...period, algorithm: load.algorithm }, issuer);
  const house = { issuer, signer, leaf: device(issuer, 'router-1', period) };
  const figures = measureCore(house, load, now);
  const own = await startOwn(house);
  try {
    figures.push(await drive('own, HTTP kept, nonce', own, house, load, true, true));
    figures.push(await drive('own, HTTP anew, nonce', own, house, load, true, false));
    figures.push(await drive('own, HTTP kept, no nonce', own, house, load, false, true));
    figures.push(await drive('own, HTTP anew, no nonce', own, house, load, false, false));
  } finally {
    await own.stop();
  }
  await inDirectory(async (dir) => {
    const openssl = await startOpensslOcsp(
      dir,
      issuer,
      signer,
      [{ certificate: house.leaf.certificate }],
      ['-nmin', '5'],
    );
    try {
      // It serves one connection after the other, and one request on each.
      const one = { ...load, connections: 1, answers: load.answers / 5 };
      figures.push(await drive('openssl ocsp, HTTP anew, nonce', openssl, house, one, true, false));
      figures.push(await drive('openssl ocsp, HTTP anew, no nonce', openssl, house, one, false, false));
    } finally {
      await openssl.stop();
    }
  });
  return figures;
}

function measureCore({ issuer, signer, leaf }: House, { answers }: OcspLoad, now: number): OcspFigure[] {
  const signers = [{ issuer: issuer.certificate, certificate: signer.certificate, key: signer.key.key }];
  const at = EpochSeconds(now);
  const until = EpochSeconds(now + 300);
  const responder = createOcspResponder({ codec: ocspCodec, signers, maxAgeSeconds: 300 }, () => ({
    status: 'good',
    thisUpdate: at,
    nextUpdate: until,
  }));
  const run = (what: string, nonce: Uint8Array | null): OcspFigure => {
    const request = ocspCodec.writeRequest(leaf.certificate, issuer.certificate, nonce, 'sha-1');
    for (let i = 0; i < answers / 4; i++) responder.answer(request, at);
    const cpu = process.cpuUsage();
    const began = performance.now();
    for (let i = 0; i < answers; i++) responder.answer(request, at);
    const { user, system } = process.cpuUsage(cpu);
    const seconds = (performance.now() - began) / 1000;
    return { what, cpuMicros: (user + system) / answers, answersPerSecond: answers / seconds };
  };
  return [run('own core, nonce', crypto.random(16)), run('own core, no nonce', null)];
}

interface Served {
  readonly pid: number;
  readonly port: number;
  stop(): Promise<void>;
}

async function startOwn({ issuer, signer }: House): Promise<Served> {
  const wish: OcspServerWish = {
    issuer: toHex(issuer.certificate.der),
    signer: toHex(signer.certificate.der),
    key: decodeUtf8(signer.key.privatePkcs8Pem),
  };
  const path = new URL('./ocsp-server.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [path, JSON.stringify(wish)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.once('data', (chunk: Buffer) => resolve(Number(chunk.toString())));
    void gone.then(() => reject(new Error('the responder ended')));
  });
  return {
    pid: child.pid!,
    port,
    async stop() {
      child.stdin.end();
      await gone;
    },
  };
}

async function drive(
  what: string,
  { pid, port }: Served,
  { issuer, leaf }: House,
  { answers, connections }: OcspLoad,
  nonce: boolean,
  kept: boolean,
): Promise<OcspFigure> {
  const request = (): Buffer => {
    const body = ocspCodec.writeRequest(
      leaf.certificate,
      issuer.certificate,
      nonce ? crypto.random(16) : null,
      'sha-1',
    );
    const connection = kept ? 'keep-alive' : 'close';
    const head = [
      'POST / HTTP/1.1',
      'host: localhost',
      'content-type: application/ocsp-request',
      `content-length: ${body.length}`,
      `connection: ${connection}`,
    ].join('\r\n');
    return Buffer.concat([Buffer.from(`${head}\r\n\r\n`), body]);
  };
  const run = async (count: number): Promise<void> => {
    let left = count;
    const lane = async (): Promise<void> => {
      while (left > 0) {
        const wanted = kept ? Math.ceil(left / connections) : 1;
        left -= wanted;
        await exchange(port, wanted, request);
      }
    };
    await Promise.all(Array.from({ length: connections }, lane));
  };
  await run(answers / 2);
  const before = cpuOf(pid);
  const began = performance.now();
  await run(answers);
  const seconds = (performance.now() - began) / 1000;
  return { what, cpuMicros: ((cpuOf(pid) - before) * 1e6) / answers, answersPerSecond: answers / seconds };
}

/** So many requests one after the other on one connection; an answer ends with its length, or with the connection. */
function exchange(port: number, wanted: number, request: () => Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let left = wanted;
    let text = '';
    const answered = (): void => {
      if (!/^HTTP\/1\.[01] 200 /.test(text)) reject(new Error(`no answer: ${text.slice(0, 80)}`));
      text = '';
      left--;
      if (left > 0) socket.write(request());
      else socket.destroy();
    };
    socket.on('error', reject);
    socket.on('connect', () => socket.write(request()));
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      const length = /content-length: (\d+)\r\n/i.exec(text)?.[1];
      const head = text.indexOf('\r\n\r\n');
      if (length !== undefined && head >= 0 && text.length >= head + 4 + Number(length)) answered();
    });
    socket.on('close', () => {
      if (left > 0 && text !== '') answered();
      if (left > 0) reject(new Error('the responder hung up'));
      else resolve();
    });
  });
}

/** Seconds of CPU that a process has used; fields 14 and 15 of its stat line, in ticks of 10 ms. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

if (import.meta.main) {
  for (const algorithm of ['p256', 'ed25519'] as const) {
    for (const { what, cpuMicros, answersPerSecond } of await measureOcsp({
      answers: 20_000,
      connections: 4,
      algorithm,
    })) {
      process.stdout.write(
        `${algorithm.padEnd(8)}${what.padEnd(36)}${cpuMicros.toFixed(1).padStart(8)} µs${answersPerSecond.toFixed(0).padStart(8)}/s\n`,
      );
    }
  }
}
