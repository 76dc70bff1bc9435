/**
 * Handles a whole lease of payments in one transaction of the ledger's database, with a savepoint for each payment: its
 * capture, its entries in the ledger and its job's completion are committed together, or not at all. One that is declined
 * takes back what it wrote, and nothing of its neighbours.
 *
 * A decline is an answer, not a fault: the job ends FAILED at once, with the code CARD_DECLINED, and is never tried again
 * by itself. The same holds for an IBAN whose check digits are wrong (INVALID_IBAN). A provider that does not answer in
 * time is asked again after a short delay (PROVIDER_TIMEOUT, PROVIDER_UNAVAILABLE) until the job's attempts are used up.
 */
import { isValidIBAN } from 'ibantools';
import pg from 'pg';
import type { BatchContext } from '../context.ts';
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
  /** An earlier attempt, by a worker that completes its jobs by report alone, had captured it; nothing was captured again. */
  redelivered?: true;
}

/** By job id: the result, or the error that the job failed with. */
export type CaptureOutcomes = Map<string, CaptureResult | Error>;

/** What the handler needs of a batch's context. */
export type CaptureContext = Pick<BatchContext, 'signal' | 'transaction'>;

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

/** The handler of `payment.capture`: takes the jobs of a lease, answers with an outcome for each. */
export function captureLease(worker: string) {
  return async (jobs: readonly CaptureJob[], context: CaptureContext): Promise<CaptureOutcomes> => {
    const refused: CaptureOutcomes = new Map();
    const payments: { id: string; job: CaptureJob; payment: Payment; key: string }[] = [];
    for (const job of jobs) {
      const payment = readPayment(job);
      if (payment instanceof PermanentError) refused.set(job.id, payment);
      else payments.push({ id: job.id, job, payment, key: ledgerKey(payment) });
    }
    payments.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
    try {
      const captured = await context.transaction(payments, (client: pg.PoolClient, { payment, job }) => capturePayment(client, payment, job, worker));
      return new Map([...refused, ...captured as CaptureOutcomes]);
    } catch (error) {
      // Should the commit have come through all the same, then the jobs are complete, and cannot be put off.
      if (context.signal.aborted || !isAway(error)) throw error;
      throw new SnoozeError(ledgerAwayMs, 'the ledger\'s database cannot be reached, or the connection to it broke');
    }
  };
}

/** No word from the database, or that it is going down; what it refuses (a lost lease, say) is another matter. */
function isAway(error: unknown): boolean {
  return !(error instanceof pg.DatabaseError) || /^(08|57P)/.test(error.code ?? '');
}
