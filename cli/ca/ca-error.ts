/**
 * What can go wrong with the small CA: a closed set of codes, each message with its remedy.
 */

export type CaFault =
  | 'no-authority'
  | 'exists'
  | 'name-taken'
  | 'bad-name'
  | 'bad-request'
  | 'key-taken'
  | 'unknown-certificate'
  | 'already-revoked'
  | 'broken-index'
  | 'in-use'
  | 'bad-option';

export class CaError extends Error {
  readonly code: CaFault;
  constructor(code: CaFault, detail: string) {
    super(detail);
    this.name = 'CaError';
    this.code = code;
  }
}
