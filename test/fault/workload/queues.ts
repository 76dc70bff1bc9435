import type { QueueSettings } from '../../../worker/index.ts';

/** Attempts are quick to come again and many: most jobs shall succeed in the end, whatever happened to their workers. */
const RETRIES = { maxAttempts: 12, initialBackoffMs: 200, factor: 1.5, maxBackoffMs: 2_000 };

/** The queues of the workload, and how each is set. The checker holds their limits against what ran. */
export const QUEUES = {
  plain: { leaseJobsMax: 20, retryPolicy: RETRIES },
  /** Handlers that crash, hang, fail, snooze. */
  trouble: { leaseJobsMax: 5, retryPolicy: RETRIES },
  /** Effects in the worker's own transaction. */
  ledger: { leaseJobsMax: 10, retryPolicy: RETRIES },
  /** Jobs with serial keys; one that backs off keeps its key. */
  serial: { leaseJobsMax: 10, retryPolicy: RETRIES },
  /** A limit of the queue's own. */
  limited: { leaseJobsMax: 10, retryPolicy: RETRIES, limit: { runningMax: 6, rate: { starts: 25, periodMs: 1_000, burst: 10 } } },
  /** A limit that the jobs of a key share. */
  keyed: { leaseJobsMax: 10, retryPolicy: RETRIES, keyLimit: { runningMax: 2, rate: { starts: 10, periodMs: 1_000, burst: 5 } } },
  /** Jobs that wait for others, for their time, and in batches. */
  waiting: { leaseJobsMax: 10, retryPolicy: RETRIES },
} as const satisfies Record<string, QueueSettings>;

export type QueueName = keyof typeof QUEUES;

export const QUEUE_NAMES = Object.keys(QUEUES) as QueueName[];
