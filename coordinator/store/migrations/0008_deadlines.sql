-- Jobs that must have started by a certain time. A row is gone once that time has come, or the job has been snoozed: whatever
-- started once is not bound any more.
create table skiplease.deadline (
  job_id uuid primary key,
  start_by timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index deadline_start_by on skiplease.deadline (start_by);

create or replace function skiplease.note_deadlines(job_ids uuid[]) returns void language sql volatile as $$
  insert into skiplease.deadline (job_id, start_by)
  select i.id, to_timestamp((j.options ->> 'startByMs')::float8 / 1000)
    from unnest(job_ids) as i (id) cross join lateral (select options from skiplease.job where id = i.id offset 0) j
   where j.options ? 'startByMs'
$$;
