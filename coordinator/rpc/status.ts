import { Metadata, status as grpcStatus } from '@grpc/grpc-js';
import { BackendTerminatedError, ConnectionError } from 'slonik';
import { BadRequest, ErrorInfo, RetryInfo } from '../../proto/gen/google/rpc/error_details.ts';
import { Status } from '../../proto/gen/google/rpc/status.ts';
import type { ErrorCode, FieldViolation } from '../errors.ts';
import { SkipleaseError } from '../errors.ts';
import type { Log } from '../observe/log.ts';
import { toDuration } from './time.ts';
import { isLocked, isTransient, sqlState } from '../store/sql_errors.ts';

const CODES: Record<ErrorCode, grpcStatus> = {
  INVALID_ARGUMENT: grpcStatus.INVALID_ARGUMENT,
  UNAUTHENTICATED: grpcStatus.UNAUTHENTICATED,
  PERMISSION_DENIED: grpcStatus.PERMISSION_DENIED,
  NOT_FOUND: grpcStatus.NOT_FOUND,
  ALREADY_EXISTS: grpcStatus.ALREADY_EXISTS,
  FAILED_PRECONDITION: grpcStatus.FAILED_PRECONDITION,
  ABORTED: grpcStatus.ABORTED,
  RESOURCE_EXHAUSTED: grpcStatus.RESOURCE_EXHAUSTED,
  UNAVAILABLE: grpcStatus.UNAVAILABLE,
  DEADLINE_EXCEEDED: grpcStatus.DEADLINE_EXCEEDED,
  INTERNAL: grpcStatus.INTERNAL,
};

/** Of google.rpc.ErrorInfo. */
const DOMAIN = 'skiplease';
/** gRPC's own key for a google.rpc.Status. */
const DETAILS_KEY = 'grpc-status-details-bin';
/** Trailers travel as headers, which clients bound at 8 KiB: violations beyond this are counted, not listed. */
const VIOLATIONS_BYTES_MAX = 3_000;
const MESSAGE_CHARACTERS_MAX = 1_000;
/** What a client is told to wait when the database is away. */
const DATABASE_RETRY_MS = 1_000;

const CONNECTION_CODES = new Set([
  'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN', 'ENOENT',
]);
/** pg has no codes for what befell its connection, nor slonik for a pool that closes, or a connection that it was about to use. */
const CONNECTION_MESSAGES = new RegExp(`^(${[
  'Connection terminated', 'Query read timeout', 'timeout expired', 'Client has encountered a connection error', 'Client was closed',
  'Connection pool is being shut down', 'Client is pending destroy', 'Client is destroyed',
].join('|')})`);

/** What grpc-js ends a call with. */
export interface CallStatus {
  code: grpcStatus;
  details: string;
  metadata: Metadata;
}

/** How errors leave: the one map of whatever was thrown to a status with its google.rpc details. */
export class StatusMapper {
  readonly #log: Log;
  readonly #count: (reason: string) => void;

  constructor(log: Log, count: (reason: string) => void) {
    this.#log = log;
    this.#count = count;
  }

  /** To end a call with. `method` is for the log. */
  forCall(error: unknown, method: string): CallStatus {
    const status = this.asMessage(error, method);
    const metadata = new Metadata();
    metadata.set(DETAILS_KEY, Buffer.from(Status.encode(status).finish()));
    return { code: status.code, details: status.message, metadata };
  }

  /** To answer a part of a stream with. */
  asMessage(error: unknown, method: string): Status {
    const known = recognise(error);
    if (known === undefined) {
      this.#count('UNEXPECTED');
      this.#log.error({ err: error, method, event: 'unexpected_error' }, 'a call failed in a way that nobody foresaw');
      return statusOf(new SkipleaseError('INTERNAL', 'UNEXPECTED', 'Something unforeseen went wrong: see the coordinator\'s log.'));
    }
    if (known.code === 'INTERNAL' || known.code === 'UNAVAILABLE') {
      this.#count(known.reason);
      // While the database is away every call fails: the heartbeat says so once, and the metrics count.
      const level = known.code === 'INTERNAL' ? 'error' : 'debug';
      this.#log[level]({ err: error, method, event: 'call_failed', reason: known.reason }, 'a call failed');
    }
    return statusOf(known);
  }
}

/** An error of ours, or one whose cause says that the database cannot answer now. */
function recognise(error: unknown): SkipleaseError | undefined {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 10; cause = cause.cause, depth += 1) {
    if (cause instanceof SkipleaseError) {
      return cause;
    }
    const busy = sqlState(cause) !== undefined && isTransient(cause);
    if (busy || isDatabaseAway(cause)) {
      return new SkipleaseError('UNAVAILABLE', busy ? 'DATABASE_BUSY' : 'DATABASE_AWAY',
        `The database ${busy ? whyBusy(cause) : 'is not reachable'}. Try again; a submit with the same ids is harmless.`,
        { retryAfterMs: DATABASE_RETRY_MS, cause: error });
    }
  }
  return undefined;
}

function whyBusy(error: Error): string {
  if (isLocked(error)) {
    return 'cannot serve this now: somebody else\'s transaction has locked it';
  }
  switch (sqlState(error)) {
    case '53300': return 'cannot serve this now: it has no connection left';
    case '57014': return 'cannot serve this now: it is too slow';
    default: return 'cannot serve this now';
  }
}

function isDatabaseAway(error: Error): boolean {
  const { code } = error as { code?: unknown };
  return error instanceof BackendTerminatedError || error instanceof ConnectionError
    || (typeof code === 'string' && CONNECTION_CODES.has(code)) || CONNECTION_MESSAGES.test(error.message);
}

function statusOf(error: SkipleaseError): Status {
  const details = [
    any('ErrorInfo', ErrorInfo.encode({ reason: error.reason, domain: DOMAIN, metadata: error.metadata }).finish()),
  ];
  if (error.violations.length > 0) {
    details.push(any('BadRequest', BadRequest.encode({ fieldViolations: withinBounds(error.violations) }).finish()));
  }
  if (error.retryAfterMs !== undefined) {
    details.push(any('RetryInfo', RetryInfo.encode({ retryDelay: toDuration(error.retryAfterMs) }).finish()));
  }
  return { code: CODES[error.code], message: plain(error.message), details };
}

function any(type: string, value: Uint8Array) {
  return { typeUrl: `type.googleapis.com/google.rpc.${type}`, value };
}

function withinBounds(violations: FieldViolation[]) {
  let bytes = 0;
  const shown = violations.filter(({ field, description }, index) => {
    bytes += Buffer.byteLength(field) + Buffer.byteLength(description) + 8;
    return index === 0 || bytes <= VIOLATIONS_BYTES_MAX;
  });
  return shown.map(({ field, description }) => ({
    field: plain(field), description: plain(description), reason: '', localizedMessage: undefined,
  }));
}

/** grpc-js percent-encodes the message, which fails on half a surrogate pair. */
function plain(text: string): string {
  return (text.length > MESSAGE_CHARACTERS_MAX ? `${text.slice(0, MESSAGE_CHARACTERS_MAX)}…` : text).toWellFormed();
}
