import { randomBytes } from 'node:crypto';

/** What names a lease and proves the hold: an id that only ever grows, and 64 random bits. */
export interface Token {
  leaseId: bigint;
  /** Signed, as PostgreSQL stores it. */
  secret: bigint;
}

/** Random bytes are drawn by the page: one call of the generator for 512 leases. */
let pool = Buffer.alloc(0);
let drawn = 0;

export function newSecret(): bigint {
  if (drawn === pool.length) {
    pool = randomBytes(4096);
    drawn = 0;
  }
  const secret = pool.readBigInt64BE(drawn);
  drawn += 8;
  return secret;
}

/** `<id>.<16 hex digits>` */
export function formatToken({ leaseId, secret }: Token): string {
  return `${leaseId}.${BigInt.asUintN(64, secret).toString(16).padStart(16, '0')}`;
}

const FORM = /^([1-9][0-9]{0,18})\.([0-9a-f]{16})$/;

/** undefined: not of a token's form. */
export function parseToken(text: string): Token | undefined {
  const match = FORM.exec(text);
  if (match === null) {
    return undefined;
  }
  const leaseId = BigInt(match[1]!);
  return leaseId > 0x7fff_ffff_ffff_ffffn ? undefined : { leaseId, secret: BigInt.asIntN(64, BigInt(`0x${match[2]!}`)) };
}
