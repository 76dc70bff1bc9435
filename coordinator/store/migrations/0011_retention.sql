-- Carrying over. While the jobs of old partitions that must stay are copied (store/retire.ts), what is written to those
-- partitions meanwhile is written to the copy as well, in the same transaction: its table is the trigger's argument. A
-- SECURITY DEFINER, because whoever may end a job may know nothing of the copy.
create function skiplease.carry_over() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as
$$ begin
  execute format('insert into skiplease.%I select ($1).* on conflict do nothing', tg_argv[0]) using new;
  return null;
end $$;
