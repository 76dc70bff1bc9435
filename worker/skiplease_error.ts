import { status as codes } from '@grpc/grpc-js';
import type { Metadata } from '@grpc/grpc-js';
import { BadRequest, ErrorInfo, RetryInfo } from '../proto/gen/google/rpc/error_details.ts';
import { Status } from '../proto/gen/google/rpc/status.ts';
import { msFromDuration } from './wire/duration.ts';

/** One bad field of a refused request. */
export interface FieldViolation {
  /** Its path in the request, such as `job.queue`. */
  field: string;
  description: string;
  reason: string;
}

const detailsKey = 'grpc-status-details-bin';

/** An error that the coordinator, or the way to it, answered with. */
export class SkipleaseError extends Error {
  override readonly name = 'SkipleaseError';
  /** The gRPC code's name, such as INVALID_ARGUMENT. */
  readonly code: keyof typeof codes;
  /** UPPER_SNAKE_CASE, stable, from google.rpc.ErrorInfo; empty when the error did not come from a coordinator. */
  readonly reason: string;
  /** What ErrorInfo says beside the reason: limits, names. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly fieldViolations: readonly FieldViolation[];
  /** How long the coordinator asks to wait before another try, in milliseconds. */
  readonly retryDelayMs: number | undefined;

  constructor(code: number, message: string, details: Status['details'] = [], options?: ErrorOptions) {
    super(message, options);
    this.code = (codes[code] ?? 'UNKNOWN') as keyof typeof codes;
    const info = detail(details, 'google.rpc.ErrorInfo', ErrorInfo);
    this.reason = info?.reason ?? '';
    this.metadata = info?.metadata ?? {};
    this.fieldViolations = (detail(details, 'google.rpc.BadRequest', BadRequest)?.fieldViolations ?? []).map(
      ({ field, description, reason }) => ({ field, description, reason }),
    );
    this.retryDelayMs = msFromDuration(detail(details, 'google.rpc.RetryInfo', RetryInfo)?.retryDelay);
  }

  /** From what grpc-js ends a call with. */
  static fromStatus(status: { code: number; details: string; metadata?: Metadata }, cause?: unknown): SkipleaseError {
    const [bytes] = status.metadata?.get(detailsKey) ?? [];
    const details = bytes instanceof Buffer ? readDetails(bytes) : [];
    return new SkipleaseError(status.code, status.details, details, { cause });
  }

  /** From anything thrown by a call; what has no gRPC status is returned as it is. */
  static from(error: unknown): unknown {
    if (error instanceof Error && 'code' in error && typeof error.code === 'number' && 'details' in error) {
      return SkipleaseError.fromStatus(error as unknown as { code: number; details: string; metadata: Metadata }, error);
    }
    return error;
  }
}

/** Details that do not parse must not hide the error that they came with. */
function readDetails(bytes: Uint8Array): Status['details'] {
  try {
    return Status.decode(bytes).details;
  } catch {
    return [];
  }
}

function detail<T>(details: Status['details'], name: string, type: { decode(bytes: Uint8Array): T }): T | undefined {
  const found = details.find(({ typeUrl }) => typeUrl.endsWith(`/${name}`));
  return found === undefined ? undefined : type.decode(found.value);
}
