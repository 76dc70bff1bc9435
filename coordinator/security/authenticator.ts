import type { PeerCertificate } from 'node:tls';
import type { Log } from '../observe/log.ts';
import { Access } from './access.ts';
import { namesOf } from './certificate.ts';
import { NO_IDENTITIES, parseIdentities, tokenHash } from './identities.ts';
import type { Identities, Identity } from './identities.ts';
import { JsonWebTokens } from './json_web_tokens.ts';
import type { JwtSettings } from './json_web_tokens.ts';
import { expiredToken, noCredentials, notBearer, unknownCertificate, unknownToken } from './refusals.ts';
import { WatchedFiles } from './watched_files.ts';

/** A token that was verified is good for this long, as far as it does not expire: a key that is taken back counts after it. */
const VERIFIED_MS = 60_000;
/** Verified tokens that are remembered. */
const TOKENS_MAX = 10_000;
/** A header that is longer is no token. */
const TOKEN_CHARACTERS_MAX = 16_384;
const JWT_FORM = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/** What a caller shows. */
export interface Credentials {
  /** The authorization headers, as they came. */
  authorization: readonly string[];
  /** The client's certificate, where its chain was verified. Only asked for without a token: to read it takes its time. */
  certificate(): PeerCertificate | undefined;
}

export interface AuthenticatorSettings {
  identitiesFile: string | undefined;
  jwt: JwtSettings | undefined;
}

/** Finds out who calls: by a token, else by a certificate. */
export class Authenticator {
  readonly #identities: WatchedFiles<Identities> | undefined;
  readonly #jwt: JsonWebTokens | undefined;
  /** Of identities whose proof does not expire. */
  readonly #accesses = new WeakMap<Identity, Access>();
  /** By the token's hash: tokens themselves are not kept. */
  readonly #verified = new Map<string, { access: Access; untilMs: number }>();

  private constructor(identities: WatchedFiles<Identities> | undefined, jwt: JsonWebTokens | undefined) {
    this.#identities = identities;
    this.#jwt = jwt;
    this.onChange(() => this.#verified.clear());
  }

  /** Rejects with FAILED_PRECONDITION when a file cannot be used. */
  static async open({ identitiesFile, jwt }: AuthenticatorSettings, log: Log): Promise<Authenticator> {
    const identities = identitiesFile === undefined ? undefined
      : await WatchedFiles.open([identitiesFile], ([file]) => parseIdentities(file!.toString('utf8')), log);
    return new Authenticator(identities, jwt && await JsonWebTokens.open(jwt, log));
  }

  /** Who may do what has changed: what was found out before may not hold any more. */
  onChange(listener: () => void): void {
    this.#identities?.onChange(listener);
    this.#jwt?.onChange(listener);
  }

  close(): void {
    this.#identities?.close();
    this.#jwt?.close();
  }

  /** Throws, or rejects, with UNAUTHENTICATED; with UNAVAILABLE where nobody can tell now. At once, but for a new JSON Web Token. */
  authenticate({ authorization, ...shown }: Credentials): Access | Promise<Access> {
    if (authorization.length > 0) {
      return this.#byToken(tokenOf(authorization));
    }
    const certificate = shown.certificate();
    if (certificate === undefined) {
      throw noCredentials();
    }
    return this.#byCertificate(certificate);
  }

  #byToken(token: string): Access | Promise<Access> {
    const hash = tokenHash(token);
    const identity = this.#known.byToken.get(hash);
    if (identity !== undefined) {
      return this.#lasting(identity);
    }
    if (this.#jwt === undefined || !JWT_FORM.test(token)) {
      throw unknownToken();
    }
    const verified = this.#verified.get(hash);
    return verified !== undefined && verified.untilMs > Date.now() ? verified.access : this.#verify(token, hash, this.#jwt);
  }

  #lasting(identity: Identity): Access {
    let access = this.#accesses.get(identity);
    if (access === undefined) {
      access = new Access(identity.name, identity.grants);
      this.#accesses.set(identity, access);
    }
    return access;
  }

  async #verify(token: string, hash: string, jwt: JsonWebTokens): Promise<Access> {
    const { subject, grants, expiresAtMs } = await jwt.verify(token);
    const identity = this.#known.bySubject.get(subject);
    // The file has the last word: what an issuer grants can be replaced there.
    const access = identity === undefined ? new Access(`jwt:${subject}`, grants ?? [], { expiresAtMs }) : new Access(identity.name, identity.grants, { expiresAtMs });
    if (this.#verified.size >= TOKENS_MAX) {
      this.#verified.clear();
    }
    this.#verified.set(hash, { access, untilMs: Math.min(Date.now() + VERIFIED_MS, expiresAtMs) });
    return access;
  }

  #byCertificate(certificate: PeerCertificate): Access {
    const { names, expiresAtMs } = namesOf(certificate);
    // Its connection may have been opened long ago.
    if (expiresAtMs <= Date.now()) {
      throw expiredToken();
    }
    if (this.#identities === undefined && this.#jwt === undefined) {
      // Whoever has a certificate of the authority may do everything: that is what setting it alone means.
      return new Access(`certificate:${names[0] ?? ''}`, [{ can: ['admin'], queues: ['*'] }], { expiresAtMs });
    }
    const name = names.find((each) => this.#known.byCertificate.has(each));
    if (name === undefined) {
      throw unknownCertificate();
    }
    const identity = this.#known.byCertificate.get(name)!;
    return new Access(identity.name, identity.grants, { expiresAtMs });
  }

  get #known(): Identities {
    return this.#identities?.current ?? NO_IDENTITIES;
  }
}

function tokenOf(authorization: readonly string[]): string {
  const token = authorization.length === 1 && authorization[0]!.length <= TOKEN_CHARACTERS_MAX ? /^bearer +([!-~]+)$/i.exec(authorization[0]!)?.[1] : undefined;
  if (token === undefined) {
    throw notBearer();
  }
  return token;
}
