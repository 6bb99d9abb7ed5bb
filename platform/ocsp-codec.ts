/**
 * The codec of OCSP that the protocol is given.
 */
import type { OcspCodec } from '../protocol/ocsp.ts';
import { readAnswer, readRequest } from './ocsp-reading.ts';
import { issuerHashes, writeAnswer, writeError, writeRequest } from './ocsp-writing.ts';

export const ocspCodec: OcspCodec = {
  issuerHashes,
  readRequest,
  readAnswer,
  writeRequest,
  writeAnswer,
  writeError,
};
