import { createLocalJWKSet, createRemoteJWKSet, errors, jwtVerify } from 'jose';
import type { JSONWebKeySet, JWTPayload, JWTVerifyGetKey } from 'jose';
import type { Log } from '../observe/log.ts';
import { parseJson } from '../parse_json.ts';
import type { Grant } from './access.ts';
import { grantsSchema } from './identities.ts';
import { expiredToken, keysAway, refusedToken } from './refusals.ts';
import { WatchedFiles } from './watched_files.ts';

/** How far clocks may be apart. */
const LEEWAY_SECONDS = 5;
/** A subject names its identity in the database and in the log. */
const SUBJECT_FORM = /^[\x20-\x7e]{1,256}$/;

export interface JwtSettings {
  /** Of a file, or of an https:// URL. */
  keySet: string;
  issuer: string;
  audience: string;
  algorithms: readonly string[];
  /** The claim that grants. */
  claim: string;
}

/** What a good token says. */
export interface VerifiedToken {
  subject: string;
  /** undefined: it leaves that to the file of identities. */
  grants: readonly Grant[] | undefined;
  /** Unix milliseconds. */
  expiresAtMs: number;
}

/** Verifies JSON Web Tokens by the keys of a key set, which may be exchanged at any time. */
export class JsonWebTokens {
  readonly #settings: JwtSettings;
  readonly #keys: JWTVerifyGetKey;
  readonly #file: WatchedFiles<JWTVerifyGetKey> | undefined;

  private constructor(settings: JwtSettings, keys: JWTVerifyGetKey | undefined, file: WatchedFiles<JWTVerifyGetKey> | undefined) {
    this.#settings = settings;
    this.#file = file;
    this.#keys = keys ?? ((header, token) => file!.current(header, token));
  }

  /** A file is read now, and again when it changes; a URL is asked when the first token comes, kept for ten minutes, and asked for keys that are new. */
  static async open(settings: JwtSettings, log: Log): Promise<JsonWebTokens> {
    if (/^https?:\/\//.test(settings.keySet)) {
      return new JsonWebTokens(settings, createRemoteJWKSet(new URL(settings.keySet)), undefined);
    }
    const parse = ([file]: Buffer[]) => createLocalJWKSet(parseJson(file!.toString('utf8')) as JSONWebKeySet);
    return new JsonWebTokens(settings, undefined, await WatchedFiles.open([settings.keySet], parse, log));
  }

  /** The file of keys has changed. */
  onChange(listener: () => void): void {
    this.#file?.onChange(listener);
  }

  close(): void {
    this.#file?.close();
  }

  /** Rejects with UNAUTHENTICATED for a token that is not good, with UNAVAILABLE where nobody can tell now. */
  async verify(token: string): Promise<VerifiedToken> {
    const { issuer, audience, algorithms, claim } = this.#settings;
    const { payload } = await jwtVerify(token, this.#keys, {
      issuer, audience, algorithms: [...algorithms], clockTolerance: LEEWAY_SECONDS, requiredClaims: ['exp', 'sub'],
    }).catch((error: unknown) => {
      throw refusalOf(error);
    });
    if (!SUBJECT_FORM.test(payload.sub!)) {
      throw refusedToken('its sub must be 1 to 256 printable ASCII characters');
    }
    return { subject: payload.sub!, grants: grantsOf(payload, claim), expiresAtMs: (payload.exp! + LEEWAY_SECONDS) * 1_000 };
  }
}

function grantsOf(payload: JWTPayload, claim: string): readonly Grant[] | undefined {
  if (payload[claim] === undefined) {
    return undefined;
  }
  const grants = grantsSchema.safeParse(payload[claim]);
  if (!grants.success) {
    throw refusedToken(`its claim ${claim} must be a list such as [{"can": ["submit"], "queues": ["mail"]}]`);
  }
  return grants.data;
}

function refusalOf(error: unknown): Error {
  if (error instanceof errors.JWTExpired) {
    return expiredToken();
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    return refusedToken(`its ${error.claim} is not what is asked for here`);
  }
  if (error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JWKSNoMatchingKey) {
    return refusedToken('its signature is of no key that is known here');
  }
  if (error instanceof errors.JOSEAlgNotAllowed || error instanceof errors.JOSENotSupported) {
    return refusedToken('its algorithm is not among those that are accepted');
  }
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid || error instanceof errors.JWKSMultipleMatchingKeys) {
    return refusedToken('it is malformed');
  }
  return keysAway(error);
}
