/**
 * OCSP as HTTP carries it: POST with the request as body, GET with the request as the end of any path; an answer without
 * nonce may be kept by caches. @spec RFC 6960 appendix A; RFC 5019 §5, §6; RFC 9111 §5
 */
import type { HttpHandler, HttpReply, HttpRequest } from '../platform/http-listener.ts';
import type { EpochSeconds } from '../protocol/units.ts';
import type { OcspReply, OcspResponder } from './ocsp-responder.ts';

const REQUEST_TYPE = 'application/ocsp-request';
const RESPONSE_TYPE = 'application/ocsp-response';
/** Larger ones are malformed in any case (platform/ocsp-reading.ts). */
const MAX_REQUEST_BYTES = 4096;
/** A request begins with the tag of a SEQUENCE, which is `M` in base64. */
const MAX_STARTS = 16;

/** @param observe  told of every answer, for the counters */
export function ocspHandler(
  responder: Pick<OcspResponder, 'answer'>,
  now: () => EpochSeconds,
  observe: (reply: OcspReply) => void = () => {},
): HttpHandler {
  return {
    methods: ['GET', 'POST'],
    bodyType: REQUEST_TYPE,
    maxBodyBytes: MAX_REQUEST_BYTES,
    answer(request) {
      const at = now();
      const der = request.method === 'GET' ? requestInPath(request) : request.body;
      if (der === null) return { status: 404 };
      const reply = responder.answer(der, at);
      observe(reply);
      return replyOf(reply, request.method === 'GET', at);
    },
  };
}

function replyOf({ der, kept }: OcspReply, viaGet: boolean, at: EpochSeconds): HttpReply {
  const base = { 'content-type': RESPONSE_TYPE };
  const maxAge = kept === null ? 0 : kept.until - at;
  if (!viaGet || kept === null || maxAge <= 0)
    return { status: 200, headers: { ...base, 'cache-control': 'no-store' }, body: der };
  const headers = {
    ...base,
    'cache-control': `max-age=${maxAge}, public, no-transform, must-revalidate`,
    'last-modified': httpDate(kept.producedAt),
    expires: httpDate(kept.until),
  };
  return { status: 200, headers, body: der };
}

function httpDate(at: EpochSeconds): string {
  return new Date(at * 1000).toUTCString();
}

/**
 * Behind which slash the request begins is not said, and some askers leave the slashes of base64 as they are: it is the
 * longest end of the path that is base64 of as many bytes as its own first bytes say.
 * @returns null when there is none
 */
function requestInPath({ path }: HttpRequest): Uint8Array | null {
  let text: string;
  try {
    text = decodeURIComponent(path);
  } catch {
    return null;
  }
  let tried = 0;
  for (let slash = text.indexOf('/'); slash >= 0 && tried < MAX_STARTS; slash = text.indexOf('/', slash + 1)) {
    if (text[slash + 1] !== 'M') continue;
    tried++;
    const der = fromBase64(text.slice(slash + 1));
    if (der !== null && isWhole(der)) return der;
  }
  return null;
}

function fromBase64(text: string): Uint8Array | null {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return null;
  try {
    return Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  } catch {
    return null;
  }
}

/** Whether the length behind the first tag is that of the rest. */
function isWhole(der: Uint8Array): boolean {
  const [, first = 0, second = 0, third = 0] = der;
  if (first < 0x80) return der.length === first + 2;
  if (first === 0x81) return der.length === second + 3;
  return first === 0x82 && der.length === second * 256 + third + 4;
}
