/**
 * Why an embedded PostgreSQL could not be had. The codes are stable: the coordinator's start prints the message
 * as it is, tests look at the code.
 */
export type EmbeddedPostgresErrorCode =
  /** No PostgreSQL binaries exist for this machine, or they do not run on it. */
  | 'PLATFORM_UNSUPPORTED'
  /** Another live coordinator owns the data folder. */
  | 'DATA_FOLDER_IN_USE'
  /** The data folder cannot be made, entered or written. */
  | 'DATA_FOLDER_UNUSABLE'
  /** initdb failed. */
  | 'INITIALISE_FAILED'
  /** The port that was asked for is taken. */
  | 'PORT_TAKEN'
  /** The server ended, or did not get ready in time. */
  | 'START_FAILED'
  /** The server would not stop in time. */
  | 'STOP_FAILED';

/** The one error class of this folder; `message` says what to do. */
export class EmbeddedPostgresError extends Error {
  readonly code: EmbeddedPostgresErrorCode;

  constructor(code: EmbeddedPostgresErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'EmbeddedPostgresError';
    this.code = code;
  }
}
