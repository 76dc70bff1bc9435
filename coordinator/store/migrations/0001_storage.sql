-- Four facts about a job, a table each, so that no hot table carries what another needs: job (what was asked),
-- ready (what waits now), lease (who holds what), outcome (how it ended). State is read from where the job is.

-- Time. Only tests ever set the offset.
create table skiplease.clock (
  only_row boolean primary key default true check (only_row),
  "offset" interval not null default '0'
);
insert into skiplease.clock default values;

create function skiplease.now() returns timestamptz language sql volatile as
$$ select clock_timestamp() + c."offset" from skiplease.clock c $$;

-- The smallest UUIDv7 of a moment: where partitions begin and end, and what a time filter compares ids with.
create function skiplease.uuid_floor(moment timestamptz) returns uuid language sql immutable as
$$ select (lpad(to_hex(greatest(floor(extract(epoch from moment) * 1000), 0)::bigint), 12, '0') || '00000000000000000000')::uuid $$;

create function skiplease.uuid_time(id uuid) returns timestamptz language sql immutable as
$$ select to_timestamp(('x' || translate(substr(id::text, 1, 13), '-', ''))::bit(48)::bigint / 1000.0) $$;

create table skiplease.queue (
  id integer generated always as identity primary key,
  name text not null unique,
  paused boolean not null default false,
  lease_jobs_max integer not null default 500 check (lease_jobs_max between 1 and 1000),
  max_attempts integer not null default 3 check (max_attempts between 1 and 1000),
  backoff_initial_ms double precision not null default 1000,
  backoff_factor double precision not null default 2,
  backoff_max_ms double precision not null default 3600000,
  backoff_jitter double precision not null default 0.1
);

-- Positions in ready only ever come from here, never from a client's clock. One draw is a block of 16,384 of them, for all
-- rows of a statement: drawn one by one they were a tenth of a submit.
create sequence skiplease.position;
create sequence skiplease.lease_id;

-- What was asked. Written once, never updated. Partitioned by id, which is time.
create table skiplease.job (
  id uuid primary key,
  -- Its first position in ready, by which it is found there; null when it began in scheduled.
  "position" bigint,
  queue_id integer not null,
  -- null: the queue's policy decides.
  max_attempts smallint,
  priority smallint not null,
  timeout_ms bigint,
  run_at timestamptz,
  origin_id uuid,
  type text not null,
  -- null: application/octet-stream.
  content_type text,
  headers jsonb,
  -- What few jobs ask for (JobOptions of types.ts), as JSON with the same names; null: nothing of it.
  options jsonb,
  payload bytea not null
) partition by range (id);
-- Clients compress if they wish; pglz on the submit path costs more than it saves.
alter table skiplease.job alter column payload set storage external;

-- What a job weighs in a worker's window: bytes. 384 is more than id, type, content type and framing ever take.
create function skiplease.job_bytes(payload bytea, headers jsonb) returns integer language sql immutable as
$$ select 384 + octet_length(payload) + coalesce(octet_length(headers::text), 0) $$;

-- Ends the statement that calls it, with a SQLSTATE of ours.
create function skiplease.refuse(reason text) returns void language plpgsql as
$$ begin raise exception using errcode = 'SK001', message = reason; end $$;

-- What waits now, in claim order. Inserted and deleted, nothing else.
create table skiplease.ready (
  "position" bigint not null,
  job_id uuid not null,
  since timestamptz not null,
  queue_id integer not null,
  bytes integer not null,
  priority smallint not null,
  attempt smallint not null,
  -- It has been here before: it may have a checkpoint, and job.position does not tell where it is.
  again boolean not null,
  -- Its end concerns others: 0002_special.sql.
  special boolean not null default false,
  primary key (queue_id, priority, "position")
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_insert_threshold = -1,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000000,
        vacuum_truncate = off);
create index ready_again on skiplease.ready (job_id) where again;

-- What waits for its time: run_at ahead, or backing off.
create table skiplease.scheduled (
  job_id uuid primary key,
  run_at timestamptz not null,
  queue_id integer not null,
  bytes integer not null,
  priority smallint not null,
  attempt smallint not null,
  special boolean not null default false
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index scheduled_run_at on skiplease.scheduled (run_at);

create table skiplease.coordinator (
  id uuid primary key,
  started_at timestamptz not null,
  expires_at timestamptz not null,
  address text not null
) with (fillfactor = 50);

create table skiplease.session (
  id uuid primary key,
  coordinator_id uuid not null,
  worker_id text not null,
  instance_id text not null,
  queues text[] not null,
  window_jobs integer not null,
  sdk text not null,
  sdk_version text not null,
  connected_at timestamptz not null
);
create index session_instance on skiplease.session (instance_id);

-- Who holds what: a row a lease. The arrays never change; settled has a bit for each job, set once.
create table skiplease.lease (
  id bigint primary key,
  secret bigint not null,
  queue_id integer not null,
  coordinator_id uuid not null,
  session_id uuid not null,
  granted_at timestamptz not null,
  job_ids uuid[] not null,
  attempts smallint[] not null,
  priorities smallint[] not null,
  settled bit varying not null,
  -- One of its jobs is special.
  special boolean not null default false,
  check (cardinality(job_ids) = cardinality(attempts) and cardinality(job_ids) = cardinality(priorities)
    and cardinality(job_ids) = length(settled) and cardinality(job_ids) > 0)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
alter table skiplease.lease alter column job_ids set storage external;
create index lease_session on skiplease.lease (session_id);

-- How it ended. Written once.
create table skiplease.outcome (
  job_id uuid primary key,
  -- The lease that ended it; null when nobody held it (cancelled while it waited).
  lease_id bigint,
  finished_at timestamptz not null,
  -- 4 succeeded, 5 failed, 6 cancelled: the numbers of skiplease.v1.JobState.
  state smallint not null check (state in (4, 5, 6)),
  attempt smallint not null,
  result_type text,
  result bytea,
  -- Why it was cancelled: in a word, and for people. (One column: a ninth would make the header of every row longer.)
  reason text[]
) partition by range (job_id);
alter table skiplease.outcome alter column result set storage external;
-- The dead letters are listed without a look at the successes.
create index outcome_not_succeeded on skiplease.outcome (state, job_id) where state <> 4;

-- Tries that failed (1) or expired (2): the numbers of skiplease.v1.AttemptState.
create table skiplease.attempt (
  job_id uuid not null,
  number smallint not null,
  lease_id bigint not null,
  state smallint not null check (state in (1, 2)),
  started_at timestamptz not null,
  ended_at timestamptz not null,
  worker_id text not null,
  error_code text not null,
  error_message text not null,
  error_details text not null,
  primary key (job_id, number)
) partition by range (job_id);

-- What a worker last said of a job it holds.
create table skiplease.progress (
  job_id uuid primary key,
  lease_id bigint not null,
  percent double precision not null,
  note text not null,
  checkpoint bytea,
  checkpoint_type text,
  updated_at timestamptz not null
) with (fillfactor = 70);

-- Which new job a retried one became: at most one.
create table skiplease.retried (
  origin_id uuid primary key,
  job_id uuid not null
);
