-- What coordinators do to partitions, as functions with their owner's rights: so a coordinator itself may run as a role that owns
-- nothing (skiplease_coordinator, grant_roles.ts). Each makes up the names it uses, or finds them in the catalog.

-- The day that a partition begins, or for the lowest one ends, as its name has it.
create function skiplease.partition_day(id uuid) returns text language sql immutable as
$$ select to_char(skiplease.uuid_time(id) at time zone 'UTC', 'YYYYMMDD') $$;

create function skiplease.partitioned_tables() returns text[] language sql immutable as $$ select array['job', 'outcome', 'attempt'] $$;

-- Partitions of a table that end at this id or before.
create function skiplease.partitions_below(parent text, end_id uuid) returns setof text language sql stable as $$
  select b.name
    from pg_catalog.pg_inherits i
   cross join lateral (select c.relname::text as name, pg_catalog.pg_get_expr(c.relpartbound, c.oid) as bound from pg_catalog.pg_class c where c.oid = i.inhrelid) b
   where i.inhparent = format('skiplease.%I', parent)::regclass and b.bound is not null
     and substring(b.bound from 'TO \(''([0-9a-f-]{36})''\)')::uuid <= end_id
   order by b.name
$$;

-- CREATE, then ATTACH, because that does not block reads and writes of the parent. from_id null: the lowest one. One at a time, and the
-- loser finds it made.
create function skiplease.add_partition(parent text, from_id uuid, to_id uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  name constant text := case when from_id is null then format('%s_before_%s', parent, skiplease.partition_day(to_id))
                             else format('%s_%s', parent, skiplease.partition_day(from_id)) end;
begin
  if parent <> all (skiplease.partitioned_tables()) then
    raise exception 'no table of ours has partitions of this name: %', parent;
  end if;
  perform pg_advisory_xact_lock(7420002);
  if to_regclass(format('skiplease.%I', name)) is null then
    execute format('create table skiplease.%I (like skiplease.%I including all)', name, parent);
    execute format('alter table skiplease.%I attach partition skiplease.%I for values from (%s) to (%L)',
      parent, name, case when from_id is null then 'minvalue' else quote_literal(from_id) end, to_id);
  end if;
end $$;

-- The tables that are to take the place of all partitions up to an end, empty. What is younger than a day is nobody's to drop.
create function skiplease.make_lowest(end_id uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  parent text;
  name text;
begin
  if skiplease.uuid_time(end_id) > skiplease.now() - interval '1 day' then
    raise exception 'jobs of the last day are not retired';
  end if;
  foreach parent in array skiplease.partitioned_tables() loop
    name := format('%s_before_%s', parent, skiplease.partition_day(end_id));
    execute format('drop table if exists skiplease.%I', name);
    -- The check is what ATTACH would otherwise read the whole table for.
    execute format('create table skiplease.%I (like skiplease.%I including all, constraint below check (%I < %L))',
      name, parent, case parent when 'job' then 'id' else 'job_id' end, end_id);
    -- What the parent's grants say of its partitions, said of one that is none yet.
    if exists (select from pg_roles where rolname = 'skiplease_coordinator') then
      execute format('grant select, insert on skiplease.%I to skiplease_coordinator', name);
    end if;
  end loop;
end $$;

-- From now on what is written to the old partitions is written there too.
create function skiplease.follow_lowest(end_id uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  parent text;
  name text;
begin
  foreach parent in array skiplease.partitioned_tables() loop
    for name in select skiplease.partitions_below(parent, end_id) loop
      execute format('create or replace trigger carry_over after insert on skiplease.%I for each row execute function skiplease.carry_over(%L)',
        name, format('%s_before_%s', parent, skiplease.partition_day(end_id)));
    end loop;
  end loop;
end $$;

-- Drops the old partitions and puts the new tables into their place. The parents are locked before anything is done: who comes later
-- waits there, and holds nothing.
create function skiplease.swap_lowest(end_id uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  parent text;
begin
  lock table only skiplease.job, only skiplease.outcome, only skiplease.attempt in access exclusive mode;
  foreach parent in array skiplease.partitioned_tables() loop
    execute (select format('drop table %s', string_agg(format('skiplease.%I', old.name), ', '))
               from skiplease.partitions_below(parent, end_id) as old (name));
    execute format('alter table skiplease.%I attach partition skiplease.%I for values from (minvalue) to (%L)',
      parent, format('%s_before_%s', parent, skiplease.partition_day(end_id)), end_id);
  end loop;
end $$;
