import { createHash } from 'node:crypto';
import { invalidArgument } from '../errors.ts';

/** What a cursor may be. A token is no secret: whoever knows how it is made can put anything into it. */
export const CURSOR = {
  uuid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
  name: /^[\w.:/-]{1,128}$/,
  leaseId: /^\d{1,18}$/,
} as const;

/** Bounds of page_size: AIP-158, but a size that is too large is refused rather than cut, as all bad input is. */
export function checkPageSize(given: number, fallback: number, max: number): number {
  if (given < 0 || given > max) {
    throw invalidArgument([{ field: 'page_size', description: `is ${given}: 1 to ${max} are accepted, or 0 for ${fallback}` }]);
  }
  return given === 0 ? fallback : given;
}

/** Opaque to clients: where the next page begins, bound to the filters that the list was begun with. */
export function makePageToken(cursor: string, filters: readonly unknown[]): string {
  return Buffer.from(JSON.stringify([cursor, filtersHash(filters)])).toString('base64url');
}

/** The cursor in a token; undefined: the first page. INVALID_ARGUMENT for a token of other filters, or of our making not at all. */
export function readPageToken(token: string, filters: readonly unknown[], cursorForm: RegExp): string | undefined {
  if (token === '') {
    return undefined;
  }
  const parts = parse(token);
  if (!Array.isArray(parts) || typeof parts[0] !== 'string' || !cursorForm.test(parts[0])) {
    throw invalidArgument([{ field: 'page_token', description: 'is not a next_page_token of this list' }]);
  }
  if (parts[1] !== filtersHash(filters)) {
    throw invalidArgument([{ field: 'page_token', description: 'belongs to a list with other filters: repeat them, or start without a token' }]);
  }
  return parts[0];
}

function parse(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token, 'base64url').toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}

function filtersHash(filters: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(filters)).digest('base64url').slice(0, 11);
}
