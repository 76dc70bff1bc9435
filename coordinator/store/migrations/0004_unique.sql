-- Unique keys: which job has each. Decided where a job with a key comes in, under the lock of the key's row; nothing happens at
-- a job's end, whoever wants its key next looks whether it is final. Rows of keys that are free are swept now and then.
create table skiplease.unique_key (
  queue_id integer not null,
  -- Empty: one key for all types of the queue.
  type text not null,
  key text not null,
  -- null: free. It was locked for a job that did not come in.
  job_id uuid,
  -- null: its job has it until that is final.
  expires_at timestamptz,
  primary key (queue_id, type, key)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

create function skiplease.unique_type(job_type text, wanted jsonb) returns text language sql immutable as
$$ select case when wanted ->> 'scope' = 'queue_and_type' then job_type else '' end $$;

-- Locks the keys, in one order, until the transaction ends. `wanted`: JobOptions.unique of each job.
create function skiplease.lock_keys(queue_ids integer[], types text[], wanted jsonb[]) returns void language sql volatile as $$
  insert into skiplease.unique_key (queue_id, type, key)
  select distinct i.queue_id, skiplease.unique_type(i.type, i.wanted), i.wanted ->> 'key'
    from unnest(queue_ids, types, wanted) as i (queue_id, type, wanted) order by 1, 2, 3
  -- Locks the row that is there, and changes nothing.
  on conflict (queue_id, type, key) do update set key = excluded.key where false
$$;

-- Cancels a job if it waits: where its row is, is its lock. `final` or `running`: it does not, and stays as it is. Waits for
-- nobody who has locked the row: a cancel of many jobs takes their rows in another order than the keys of a submit do.
create function skiplease.cancel_waiting(id uuid, why text) returns text language plpgsql volatile as $$
declare
  next_attempt smallint;
  elsewhere text;
begin
  perform skiplease.lock_gates_of(array[id]);
  -- One that is locked, or moved between two of these looks, is looked for again.
  for try in 1..10 loop
    delete from skiplease.scheduled where ctid = (select s.ctid from skiplease.scheduled s where s.job_id = id for update skip locked)
    returning attempt into next_attempt;
    if not found then
      delete from skiplease.blocked where ctid = (select b.ctid from skiplease.blocked b where b.job_id = id for update skip locked)
      returning attempt into next_attempt;
    end if;
    if not found then
      delete from skiplease.ready where ctid = (select r.ctid from skiplease.ready r where r.again and r.job_id = id for update skip locked)
      returning attempt into next_attempt;
    end if;
    if found then
      insert into skiplease.outcome (job_id, lease_id, finished_at, state, attempt, reason)
      values (id, null, skiplease.now(), 6, next_attempt - 1, array['CANCELLED', why]);
      return 'cancelled';
    end if;
    -- In one snapshot it is in one place: where it neither waits nor is final, it runs.
    select case when exists (select from skiplease.outcome o where o.job_id = id) then 'final'
                when not exists (select from skiplease.scheduled s where s.job_id = id)
                 and not exists (select from skiplease.blocked b where b.job_id = id)
                 and not exists (select from skiplease.ready r where r.again and r.job_id = id) then 'running' end into elsewhere;
    if elsewhere is not null then
      return elsewhere;
    end if;
    perform pg_sleep(0.01 * try);
  end loop;
  raise exception using errcode = 'lock_not_available', message = format('job %s is on the move', id);
end $$;

-- Takes the key for a job that is about to be inserted, in the same transaction. `holder_id`: another job has it, and keeps it;
-- this one must not come in. `replaced_id`: had it, and was cancelled; where it was special, after_end() is still to be called.
create function skiplease.take_key(id uuid, of_queue integer, job_type text, wanted jsonb, out holder_id uuid, out replaced_id uuid)
language plpgsql volatile as $$
declare
  moment constant timestamptz := skiplease.now();
  of_type constant text := skiplease.unique_type(job_type, wanted);
  of_key constant text := wanted ->> 'key';
  taken skiplease.unique_key;
begin
  -- A repeated submit: its id decides, whoever has its key by now.
  if exists (select from skiplease.job j where j.id = take_key.id) then
    return;
  end if;
  insert into skiplease.unique_key (queue_id, type, key) values (of_queue, of_type, of_key)
  on conflict (queue_id, type, key) do update set key = excluded.key where false;
  -- Locked, now look. A key of limited lifetime is kept by a final job, too.
  select u.* into taken from skiplease.unique_key u
   where u.queue_id = of_queue and u.type = of_type and u.key = of_key and u.job_id <> take_key.id
     and case when u.expires_at is null
              then exists (select from skiplease.job j where j.id = u.job_id)
                   and not exists (select from skiplease.outcome o where o.job_id = u.job_id)
              else u.expires_at > moment end;
  if found then
    case wanted ->> 'onConflict'
      when 'reject' then
        raise exception using errcode = 'SK011', detail = 'UNIQUE_KEY_TAKEN',
          message = format('Job %s has the unique key %s.', taken.job_id, to_json(of_key));
      when 'replace' then
        case skiplease.cancel_waiting(taken.job_id, format('replaced by job %s', take_key.id))
          when 'cancelled' then replaced_id := taken.job_id;
          when 'running' then holder_id := taken.job_id;
          -- It has ended since we looked.
          else holder_id := case when taken.expires_at is not null then taken.job_id end;
        end case;
      else
        holder_id := taken.job_id;
    end case;
  end if;
  if holder_id is null then
    update skiplease.unique_key u
       set job_id = take_key.id, expires_at = moment + (wanted ->> 'lifetimeMs')::float8 * interval '1 millisecond'
     where u.queue_id = of_queue and u.type = of_type and u.key = of_key;
  end if;
end $$;
