/** How far a run is. */
import type pg from 'pg';
import { jobIdRange } from '../job_id.ts';
import type { Operator } from './operator.ts';

export interface RunCounts {
  /** SUCCEEDED, of this run. */
  done: number;
  /** FAILED for good, of this run. */
  failed: number;
  /** Waiting in the queue. */
  ready: number;
  leased: number;
  /** Waiting for their next attempt. */
  retrying: number;
  /** The three above stop at 50,000. */
  capped: boolean;
}

/** The jobs of a run lie side by side in the key of `outcome`, so this costs little until there are millions. */
const endedQuery = `
  select count(*) filter (where state = 4)::integer as done, count(*) filter (where state <> 4)::integer as failed
  from skiplease.outcome where job_id between $1 and $2`;

export async function countRun(client: pg.ClientBase, operator: Operator, run: string): Promise<RunCounts> {
  const { least, most } = jobIdRange(run);
  // First what waits, then what has ended: a job that moves in between is counted twice rather than missed.
  const { ready, leased, scheduled, capped } = await operator.depth();
  const { rows } = await client.query<{ done: number; failed: number }>(endedQuery, [least, most]);
  return { ...rows[0]!, ready, leased, retrying: scheduled, capped };
}
