/**
 * What the verifier cannot start with.
 */

/** A file that cannot be used; the message names it and says what is wrong. */
export class VerifierError extends Error {
  readonly path: string;
  constructor(path: string, detail: string) {
    super(`${path}: ${detail}`);
    this.name = 'VerifierError';
    this.path = path;
  }
}
