import { SkipleaseError, type ErrorCode } from '../errors.ts';
import { sqlState } from './sql_errors.ts';

/** SQLSTATEs with which our SQL functions refuse what they are asked for: the error's detail is the reason, its message is for people. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  SK010: 'FAILED_PRECONDITION', SK011: 'ALREADY_EXISTS', SK012: 'NOT_FOUND', SK013: 'INVALID_ARGUMENT',
};

/** A refusal as callers are told; undefined: the database failed otherwise. */
export function refusal(error: unknown): SkipleaseError | undefined {
  const code = CODES[sqlState(error) ?? ''];
  const { detail, message } = error as { detail?: string; message: string };
  return code === undefined ? undefined : new SkipleaseError(code, detail ?? 'REFUSED', message);
}
