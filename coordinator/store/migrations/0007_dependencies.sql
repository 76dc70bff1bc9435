-- Dependencies: a job that waits for others stands in blocked (reason 1), with a row here for each job that it still waits for. Whoever
-- ended jobs asks for those who wait for them after its commit, and so does whoever submitted a job that waits: READ COMMITTED lets
-- either miss the other's row, but not both. What a crash leaves unasked a sweep finds (../dependents.ts).

-- Inserted with the job that waits, deleted once the one that it waits for is final; also the rows of a job that was cancelled meanwhile.
create table skiplease.dependency (
  on_job_id uuid not null,
  job_id uuid not null,
  -- Its policy when the other one does not succeed; else it is cancelled.
  run_anyway boolean not null,
  primary key (on_job_id, job_id)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index dependency_job on skiplease.dependency (job_id);

-- New jobs that wait for others. Those exist, or stand in the same request; what was final with the wanted end is not waited for. One
-- that ended otherwise is: whoever asks for its dependents after the commit cancels them, in the one place that does.
create or replace function skiplease.block_dependents(job_ids uuid[]) returns setof uuid language plpgsql volatile as $$
declare
  waiting uuid[];
  unknown_id uuid;
  naming_id uuid;
begin
  with named as materialized (
    select j.*, a.id::uuid as on_job_id, x.id is null as unknown, o.state
      from unnest(job_ids) as i (id)
     cross join lateral (select id, queue_id, priority, options, coalesce(options->>'afterPolicy' = 'run_anyway', false) as run_anyway,
                                skiplease.job_bytes(payload, headers) as bytes
                           from skiplease.job where id = i.id offset 0) j
     cross join lateral jsonb_array_elements_text(j.options->'after') as a (id)
      left join lateral (select id from skiplease.job where id = a.id::uuid offset 0) x on true
      left join lateral (select state from skiplease.outcome where job_id = a.id::uuid offset 0) o on true
     where j.options ? 'after'
  ),
  awaited as materialized (
    select * from named where not unknown and (state is null or (state <> 4 and not run_anyway))
  ),
  noted as (
    insert into skiplease.dependency (on_job_id, job_id, run_anyway) select on_job_id, id, run_anyway from awaited
  ),
  held as (
    insert into skiplease.blocked (job_id, queue_id, bytes, priority, attempt, reason, since)
    select distinct on (id) id, queue_id, bytes, priority, 1, 1, c.now from awaited, (select skiplease.now() as now) c order by id
    returning job_id
  )
  select (select array_agg(job_id) from held), u.id, u.on_job_id into waiting, naming_id, unknown_id
    from (select 1) one left join (select id, on_job_id from named where unknown limit 1) u on true;
  if unknown_id is not null then
    raise exception using errcode = 'SK010', detail = 'AFTER_JOB_NOT_FOUND', message = format(
      'after_job_ids of job %s has %s, which does not exist: nothing of this submit was created. Submit that one before, or in the same request.',
      naming_id, unknown_id);
  end if;
  return query select unnest(waiting);
end $$;

-- Sees to those who wait for these jobs, as far as these are final: whoever waits for nobody any more is set off, whoever was to be
-- cancelled is, with all that wait for it in turn. About so many jobs in one call; `more`: ask again. (The dependents of a cancelled
-- one may be beyond that number: ask for them.)
--
-- Two that end the last two of a job's dependencies at once must not each see the other's: they lock its row in blocked, and look then.
create function skiplease.resolve_dependents(
  asked_ids uuid[], jobs_max integer,
  out more boolean, out cancelled_ids uuid[], out cancelled_queue_ids integer[],
  out queue_ids integer[], out priorities smallint[], out positions bigint[], out scheduled boolean
) language plpgsql volatile as $$
declare
  picked_ids uuid[];
  picked_on_ids uuid[];
  doomed_ids uuid[];
  causes uuid[];
  cause_states smallint[];
  special_ids uuid[];
  free_ids uuid[];
begin
  asked_ids := array(
    select i.id from unnest(asked_ids) as i (id) cross join lateral (select from skiplease.dependency where on_job_id = i.id limit 1) d);
  if asked_ids = '{}' then
    return;
  end if;
  -- From here on no partition is detached: a job that the next look does not find is no longer kept, so it was final.
  lock table only skiplease.job in access share mode;
  with recursive final as materialized (
    select i.id, o.state from unnest(asked_ids) as i (id)
      left join lateral (select state from skiplease.outcome where job_id = i.id offset 0) o on true
     where o.state is not null or (select id from skiplease.job where id = i.id) is null
  ),
  picked as materialized (
    select d.*, f.state from final f cross join lateral (select * from skiplease.dependency where on_job_id = f.id offset 0) d limit jobs_max
  ),
  -- Each with the job on whose account, and how that one ended.
  base as materialized (
    select job_id, on_job_id, state from picked where state is distinct from 4 and not run_anyway
  ),
  doomed (job_id, on_job_id, state) as (
    select * from base
    union
    select d.job_id, d.on_job_id, 6::smallint
      from doomed x cross join lateral (select * from skiplease.dependency where on_job_id = x.job_id offset 0) d
     where not d.run_anyway
  ),
  cancel as (
    select distinct on (job_id) *
      from (select * from base union all (select * from doomed limit jobs_max)) d order by job_id, on_job_id
  )
  select (select array_agg(job_id) from picked), (select array_agg(on_job_id) from picked),
         (select array_agg(job_id) from cancel), (select array_agg(on_job_id) from cancel), (select array_agg(state) from cancel)
    into picked_ids, picked_on_ids, doomed_ids, causes, cause_states;
  if picked_ids is null then
    return;
  end if;
  more := cardinality(picked_ids) = jobs_max;
  perform from skiplease.blocked where job_id = any(picked_ids || doomed_ids) and reason = 1 order by job_id for update;

  if doomed_ids is not null then
    with ended as (
      insert into skiplease.outcome (job_id, finished_at, state, attempt, reason)
      select i.job_id, c.now, 6, 0, array['AFTER_JOB_FAILED', format('The job %s, which it waited for, %s.', i.cause,
               case i.state when 5 then 'FAILED' when 6 then 'was CANCELLED' else 'is no longer kept' end)]
        from (select skiplease.now() as now) c cross join unnest(doomed_ids, causes, cause_states) as i (job_id, cause, state)
       cross join lateral (select from skiplease.blocked where job_id = i.job_id and reason = 1 offset 0) b
       order by i.job_id
      on conflict (job_id) do nothing
      returning job_id
    )
    select array_agg(e.job_id), array_agg(j.queue_id), array_agg(e.job_id) filter (where skiplease.is_special(j.options))
      into cancelled_ids, cancelled_queue_ids, special_ids
      from ended e cross join lateral (select queue_id, options from skiplease.job where id = e.job_id offset 0) j;
    delete from skiplease.blocked where job_id = any(cancelled_ids);
    delete from skiplease.dependency where job_id = any(cancelled_ids);
  end if;

  delete from skiplease.dependency d using unnest(picked_on_ids, picked_ids) as i (on_job_id, job_id)
   where d.on_job_id = i.on_job_id and d.job_id = i.job_id;
  with freed as (
    delete from skiplease.blocked b
     where b.job_id = any(picked_ids) and b.reason = 1 and not exists (select from skiplease.dependency d where d.job_id = b.job_id)
    returning b.job_id
  )
  select coalesce(array_agg(job_id order by job_id), '{}') into free_ids from freed;

  with gone as materialized (
    select s.queue_id, s.priority, s."position" from skiplease.set_off(free_ids, false) s
  ),
  followed as materialized (
    select e.queue_id, e.priority, e."position" from skiplease.after_end(special_ids) e where special_ids is not null
  ),
  level as (
    select queue_id, priority, min("position") as first from (select * from gone union all select * from followed) p
     where "position" is not null group by queue_id, priority
  )
  select (select array_agg(queue_id) from level), (select array_agg(priority) from level), (select array_agg(first) from level),
         (select count(*) from gone) < cardinality(free_ids) or exists (select from followed where "position" is null)
    into queue_ids, priorities, positions, scheduled;
end $$;
