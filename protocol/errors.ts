/**
 * The errors that a peer's bytes can cause: one table, one class. Only the number crosses the network, and every
 * authentication failure crosses as the same one.
 */

export interface ErrorEntry {
  /** Number on the wire; all authentication failures share one. */
  readonly wire: number;
  /** Whether the same request can succeed when repeated later. */
  readonly retryable: boolean;
  /** What the reader of the log can do. */
  readonly remedy: string;
}

export const ERRORS = {
  malformed: { wire: 1, retryable: false, remedy: 'the peer sent bytes outside the wire format: compare versions' },
  tooLarge: { wire: 2, retryable: false, remedy: 'the message exceeds its size limit' },
  unexpected: {
    wire: 3,
    retryable: true,
    remedy: 'the message does not fit the state of the exchange; the peer starts again',
  },
  noCommonSuite: { wire: 4, retryable: false, remedy: 'enable a channel suite that the other side supports' },
  unauthenticated: {
    wire: 5,
    retryable: false,
    remedy: 'key, certificate and trust anchors do not fit together: run `kagimori doctor`',
  },
  replayed: { wire: 5, retryable: false, remedy: 'the record was seen before: a repeated delivery, or a replay' },
  badSignature: { wire: 5, retryable: false, remedy: 'the signature was not made by the key of the certificate sent' },
  badCertificate: { wire: 5, retryable: false, remedy: 'the certificate was refused: see the reason beside this line' },
  badVerdict: {
    wire: 5,
    retryable: true,
    remedy: "the verifier's answer is not valid: check that its certificate is the pinned one and the clocks agree",
  },
  badMac: { wire: 5, retryable: false, remedy: 'the keys of the two sides differ' },
  busy: { wire: 6, retryable: true, remedy: 'too many exchanges are open: try again later' },
  unavailable: { wire: 7, retryable: true, remedy: 'a service that is needed is away: start it' },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/** A fault of the peer's bytes. Thrown where it is found, caught once at the edge of a machine's step. */
export class ProtocolError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, detail: string) {
    super(detail);
    this.name = 'ProtocolError';
    this.code = code;
  }
}
