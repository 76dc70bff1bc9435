-- Inside an application's own transaction, from any language: submit jobs; check, complete or fail leased ones. What each function
-- does and refuses is documented in ../README.md. The functions stand on their own: they run with their owner's rights, under
-- settings of their own, and for roles that may do nothing else here.
--
-- The transaction may last for hours. So nothing here writes to ready (the low-water marks trail by no longer than a coordinator's
-- transaction may last), and complete() takes its lease FOR KEY SHARE and never writes the mask: settles, cancels and resumes of the
-- same lease go on beside it, and the outcome's key decides between it and them. Whoever ends or expires the job's hold later finds
-- the outcome, and sets the bit: only then is the job's end told to its batch and gates, in that short transaction.

-- Grows when something is added; a change that breaks callers gets functions of other names.
create function skiplease.sql_interface_version() returns integer language sql immutable as $$ select 1 $$;

-- Ends the statement, with a reason that programs can tell apart (the error's detail) and words for people.
create function skiplease.raise(code text, reason text, message text) returns void language plpgsql as
$$ begin raise exception using errcode = code, detail = reason, message = message; end $$;

-- A UUIDv7 of this moment: milliseconds, 12 bits of their fraction, 62 random bits.
create function skiplease.new_job_id(moment timestamptz) returns uuid language sql volatile as $$
  select (lpad(to_hex(t.us / 1000), 12, '0') || to_hex(28672 + t.us % 1000 * 4096 / 1000) || substr(gen_random_uuid()::text, 20))::uuid
    from (select (extract(epoch from moment) * 1000000)::bigint as us) t
$$;

-- Creates a queue, visible to others once the caller commits. Until then a coordinator that needs it is told to come again
-- (queue_settings.ts tries the same lock), and another application waits here, though not for long.
create function skiplease.make_queue(queue text) returns void language plpgsql volatile set lock_timeout = '2s' as $$
begin
  if queue is null or queue !~ '^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$' then
    perform skiplease.raise('SK013', 'INVALID_ARGUMENT', 'queue must be 1 to 128 letters, digits or . _ - : /, the first a letter or digit');
  end if;
  perform pg_advisory_xact_lock(7420003, hashtext(queue));
  insert into skiplease.queue (name) values (queue) on conflict (name) do nothing;
exception when lock_not_available then
  perform skiplease.raise('SK014', 'QUEUE_BEING_CREATED', format('The queue %s is being created by a transaction that has not ended. '
    'Create queues beforehand, in a transaction of their own: select skiplease.create_queue(%L)', queue, queue));
end $$;

-- The numbers of these queues, in the order of the names. The new ones are created, in one order for everybody.
create function skiplease.queue_numbers(names text[]) returns integer[] language plpgsql volatile as $$
begin
  perform skiplease.make_queue(m.name) from (
    select distinct i.name from unnest(names) as i (name)
     where not exists (select from skiplease.queue q where q.name = i.name) order by i.name offset 0) m;
  return array(
    select q.id from unnest(names) with ordinality as i (name, ordinal)
     cross join lateral (select id from skiplease.queue where name = i.name offset 0) q order by i.ordinal);
end $$;

create function skiplease.are_headers(headers jsonb) returns boolean language sql immutable as $$
  select jsonb_typeof(headers) = 'object' and (
    select count(*) <= 64 and coalesce(sum(octet_length(key) + octet_length(value #>> '{}')), 0) <= 16384
           and coalesce(bool_and(jsonb_typeof(value) = 'string' and key <> ''), true)
      from jsonb_each(case when jsonb_typeof(headers) = 'object' then headers end))
$$;

create function skiplease.is_key(value jsonb) returns boolean language sql immutable as
$$ select jsonb_typeof(value) = 'string' and length(value #>> '{}') between 1 and 256 $$;

-- What is wrong with what a job asks for beyond the usual; null: nothing. Fields as in JobSpec.
create function skiplease.options_problem(options jsonb) returns text language sql stable as $$
  select case
    when jsonb_typeof(options) <> 'object' then 'options must be an object'
    when unknown is not null then format('%s is no field of a job that SQL submits', unknown)
    when options ? 'serial_key' and not skiplease.is_key(options -> 'serial_key') then 'serial_key must have 1 to 256 characters'
    when options ? 'limit_key' and not skiplease.is_key(options -> 'limit_key') then 'limit_key must have 1 to 256 characters'
    when options ? 'batch_id' and options ->> 'batch_id' !~ uuid_form then 'batch_id must be a UUID'
    when options ? 'after_job_ids' and (jsonb_typeof(options -> 'after_job_ids') <> 'array' or jsonb_array_length(options -> 'after_job_ids') not between 1 and 1000
      or exists (select from jsonb_array_elements_text(options -> 'after_job_ids') as a (id) where a.id is null or a.id !~ uuid_form))
      then 'after_job_ids must be an array of 1 to 1,000 UUIDs'
    when options ? 'after_policy' and options ->> 'after_policy' not in ('CANCEL', 'RUN_ANYWAY') then 'after_policy must be CANCEL or RUN_ANYWAY'
    end
    from (select '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$' as uuid_form,
                 (select k.name from jsonb_object_keys(case when jsonb_typeof(options) = 'object' then options end) as k (name)
                   where k.name <> all (array['serial_key', 'limit_key', 'batch_id', 'after_job_ids', 'after_policy', 'start_by']) limit 1) as unknown) c
$$;

-- The same as it is stored: JobOptions in types.ts.
create function skiplease.stored_options(options jsonb) returns jsonb language sql stable as $$
  select nullif(jsonb_strip_nulls(jsonb_build_object('serialKey', options -> 'serial_key', 'limitKey', options -> 'limit_key',
    'batchId', lower(options ->> 'batch_id'),
    'after', (select jsonb_agg(distinct lower(a.id)) from jsonb_array_elements_text(options -> 'after_job_ids') as a (id)),
    'afterPolicy', case when options ? 'after_job_ids' then lower(coalesce(options ->> 'after_policy', 'CANCEL')) end,
    'startByMs', floor(extract(epoch from (options ->> 'start_by')::timestamptz) * 1000))), '{}')
$$;

-- Makes jobs: parallel arrays, one element a job. Returns true for those that had been there before.
create function skiplease.insert_jobs(
  ids uuid[], queues text[], types text[], payloads bytea[], content_types text[], priorities integer[], run_ats timestamptz[],
  max_attempts integer[], timeouts interval[], headers jsonb[], options jsonb[]
) returns boolean[] language plpgsql volatile as $$
#variable_conflict use_column
declare
  moment constant timestamptz := skiplease.now();
  wrong text;
  taken uuid;
  queue_ids integer[];
  new_ids uuid[];
  entering_ids uuid[];
begin
  select format('jobs[%s].%s', i.ordinal - 1, w.words) into wrong
    from unnest(ids, queues, types, payloads, content_types, priorities, run_ats, max_attempts, timeouts, headers, options) with ordinality
           as i (id, queue, type, payload, content_type, priority, run_at, max_attempts, timeout, headers, options, ordinal)
   cross join lateral (select case
     when i.queue is null or i.queue !~ '^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$' then 'queue must be 1 to 128 letters, digits or . _ - : /, the first a letter or digit'
     when i.type is null or i.type !~ '^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$' then 'type must be 1 to 128 letters, digits or . _ - : /, the first a letter or digit'
     when i.id::text !~ '^.{14}7.{4}[89ab]' then 'id must be a UUIDv7, or left out'
     when skiplease.uuid_time(i.id) not between moment - interval '24 hours' and moment + interval '5 minutes' then
       format('id was made at %s: 24 hours past to 5 minutes ahead of %s are accepted', skiplease.uuid_time(i.id), moment)
     when octet_length(i.payload) > 1048576 then 'payload has more than 1 MiB'
     when i.content_type !~ '^[!-~][ -~]{0,126}$' then 'content_type must be at most 127 printable ASCII characters'
     when i.priority is null or i.priority not between 0 and 9 then 'priority must be 0 to 9'
     when i.run_at > moment + interval '3653 days' then 'run_at must not be later than in 10 years'
     when i.max_attempts not between 1 and 1000 then 'max_attempts must be 1 to 1000, or left out'
     when i.timeout not between interval '1 millisecond' and interval '30 days' then 'timeout must be 1 ms to 30 days, or left out'
     when i.headers is not null and not skiplease.are_headers(i.headers) then 'headers must be an object of at most 64 strings, 16 KiB in all'
     when i.options is not null then skiplease.options_problem(i.options)
   end) w (words)
   where w.words is not null limit 1;
  if wrong is not null then
    perform skiplease.raise('SK013', 'INVALID_ARGUMENT', wrong);
  end if;
  queue_ids := skiplease.queue_numbers(queues);
  with input as (
    select * from unnest(ids, queue_ids, types, payloads, content_types, priorities, run_ats, max_attempts, timeouts, headers, options) with ordinality
      as i (id, queue_id, type, payload, content_type, priority, run_at, max_attempts, timeout, headers, options, ordinal)
  ),
  inserted as (
    insert into skiplease.job (id, queue_id, max_attempts, priority, timeout_ms, run_at, type, content_type, headers, options, payload)
    select id, queue_id, max_attempts, priority, ceil(extract(epoch from timeout) * 1000), case when run_at > moment then run_at end, type,
           nullif(content_type, 'application/octet-stream'), nullif(headers, '{}'),
           case when options is not null then skiplease.stored_options(options) end, payload
      from input order by id
    on conflict (id) do nothing
    returning id, queue_id, run_at, priority, options, skiplease.job_bytes(payload, headers) as bytes
  ),
  timed as (
    insert into skiplease.scheduled (job_id, run_at, queue_id, bytes, priority, attempt)
    select id, coalesce(run_at, moment), queue_id, bytes, priority, 1 from inserted where options is null
  )
  select coalesce(array_agg(n.id), '{}'), array_agg(n.id order by i.ordinal) filter (where n.options is not null)
    into new_ids, entering_ids from inserted n join input i using (id);
  if entering_ids is not null then
    perform skiplease.enter(entering_ids, true);
  end if;
  -- A look of its own: what conflicted may have been committed after the insert began.
  select i.id into taken
    from unnest(ids, queue_ids, types) as i (id, queue_id, type)
   cross join lateral (select queue_id, type from skiplease.job where id = i.id offset 0) j
   where (j.queue_id, j.type) is distinct from (i.queue_id, i.type) limit 1;
  if taken is not null then
    perform skiplease.raise('SK011', 'JOB_ID_TAKEN', format('Job %s exists with another queue or type.', taken));
  end if;
  -- A call that names an id twice gets one job: the second naming is a repeat of the first.
  return array(
    select i.id <> all(new_ids) or row_number() over (partition by i.id order by i.ordinal) > 1
      from unnest(ids) with ordinality as i (id, ordinal) order by i.ordinal);
end $$;

create function skiplease.create_queue(queue text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set jit = off
set plan_cache_mode = force_generic_plan as $$
begin
  -- Not where it exists already: that would take the lock for nothing.
  if not exists (select from skiplease.queue q where q.name = queue) then
    perform skiplease.make_queue(queue);
  end if;
end $$;

create function skiplease.submit_bytes(
  queue text, type text, payload bytea, content_type text default null, id uuid default null, priority integer default 0,
  run_at timestamptz default null, max_attempts integer default null, timeout interval default null, headers jsonb default null,
  options jsonb default null
) returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set jit = off
set plan_cache_mode = force_generic_plan as $$
declare
  job_id constant uuid := coalesce(id, skiplease.new_job_id(skiplease.now()));
begin
  perform skiplease.insert_jobs(array[job_id], array[queue], array[type], array[coalesce(payload, '')], array[content_type], array[priority],
    array[run_at], array[max_attempts], array[timeout], array[headers], array[options]);
  return job_id;
end $$;

create function skiplease.submit(
  queue text, type text, payload jsonb default null, id uuid default null, priority integer default 0,
  run_at timestamptz default null, max_attempts integer default null, timeout interval default null, headers jsonb default null,
  options jsonb default null
) returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set jit = off
set plan_cache_mode = force_generic_plan as $$
declare
  job_id constant uuid := coalesce(id, skiplease.new_job_id(skiplease.now()));
begin
  perform skiplease.insert_jobs(array[job_id], array[queue], array[type], array[coalesce(convert_to(payload::text, 'UTF8'), '')],
    array[case when payload is not null then 'application/json' end], array[priority],
    array[run_at], array[max_attempts], array[timeout], array[headers], array[options]);
  return job_id;
end $$;

create function skiplease.submit_many(jobs jsonb) returns table (job_id uuid, existing boolean)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set jit = off
set plan_cache_mode = force_generic_plan as $$
declare
  moment constant timestamptz := skiplease.now();
  wrong text;
  ids uuid[];
  were_there boolean[];
begin
  if jsonb_typeof(jobs) is distinct from 'array' or jsonb_array_length(jobs) not between 1 and 10000 then
    perform skiplease.raise('SK013', 'INVALID_ARGUMENT', 'jobs must be an array of 1 to 10,000 objects');
  end if;
  select format('jobs[%s] is not an object', e.ordinal - 1) into wrong
    from jsonb_array_elements(jobs) with ordinality as e (job, ordinal) where jsonb_typeof(e.job) <> 'object' limit 1;
  if wrong is not null then
    perform skiplease.raise('SK013', 'INVALID_ARGUMENT', wrong);
  end if;
  select array_agg(i.id), skiplease.insert_jobs(array_agg(i.id), array_agg(i.queue), array_agg(i.type),
           array_agg(coalesce(convert_to(i.payload::text, 'UTF8'), '')), array_agg(case when i.payload is not null then 'application/json' end),
           array_agg(coalesce(i.priority, 0)), array_agg(i.run_at), array_agg(i.max_attempts), array_agg(i.timeout), array_agg(i.headers), array_agg(i.options))
    into ids, were_there
    from (
      select coalesce(j.id, skiplease.new_job_id(moment + e.ordinal * interval '1 microsecond')) as id, j.queue, j.type, j.payload, j.priority, j.run_at, j.max_attempts, j.timeout, j.headers,
             -- What is none of the usual fields, if anything is.
             nullif(e.job - array['id', 'queue', 'type', 'payload', 'priority', 'run_at', 'max_attempts', 'timeout', 'headers'], '{}') as options
        from jsonb_array_elements(jobs) with ordinality as e (job, ordinal)
       cross join lateral jsonb_to_record(e.job) as j (id uuid, queue text, type text, payload jsonb, priority integer,
                    run_at timestamptz, max_attempts integer, timeout interval, headers jsonb)
       order by e.ordinal
      offset 0
    ) i;
  return query select * from unnest(ids, were_there);
end $$;

-- Why the job is not (any more) held under this lease.
create function skiplease.refuse_lost(lease_id bigint, job_id uuid) returns void language plpgsql stable as $$
declare
  ended record;
  tried smallint := (select a.state from skiplease.attempt a where a.job_id = refuse_lost.job_id and a.lease_id = refuse_lost.lease_id);
begin
  select o.state, o.lease_id = refuse_lost.lease_id as by_us into ended from skiplease.outcome o where o.job_id = refuse_lost.job_id;
  if ended.state = 6 then
    perform skiplease.raise('SK021', 'CANCELLED', format('Job %s was cancelled.', job_id));
  elsif ended.state = 4 and ended.by_us then
    perform skiplease.raise('SK022', 'COMPLETED', format('Job %s was completed before, under this very lease.', job_id));
  elsif tried = 1 then
    perform skiplease.raise('SK023', 'FAILED', format('This attempt of job %s was failed before, under this very lease.', job_id));
  end if;
  perform skiplease.raise('SK020', 'LEASE_LOST', format('This lease does not hold job %s (any more).', job_id));
end $$;

-- The lease that the token names: the part before the dot.
create function skiplease.token_lease_id(token text) returns bigint language plpgsql immutable as $$
begin
  if token is null or token !~ '^[1-9][0-9]{0,18}[.][0-9a-f]{16}$' or split_part(token, '.', 1)::numeric > 9223372036854775807 then
    perform skiplease.raise('SK013', 'INVALID_ARGUMENT', 'token must be that of a lease: its number, a dot, 16 hex digits');
  end if;
  return split_part(token, '.', 1)::bigint;
end $$;

-- Locks the lease that the token proves until the transaction ends, then looks whether the job is still held under it. FOR KEY SHARE
-- is in the way of nobody but those who give jobs back, and they do not wait; FOR UPDATE is for giving back. No job: the lease alone.
create function skiplease.hold(
  token text, job_id uuid, to_give_back boolean, out lease_id bigint, out place integer, out attempt smallint, out special boolean
)
language plpgsql volatile as $$
declare
  lease_secret bigint;
  is_settled boolean;
begin
  lease_id := skiplease.token_lease_id(token);
  lease_secret := ('x' || split_part(token, '.', 2))::bit(64)::bigint;
  if to_give_back then
    perform from skiplease.lease l where l.id = lease_id and l.secret = lease_secret for update;
  else
    perform from skiplease.lease l where l.id = lease_id and l.secret = lease_secret for key share;
  end if;
  if not found then
    perform skiplease.refuse_lost(lease_id, job_id);
  end if;
  if job_id is not null then
    select p.place, l.attempts[p.place], get_bit(l.settled, p.place - 1) = 1, l.special into place, attempt, is_settled, special
      from skiplease.lease l cross join lateral (select array_position(l.job_ids, hold.job_id) as place) p where l.id = lease_id;
    if is_settled is not false or exists (select from skiplease.outcome o where o.job_id = hold.job_id) then
      perform skiplease.refuse_lost(lease_id, job_id);
    end if;
  end if;
end $$;

create function skiplease.check_lease(token text, job_id uuid default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set jit = off
set plan_cache_mode = force_generic_plan as $$
begin
  perform skiplease.hold(token, job_id, false);
end $$;

create function skiplease.complete_bytes(token text, job_id uuid, result bytea, result_type text default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set jit = off
set plan_cache_mode = force_generic_plan as $$
declare
  held record;
begin
  if job_id is null or octet_length(result) > 262144 or result_type !~ '^[!-~][ -~]{0,126}$' then
    perform skiplease.raise('SK013', 'INVALID_ARGUMENT', case when job_id is null then 'job_id is missing'
      when octet_length(result) > 262144 then format('result has %s bytes: at most 256 KiB are kept', octet_length(result))
      else 'result_type must be at most 127 printable ASCII characters' end);
  end if;
  held := skiplease.hold(token, job_id, false);
  insert into skiplease.outcome (job_id, lease_id, finished_at, state, attempt, result_type, result)
  values (complete_bytes.job_id, held.lease_id, skiplease.now(), 4, held.attempt, nullif(result_type, 'application/octet-stream'), result)
  on conflict do nothing;
  if not found then
    perform skiplease.refuse_lost(held.lease_id, job_id);
  end if;
  -- In its batch. Gates are for the short transactions of a coordinator to leave: whoever sets its bit does.
  if held.special then
    perform skiplease.count_ended(array[job_id]);
  end if;
end $$;

create function skiplease.complete(token text, job_id uuid, result jsonb default null) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select skiplease.complete_bytes(token, job_id, convert_to(result::text, 'UTF8'), case when result is not null then 'application/json' end)
$$;

-- Milliseconds until the next attempt, as engine/backoff.ts has it; by logarithms, which do not overflow.
create function skiplease.backoff_ms(initial_ms float8, factor float8, max_ms float8, jitter float8, attempt integer) returns float8
language sql volatile as $$
  select case when initial_ms <= 0 then 0
    else greatest(0, round(exp(least(ln(initial_ms) + (attempt - 1) * ln(greatest(factor, 1)), ln(greatest(max_ms, 1)))) * (1 + jitter * (2 * random() - 1)))) end
$$;

create function skiplease.fail(
  token text, job_id uuid, code text, message text default '', permanent boolean default false, retry_delay interval default null,
  details text default ''
) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set jit = off
set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
  job record;
  lease record;
  held record;
  last boolean;
begin
  if job_id is null or coalesce(code, '') = '' or retry_delay not between interval '0' and interval '365 days' then
    perform skiplease.raise('SK013', 'INVALID_ARGUMENT', case when job_id is null then 'job_id is missing'
      when coalesce(code, '') = '' then 'code is missing' else 'retry_delay must be 0 to 365 days' end);
  end if;
  select j.queue_id, j.priority, skiplease.job_bytes(j.payload, j.headers) as bytes, j.options, j.options -> 'retry' as retry,
         coalesce(j.max_attempts, q.max_attempts) as max_attempts, q.backoff_initial_ms, q.backoff_factor, q.backoff_max_ms, q.backoff_jitter
    into job from skiplease.job j join skiplease.queue q on q.id = j.queue_id where j.id = job_id;
  -- Read before it is locked, since it decides how: these columns never change.
  select l.attempts[array_position(l.job_ids, job_id)] as attempt, l.granted_at,
         coalesce((select s.worker_id from skiplease.session s where s.id = l.session_id), '') as worker_id
    into lease from skiplease.lease l where l.id = skiplease.token_lease_id(token);
  last := coalesce(permanent, false) or lease.attempt >= job.max_attempts;
  held := skiplease.hold(token, job_id, not last);
  if last then
    insert into skiplease.outcome (job_id, lease_id, finished_at, state, attempt)
    values (job_id, held.lease_id, skiplease.now(), 5, held.attempt) on conflict do nothing;
    if not found then
      perform skiplease.refuse_lost(held.lease_id, job_id);
    end if;
    if held.special then
      perform skiplease.count_ended(array[job_id]);
    end if;
  elsif skiplease.is_special(job.options) and not skiplease.is_only_counted(job.options) then
    -- Its gates are for the short transactions of a coordinator to lock.
    perform skiplease.raise('SK010', 'HAS_A_KEY', format('Job %s has a serial or limit key and may be tried again: '
      'roll back, and report its failure to the coordinator.', job_id));
  else
    update skiplease.lease l set settled = set_bit(l.settled, held.place - 1, 1) where l.id = held.lease_id;
    insert into skiplease.scheduled (job_id, run_at, queue_id, bytes, priority, attempt, special)
    select job_id, skiplease.now() + coalesce(retry_delay, interval '1 millisecond' * skiplease.backoff_ms(
             coalesce((job.retry ->> 'initialMs')::float8, job.backoff_initial_ms), coalesce((job.retry ->> 'factor')::float8, job.backoff_factor),
             coalesce((job.retry ->> 'maxMs')::float8, job.backoff_max_ms), coalesce((job.retry ->> 'jitter')::float8, job.backoff_jitter), held.attempt)),
           job.queue_id, job.bytes + coalesce((select octet_length(p.checkpoint) from skiplease.progress p where p.job_id = fail.job_id), 0),
           job.priority, held.attempt + 1, skiplease.is_special(job.options);
  end if;
  insert into skiplease.attempt (job_id, number, lease_id, state, started_at, ended_at, worker_id, error_code, error_message, error_details)
  values (job_id, held.attempt, held.lease_id, 1, lease.granted_at, skiplease.now(), lease.worker_id,
          left(code, 100), left(coalesce(message, ''), 2000), left(coalesce(details, ''), 8000));
  return case when last then 'FAILED' else 'SCHEDULED' end;
end $$;

-- Who may call what: two roles that may do nothing else here (migrate.ts takes all functions from PUBLIC). Roles belong to the whole
-- server, and not everybody may make one.
do $$
declare
  may record;
begin
  for may in
    select * from (values ('skiplease_submitter', array['submit', 'submit_bytes', 'submit_many', 'create_queue', 'sql_interface_version']),
                          ('skiplease_worker', array['check_lease', 'complete', 'complete_bytes', 'fail', 'sql_interface_version'])) as m (role, functions)
  loop
    begin
      if not exists (select from pg_roles where rolname = may.role) then
        execute format('create role %I nologin', may.role);
      end if;
    exception
      -- Another database of this server makes it at this moment.
      when duplicate_object or unique_violation then null;
      when insufficient_privilege then
        raise warning 'The role % does not exist, and % may not create it: coordinator/store/README.md says what to run.', may.role, current_user;
        continue;
    end;
    execute format('grant usage on schema skiplease to %I', may.role);
    execute (select string_agg(format('grant execute on function %s to %I', p.oid::regprocedure, may.role), ';')
               from pg_proc p where p.pronamespace = 'skiplease'::regnamespace and p.proname = any (may.functions));
  end loop;
end $$;
