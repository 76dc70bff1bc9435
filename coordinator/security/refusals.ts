import { SkipleaseError } from '../errors.ts';

/** What a caller is told that has not proved who it is. None of them repeats what it has sent. */
export function noCredentials(): SkipleaseError {
  return new SkipleaseError('UNAUTHENTICATED', 'NO_CREDENTIALS', 'Nobody may call without proof of who it is: send the header "authorization: Bearer TOKEN", '
    + 'or connect with a client certificate that this coordinator knows.');
}

export function notBearer(): SkipleaseError {
  return new SkipleaseError('UNAUTHENTICATED', 'NOT_A_BEARER_TOKEN', 'The authorization header must be "Bearer" and a token.');
}

export function unknownToken(): SkipleaseError {
  return new SkipleaseError('UNAUTHENTICATED', 'UNKNOWN_TOKEN', 'This token is not known here: it was never valid, or has been taken back.');
}

/** `why` names a claim, never what it says. */
export function refusedToken(why: string): SkipleaseError {
  return new SkipleaseError('UNAUTHENTICATED', 'TOKEN_REFUSED', `This token is not good here: ${why}.`);
}

export function expiredToken(): SkipleaseError {
  return new SkipleaseError('UNAUTHENTICATED', 'TOKEN_EXPIRED', 'What proved who is calling has expired. Come back with a new token or certificate; held leases can be resumed.');
}

export function takenBack(): SkipleaseError {
  return new SkipleaseError('UNAUTHENTICATED', 'CREDENTIALS_TAKEN_BACK', 'What proved who is calling is not valid any more.');
}

export function unknownCertificate(): SkipleaseError {
  return new SkipleaseError('UNAUTHENTICATED', 'UNKNOWN_CERTIFICATE', 'The client certificate is good, but no identity here names it.');
}

/** Passes: the keys that sign tokens are elsewhere. */
export function keysAway(cause: unknown): SkipleaseError {
  return new SkipleaseError('UNAVAILABLE', 'TOKEN_KEYS_AWAY', 'The keys that tokens are verified with cannot be fetched now. Try again.', { retryAfterMs: 1_000, cause });
}
