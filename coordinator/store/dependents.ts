import { uuidArray } from './binary.ts';
import type { HotConnection, Statement } from './hot_connection.ts';
import type { AfterEnd } from './settle_carefully.ts';

/** What became of those who waited. */
export interface Resolved {
  /** As many as were asked for were dealt with: there may be more. */
  more: boolean;
  /** Cancelled with the job that they waited for, each with its queue's number; others may wait for them in turn. */
  cancelled: { jobId: string; queueId: number }[];
  wake: AfterEnd;
}

const RESOLVE: Statement = {
  name: 'resolve_dependents',
  text: `select more, array_to_string(cancelled_ids, ','), array_to_string(cancelled_queue_ids, ','),
                array_to_string(queue_ids, ','), array_to_string(priorities, ','), array_to_string(positions, ','), scheduled
           from skiplease.resolve_dependents($1::uuid[], $2::int4)`,
};

/** Sees to those who wait for these jobs, as far as these are final: about `jobsMax` of them, in one commit. */
export async function resolveDependents(connection: HotConnection, onJobIds: string[], jobsMax: number): Promise<Resolved> {
  const [row] = await connection.run(RESOLVE, [uuidArray(onJobIds), jobsMax]);
  const [more, cancelledIds, cancelledQueueIds, queueIds, priorities, positions, scheduled] = row!;
  const cancelledQueues = list(cancelledQueueIds);
  const levelPriorities = list(priorities);
  const levelPositions = list(positions);
  return {
    more: more === 't',
    cancelled: list(cancelledIds).map((jobId, index) => ({ jobId, queueId: Number(cancelledQueues[index]) })),
    wake: {
      levels: list(queueIds).map((queueId, index) => ({
        queueId: Number(queueId), priority: Number(levelPriorities[index]), positionMin: BigInt(levelPositions[index]!),
      })),
      scheduled: scheduled === 't',
    },
  };
}

function list(joined: string | null | undefined): string[] {
  return joined ? joined.split(',') : [];
}

/** What one step of the sweep saw. */
export interface Swept {
  /** Final jobs that somebody still waits for. */
  finalIds: string[];
  /** The lowest and highest id that somebody waits for, among those seen; undefined: nobody waits there. */
  awaited: { min: string; max: string } | undefined;
  /** Blocks that the table has now. */
  blocks: number;
}

/**
 * Reads the table block by block: what one step costs is bounded also where vacuum cannot take dead rows away. (By the index
 * it would walk over all of them to find the next live one.)
 */
const SWEEP: Statement = {
  name: 'sweep_dependencies',
  text: `
  with seen as materialized (
    select distinct on_job_id as id from skiplease.dependency where ctid >= $1::tid and ctid < $2::tid
  ),
  final as (
    select s.id from seen s left join lateral (select job_id from skiplease.outcome where job_id = s.id offset 0) o on true
     where o.job_id is not null or (select id from skiplease.job where id = s.id) is null
  )
  select (select array_to_string(array_agg(id), ',') from final),
         (select id from seen order by id limit 1), (select id from seen order by id desc limit 1),
         pg_relation_size('skiplease.dependency') / current_setting('block_size')::int8`,
};

/** Looks at so many blocks from this one on for final jobs that somebody still waits for. */
export async function sweepDependencies(connection: HotConnection, fromBlock: number, blocks: number): Promise<Swept> {
  const [row] = await connection.run(SWEEP, [`(${fromBlock},0)`, `(${fromBlock + blocks},0)`]);
  const [finalIds, min, max, size] = row!;
  return { finalIds: list(finalIds), awaited: min ? { min, max: max! } : undefined, blocks: Number(size) };
}
