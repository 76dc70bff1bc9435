import type pg from 'pg';
import { POSITIONS_OF_A_DRAW } from '../../../coordinator/limits.ts';
import { benchPayload } from '../measure/payload.ts';
import type { FloodOrder } from '../roles/methods.ts';
import { QUEUE, TYPE } from './preset.ts';

/**
 * Puts jobs straight into our tables, as a submit would have left them there: ten million of them through a submitter
 * would take longer than all that is measured. As many positions at once as one draw of the coordinator yields.
 *
 * The ids are made as UUIDv7 by hand, because PostgreSQL has a function for it only from version 18 on.
 */
const JOBS = `
  SELECT (lpad(to_hex(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
            || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid AS id,
         block * ${POSITIONS_OF_A_DRAW} + row_number() OVER () AS "position",
         convert_to($5::text || number || $6::text || repeat('x', greatest(0, $7::int - length($5 || number || $6 || $8))) || $8::text, 'UTF8') AS payload
    FROM generate_series($1::int, $1::int + $2::int - 1) AS number,
         (SELECT nextval('skiplease.position') AS block) AS drawn`;

const READY = `
  WITH jobs AS MATERIALIZED (${JOBS}), queue AS (SELECT id FROM skiplease.queue WHERE name = $3),
  inserted AS (
    INSERT INTO skiplease.job (id, "position", queue_id, priority, type, payload)
    SELECT jobs.id, "position", queue.id, 0, $4, payload FROM jobs, queue
    RETURNING id, "position", queue_id, payload, headers
  )
  INSERT INTO skiplease.ready ("position", job_id, since, queue_id, bytes, priority, attempt, again)
  SELECT "position", id, clock_timestamp(), queue_id, skiplease.job_bytes(payload, headers), 0, 1, false FROM inserted`;

const SCHEDULED = `
  WITH jobs AS MATERIALIZED (${JOBS}), queue AS (SELECT id FROM skiplease.queue WHERE name = $3),
  inserted AS (
    INSERT INTO skiplease.job (id, queue_id, priority, type, payload, run_at)
    SELECT jobs.id, queue.id, 0, $4, payload, clock_timestamp() + interval '1 day' + random() * interval '1 day' FROM jobs, queue
    RETURNING id, queue_id, payload, headers, run_at
  )
  INSERT INTO skiplease.scheduled (job_id, run_at, queue_id, bytes, priority, attempt)
  SELECT id, run_at, queue_id, skiplease.job_bytes(payload, headers), 0, 1 FROM inserted`;

/** Jobs that are ready, in the order of their numbers. The queue must be there: some job has been submitted. */
export function fillReady(client: pg.Client, order: FloodOrder): Promise<void> {
  return fill(client, READY, order);
}

/** Jobs whose time comes in one to two days. */
export function fillScheduled(client: pg.Client, order: FloodOrder): Promise<void> {
  return fill(client, SCHEDULED, order);
}

async function fill(client: pg.Client, statement: string, { first, count, payloadBytes }: FloodOrder): Promise<void> {
  const marker = 111;
  const [before, rest] = JSON.stringify(benchPayload(marker, 0)).split(String(marker)) as [string, string];
  const quote = rest.lastIndexOf('"');
  for (let done = 0; done < count; done += POSITIONS_OF_A_DRAW) {
    const some = Math.min(POSITIONS_OF_A_DRAW, count - done);
    await client.query(statement, [first + done, some, QUEUE, TYPE, before, rest.slice(0, quote), payloadBytes, rest.slice(quote)]);
  }
}
