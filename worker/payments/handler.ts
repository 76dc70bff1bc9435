/**
 * Handles a whole lease of payments in one transaction, with a savepoint for each payment: one that is declined takes
 * back what it wrote, and nothing of its neighbours.
 *
 * A decline is an answer, not a fault: the job ends FAILED at once, with the code CARD_DECLINED, and is never tried again
 * by itself. The same holds for an IBAN whose check digits are wrong (INVALID_IBAN). A provider that does not answer in
 * time is asked again after a short delay (PROVIDER_TIMEOUT, PROVIDER_UNAVAILABLE) until the job's attempts are used up.
 */
import { isValidIBAN } from 'ibantools';
import type pg from 'pg';
import { PermanentError, RetryAfterError, SnoozeError } from '../errors.ts';
import { IntentError, paymentOf, type Payment } from './intent.ts';
import { capture, ledgerKey } from './ledger.ts';
import { askProvider } from './provider.ts';

/** What the handler needs of a leased job. */
export interface CaptureJob {
  id: string;
  attempt: number;
  json<T>(): T;
}

/** The result of a job that succeeded. */
export interface CaptureResult {
  /** `duplicate`: another job captured the same intent. */
  outcome: 'captured' | 'duplicate';
  worker: string;
  /** The job had been captured by an earlier attempt whose report was never committed; nothing was captured again. */
  redelivered?: true;
}

/** By job id: the result, or the error that the job failed with. */
export type CaptureOutcomes = Map<string, CaptureResult | Error>;

/** How long after an attempt without an answer the provider is asked again. */
const providerRetryMs = 250;
/** How long a lease is put off when the ledger's database cannot be reached. */
const ledgerAwayMs = 1_000;

/** A payment, or why it will never be one. Errors are PermanentErrors. */
function readPayment(job: CaptureJob): Payment | PermanentError {
  let payment: Payment;
  try {
    payment = paymentOf(job.json());
  } catch (error) {
    if (error instanceof IntentError || error instanceof SyntaxError) return new PermanentError('BAD_INTENT', error.message);
    throw error;
  }
  return isValidIBAN(payment.iban) ? payment : new PermanentError('INVALID_IBAN', `${payment.iban} fails its check digits`);
}

/** Captures one payment behind the transaction's savepoint. Throws what the job is to fail with; then nothing of it may stay. */
async function capturePayment(client: pg.ClientBase, payment: Payment, job: CaptureJob, worker: string): Promise<CaptureResult> {
  const captured = await capture(client, payment, job, worker);
  switch (captured) {
    case 'redelivered': return { outcome: 'captured', worker, redelivered: true };
    case 'duplicate': return { outcome: 'duplicate', worker };
    case 'conflict':
      throw new PermanentError('REFERENCE_CONFLICT', `${payment.reference} was used before, for another payment`);
    case 'captured':
  }
  const answer = await askProvider(payment, job.attempt);
  switch (answer.kind) {
    case 'approved': return { outcome: 'captured', worker };
    case 'declined': throw new PermanentError('CARD_DECLINED', answer.reason);
    case 'timed_out': throw new RetryAfterError(providerRetryMs, 'PROVIDER_TIMEOUT', 'the provider did not answer in time');
    case 'unavailable': throw new RetryAfterError(providerRetryMs, 'PROVIDER_UNAVAILABLE', 'the provider cannot be reached');
  }
}

/** The transaction: every payment behind a savepoint of its own. Throws when the connection is gone or the signal fired. */
async function captureAll(
  client: pg.ClientBase,
  payments: readonly { job: CaptureJob; payment: Payment }[],
  worker: string,
  signal: AbortSignal,
): Promise<CaptureOutcomes> {
  const outcomes: CaptureOutcomes = new Map();
  await client.query('begin; savepoint payment');
  for (const { job, payment } of payments) {
    signal.throwIfAborted();
    try {
      outcomes.set(job.id, await capturePayment(client, payment, job, worker));
      // What it wrote is the transaction's now; the next payment gets a savepoint of its own, in the same round trip.
      await client.query('release savepoint payment; savepoint payment');
    } catch (error) {
      // What it wrote is gone, and the savepoint stands as new for the next payment.
      await client.query('rollback to savepoint payment');
      outcomes.set(job.id, error as Error);
    }
  }
  await client.query('commit');
  return outcomes;
}

/** The handler of `payment.capture`: takes the jobs of a lease, answers with an outcome for each. */
export function captureLease(pool: pg.Pool, worker: string) {
  return async (jobs: readonly CaptureJob[], { signal }: { signal: AbortSignal }): Promise<CaptureOutcomes> => {
    const refused: CaptureOutcomes = new Map();
    const payments: { job: CaptureJob; payment: Payment; key: string }[] = [];
    for (const job of jobs) {
      const payment = readPayment(job);
      if (payment instanceof PermanentError) refused.set(job.id, payment);
      else payments.push({ job, payment, key: ledgerKey(payment) });
    }
    if (payments.length === 0) return refused;
    payments.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));

    let client: pg.PoolClient;
    try {
      client = await pool.connect();
    } catch {
      throw new SnoozeError(ledgerAwayMs, 'the ledger\'s database cannot be reached');
    }
    try {
      const captured = await captureAll(client, payments, worker, signal);
      client.release();
      return new Map([...refused, ...captured]);
    } catch (error) {
      // The connection goes, and its transaction with it. Should the commit have come through all the same, then the
      // jobs come back, find themselves in the ledger, and capture nothing twice.
      client.release(true);
      if (signal.aborted) throw error;
      throw new SnoozeError(ledgerAwayMs, 'the connection to the ledger broke');
    }
  };
}
