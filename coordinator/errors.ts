/** Every failure that leaves the coordinator has one of these codes; `rpc/status.ts` maps them to gRPC. */
export type ErrorCode =
  | 'INVALID_ARGUMENT'
  | 'UNAUTHENTICATED'
  | 'PERMISSION_DENIED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'RESOURCE_EXHAUSTED'
  | 'UNAVAILABLE'
  | 'DEADLINE_EXCEEDED'
  | 'INTERNAL';

export interface FieldViolation {
  /** Path in the request, such as `jobs[3].queue`. */
  field: string;
  description: string;
}

export interface ErrorExtras {
  violations?: FieldViolation[];
  /** When trying again makes sense: milliseconds. */
  retryAfterMs?: number;
  metadata?: Record<string, string>;
  cause?: unknown;
}

/** An error with a stable code and an UPPER_SNAKE_CASE reason (google.rpc.ErrorInfo.reason). */
export class SkipleaseError extends Error {
  readonly code: ErrorCode;
  readonly reason: string;
  readonly violations: FieldViolation[];
  readonly retryAfterMs: number | undefined;
  readonly metadata: Record<string, string>;

  constructor(code: ErrorCode, reason: string, message: string, extras: ErrorExtras = {}) {
    super(message, { cause: extras.cause });
    this.name = 'SkipleaseError';
    this.code = code;
    this.reason = reason;
    this.violations = extras.violations ?? [];
    this.retryAfterMs = extras.retryAfterMs;
    this.metadata = extras.metadata ?? {};
  }
}

/** Bad input: names every bad field. */
export function invalidArgument(violations: FieldViolation[]): SkipleaseError {
  const first = violations[0]!;
  const more = violations.length > 1 ? ` (and ${violations.length - 1} more)` : '';
  return new SkipleaseError('INVALID_ARGUMENT', 'INVALID_FIELD', `${first.field}: ${first.description}${more}`, { violations });
}

/** Throws that, if anything is bad. */
export function refuseInvalid(violations: FieldViolation[]): void {
  if (violations.length > 0) {
    throw invalidArgument(violations);
  }
}
