/** A run that held, and then each thing that could be wrong with it, done by hand: the invariants name every one. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import pg from 'pg';
import { JobClient } from '../../worker/index.ts';
import { makeAuditTables } from '../../worker/payments/audit_tables.ts';
import { readExpected } from '../../worker/payments/expected.ts';
import { checkInvariants } from '../../worker/payments/invariants.ts';
import { newRun } from '../../worker/payments/job_id.ts';
import { paymentJobs } from '../../worker/payments/payment_jobs.ts';
import { startCoordinator, type TestCoordinator } from '../support/coordinator.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startScript, type TestProcess } from '../support/processes.ts';
import { waitFor } from '../support/wait.ts';

const worker = new URL('../../worker/payments/worker.ts', import.meta.url).pathname;
const jobCount = 150;
const run = newRun();

const folder = mkdtempSync(join(tmpdir(), 'skiplease-invariants-'));
const path = join(folder, 'intents.csv');
const row = (reference: string, token = 'tok_visa', iban = 'DE89370400440532013000', amount = '12.50', currency = 'EUR'): string =>
  `${reference},2026-03-02T09:15:00Z,Blue Door Books,Zoë,${iban},${currency},${amount},card,${token},`;
writeFileSync(path, [
  'reference,created,merchant,customer,iban,currency,amount,method,token,note',
  ...Array.from({ length: 40 }, (_, index) => row(`ok${index}`, 'tok_visa', undefined, index % 2 === 0 ? '7.77' : '1.234', index % 2 === 0 ? 'EUR' : 'KWD')),
  row('ok0', 'tok_visa', undefined, '7.77'), row('ok2', 'tok_visa', undefined, '7.77'), row('ok2', 'tok_visa', undefined, '7.77'),
  row('no1', 'tok_decline_expired_card'), row('no2', 'tok_decline_expired_card'), row('no2', 'tok_decline_expired_card'),
  row('late', 'tok_timeout_twice'), row('never', 'tok_provider_down'), row('mistyped', 'tok_visa', 'DE88370400440532013000'), row('yen', 'tok_visa', undefined, '900', 'JPY'),
].join('\n'));

let database: TestDatabase;
let coordinator: TestCoordinator;
let working: TestProcess;
let client: pg.Client;

test.before(async () => {
  database = await createTestDatabase();
  coordinator = await startCoordinator({ databaseUrl: database.url });
  working = await startScript(worker, [], { SKIPLEASE_ADDRESSES: coordinator.grpcAddress, DATABASE_URL: database.url, SKIPLEASE_WORKER_ID: 'w' });
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
  const submitter = new JobClient({ addresses: [coordinator.grpcAddress] });
  const submit = () => submitter.stream(paymentJobs({ path, run, jobCount, onUnreadable: () => {} }));
  const first = await submit();
  const second = await submit();
  submitter.close();
  // The whole submit repeated: its ids derive from run, copy and row.
  if (first.created !== jobCount || second.existing !== jobCount || second.created !== 0) throw new Error(JSON.stringify({ first, second }));
  await waitFor(async () => {
    const { rows } = await client.query<{ count: number }>('select count(*)::integer as count from skiplease.outcome');
    return rows[0]!.count === jobCount;
  }, { deadlineMs: 30_000, what: 'every job to end' });
});

test.after.always(async () => {
  await client?.end();
  await working?.stop();
  await coordinator?.stop();
  await database?.drop();
  rmSync(folder, { recursive: true, force: true });
});

/** The broken invariants and their culprits after these statements, which are undone again. */
async function broken(statements: string, rows = readExpected(path).rows): Promise<Record<string, string[]>> {
  await client.query('begin');
  try {
    await client.query(statements);
    await makeAuditTables(client, { run, rows, jobCount });
    const invariants = await checkInvariants(client, run);
    return Object.fromEntries(invariants.filter(({ held }) => !held).map(({ title, culprits }) => [title, culprits]));
  } finally {
    await client.query('rollback');
  }
}

const intentOf = (reference: string): string => `(select id from ledger.intent where reference = '${reference}' and copy = 1 and run = '${run}')`;
const entryOf = (reference: string): string => `(select id from ledger.entry where intent_id = ${intentOf(reference)})`;
const jobOf = (line: number): string => `(select id from skiplease.job where (convert_from(payload, 'UTF8')::json ->> 'line')::integer = ${line}
  and (convert_from(payload, 'UTF8')::json ->> 'copy')::integer = 1)`;

test.serial('all hold after an honest run: three copies of the file, of which the last is cut short', async (t) => {
  t.deepEqual(await broken('select 1'), {});
});

test.serial('a deleted posting is named', async (t) => {
  const found = await broken(`delete from ledger.posting where account = 'provider' and entry_id = ${entryOf('ok4')}`);
  t.deepEqual(Object.keys(found), ['the ledger balances to zero', 'the ledger\'s sums are the file\'s']);
  t.regex(found['the ledger balances to zero']![0]!, /ok4 \(line 6, copy 1\), is off by EUR -777/);
  t.regex(found['the ledger\'s sums are the file\'s']![0]!, /^EUR: [\d.,]+ in the ledger, [\d.,]+ in the file$/);
});

test.serial('an entry without any posting is named', async (t) => {
  const found = await broken(`delete from ledger.posting where entry_id = ${entryOf('ok4')}`);
  t.regex(found['the ledger balances to zero']![0]!, /ok4/);
});

test.serial('a payment captured twice is named', async (t) => {
  const found = await broken(`
    alter table ledger.entry drop constraint entry_intent_id_kind_key;
    with again as (insert into ledger.entry (intent_id, kind) values (${intentOf('ok6')}, 'capture') returning id)
    insert into ledger.posting select again.id, account, currency, amount_minor from again, ledger.posting where entry_id = ${entryOf('ok6')}`);
  t.deepEqual(found['no payment was captured twice'], ['ok6 (copy 1) was captured 2 times']);
  t.truthy(found['the ledger\'s sums are the file\'s']);
});

test.serial('a removed outcome is named', async (t) => {
  const found = await broken(`delete from skiplease.outcome where job_id = ${jobOf(9)}`);
  t.deepEqual(found['every job ended in exactly one final state'], ['ok7 (line 9, copy 1) has no final state']);
});

test.serial('a job that has ended and waits all the same is named', async (t) => {
  const found = await broken(`insert into skiplease.scheduled (job_id, run_at, queue_id, bytes, priority, attempt)
    select ${jobOf(9)}, now(), id, 0, 0, 1 from skiplease.queue`);
  t.deepEqual(found['every job ended in exactly one final state'], ['ok7 (line 9, copy 1) has ended and is still waiting']);
});

test.serial('a job that is lost is named', async (t) => {
  const found = await broken(`delete from skiplease.outcome where job_id = ${jobOf(9)}; delete from skiplease.job where id = ${jobOf(9)}`);
  t.deepEqual(found['every intent of the file became one job'], ['ok7 (line 9, copy 1) became no job']);
});

test.serial('a payment that is missing from the ledger, or has another amount, is named', async (t) => {
  const missing = await broken(`delete from ledger.posting where entry_id = ${entryOf('ok8')}; delete from ledger.entry where id = ${entryOf('ok8')};
    delete from ledger.intent where id = ${intentOf('ok8')}`);
  t.deepEqual(missing['each payment came to what the file says'], ['EUR 777 of ok8 should be in the ledger and is not']);
  t.truthy(missing['the numbers are the file\'s']);
  const other = await broken(`update ledger.intent set amount_minor = 778 where id = ${intentOf('ok8')};
    update ledger.posting set amount_minor = amount_minor + 1 where account = 'provider' and entry_id = ${entryOf('ok8')};
    update ledger.posting set amount_minor = amount_minor - 1 where account like 'merchant%' and entry_id = ${entryOf('ok8')}`);
  t.deepEqual(Object.keys(other), ['each payment came to what the file says', 'the ledger\'s sums are the file\'s']);
});

test.serial('a forgotten duplicate and a decline that was captured are counted', async (t) => {
  const counts = 'the numbers are the file\'s';
  t.deepEqual((await broken(`delete from ledger.duplicate where job_id = (select job_id from ledger.duplicate limit 1)`))[counts], ['duplicates: 8, the file has 9']);
  // As if the file had it the other way round: numbers and sums agree all the same, so each payment is looked at.
  const { rows } = readExpected(path);
  const swapped = rows.map((expected) => (expected.reference === 'late' ? { ...expected, fate: 'declined' as const } : expected));
  const both = swapped.map((expected) => (expected.reference === 'no1' ? { ...expected, fate: 'captured' as const } : expected));
  t.deepEqual(Object.keys(await broken('select 1', both)), ['each payment came to what the file says']);
  const late = await broken('select 1', swapped);
  t.true(late['each payment came to what the file says']!.includes('late (line 48, copy 1) should be declined and is captured'));
});
