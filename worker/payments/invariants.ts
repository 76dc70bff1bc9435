/** What must hold after a run, each checked in the database against the file. A broken one names its culprits. */
import type pg from 'pg';
import { formatMinor } from './currency.ts';

export interface Invariant {
  title: string;
  held: boolean;
  /** How much was checked, in a few words. */
  measure: string;
  /** Who breaks it, one line each, sorted; at most `culpritsMax`, then how many more there are. */
  culprits: string[];
}

const culpritsMax = 5;

interface Check {
  title: string;
  /** One row: `measure`, text. */
  measure: string;
  /** One row a culprit: `culprit`, text. $1 is the run. No rows: the invariant holds. */
  culprits: string;
}

/** How a job or an intent is named to people. */
const named = (alias: string): string => `format('%s (line %s, copy %s)', ${alias}.reference, ${alias}.line, ${alias}.copy)`;

const checks: readonly Check[] = [
  {
    title: 'every intent of the file became one job',
    measure: `select format('%s jobs', to_char(count(*), 'FM999,999,999')) as measure from run_job`,
    culprits: `
      select format('%s %s', ${named('e')}, case count(j.job_id) when 0 then 'became no job' else format('became %s jobs', count(j.job_id)) end) as culprit
      from expected_job e left join run_job j using (copy, line) group by e.copy, e.line, e.reference having count(j.job_id) <> 1
      union all
      select format('%s is a job, and not in the file', ${named('j')}) from run_job j left join expected_job e using (copy, line) where e.line is null`,
  },
  {
    title: 'every job ended in exactly one final state',
    measure: `select format('%s jobs ended', to_char(count(*) filter (where outcome is not null), 'FM999,999,999')) as measure from run_job`,
    culprits: `
      select format('%s has no final state', ${named('j')}) as culprit from run_job j where outcome is null
      union all
      select format('%s has %s final states', ${named('j')}, count(*)) from run_job j group by job_id, copy, line, reference having count(*) > 1
      union all
      select format('%s has ended and is still waiting', ${named('j')}) from run_job j
      where outcome is not null and (exists (select from skiplease.ready r where r.job_id = j.job_id)
        or exists (select from skiplease.scheduled s where s.job_id = j.job_id))`,
  },
  {
    title: 'no payment was captured twice',
    measure: `select format('%s captured', to_char(count(*), 'FM999,999,999')) as measure from ledger.intent where run = $1`,
    culprits: `
      select format('%s (copy %s) was captured %s times', reference, copy, count(*)) as culprit
      from ledger.intent i join ledger.entry e on e.intent_id = i.id and e.kind = 'capture'
      where i.run = $1 group by copy, reference having count(*) > 1`,
  },
  {
    title: 'each payment came to what the file says',
    measure: `select format('%s intents', to_char(count(distinct (copy, reference)), 'FM999,999,999')) as measure from expected_job`,
    culprits: `
      select format('%s should be %s and is %s', ${named('j')}, e.fate, coalesce(j.outcome, 'unfinished') || coalesce(' (' || j.error_code || ')', '')) as culprit
      from run_job j join expected_job e using (copy, line)
      where case e.fate when 'captured' then j.outcome is null or j.outcome not in ('captured', 'duplicate') else j.outcome is distinct from e.fate end
      union all
      select case when i.id is null then format('%s %s of %s should be in the ledger and is not', e.currency, e.amount_minor, e.reference)
        else format('%s should be %s %s in the ledger and is %s %s (minor units)', e.reference, e.currency, e.amount_minor, i.currency, i.amount_minor) end
      from (select distinct copy, reference, currency, amount_minor from expected_job where fate = 'captured') e
      left join ledger.intent i on (i.run, i.copy, i.reference) = ($1, e.copy, e.reference)
      where (e.currency, e.amount_minor) is distinct from (i.currency, i.amount_minor)
      union all
      select format('%s is in the ledger and should not be', ${named('i')}) from ledger.intent i
      where i.run = $1 and not exists (select from expected_job e where e.fate = 'captured' and (e.copy, e.reference) = (i.copy, i.reference))`,
  },
  {
    title: 'the ledger balances to zero',
    measure: `
      select format('%s postings', to_char(count(*), 'FM999,999,999')) as measure
      from ledger.posting p join ledger.entry e on e.id = p.entry_id join ledger.intent i on i.id = e.intent_id where i.run = $1`,
    culprits: `
      select format('entry %s, %s, is off by %s %s (minor units)', e.id, ${named('i')}, coalesce(p.currency, i.currency), coalesce(sum(p.amount_minor), i.amount_minor)) as culprit
      from ledger.intent i join ledger.entry e on e.intent_id = i.id left join ledger.posting p on p.entry_id = e.id
      where i.run = $1 group by e.id, i.id, p.currency having coalesce(sum(p.amount_minor), 1) <> 0`,
  },
];

/** Numbers that the database and the file must agree on. Each: `what`, `ours`, `files`. */
const countsQuery = `
  with file as (
    select 'captured' as what, count(distinct (copy, reference)) as count from expected_job where fate = 'captured'
    union all select 'duplicate', count(*) - count(distinct (copy, reference)) from expected_job where fate = 'captured'
    union all select f.fate, count(e.line) from unnest(array['declined', 'invalid_iban', 'gave_up']) f (fate) left join expected_job e using (fate) group by f.fate
  ), ours as (
    select 'captured' as what, count(*) as count from ledger.intent where run = $1
    union all select 'duplicate', count(*) from ledger.duplicate d join ledger.intent i on i.id = d.intent_id where i.run = $1
    union all select outcome, count(*) from run_job where outcome not in ('captured', 'duplicate') group by outcome
  )
  select what, coalesce(ours.count, 0)::integer as ours, coalesce(file.count, 0)::integer as files from file full join ours using (what)`;

/** What the provider owes us by the ledger, and by the file. Each: `currency`, `ours`, `files`, in minor units. */
const sumsQuery = `
  with file as (
    select currency, sum(amount_minor) as sum
    from (select distinct copy, reference, currency, amount_minor from expected_job where fate = 'captured') as once group by currency
  ), ours as (
    select p.currency, sum(p.amount_minor) as sum
    from ledger.posting p join ledger.entry e on e.id = p.entry_id join ledger.intent i on i.id = e.intent_id
    where i.run = $1 and p.account = 'provider' group by p.currency
  )
  select currency, coalesce(ours.sum, 0)::text as ours, coalesce(file.sum, 0)::text as files from file full join ours using (currency) order by currency`;

const number = (count: number): string => count.toLocaleString('en');

/** What the counts are called, in the order in which they are told. */
const countNames: Readonly<Record<string, string>> = {
  captured: 'captured', duplicate: 'duplicates', declined: 'declined', invalid_iban: 'bad IBANs', gave_up: 'gave up', cancelled: 'cancelled',
};

function invariant(title: string, measure: string, culprits: string[]): Invariant {
  const shown = culprits.toSorted().slice(0, culpritsMax);
  if (culprits.length > shown.length) shown.push(`… and ${culprits.length - shown.length} more`);
  return { title, held: culprits.length === 0, measure, culprits: shown };
}

async function checkCounts(client: pg.ClientBase, run: string): Promise<Invariant> {
  const { rows } = await client.query<{ what: string; ours: number; files: number }>(countsQuery, [run]);
  const counted = (what: string): number => rows.find((row) => row.what === what)?.ours ?? 0;
  const others = counted('invalid_iban') + counted('gave_up');
  const measure = [`${number(counted('duplicate'))} duplicates`, `${number(counted('declined'))} declined`, `${number(others)} others failed`].join(', ');
  const off = rows.filter(({ ours, files }) => ours !== files);
  return invariant('the numbers are the file\'s', measure,
    off.map(({ what, ours, files }) => `${countNames[what] ?? what}: ${ours}, the file has ${files}`));
}

async function checkSums(client: pg.ClientBase, run: string): Promise<Invariant> {
  const { rows } = await client.query<{ currency: string; ours: string; files: string }>(sumsQuery, [run]);
  const money = (minor: string, currency: string): string => formatMinor(BigInt(minor), currency, true);
  const off = rows.filter(({ ours, files }) => ours !== files);
  return invariant('the ledger\'s sums are the file\'s', rows.length === 1 ? '1 currency' : `${rows.length} currencies`,
    off.map(({ currency, ours, files }) => `${currency}: ${money(ours, currency)} in the ledger, ${money(files, currency)} in the file`));
}

/**
 * Checks everything, in the order in which a reader wants to know it. makeAuditTables() must have been called in the same
 * session, for the same run.
 */
export async function checkInvariants(client: pg.ClientBase, run: string): Promise<Invariant[]> {
  const invariants: Invariant[] = [];
  for (const { title, measure, culprits } of checks) {
    const usesRun = (text: string): string[] => (text.includes('$1') ? [run] : []);
    const measured = await client.query<{ measure: string }>(measure, usesRun(measure));
    const found = await client.query<{ culprit: string }>(culprits, usesRun(culprits));
    invariants.push(invariant(title, measured.rows[0]!.measure, found.rows.map(({ culprit }) => culprit)));
  }
  return [...invariants, await checkSums(client, run), await checkCounts(client, run)];
}
