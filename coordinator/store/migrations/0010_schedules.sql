-- Cron lines that submit jobs. A tick locks the row, submits its job and moves next_at on, in one transaction: that is what
-- makes it one job for each tick, whoever looks.
create table skiplease.schedule (
  name text collate "C" primary key,
  cron text not null,
  -- '': UTC.
  time_zone text not null,
  -- A skiplease.v1.JobSpec, as it was put.
  spec bytea not null,
  -- The numbers of skiplease.v1.MissedTicks and Overlap.
  missed_ticks smallint not null check (missed_ticks in (1, 2, 3)),
  overlap smallint not null check (overlap in (1, 2, 3)),
  paused boolean not null,
  -- The next tick; null while paused, and when there is none.
  next_at timestamptz check (next_at is null or not paused),
  -- The last tick that submitted a job, and that job.
  last_at timestamptz,
  last_job_id uuid,
  ticks_skipped bigint not null default 0
) with (fillfactor = 70);
create index schedule_next_at on skiplease.schedule (next_at) where next_at is not null;
