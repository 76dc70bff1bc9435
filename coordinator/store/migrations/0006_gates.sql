-- Gates: what holds back jobs of one serial key, of one limit key, and of a queue with a limit. One mechanism: a row that whoever
-- lets somebody in locks, and a second statement, with a snapshot of its own, that reads who is inside and who waits.
--
-- A job with a key is let in (gate_holder) before it goes to ready, and stays in until it ends or backs off: who runs is among those
-- who are in, so what is in bounds what runs, and a crash leaves nothing behind: whatever ends a job takes it out in the same
-- transaction. Who is not let in waits in blocked, in the gate's line. A job with both keys passes its serial gate first and waits
-- for the other inside; nobody waits the other way round. A gate exists while somebody has to do with it, or its bucket is not full.
--
-- A queue's own limit acts at the claim (claim_limited.ts), which counts in the leases what runs.
--
-- Measured with 40,000 serial keys, a job each, beside a busy machine's other work: 4,400 jobs/s submitted and 6,700 drained, while
-- plain jobs of another queue took 3 ms from submit to receipt instead of 2. No key slows another: each job reads 50 to 120 blocks.

alter table skiplease.queue
  -- As JSON, with the names of Limit in types.ts; null: none. The columns after it are what SQL reads of the two.
  add column "limit" jsonb,
  add column key_limit jsonb,
  add column running_max integer generated always as (("limit" ->> 'runningMax')::integer) stored,
  add column rate_starts integer generated always as (("limit" #>> '{rate,starts}')::integer) stored,
  add column rate_period_ms double precision generated always as (("limit" #>> '{rate,periodMs}')::double precision) stored,
  add column rate_burst integer generated always as (("limit" #>> '{rate,burst}')::integer) stored,
  add column key_running_max integer generated always as ((key_limit ->> 'runningMax')::integer) stored,
  add column key_rate_starts integer generated always as ((key_limit #>> '{rate,starts}')::integer) stored,
  add column key_rate_period_ms double precision generated always as ((key_limit #>> '{rate,periodMs}')::double precision) stored,
  add column key_rate_burst integer generated always as ((key_limit #>> '{rate,burst}')::integer) stored,
  -- Only the claim that locks its gate takes jobs of it: to count, or to tell the buckets of its keys what starts.
  add column limited boolean not null generated always as ("limit" is not null or coalesce(key_limit -> 'rate' <> 'null', false)) stored,
  -- Numbers of skiplease.v1.SerialRetry.
  add column serial_retry smallint not null default 1 check (serial_retry in (1, 2)),
  -- When its limits were changed; null: its gates and leases were made to fit since (review_gates).
  add column limits_changed_at timestamptz;

create table skiplease.gate (
  id bigint generated always as identity primary key,
  queue_id integer not null,
  -- 1: the queue's own, with an empty key. 2: of a serial key, 3: of a limit key, as in blocked.reason.
  kind smallint not null,
  key text not null,
  -- Its bucket at that moment; null: full.
  tokens double precision,
  tokens_at timestamptz,
  -- When it is to be looked at: somebody may be let in then, or it may be forgotten.
  due_at timestamptz,
  unique (queue_id, kind, key)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_insert_threshold = -1,
        autovacuum_vacuum_cost_delay = 0);
create index gate_due on skiplease.gate (due_at) where due_at is not null;

create table skiplease.gate_holder (
  job_id uuid not null,
  kind smallint not null,
  gate_id bigint not null,
  -- Its place in lines, for good.
  "position" bigint not null,
  -- It backs off and lets others go ahead: it is not in, and keeps its place.
  away boolean not null default false,
  -- The gate's bucket has to give a token for its start: reserved until it starts, and taken when the gate is locked next.
  owes boolean not null,
  started_at timestamptz,
  primary key (job_id, kind)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_insert_threshold = -1,
        autovacuum_vacuum_cost_delay = 0);
create index gate_holder_gate on skiplease.gate_holder (gate_id, "position");
create index gate_holder_owes on skiplease.gate_holder (gate_id) where owes;
create index gate_holder_started on skiplease.gate_holder (gate_id) where owes and started_at is not null;

-- The line of a gate: by priority, then by place.
alter table skiplease.blocked add column gate_id bigint, add column "position" bigint;
create index blocked_line on skiplease.blocked (gate_id, priority desc, "position") where gate_id is not null;

-- It counts towards its queue's limit.
alter table skiplease.lease add column limited boolean not null default false;
create index lease_limited on skiplease.lease (queue_id) where limited;

-- What a bucket holds: tokens come back evenly.
create function skiplease.bucket(tokens double precision, since timestamptz, moment timestamptz, starts integer, period_ms double precision, burst integer)
returns double precision language sql immutable as $$
  select least(burst, coalesce(tokens + greatest(date_part('epoch', moment - since) * 1000, 0) * starts / period_ms, burst))
$$;

-- Until so many tokens have come back, rounded up.
create function skiplease.until_tokens(missing double precision, starts integer, period_ms double precision) returns interval language sql immutable as
$$ select ceil(missing * period_ms / starts * 1000) * interval '1 microsecond' $$;

-- A job on its way through gates.
create type skiplease.passing as (
  job_id uuid, queue_id integer, bytes integer, priority smallint, attempt smallint, "position" bigint, serial_key text, limit_key text
);

-- Locks the gates of these keys, made where they are new, and known ones, in the order of their ids.
create function skiplease.lock_gates(of_kind smallint, queue_ids integer[], keys text[], known bigint[]) returns bigint[] language plpgsql volatile as $$
declare
  keyed bigint[];
  locked bigint[];
begin
  for try in 1..100 loop
    insert into skiplease.gate (queue_id, kind, key)
    select distinct i.queue_id, of_kind, i.key from unnest(queue_ids, keys) as i (queue_id, key)
     where not exists (select from skiplease.gate g where g.queue_id = i.queue_id and g.kind = of_kind and g.key = i.key)
     order by 1, 3
    on conflict do nothing;
    keyed := array(
      select distinct g.id from unnest(queue_ids, keys) as i (queue_id, key)
       cross join lateral (select id from skiplease.gate where queue_id = i.queue_id and kind = of_kind and key = i.key offset 0) g);
    locked := array(select l.id from (select id from skiplease.gate where id = any(keyed || known) order by id for update) l);
    -- One that nobody needed any more may have been forgotten between the look and the lock: then once more.
    if cardinality(queue_ids) = 0
      or (not exists (select from unnest(keyed) as i (id) where not exists (select from skiplease.gate g where g.id = i.id))
          and cardinality(keyed) = (select count(distinct (i.queue_id, i.key)) from unnest(queue_ids, keys) as i (queue_id, key))) then
      return locked;
    end if;
  end loop;
  raise exception using errcode = 'lock_not_available', message = 'gates come and go';
end $$;

-- Before jobs move that may hold gates or wait for them: locks those gates, in the order that all keep.
create function skiplease.lock_gates_of(job_ids uuid[]) returns void language plpgsql volatile as $$
begin
  perform from skiplease.gate where id = any(array(
    select h.gate_id from unnest(job_ids) as i (id) cross join lateral (select gate_id from skiplease.gate_holder where job_id = i.id offset 0) h
    union
    select b.gate_id from unnest(job_ids) as i (id) cross join lateral (select gate_id from skiplease.blocked where job_id = i.id offset 0) b
  )) order by kind, id for update;
end $$;

-- Locked gates that nobody holds or waits for are forgotten, once their buckets are full.
create function skiplease.forget_gates(gate_ids bigint[]) returns void language sql volatile as $$
  delete from skiplease.gate g
   where g.id = any(gate_ids) and g.kind > 1
     and not exists (select from skiplease.gate_holder h where h.gate_id = g.id)
     and not exists (select from skiplease.blocked b where b.gate_id = g.id)
     and (g.tokens is null or exists (
           select from skiplease.queue q where q.id = g.queue_id
              and (q.key_rate_starts is null
                   or skiplease.bucket(g.tokens, g.tokens_at, skiplease.now(), q.key_rate_starts, q.key_rate_period_ms, q.key_rate_burst) >= q.key_rate_burst)))
$$;

-- Takes from the buckets of locked gates the tokens of what has started since they were locked last. One start after the other the
-- bucket is filled up to its burst and gives a token; what is left is the least of: no cap was met; the last cap met was at this or
-- that start. A start that is committed only after a later one was taken is taken then: that never leaves more.
create function skiplease.take_tokens(gate_ids bigint[], moment timestamptz) returns void language sql volatile as $$
  with started as (
    update skiplease.gate_holder set owes = false where gate_id = any(gate_ids) and owes and started_at is not null returning gate_id, started_at
  ),
  ranked as (
    select gate_id, started_at, row_number() over (partition by gate_id order by started_at desc) as rank from started
  ),
  sums as (
    select r.gate_id, count(*) as starts,
           min(q.key_rate_burst + greatest(date_part('epoch', moment - r.started_at) * 1000, 0) * q.key_rate_starts / q.key_rate_period_ms - r.rank) as capped,
           min(q.key_rate_starts / q.key_rate_period_ms) as per_ms
      from ranked r
     cross join lateral (select queue_id from skiplease.gate where id = r.gate_id offset 0) g
     cross join lateral (select * from skiplease.queue where id = g.queue_id and key_rate_starts is not null offset 0) q
     group by r.gate_id
  )
  update skiplease.gate g
     set tokens = least(s.capped, g.tokens + greatest(date_part('epoch', moment - g.tokens_at) * 1000, 0) * s.per_ms - s.starts),
         tokens_at = moment
    from sums s where g.id = s.gate_id
$$;

-- Tells when locked gates are to be looked at again.
create function skiplease.set_due(gate_ids bigint[], moment timestamptz) returns void language sql volatile as $$
  update skiplease.gate g set due_at = d.due_at
    from (
      select i.id, case
               when w.waits and q.key_running_max <= n.inside then null
               when w.waits and (q.key_rate_starts is null or floor(n.tokens) > n.owing) then moment
               -- Not before one of those inside has started, which is looked at when it has.
               when w.waits and n.owing >= q.key_rate_burst then null
               when w.waits then moment + skiplease.until_tokens(n.owing + 1 - n.tokens, q.key_rate_starts, q.key_rate_period_ms)
               when n.inside = 0 and n.tokens < q.key_rate_burst
                 then moment + skiplease.until_tokens(q.key_rate_burst - n.tokens, q.key_rate_starts, q.key_rate_period_ms)
             end as due_at
        from unnest(gate_ids) as i (id)
       cross join lateral (select * from skiplease.gate where id = i.id offset 0) g
       cross join lateral (select * from skiplease.queue where id = g.queue_id offset 0) q
       cross join lateral (select exists (select from skiplease.blocked where gate_id = i.id) as waits) w
       cross join lateral (
         select (select count(*) from (select from skiplease.gate_holder where gate_id = i.id limit coalesce(q.key_running_max, 1)) h) as inside,
                (select count(*) from skiplease.gate_holder where gate_id = i.id and owes and q.key_rate_starts is not null) as owing,
                skiplease.bucket(g.tokens, g.tokens_at, moment, q.key_rate_starts, q.key_rate_period_ms, q.key_rate_burst) as tokens) n
    ) d
   where g.id = d.id and g.due_at is distinct from d.due_at
$$;

-- At the gates of one kind: some leave, some rest (they back off, and let others go ahead), some come, and `again` are looked at
-- anyway. Returned is who got in. Who comes and is in already, goes on; the others wait in line.
create function skiplease.pass(of_kind smallint, leaving uuid[], resting uuid[], coming skiplease.passing[], again bigint[])
returns skiplease.passing[] language plpgsql volatile as $$
declare
  moment timestamptz;
  queue_ids integer[];
  keys text[];
  gate_ids bigint[];
  in_already skiplease.passing[];
  got_in skiplease.passing[];
begin
  select coalesce(array_agg(c.queue_id), '{}'), coalesce(array_agg(case of_kind when 2 then c.serial_key else c.limit_key end), '{}')
    into queue_ids, keys from unnest(coming) as c;
  gate_ids := skiplease.lock_gates(of_kind, queue_ids, keys, again || array(
    select h.gate_id from unnest(leaving || resting) as i (id)
     cross join lateral (select gate_id from skiplease.gate_holder where job_id = i.id and kind = of_kind offset 0) h));
  if cardinality(gate_ids) = 0 then
    return '{}';
  end if;
  moment := skiplease.now();
  if of_kind = 3 then
    perform skiplease.take_tokens(gate_ids, moment);
  end if;
  delete from skiplease.gate_holder where job_id = any(leaving) and kind = of_kind;
  update skiplease.gate_holder set away = true where job_id = any(resting) and kind = of_kind;
  in_already := array(
    select c from unnest(coming) as c
     where exists (select from skiplease.gate_holder h where h.job_id = c.job_id and h.kind = of_kind and not h.away));
  with gates as materialized (
    select u.gate_id, array_agg(u.c) filter (where (u.c).job_id is not null) as arrivals
      from (
        select i.id as gate_id, null::skiplease.passing as c from unnest(gate_ids) as i (id)
        union all
        select g.id, c from unnest(coming) as c
         cross join lateral (
           select id from skiplease.gate
            where queue_id = c.queue_id and kind = of_kind and key = case of_kind when 2 then c.serial_key else c.limit_key end offset 0) g
         where not exists (select from skiplease.gate_holder h where h.job_id = c.job_id and h.kind = of_kind and not h.away)
      ) u
     group by u.gate_id
  ),
  decided as materialized (
    select gates.gate_id, r.metered, s.*,
           row_number() over (partition by gates.gate_id order by s.priority desc, s."position") <= coalesce(r.room, 2147483647) as gets_in
      from gates
     cross join lateral (
       select case when of_kind = 2 then (not exists (select from skiplease.gate_holder where gate_id = g.id and not away))::integer
              -- null: any number.
              else least(
                case when q.key_running_max is not null then
                  q.key_running_max - (select count(*) from (select from skiplease.gate_holder where gate_id = g.id limit q.key_running_max) h) end,
                case when q.key_rate_starts is not null then
                  floor(skiplease.bucket(g.tokens, g.tokens_at, moment, q.key_rate_starts, q.key_rate_period_ms, q.key_rate_burst))
                  - (select count(*) from skiplease.gate_holder where gate_id = g.id and owes) end) end as room,
              of_kind = 3 and q.key_rate_starts is not null as metered
         from (select * from skiplease.gate where id = gates.gate_id offset 0) g
        cross join lateral (select * from skiplease.queue where id = g.queue_id offset 0) q
     ) r
     cross join lateral (
       -- No more at once than a statement should move; set_due() sees to the rest.
       (select b.job_id, b.queue_id, b.bytes, b.priority, b.attempt, b."position", null::text as limit_key, true as waited
          from skiplease.blocked b where b.gate_id = gates.gate_id
         order by b.priority desc, b."position" limit least(case when r.room < 0 then 0 else r.room end, greatest(1, 4000 / cardinality(gate_ids))))
       union all
       select a.job_id, a.queue_id, a.bytes, a.priority, a.attempt, a."position", a.limit_key, false from unnest(gates.arrivals) as a
     ) s
  ),
  let_in as (
    insert into skiplease.gate_holder (job_id, kind, gate_id, "position", owes)
    select job_id, of_kind, gate_id, "position", metered from decided where gets_in
    on conflict (job_id, kind) do update set away = false
  ),
  out_of_line as (
    delete from skiplease.blocked where job_id = any(array(select job_id from decided where gets_in and waited))
  ),
  in_line as (
    insert into skiplease.blocked (job_id, queue_id, bytes, priority, attempt, reason, since, gate_id, "position")
    select job_id, queue_id, bytes, priority, attempt, of_kind, moment, gate_id, "position" from decided where not gets_in and not waited
  ),
  back_in_line as (
    delete from skiplease.gate_holder where away and kind = of_kind and job_id = any(array(select job_id from decided where not gets_in and not waited))
  )
  select array_agg(row(d.job_id, d.queue_id, d.bytes, d.priority, d.attempt, d."position", null,
           case when of_kind = 2 and d.waited then (select options ->> 'limitKey' from skiplease.job where id = d.job_id) else d.limit_key end)::skiplease.passing)
    into got_in from decided d where d.gets_in;
  if of_kind = 3 then
    perform skiplease.set_due(gate_ids, moment);
  end if;
  if cardinality(leaving) + cardinality(again) > 0 then
    perform skiplease.forget_gates(gate_ids);
  end if;
  return in_already || got_in;
end $$;

-- Through all gates, and into ready. Serial gates come first for everybody, so nobody waits for one while he holds a limit's.
create function skiplease.pass_all(
  leaving uuid[], resting uuid[], leaving_limits uuid[], coming skiplease.passing[], again_serial bigint[], again_limits bigint[]
) returns table (queue_id integer, priority smallint, "position" bigint) language plpgsql volatile as $$
#variable_conflict use_column
declare
  onward skiplease.passing[] := array(select c from unnest(coming) as c where c.serial_key is null);
begin
  onward := onward || skiplease.pass(2::smallint, leaving, resting, array(select c from unnest(coming) as c where c.serial_key is not null), again_serial);
  onward := array(select c from unnest(onward) as c where c.limit_key is null)
    || skiplease.pass(3::smallint, leaving || leaving_limits, '{}', array(select c from unnest(onward) as c where c.limit_key is not null), again_limits);
  if cardinality(onward) = 0 then
    return;
  end if;
  return query
    insert into skiplease.ready ("position", job_id, since, queue_id, bytes, priority, attempt, again, special)
    select d.draw * 16384 + o.ordinal % 16384, o.job_id, d.now, o.queue_id, o.bytes, o.priority, o.attempt, true, skiplease.is_special(j.options)
      from (select nextval('skiplease.position') as draw, skiplease.now() as now, n from generate_series(0, cardinality(onward) / 16384) as n) d
     cross join lateral (
       select c.*, row_number() over (order by c."position") as ordinal from unnest(onward) as c) o
     cross join lateral (select options from skiplease.job where id = o.job_id offset 0) j
     where o.ordinal / 16384 = d.n
    returning queue_id, priority, "position";
end $$;

-- The jobs of these arrays as they pass gates, each with its place in lines: the one it has, or a new one.
create function skiplease.passing_jobs(job_ids uuid[], queue_ids integer[], bytes integer[], priorities smallint[], attempts smallint[])
returns skiplease.passing[] language sql volatile as $$
  select coalesce(array_agg(row(i.job_id, i.queue_id, i.bytes, i.priority, i.attempt,
           coalesce(h."position", d.draw * 16384 + i.ordinal), j.options ->> 'serialKey', j.options ->> 'limitKey')::skiplease.passing), '{}')
    from (select nextval('skiplease.position') as draw) d
   cross join unnest(job_ids, queue_ids, bytes, priorities, attempts) with ordinality as i (job_id, queue_id, bytes, priority, attempt, ordinal)
   cross join lateral (select options from skiplease.job where id = i.job_id offset 0) j
    left join lateral (select "position" from skiplease.gate_holder where job_id = i.job_id and kind = 2 and j.options ? 'serialKey' offset 0) h on true
$$;

create or replace function skiplease.place(job_ids uuid[], queue_ids integer[], bytes integer[], priorities smallint[], attempts smallint[])
returns table (queue_id integer, priority smallint, "position" bigint) language sql volatile as $$
  select * from skiplease.pass_all('{}', '{}', '{}', skiplease.passing_jobs(job_ids, queue_ids, bytes, priorities, attempts), '{}', '{}')
$$;

create or replace function skiplease.leave_gates(job_ids uuid[]) returns table (queue_id integer, priority smallint, "position" bigint)
language sql volatile as $$ select * from skiplease.pass_all(job_ids, '{}', '{}', '{}', '{}', '{}') $$;

-- Special jobs that were given back just now, in the same transaction. `later`: they were put into scheduled; else they go to their
-- places. Either way they leave the limit of their key: a new start takes a new token, and who backs off takes up no room. They
-- keep their serial key, or go on resting, by the queue's policy.
create function skiplease.come_back(
  job_ids uuid[], queue_ids integer[], bytes integer[], priorities smallint[], attempts smallint[], later boolean[]
) returns table (queue_id integer, priority smallint, "position" bigint) language plpgsql volatile as $$
#variable_conflict use_column
declare
  resting uuid[] := array(
    select i.job_id from unnest(job_ids, queue_ids, later) as i (job_id, queue_id, later)
     cross join lateral (select serial_retry from skiplease.queue where id = i.queue_id offset 0) q
     where i.later and q.serial_retry = 2);
  coming skiplease.passing[];
begin
  select skiplease.passing_jobs(array_agg(i.job_id), array_agg(i.queue_id), array_agg(i.bytes), array_agg(i.priority), array_agg(i.attempt)) into coming
    from unnest(job_ids, queue_ids, bytes, priorities, attempts, later) as i (job_id, queue_id, bytes, priority, attempt, later)
   where not i.later having count(*) > 0;
  return query select * from skiplease.pass_all('{}', resting, job_ids, coalesce(coming, '{}'), '{}', '{}');
end $$;

-- Looks at gates that are due, and at those of which something has started. The last row has nothing but the time until the next one is due.
create function skiplease.sweep_gates(gates_max integer)
returns table (queue_id integer, priority smallint, "position" bigint, next_due_ms double precision) language plpgsql volatile as $$
#variable_conflict use_column
declare
  ids bigint[] := array(
    (select id from skiplease.gate where due_at <= skiplease.now() order by due_at limit gates_max)
    union
    select gate_id from (select gate_id from skiplease.gate_holder where owes and started_at is not null limit gates_max) s);
begin
  if cardinality(ids) > 0 then
    return query select p.*, null::double precision from skiplease.pass_all('{}', '{}', '{}', '{}', '{}', ids) p;
  end if;
  return query
    select null::integer, null::smallint, null::bigint,
           case when exists (select from skiplease.gate_holder where owes and started_at is not null) then 0
                else (select greatest(0, date_part('epoch', due_at - skiplease.now()) * 1000) from skiplease.gate where due_at is not null order by due_at limit 1) end;
end $$;

-- The limits of a queue were changed: some of its gates, of those inside whom nobody has started yet the surplus goes back in line;
-- then whoever fits is let in. A row without a position: there was a surplus, and there may be more of it.
create function skiplease.review_gates(of_queue integer, gate_ids bigint[])
returns table (queue_id integer, priority smallint, "position" bigint) language plpgsql volatile as $$
#variable_conflict use_column
declare
  moment constant timestamptz := skiplease.now();
  of_limits bigint[];
  any_surplus boolean;
begin
  -- The queue's own: where claims take tokens, none does so meanwhile.
  perform from skiplease.gate where queue_id = of_queue and kind = 1 for update;
  perform from skiplease.gate where id = any(gate_ids) order by kind, id for update;
  of_limits := array(select id from skiplease.gate where id = any(gate_ids) and kind = 3);
  update skiplease.gate_holder h set away = true
   where h.gate_id = any(gate_ids) and h.kind = 2 and not h.away
     and (select serial_retry from skiplease.queue where id = of_queue) = 2
     and exists (select from skiplease.scheduled s where s.job_id = h.job_id);
  perform skiplease.take_tokens(of_limits, moment);
  update skiplease.gate_holder set owes = false, started_at = null
   where gate_id = any(of_limits) and owes and (select key_rate_starts from skiplease.queue where id = of_queue) is null;
  with surplus as materialized (
    select v.*, i.id as gate_id
      from unnest(of_limits) as i (id)
     cross join lateral (select * from skiplease.gate where id = i.id offset 0) g
     cross join lateral (select * from skiplease.queue where id = of_queue offset 0) q
     cross join lateral (
       select (select count(*) from skiplease.gate_holder where gate_id = i.id) - q.key_running_max as too_many,
              (select count(*) from skiplease.gate_holder where gate_id = i.id and owes)
                > floor(skiplease.bucket(g.tokens, g.tokens_at, moment, q.key_rate_starts, q.key_rate_period_ms, q.key_rate_burst)) as too_fast
     ) n
     -- With a rate all go who have no token reserved, or all: who fits comes back at once.
     cross join lateral (
       select h.job_id, h."position" from skiplease.gate_holder h
        where h.gate_id = i.id and (q.key_rate_starts is null or not h.owes or n.too_fast or n.too_many > 0)
          and exists (select from skiplease.ready w where w.again and w.job_id = h.job_id)
        order by h."position" desc
        limit least(5000, case when q.key_rate_starts is null then greatest(coalesce(n.too_many, 0), 0) end)) v
     limit 5000
  ),
  -- Those that a claim is taking at this moment are starting: come again, and see what is left then.
  withdrawn as materialized (
    select r.tid, r.job_id, r.queue_id, r.bytes, r.priority, r.attempt, s."position", s.gate_id
      from surplus s cross join lateral (select ctid as tid, * from skiplease.ready where again and job_id = s.job_id for update skip locked) r
  ),
  taken as (delete from skiplease.ready where ctid = any(array(select tid from withdrawn))),
  gone as (delete from skiplease.gate_holder where kind = 3 and job_id = any(array(select job_id from withdrawn))),
  in_line as (
    insert into skiplease.blocked (job_id, queue_id, bytes, priority, attempt, reason, since, gate_id, "position")
    select job_id, queue_id, bytes, priority, attempt, 3, moment, gate_id, "position" from withdrawn
  )
  select exists (select from surplus) into any_surplus;
  if any_surplus then
    return query select of_queue, null::smallint, null::bigint;
  end if;
  return query
    select * from skiplease.pass_all('{}', '{}', '{}', '{}', array(select id from skiplease.gate where id = any(gate_ids) and kind = 2), of_limits);
end $$;
