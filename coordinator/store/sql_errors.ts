import { SkipleaseError } from '../errors.ts';

/** The five characters of PostgreSQL's error code, when the server answered with one. */
export function sqlState(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && 'severity' in (error as object) ? code : undefined;
}

/** read_only_sql_transaction: the server is a standby, or its default_transaction_read_only is set. */
export const READ_ONLY = '25006';

/** No answer came, or the connection ended: whether the statement took effect is not known. */
export function isConnectionFailure(error: unknown): boolean {
  if (error instanceof SkipleaseError) {
    return error.code === 'UNAVAILABLE';
  }
  const state = sqlState(error);
  return state === undefined || state.startsWith('08') || state.startsWith('57P') || state === '25P03';
}

/** lock_not_available or deadlock_detected. */
export function isLocked(error: unknown): boolean {
  const state = sqlState(error);
  return state === '55P03' || state === '40P01';
}

/** An id exists already. */
export function isUniqueViolation(error: unknown): boolean {
  return sqlState(error) === '23505';
}

/** The database is in no condition to say yes or no now: the same statement may pass later. */
export function isTransient(error: unknown): boolean {
  const state = sqlState(error);
  return isConnectionFailure(error) || state === READ_ONLY || /^(40|53|55|57|58|XX)/.test(state!);
}
