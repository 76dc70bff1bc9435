import { SkipleaseError } from '../errors.ts';
import { QUEUES_MAX } from '../limits.ts';
import type { QueueSettings } from '../types.ts';
import { int4Array, textArray } from './binary.ts';
import type { HotConnection, Row, Statement } from './hot_connection.ts';

const COLUMNS = 'id, name, paused, lease_jobs_max, max_attempts, backoff_initial_ms, backoff_factor, backoff_max_ms, backoff_jitter, limited, key_rate_starts is not null, waiting_max';

const CREATE: Statement = {
  name: 'create_queues',
  // An application's transaction, of any length, that creates one of them has this lock (skiplease.make_queue): nobody waits for it.
  text: `insert into skiplease.queue (name)
    select name from unnest($1::text[]) as i (name)
     where (select coalesce(max(id), 0) from skiplease.queue) < ${QUEUES_MAX} and pg_try_advisory_xact_lock_shared(7420003, hashtext(name))
    on conflict (name) do nothing`,
};

const NEWEST: Statement = {
  name: 'newest_queue',
  text: 'select coalesce(max(id), 0) from skiplease.queue',
};

const BY_NAME: Statement = {
  name: 'queues_by_name',
  text: `select ${COLUMNS} from skiplease.queue where name = any($1::text[])`,
};

const BY_ID: Statement = {
  name: 'queues_by_id',
  text: `select ${COLUMNS} from skiplease.queue where id = any($1::int4[])`,
};

/** Settings of these queues, made with the defaults where they are new. */
export async function createQueues(connection: HotConnection, names: string[]): Promise<QueueSettings[]> {
  // Look first: an insert that conflicts burns a number of the identity.
  const found = (await connection.run(BY_NAME, [textArray(names)])).map(settings);
  const known = new Set(found.map(({ name }) => name));
  const missing = names.filter((name) => !known.has(name)).sort();
  if (missing.length === 0) {
    return found;
  }
  await connection.run(CREATE, [textArray(missing)]);
  const queues = (await connection.run(BY_NAME, [textArray(names)])).map(settings);
  const absent = names.find((name) => !queues.some((queue) => queue.name === name));
  if (absent !== undefined) {
    // Numbers are given one after the other, and queues stay.
    const [row] = await connection.run(NEWEST, []);
    if (Number(row![0]) >= QUEUES_MAX) {
      throw new SkipleaseError('RESOURCE_EXHAUSTED', 'TOO_MANY_QUEUES',
        `There are ${QUEUES_MAX} queues, as many as there may be: ${absent} cannot be one more. Queues are for kinds of work; what is many is better a key.`,
        { retryAfterMs: 60_000, metadata: { queue: absent } });
    }
    throw new SkipleaseError('UNAVAILABLE', 'QUEUE_BEING_CREATED',
      `The queue ${absent} is being created by an application's transaction that has not ended. Try again, or create it beforehand (skiplease.create_queue).`,
      { retryAfterMs: 1_000, metadata: { queue: absent } });
  }
  return queues;
}

/** Runs a statement: on a connection, or in a transaction that is under way. */
export type Run = (statement: Statement, values: unknown[]) => Promise<Row[]>;

/** Settings of the queues with these numbers. */
export async function queuesById(run: Run, queueIds: number[]): Promise<QueueSettings[]> {
  return (await run(BY_ID, [int4Array(queueIds)])).map(settings);
}

function settings(row: Row): QueueSettings {
  return {
    id: Number(row[0]),
    name: row[1]!,
    paused: row[2] === 't',
    leaseJobsMax: Number(row[3]),
    retry: {
      maxAttempts: Number(row[4]),
      initialMs: Number(row[5]),
      factor: Number(row[6]),
      maxMs: Number(row[7]),
      jitter: Number(row[8]),
    },
    limited: row[9] === 't',
    keyRate: row[10] === 't',
    waitingMax: row[11] === null ? null : Number(row[11]),
  };
}
