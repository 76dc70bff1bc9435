-- The demo's double-entry ledger. It is an application's own schema, beside Skiplease's and independent of it: workers
-- in any language call ledger.capture() inside their own transaction.
create schema if not exists ledger;
comment on schema ledger is 'Skiplease payments demo';

-- A captured payment. Its key is what catches a duplicated intent and a job that is handled a second time.
create table if not exists ledger.intent (
  id bigint generated always as identity primary key,
  -- One submit of one file; a reference means the same payment within one run and one copy of the file only.
  run text not null,
  copy integer not null,
  reference text not null,
  -- Where it stands in the file.
  line integer not null,
  job_id uuid not null,
  attempt integer not null,
  worker_id text not null,
  merchant text not null,
  currency text not null,
  amount_minor bigint not null check (amount_minor > 0),
  captured_at timestamptz not null default clock_timestamp(),
  unique (run, copy, reference)
);

-- A journal entry: the capture of an intent. (Refunds would be another kind.)
create table if not exists ledger.entry (
  id bigint generated always as identity primary key,
  intent_id bigint not null references ledger.intent,
  kind text not null,
  unique (intent_id, kind)
);

-- What an entry does to the accounts, in minor units. Debits are positive, credits negative; an entry's postings come to zero.
create table if not exists ledger.posting (
  entry_id bigint not null references ledger.entry,
  account text not null,
  currency text not null,
  amount_minor bigint not null check (amount_minor <> 0),
  primary key (entry_id, account)
);

-- Jobs whose intent another job had captured already.
create table if not exists ledger.duplicate (
  job_id uuid primary key,
  intent_id bigint not null references ledger.intent
);
create index if not exists duplicate_intent on ledger.duplicate (intent_id);

-- Captures one payment. The answer is one of
--   captured     entry and postings are written
--   redelivered  this very job captured it before, and died (or was cut off) before its report was committed
--   duplicate    another job captured the same intent; noted in ledger.duplicate
--   conflict     another job captured another payment under this reference; nothing is written
-- A transaction that captures several must take them in the order of their keys, the same for all workers (as JSON text,
-- ["run",copy,"reference"], compared by UTF-16 units): each waits for whoever else is capturing the same one, and one
-- order for all makes a circle of waiting impossible.
create or replace function ledger.capture(
  run text, copy integer, reference text, line integer, job_id uuid, attempt integer, worker_id text,
  merchant text, currency text, amount_minor bigint
) returns text language plpgsql as $$
#variable_conflict use_variable
declare
  new_intent_id bigint;
  new_entry_id bigint;
  earlier ledger.intent;
  -- 1.5 per cent, rounded down to the minor unit.
  fee_minor constant bigint := div(amount_minor::numeric * 15, 1000);
begin
  insert into ledger.intent (run, copy, reference, line, job_id, attempt, worker_id, merchant, currency, amount_minor)
  values (run, copy, reference, line, job_id, attempt, worker_id, merchant, currency, amount_minor)
  on conflict do nothing
  returning id into new_intent_id;

  if new_intent_id is null then
    select i.* into strict earlier from ledger.intent i where (i.run, i.copy, i.reference) = (run, copy, reference);
    if earlier.job_id = job_id then
      return 'redelivered';
    end if;
    if (earlier.merchant, earlier.currency, earlier.amount_minor) is distinct from (merchant, currency, amount_minor) then
      return 'conflict';
    end if;
    insert into ledger.duplicate (job_id, intent_id) values (job_id, earlier.id) on conflict do nothing;
    return 'duplicate';
  end if;

  insert into ledger.entry (intent_id, kind) values (new_intent_id, 'capture') returning id into new_entry_id;
  insert into ledger.posting (entry_id, account, currency, amount_minor)
  select new_entry_id, p.account, currency, p.amount
  from (values ('provider', amount_minor), ('merchant: ' || merchant, fee_minor - amount_minor), ('fees', -fee_minor)) p (account, amount)
  where p.amount <> 0;
  return 'captured';
end $$;

-- The statements of the day's end, one for each merchant.
create table if not exists ledger.statement (
  run text not null,
  merchant integer not null,
  job_id uuid not null,
  primary key (run, merchant)
);
