/**
 * What the database itself saw of leases, for the checker: a row for each grant, resume, settlement and end, written by triggers in
 * the transaction that does it. Nothing here is read, locked or indexed while the lab runs. Beside it the tables of an
 * application whose effects share transactions with its jobs: a ledger (done with the job) and orders (placed with its submit).
 */
export const WITNESS = `
create schema fault;
create table fault.session (id uuid, instance_id text, window_jobs integer, at timestamptz);
create table fault.granted (lease_id bigint, secret bigint, session_id uuid, job_ids uuid[], attempts smallint[], at timestamptz);
create table fault.moved (lease_id bigint, session_id uuid, at timestamptz);
create table fault.settled (lease_id bigint, settled varbit, at timestamptz);
create table fault.dropped (lease_id bigint, at timestamptz);
create table fault.ledger (job_id uuid, lease_id bigint);
create table fault.orders (job_id uuid);

create function fault.see_session() returns trigger language plpgsql as $$
begin
  insert into fault.session values (new.id, new.instance_id, new.window_jobs, clock_timestamp());
  return null;
end $$;
create trigger fault_witness after insert on skiplease.session for each row execute function fault.see_session();

create function fault.see_lease() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into fault.granted values (new.id, new.secret, new.session_id, new.job_ids, new.attempts, clock_timestamp());
  elsif tg_op = 'DELETE' then
    insert into fault.dropped values (old.id, clock_timestamp());
  else
    if new.settled <> old.settled then
      insert into fault.settled values (new.id, new.settled, clock_timestamp());
    end if;
    if new.session_id <> old.session_id then
      insert into fault.moved values (new.id, new.session_id, clock_timestamp());
    end if;
  end if;
  return null;
end $$;
create trigger fault_witness after insert or update or delete on skiplease.lease for each row execute function fault.see_lease();
`;
