import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials, InterceptingCall } from '@grpc/grpc-js';
import type { Client, ClientOptions } from '@grpc/grpc-js';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import type { CryptoKey, JWTPayload } from 'jose';

export const ISSUER = 'https://issuer.example.org';
export const AUDIENCE = 'skiplease';

/** What a file of identities says of somebody, without tokens. */
export interface TestIdentity {
  name: string;
  grants: { can: string[]; queues: string[] }[];
  certificates?: string[];
  jwt_subjects?: string[];
}

/** The files that a coordinator which asks who calls needs, and what callers show it. */
export class SecuredFolder {
  readonly folder: string;
  readonly identitiesFile: string;
  readonly keySetFile: string;
  /** By the identity's name. */
  readonly tokens = new Map<string, string>();
  #signingKey!: CryptoKey;
  #keyId = '';

  private constructor(folder: string) {
    this.folder = folder;
    this.identitiesFile = join(folder, 'identities.json');
    this.keySetFile = join(folder, 'keys.json');
  }

  static async create(identities: TestIdentity[]): Promise<SecuredFolder> {
    const secured = new SecuredFolder(await mkdtemp(join(tmpdir(), 'skiplease-secured-')));
    await secured.grant(identities);
    await secured.newKeys();
    return secured;
  }

  /** Settings of a coordinator. */
  get environment(): Record<string, string> {
    return {
      SKIPLEASE_IDENTITIES_FILE: this.identitiesFile, SKIPLEASE_JWT_KEY_SET: this.keySetFile, SKIPLEASE_JWT_ISSUER: ISSUER, SKIPLEASE_JWT_AUDIENCE: AUDIENCE,
    };
  }

  /** Writes the file anew. Everybody has a token of their own, and keeps it. */
  async grant(identities: TestIdentity[]): Promise<void> {
    const entries = identities.map((identity) => ({ ...identity, token_sha256: [createHash('sha256').update(this.token(identity.name)).digest('hex')] }));
    await writeFile(this.identitiesFile, JSON.stringify({ identities: entries }));
  }

  token(name: string): string {
    const token = this.tokens.get(name) ?? randomBytes(32).toString('hex');
    this.tokens.set(name, token);
    return token;
  }

  /** Exchanges the keys that sign JSON Web Tokens. */
  async newKeys(): Promise<void> {
    const { publicKey, privateKey } = await generateKeyPair('ES256');
    this.#signingKey = privateKey;
    const kid = randomBytes(8).toString('hex');
    this.#keyId = kid;
    await writeFile(this.keySetFile, JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' }] }));
  }

  /** A token that is good, but for the claims that are given. `expiresIn` seconds from now. */
  sign(claims: JWTPayload = {}, expiresIn = 600, key?: CryptoKey | Uint8Array, alg = 'ES256'): Promise<string> {
    const now = Math.floor(Date.now() / 1_000);
    return new SignJWT({ iss: ISSUER, aud: AUDIENCE, sub: 'somebody', iat: now, exp: now + expiresIn, ...claims })
      .setProtectedHeader({ alg, kid: this.#keyId }).sign(key ?? this.#signingKey);
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Options of a client of grpc-js that shows a token with each call. */
export function bearer(token: string): ClientOptions {
  return {
    interceptors: [(options, next) => new InterceptingCall(next(options), {
      start: (metadata, listener, go) => {
        metadata.set('authorization', `Bearer ${token}`);
        go(metadata, listener);
      },
    })],
  };
}

/** A client that shows a token (none: undefined), on a connection of its own. */
export function clientWith<Service extends Client>(
  service: new (address: string, channel: ReturnType<typeof credentials.createInsecure>, options: ClientOptions) => Service,
  address: string, token: string | undefined, channel = credentials.createInsecure(),
): Service {
  return new service(address, channel, { 'grpc.use_local_subchannel_pool': 1, ...(token === undefined ? {} : bearer(token)) });
}
