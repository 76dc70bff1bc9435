/** The ledger as the handler sees it. The rules themselves are in `ledger.sql`, where any language can use them. */
import { readFileSync } from 'node:fs';
import pg from 'pg';
import type { Payment } from './intent.ts';

/** Says that the database has a schema `ledger` which is somebody else's. */
export class ForeignLedgerError extends Error {}

/** What ledger.capture() answers; see ledger.sql. */
export type Capture = 'captured' | 'redelivered' | 'duplicate' | 'conflict';

const schemaComment = 'Skiplease payments demo';
/** Of the advisory lock that lets one process at a time make the schema. Any number that nobody else uses. */
const schemaLock = 7_420_001;

/** Longer than any payment takes. A worker that is frozen in its transaction must not hold up the others for ever. */
const sessionOptions = '-c lock_timeout=5s -c statement_timeout=30s -c idle_in_transaction_session_timeout=10s';

/** Connections to the ledger's database; `connectionsMax` is how many leases can be captured at once. */
export function ledgerPool(databaseUrl: string, connectionsMax: number): pg.Pool {
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    max: connectionsMax,
    application_name: 'payments worker',
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    options: sessionOptions,
  });
  // A connection that breaks is reported by its next use; without listeners it would end the process.
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

/** Makes the ledger's schema where it is missing. Safe to call from many processes at once. Throws ForeignLedgerError. */
export async function prepareLedger(client: pg.ClientBase): Promise<void> {
  await client.query('begin');
  try {
    await client.query('select pg_advisory_xact_lock($1)', [schemaLock]);
    const { rows } = await client.query<{ comment: string | null }>(
      `select obj_description(oid, 'pg_namespace') as comment from pg_namespace where nspname = 'ledger'`,
    );
    if (rows.length > 0 && rows[0]!.comment !== schemaComment) {
      throw new ForeignLedgerError('The database has a schema named "ledger" that is not this demo\'s. Give the demo a database of its own.');
    }
    await client.query('set local client_min_messages = warning');
    await client.query(readFileSync(new URL('ledger.sql', import.meta.url), 'utf8'));
    await client.query('commit');
  } catch (error) {
    await client.query('rollback').catch(() => {});
    throw error;
  }
}

/** Payments of one transaction are captured in the order of this key; ledger.sql says why. The worker in Python has the same. */
export function ledgerKey(payment: Payment): string {
  return JSON.stringify([payment.run, payment.copy, payment.reference]);
}

/** Captures one payment in the transaction that the client is in. */
export async function capture(
  client: pg.ClientBase,
  payment: Payment,
  job: { id: string; attempt: number },
  workerId: string,
): Promise<Capture> {
  const { rows } = await client.query<{ capture: Capture }>({
    name: 'capture',
    text: 'select ledger.capture($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)',
    values: [
      payment.run, payment.copy, payment.reference, payment.line, job.id, job.attempt, workerId,
      payment.merchant, payment.currency, payment.amountMinor,
    ],
  });
  return rows[0]!.capture;
}
