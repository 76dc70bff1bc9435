/** Where a payments process finds the coordinator and the database, and how it proves who it is. All from the environment. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tokenFromFile, type SecurityOptions } from '../index.ts';

/** Says that there is no database to work with, and what to do. */
export class NoDatabaseError extends Error {}

/** `host:port` of the coordinators: SKIPLEASE_ADDRESSES, separated by commas. */
export function coordinatorAddresses(environment: NodeJS.ProcessEnv): string[] {
  return (environment['SKIPLEASE_ADDRESSES'] || '127.0.0.1:7420').split(',').map((address) => address.trim());
}

/**
 * TLS to the coordinators: SKIPLEASE_TLS_CA_FILE (who vouches for them), SKIPLEASE_TLS_CERT_FILE and SKIPLEASE_TLS_KEY_FILE (who this is), read
 * once; none: no TLS. SKIPLEASE_TOKEN_FILE: a token, which may be exchanged there.
 */
export function securityOf(environment: NodeJS.ProcessEnv): SecurityOptions {
  const [ca, cert, key] = ['CA', 'CERT', 'KEY'].map((name) => {
    const file = environment[`SKIPLEASE_TLS_${name}_FILE`];
    return file ? readFileSync(file) : undefined;
  });
  const token = environment['SKIPLEASE_TOKEN_FILE'];
  return {
    ...(ca === undefined && cert === undefined && key === undefined ? {} : { tls: { ca, cert, key } }),
    ...(token ? { token: tokenFromFile(token) } : {}),
  };
}

/** DATABASE_URL; without it what a coordinator with an embedded database has written into its data folder. Throws NoDatabaseError. */
export function databaseUrlOf(environment: NodeJS.ProcessEnv): string {
  const given = environment['DATABASE_URL'];
  if (given) return given;
  const file = join(environment['SKIPLEASE_DATA_DIR'] || './data', 'database_url');
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new NoDatabaseError(
      `There is no DATABASE_URL, and no coordinator has written ${file} (${(error as NodeJS.ErrnoException).code}). `
      + 'Start one here with `npm start`, or set DATABASE_URL.', { cause: error });
  }
}
