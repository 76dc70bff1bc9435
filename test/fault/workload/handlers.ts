import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { PermanentError, ReleaseError, SnoozeError, type BatchContext, type Job, type JobContext } from '../../../worker/index.ts';
import type { History } from '../history/history.ts';
import type { Random } from '../random.ts';

/** What a job asks of its handler. */
export interface Task {
  /** How long it takes. */
  ms?: number;
  /** So many attempts go wrong, in the way of its type. */
  bad?: number;
  /** A job is to follow, with its success and only with it. */
  child?: boolean;
}

export type Work = (job: Job, context: JobContext) => Promise<unknown>;

/** What it returns, and so the job's result: under which lease it was done. */
const done = ({ token }: { token: string }) => ({ lease: token.split('.')[0] });

/** By type of job. */
export function makeHandlers({ leaseTtlMs }: { leaseTtlMs: number }, history: History, random: Random): Record<string, Work> {
  const isBad = (job: Job): boolean => job.attempt <= (job.json<Task>().bad ?? 0);
  return {
    work: async (job, context) => {
      await delay(job.json<Task>().ms ?? 0, undefined, { signal: context.signal });
      return done(context);
    },
    /** Its signal is nothing to it, so a holder that has lost it works on. */
    stubborn: async (job, context) => {
      await delay(job.json<Task>().ms ?? 0);
      return done(context);
    },
    fail: async (job, context) => {
      if (isBad(job)) throw new Error('failed on purpose');
      return done(context);
    },
    permanent: async () => {
      throw new PermanentError('ON_PURPOSE', 'failed for good, on purpose');
    },
    putOff: async (_job, context) => {
      if (random.chance(0.3)) throw new SnoozeError(random.between(0, 500));
      if (random.chance(0.3)) throw new ReleaseError(random.between(0, 100));
      return done(context);
    },
    crash: async (job, context) => {
      if (isBad(job)) {
        history.write({ event: 'crash', token: context.token, id: job.id });
        process.kill(process.pid, 'SIGKILL');
        await delay(leaseTtlMs);
      }
      return done(context);
    },
    /** The event loop stands still for longer than the leases live. */
    hang: async (job, context) => {
      if (isBad(job)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, leaseTtlMs * 1.7);
      return done(context);
    },
    /** Longer than its timeout, whatever its signal says. */
    overrun: async (job, context) => {
      if (isBad(job)) await delay(job.timeoutMs! * 3);
      return done(context);
    },
    parent: async (job, context) => {
      haveChild(job, context);
      if (isBad(job)) throw new Error('failed on purpose, after a follow-up was named');
      return done(context);
    },
    pay: (job, context) => context.transaction(async (client: pg.PoolClient) => {
      await client.query('insert into fault.ledger (job_id, lease_id) values ($1, $2)', [job.id, done(context).lease]);
      if (job.json<Task>().child) haveChild(job, context);
      await delay(job.json<Task>().ms ?? 0);
      if (isBad(job)) throw new Error('failed on purpose, after an entry in the ledger');
      return done(context);
    }),
  };
}

/** It names the lease that it came into being with. */
function haveChild(job: Job, context: JobContext): void {
  context.followUp({ queue: 'plain', type: 'work', payload: { parent: job.id, ...done(context) } });
}

/** A whole lease in one transaction. */
export async function payMany(jobs: readonly Job[], context: BatchContext): Promise<Map<string, unknown>> {
  return context.transaction(jobs, async (client: pg.PoolClient, job) => {
    await client.query('insert into fault.ledger (job_id, lease_id) values ($1, $2)', [job.id, done(context).lease]);
    if (job.attempt <= (job.json<Task>().bad ?? 0)) throw new Error('failed on purpose, after an entry in the ledger');
    return done(context);
  });
}
