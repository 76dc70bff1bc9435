import type pg from 'pg';

/**
 * The role that a coordinator needs to be of, once the schema is there: it owns nothing, changes no table's shape, and can alter or delete
 * no job, outcome or attempt. Partitions it makes and drops by functions alone (0017_partition_functions.sql).
 */
export const COORDINATOR_ROLE = 'skiplease_coordinator';

const GRANT = `do $$
declare
  relation record;
begin
  begin
    if not exists (select from pg_catalog.pg_roles where rolname = '${COORDINATOR_ROLE}') then
      create role ${COORDINATOR_ROLE} nologin;
    end if;
  exception
    -- Another database of this server makes it at this moment.
    when duplicate_object or unique_violation then null;
    when insufficient_privilege then
      raise warning 'The role ${COORDINATOR_ROLE} does not exist, and % may not create it: coordinator/store/README.md says what to run.', current_user;
      return;
  end;
  grant usage on schema skiplease to ${COORDINATOR_ROLE};
  grant usage, select, update on all sequences in schema skiplease to ${COORDINATOR_ROLE};
  grant execute on all functions in schema skiplease to ${COORDINATOR_ROLE};
  for relation in
    select c.relname as name from pg_catalog.pg_class c
     where c.relnamespace = 'skiplease'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
  loop
    execute format('grant %s on skiplease.%I to ${COORDINATOR_ROLE}', case
      when relation.name ~ '^(job|outcome|attempt)(_before_|$)' then 'select, insert'
      when relation.name in ('clock', 'migration') then 'select'
      else 'select, insert, update, delete' end, relation.name);
  end loop;
end $$`;

/** Whether somebody who may grants it now: the schema is theirs, and the role has not been granted what is there. */
const IS_MISSING = `
  select pg_catalog.pg_has_role(n.nspowner, 'usage')
         and not exists (select from pg_catalog.pg_roles r where r.rolname = '${COORDINATOR_ROLE}' and pg_catalog.has_schema_privilege(r.oid, n.oid, 'usage')) as missing
    from pg_catalog.pg_namespace n where n.nspname = 'skiplease'`;

/** Grants what coordinators need to their role, after migrations (`migrated`) or where the role has come about since. */
export async function grantRoles(client: pg.ClientBase, migrated: boolean): Promise<void> {
  const { rows } = migrated ? { rows: [] } : await client.query<{ missing: boolean }>(IS_MISSING);
  if (migrated || rows[0]?.missing === true) {
    await client.query(GRANT);
  }
}
