-- Special jobs: those whose place in line, or whose end, concerns other jobs (batches, dependencies, serial keys, limits).
-- They come in by skiplease.enter() and leave by skiplease.after_end(), whoever submits or ends them: a coordinator, a cancel,
-- or an application's own transaction. Each capability has its part of the two, in a migration of its own. A plain job
-- never meets any of it: a flag in ready, scheduled and lease says which jobs do.

-- What waits for something other than its time or a worker.
create table skiplease.blocked (
  job_id uuid primary key,
  queue_id integer not null,
  bytes integer not null,
  priority smallint not null,
  attempt smallint not null,
  -- Numbers of skiplease.v1.BlockedReason.
  reason smallint not null,
  since timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index blocked_queue on skiplease.blocked (queue_id);

create function skiplease.is_special(options jsonb) returns boolean language sql immutable as
$$ select coalesce(options ?| array['batchId', 'serialKey', 'limitKey'], false) $$;

-- Jobs whose time has come, to where they wait for a worker: parallel arrays, one element a job. Returns where they are now;
-- what has to wait for a gate is not returned.
create function skiplease.place(job_ids uuid[], queue_ids integer[], bytes integer[], priorities smallint[], attempts smallint[])
returns table (queue_id integer, priority smallint, "position" bigint) language sql volatile as $$
  insert into skiplease.ready ("position", job_id, since, queue_id, bytes, priority, attempt, again, special)
  select (select nextval('skiplease.position')) * 16384 + i.ordinal, i.job_id, c.now, i.queue_id, i.bytes, i.priority, i.attempt, true,
         skiplease.is_special(j.options)
    from unnest(job_ids, queue_ids, bytes, priorities, attempts) with ordinality
           as i (job_id, queue_id, bytes, priority, attempt, ordinal)
   cross join (select skiplease.now() as now) c
   cross join lateral (select options from skiplease.job where id = i.job_id offset 0) j
  returning ready.queue_id, ready.priority, ready."position"
$$;

-- The parts that capabilities put in place of these. New jobs are counted in their batches; returned are those of the jobs that
-- now wait for others; deadlines of new jobs are noted; ended ones are counted, true: a job was put into scheduled for it; ended ones leave their gates, and
-- returned is who took their place in ready.
create function skiplease.count_entered(job_ids uuid[]) returns void language sql volatile as $$ select $$;
create function skiplease.block_dependents(job_ids uuid[]) returns setof uuid language sql volatile as $$ select null::uuid where false $$;
create function skiplease.note_deadlines(job_ids uuid[]) returns void language sql volatile as $$ select $$;
create function skiplease.count_ended(job_ids uuid[]) returns boolean language sql volatile as $$ select false $$;
create function skiplease.leave_gates(job_ids uuid[]) returns table (queue_id integer, priority smallint, "position" bigint)
language sql volatile as $$ select null::integer, null::smallint, null::bigint where false $$;

-- Jobs that wait for nobody (any more): to scheduled until their time, else to their place. `later`: the due ones go to
-- scheduled too, since only the short transactions of a coordinator may write to ready.
create function skiplease.set_off(job_ids uuid[], later boolean)
returns table (queue_id integer, priority smallint, "position" bigint) language plpgsql volatile as $$
declare
  moment timestamptz := skiplease.now();
begin
  insert into skiplease.scheduled (job_id, run_at, queue_id, bytes, priority, attempt, special)
  select j.id, coalesce(j.run_at, moment), j.queue_id, skiplease.job_bytes(j.payload, j.headers), j.priority, 1, skiplease.is_special(j.options)
    from unnest(job_ids) as i (id) cross join lateral (select * from skiplease.job where id = i.id offset 0) j
   where later or j.run_at > moment;
  return query
    select p.* from (
      select array_agg(j.id order by i.ordinal) as ids, array_agg(j.queue_id order by i.ordinal) as queue_ids,
             array_agg(skiplease.job_bytes(j.payload, j.headers) order by i.ordinal) as bytes,
             array_agg(j.priority order by i.ordinal) as priorities, array_agg(1::smallint) as attempts
        from unnest(job_ids) with ordinality as i (id, ordinal)
       cross join lateral (select * from skiplease.job where id = i.id offset 0) j
       where not later and (j.run_at is null or j.run_at <= moment)
    ) due
    cross join lateral skiplease.place(due.ids, due.queue_ids, due.bytes, due.priorities, due.attempts) p
    where due.ids is not null;
end $$;

-- Jobs that were inserted just now, in the same transaction and in this order, come into being.
create function skiplease.enter(job_ids uuid[], later boolean)
returns table (queue_id integer, priority smallint, "position" bigint) language plpgsql volatile as $$
declare
  waiting uuid[];
begin
  perform skiplease.count_entered(job_ids);
  perform skiplease.note_deadlines(job_ids);
  waiting := array(select skiplease.block_dependents(job_ids));
  return query select s.* from skiplease.set_off(
    array(select i.id from unnest(job_ids) with ordinality as i (id, ordinal) where i.id not in (select unnest(waiting)) order by i.ordinal), later) s;
end $$;

-- Special jobs whose outcome was inserted just now, in the same transaction, leave. A row without a position: something was put
-- into scheduled, due now.
create function skiplease.after_end(job_ids uuid[])
returns table (queue_id integer, priority smallint, "position" bigint) language plpgsql volatile as $$
begin
  if skiplease.count_ended(job_ids) then
    return query select null::integer, null::smallint, null::bigint;
  end if;
  return query select g.* from skiplease.leave_gates(job_ids) g;
end $$;
