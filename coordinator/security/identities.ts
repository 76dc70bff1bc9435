import { createHash } from 'node:crypto';
import { z } from 'zod';
import { parseJson } from '../parse_json.ts';
import { CAPABILITIES } from './access.ts';
import type { Grant } from './access.ts';

/** Somebody who may call, as the file of identities has it. */
export interface Identity {
  name: string;
  grants: readonly Grant[];
}

/** Identities by what proves them. */
export interface Identities {
  /** By the SHA-256 of the token, in hex. */
  byToken: ReadonlyMap<string, Identity>;
  /** By a name of the client's certificate: `CN:…`, `DNS:…`, `URI:…` or `email:…`. */
  byCertificate: ReadonlyMap<string, Identity>;
  /** By the subject of a JSON Web Token. */
  bySubject: ReadonlyMap<string, Identity>;
}

export const NO_IDENTITIES: Identities = { byToken: new Map(), byCertificate: new Map(), bySubject: new Map() };

/** What a token or a file grants. */
export const grantsSchema = z.array(z.strictObject({
  can: z.array(z.enum(CAPABILITIES)).min(1),
  queues: z.array(z.string().regex(/^(\*|[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}\*?)$/, 'must be a queue\'s name, the beginning of some and *, or *')).min(1),
})).max(100);

const fileSchema = z.strictObject({
  identities: z.array(z.strictObject({
    // Without a colon, which the names of those have who are not in this file.
    name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._@/-]{0,127}$/, 'must be 1 to 128 letters, digits or . _ @ / -'),
    token_sha256: z.array(z.string().regex(/^[0-9a-f]{64}$/, 'must be the SHA-256 of a token: 64 lower-case hex digits')).default([]),
    certificates: z.array(z.string().regex(/^(CN|DNS|URI|email):./, 'must be CN:, DNS:, URI: or email: and a name')).default([]),
    jwt_subjects: z.array(z.string().min(1)).default([]),
    grants: grantsSchema,
  })),
});

/** Reads the file of identities. Throws where it is not as described in coordinator/security/README.md. */
export function parseIdentities(text: string): Identities {
  const parsed = fileSchema.safeParse(parseJson(text));
  if (!parsed.success) {
    throw new Error(parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '));
  }
  const { identities } = parsed.data;
  unique(identities.map(({ name }) => name), 'name');
  const by = (what: 'token_sha256' | 'certificates' | 'jwt_subjects') => {
    const entries = identities.flatMap(({ name, grants, ...proofs }) => proofs[what].map((proof) => [proof, { name, grants }] as const));
    unique(entries.map(([proof]) => proof), what);
    return new Map<string, Identity>(entries);
  };
  return { byToken: by('token_sha256'), byCertificate: by('certificates'), bySubject: by('jwt_subjects') };
}

/** What a token is stored as: enough for one that is long and random. */
export function tokenHash(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

function unique(values: readonly string[], what: string): void {
  const twice = values.find((value, index) => values.indexOf(value) !== index);
  if (twice !== undefined) {
    throw new Error(`identities: the ${what} ${twice} stands there twice`);
  }
}
