-- Batches: jobs that are counted together. Each transaction that creates or ends some of them inserts one row of changes for
-- each batch (batch_delta), so that no two reports ever meet on a row; fold_batches() adds those up. What a batch counts is its
-- own row plus its deltas, read in one snapshot, and therefore exact at any moment.

create table skiplease.batch (
  id uuid primary key,
  label text not null,
  created_at timestamptz not null,
  -- From then on nobody may add to it. Whoever adds holds the row FOR KEY SHARE, which setting this does not wait for: whoever
  -- must know that all of them are through locks the row FOR UPDATE.
  closed_at timestamptz,
  -- Closed, and all of its jobs are final.
  finished_at timestamptz,
  -- As far as deltas were folded into them.
  total bigint not null default 0,
  succeeded bigint not null default 0,
  failed bigint not null default 0,
  cancelled bigint not null default 0
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index batch_unfinished on skiplease.batch (id) where finished_at is null;
create index batch_finished on skiplease.batch (finished_at) where finished_at is not null;

-- The job that is submitted when its batch is finished. Written once. run_at, or how long after that moment.
create table skiplease.batch_follow_up (
  batch_id uuid primary key references skiplease.batch on delete cascade,
  job_id uuid not null,
  queue_id integer not null,
  max_attempts smallint,
  priority smallint not null,
  timeout_ms bigint,
  run_at timestamptz,
  delay_ms bigint,
  start_within_ms bigint,
  type text not null,
  content_type text,
  headers jsonb,
  options jsonb,
  payload bytea not null
);
alter table skiplease.batch_follow_up alter column payload set storage external;

-- Inserted, and deleted when folded.
create table skiplease.batch_delta (
  batch_id uuid not null,
  entered integer not null,
  succeeded integer not null,
  failed integer not null,
  cancelled integer not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = -1,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
create index batch_delta_batch on skiplease.batch_delta (batch_id);

-- The jobs of a batch. No table of its own: this is written with the job, by those of batches alone, and goes with its partition. (To a
-- plain job it is a look at the predicate: 0.1 µs of the 8 that its insert takes. A job of a batch writes 150 bytes more of WAL.)
create index job_batch on skiplease.job (((options->>'batchId')::uuid), id) where options ? 'batchId';

-- A special job of which nothing but its batch's count depends on its end.
create function skiplease.is_only_counted(options jsonb) returns boolean language sql immutable as
$$ select options ? 'batchId' and not options ?| array['serialKey', 'limitKey'] $$;

create or replace function skiplease.count_entered(job_ids uuid[]) returns void language plpgsql volatile as $$
declare
  refused uuid;
begin
  with mine as materialized (
    select (j.options->>'batchId')::uuid as batch_id, count(*) as jobs
      from unnest(job_ids) as i (id)
     cross join lateral (select options from skiplease.job where id = i.id offset 0) j
     where j.options ? 'batchId'
     group by 1
  ),
  open as materialized (
    select b.id from skiplease.batch b
     where b.id = any(array(select batch_id from mine)) and b.closed_at is null order by b.id for key share
  ),
  counted as (
    insert into skiplease.batch_delta (batch_id, entered, succeeded, failed, cancelled)
    select batch_id, jobs, 0, 0, 0 from mine where batch_id in (select id from open)
  )
  select batch_id into refused from mine where batch_id not in (select id from open) limit 1;
  if refused is not null then
    perform skiplease.refuse_batch(refused);
  end if;
end $$;

-- Ends the statement that would add to a batch that does not take jobs.
create function skiplease.refuse_batch(batch_id uuid) returns void language plpgsql volatile as $$
begin
  if exists (select from skiplease.batch b where b.id = batch_id) then
    raise exception using errcode = 'SK010', detail = 'BATCH_CLOSED',
      message = format('Batch %s is closed and takes no more jobs: nothing of this submit was created. Create another batch.', batch_id);
  end if;
  raise exception using errcode = 'SK012', detail = 'BATCH_NOT_FOUND',
    message = format('There is no batch %s: nothing of this submit was created. Create the batch first.', batch_id);
end $$;

create or replace function skiplease.count_ended(job_ids uuid[]) returns boolean language sql volatile as $$
  insert into skiplease.batch_delta (batch_id, entered, succeeded, failed, cancelled)
  select (j.options->>'batchId')::uuid, 0, count(*) filter (where o.state = 4), count(*) filter (where o.state = 5),
         count(*) filter (where o.state = 6)
    from unnest(job_ids) as i (id)
   cross join lateral (select options from skiplease.job where id = i.id offset 0) j
   cross join lateral (select state from skiplease.outcome where job_id = i.id offset 0) o
   where j.options ? 'batchId'
   group by 1;
  select false;
$$;

-- Folds the deltas of up to `batches_max` batches, of each up to `deltas_max`, and finishes those that are closed and all of
-- whose jobs are final; their follow-ups go in with that. It begins behind the batch `after`; no row: nothing is there to fold.
-- Closing leaves a delta, so whatever may finish a batch comes by here, and stays until it was seen: a crash loses nothing.
--
-- The batch's lock lets one at a time do it. FOR UPDATE (closed ones) finds nobody who still adds to it, so that the next
-- statement sees the whole of it. Where somebody has the lock the deltas stay for the next time.
create function skiplease.fold_batches(after uuid, batches_max integer, deltas_max integer)
returns table (last_id uuid, more boolean, follow_ups boolean) language plpgsql volatile as $$
declare
  found_ids uuid[];
  open_ids uuid[];
  closed_ids uuid[];
  finished_ids uuid[];
  follow_up_ids uuid[];
begin
  with recursive next (id) as (
    select (select batch_id from skiplease.batch_delta where batch_id > after order by batch_id limit 1)
    union all
    select (select batch_id from skiplease.batch_delta where batch_id > next.id order by batch_id limit 1) from next where next.id is not null
  )
  select array_agg(id order by id) into found_ids from (select id from next where id is not null limit batches_max) n;
  if found_ids is null then
    return;
  end if;
  last_id := found_ids[cardinality(found_ids)];
  open_ids := array(select id from skiplease.batch where id = any(found_ids) and closed_at is null order by id for no key update skip locked);
  closed_ids := array(select id from skiplease.batch where id = any(found_ids) and closed_at is not null order by id for update skip locked);
  with picked as materialized (
    select d.tid from unnest(open_ids || closed_ids) as i (id)
     cross join lateral (select ctid as tid from skiplease.batch_delta where batch_id = i.id limit deltas_max) d
  ),
  gone as (
    delete from skiplease.batch_delta where ctid = any(array(select tid from picked)) returning *
  ),
  sums as materialized (
    select batch_id, count(*) as deltas, sum(entered) as entered, sum(succeeded) as succeeded, sum(failed) as failed, sum(cancelled) as cancelled
      from gone group by batch_id
  ),
  folded as (
    update skiplease.batch b
       set total = b.total + s.entered, succeeded = b.succeeded + s.succeeded, failed = b.failed + s.failed,
           cancelled = b.cancelled + s.cancelled,
           finished_at = case when b.id = any(closed_ids) and s.deltas < deltas_max
             and b.total + s.entered = b.succeeded + s.succeeded + b.failed + s.failed + b.cancelled + s.cancelled then skiplease.now() end
      from sums s where b.id = s.batch_id
    returning b.id, b.finished_at, s.deltas
  )
  select coalesce(bool_or(deltas = deltas_max), false), array_agg(id) filter (where finished_at is not null) into more, finished_ids from folded;
  with inserted as (
    insert into skiplease.job (id, queue_id, max_attempts, priority, timeout_ms, run_at, type, content_type, headers, options, payload)
    select f.job_id, f.queue_id, f.max_attempts, f.priority, f.timeout_ms,
           coalesce(f.run_at, b.finished_at + f.delay_ms * interval '1 millisecond'), f.type, f.content_type,
           coalesce(f.headers, '{}') || jsonb_build_object('skiplease-batch-id', b.id::text, 'skiplease-batch-total', b.total::text,
             'skiplease-batch-succeeded', b.succeeded::text, 'skiplease-batch-failed', b.failed::text,
             'skiplease-batch-cancelled', b.cancelled::text),
           case when f.start_within_ms is null then f.options
                else f.options || jsonb_build_object('startByMs', floor(extract(epoch from b.finished_at) * 1000)::int8 + f.start_within_ms) end,
           f.payload
      from skiplease.batch_follow_up f join skiplease.batch b on b.id = f.batch_id
     where f.batch_id = any(finished_ids) order by f.job_id
    on conflict (id) do nothing
    returning id
  )
  select array_agg(id) into follow_up_ids from inserted;
  follow_ups := follow_up_ids is not null;
  if follow_ups then
    perform skiplease.enter(follow_up_ids, true);
  end if;
  return next;
end $$;
