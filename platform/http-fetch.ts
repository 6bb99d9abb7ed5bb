/**
 * One bounded exchange over HTTP(S) with a place that the operator named: no redirect is followed, no address inside is
 * connected to unless that was allowed, and bytes, headers and time have their limits while they come in.
 */
import { lookup as lookUp } from 'node:dns';
import { type ClientRequest, type IncomingMessage, request as requestPlain } from 'node:http';
import { request as requestTls } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { brokerFault } from './broker-fault.ts';
import { errnoOf } from './files.ts';
import { isInside } from './inner-address.ts';

export interface HttpPlace {
  /** http or https. */
  readonly url: string;
  /** Whether it may lie at a private or local address. */
  readonly inside: boolean;
  /** Anchors of the server's TLS certificate; the system's when absent. */
  readonly anchorPem?: Uint8Array;
}

export interface HttpExchange {
  /** Sent by POST; without one it is a GET. */
  readonly body?: { readonly type: string; readonly bytes: Uint8Array };
  readonly maxBytes: number;
  /** For everything from the look-up of the name to the last byte. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export type FetchFaultKind = 'inside' | 'redirect' | 'status' | 'too-large' | 'timeout' | 'unreachable' | 'broken';

/** Why nothing was got; the message carries the URL and what the operator can do. */
export class FetchFault extends Error {
  readonly fault: FetchFaultKind;
  constructor(fault: FetchFaultKind, url: string, detail: string) {
    super(`${url}: ${detail}`);
    this.name = 'FetchFault';
    this.fault = fault;
  }
}

const MAX_HEADER_BYTES = 16 * 1024;
const MAX_SHOWN = 200;

/** @returns the body of a 200, at most `maxBytes` @throws FetchFault */
export function fetchBytes(place: HttpPlace, exchange: HttpExchange): Promise<Uint8Array> {
  const { url } = place;
  const { body, maxBytes, timeoutMs, signal } = exchange;
  return new Promise((resolve, reject) => {
    const fail = (error: FetchFault): void => {
      end();
      reject(error);
    };
    let request: ClientRequest | null = null;
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
      request?.destroy();
    };
    const late = `no whole answer within ${timeoutMs / 1000} s: is the server up, and is it the right one?`;
    const timer = setTimeout(() => fail(new FetchFault('timeout', url, late)), timeoutMs);
    const stop = (): void => fail(new FetchFault('broken', url, 'given up, for the service ends'));
    signal?.addEventListener('abort', stop);
    try {
      if (signal?.aborted === true) return stop();
      request = open(place, body?.bytes.length ?? null, body?.type);
    } catch (error) {
      return fail(error instanceof FetchFault ? error : new FetchFault('broken', url, `cannot be asked: ${error}`));
    }
    request.on('error', (error) => fail(faultOf(url, error)));
    request.on('response', (response) => {
      const wrong = answerFault(url, response, maxBytes);
      if (wrong !== null) return fail(wrong);
      const parts: Buffer[] = [];
      let length = 0;
      response.on('data', (part: Buffer) => {
        length += part.length;
        if (length > maxBytes) return fail(tooLarge(url, maxBytes));
        parts.push(part);
      });
      response.on('error', (error) => fail(faultOf(url, error)));
      response.on('aborted', () => fail(new FetchFault('broken', url, 'the answer broke off before its end')));
      response.on('end', () => {
        if (!response.complete) return fail(new FetchFault('broken', url, 'the answer broke off before its end'));
        end();
        resolve(new Uint8Array(Buffer.concat(parts)));
      });
    });
    request.end(body === undefined ? undefined : Buffer.from(body.bytes));
  });
}

function open({ url, inside, anchorPem }: HttpPlace, length: number | null, type?: string): ClientRequest {
  const { protocol, hostname } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  if (!inside && isIP(host) !== 0 && isInside(host)) throw insideFault(url, host);
  const options = {
    method: length === null ? 'GET' : 'POST',
    agent: false,
    lookup: inside ? undefined : guardedLookup(url),
    maxHeaderSize: MAX_HEADER_BYTES,
    headers: {
      'user-agent': 'kagimori',
      accept: '*/*',
      'accept-encoding': 'identity',
      connection: 'close',
      ...(length === null ? {} : { 'content-type': type, 'content-length': length }),
    },
  } as const;
  if (protocol === 'http:') return requestPlain(url, options);
  const trust = anchorPem === undefined ? {} : { ca: Buffer.from(anchorPem) };
  return requestTls(url, { ...options, ...trust, minVersion: 'TLSv1.2' });
}

/** The addresses that it lets through are the very ones that are connected to: a second look-up could say something else. */
function guardedLookup(url: string): LookupFunction {
  return (hostname, options, done) => {
    lookUp(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return done(error, '');
      const inner = addresses.find(({ address }) => isInside(address));
      const [first] = addresses;
      if (inner !== undefined || first === undefined) {
        return done(insideFault(url, inner?.address ?? 'no address'), '');
      }
      if (options.all === true) done(null, addresses);
      else done(null, first.address, first.family);
    });
  };
}

function insideFault(url: string, address: string): FetchFault {
  const remedy = 'say `inside: true` beside this URL if that is meant';
  return new FetchFault('inside', url, `${address} is a private or local address, and is not asked: ${remedy}`);
}

function answerFault(url: string, { statusCode = 0, headers }: IncomingMessage, maxBytes: number): FetchFault | null {
  if (statusCode >= 300 && statusCode < 400) {
    const to = (headers.location ?? 'nowhere').slice(0, MAX_SHOWN);
    return new FetchFault('redirect', url, `leads on to ${to}, which is not followed: configure the URL that answers`);
  }
  if (statusCode !== 200) return new FetchFault('status', url, `HTTP ${statusCode} instead of 200: is its path right?`);
  const encoding = headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') {
    const shown = encoding.slice(0, MAX_SHOWN);
    return new FetchFault(
      'broken',
      url,
      `the answer is encoded (${shown}), which was not asked for: turn that off there`,
    );
  }
  return Number(headers['content-length'] ?? 0) > maxBytes ? tooLarge(url, maxBytes) : null;
}

const tooLarge = (url: string, maxBytes: number): FetchFault =>
  new FetchFault('too-large', url, `the answer has more than ${maxBytes} bytes: is it the right file?`);

function faultOf(url: string, error: Error): FetchFault {
  if (error instanceof FetchFault) return error;
  const code = errnoOf(error) ?? '';
  const name = new URL(url).host;
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new FetchFault('broken', url, `headers of more than ${MAX_HEADER_BYTES} bytes: is it the right server?`);
  }
  if (code.startsWith('HPE_')) return new FetchFault('broken', url, `no HTTP (${code}): is it the right port?`);
  if (code === 'ECONNREFUSED')
    return new FetchFault('unreachable', url, `connection refused by ${name}: is it running?`);
  return new FetchFault('unreachable', url, brokerFault(error, name));
}
