/** The demo's handler on a real database: what a decline undoes, what a second delivery finds, what a crash leaves. */
import { once } from 'node:events';
import test from 'ava';
import pg from 'pg';
import { PermanentError, RetryAfterError, SnoozeError } from '../../worker/index.ts';
import { captureLease, type CaptureJob, type CaptureResult } from '../../worker/payments/handler.ts';
import { ForeignLedgerError, ledgerPool, prepareLedger } from '../../worker/payments/ledger.ts';
import { jobIdOf, newRun } from '../../worker/payments/job_id.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { waitFor } from '../support/wait.ts';

let database: TestDatabase;
let pool: pg.Pool;
const signal = new AbortController().signal;

test.before(async () => {
  database = await createTestDatabase();
  pool = ledgerPool(database.url, 10);
  const clients = await Promise.all(Array.from({ length: 5 }, () => pool.connect()));
  await Promise.all(clients.map((client) => prepareLedger(client)));
  for (const client of clients) client.release();
  await pool.query(`alter table ledger.intent add constraint refuses check (reference <> 'refused')`);
});

test.after.always(async () => {
  await pool?.end();
  await database?.drop();
});

interface Line { reference?: string; token?: string; amount?: string; currency?: string; iban?: string; merchant?: string; line?: number }

function jobs(run: string, lines: Line[], attempt = 1): CaptureJob[] {
  return lines.map(({ line, ...fields }, index) => {
    const at = line ?? index + 2;
    const payload = {
      run, copy: 1, line: at, reference: `pi_${at}`, merchant: 'Blue Door Books', iban: 'DE89370400440532013000',
      currency: 'EUR', amount: '10.00', token: 'tok_visa', ...fields,
    };
    return { id: jobIdOf(run, 1, at), attempt, json: <T>() => payload as T };
  });
}

async function postings(run: string): Promise<string[]> {
  const { rows } = await pool.query<{ text: string }>(
    `select concat_ws(' ', i.reference, p.account, p.currency, p.amount_minor) as text
     from ledger.intent i join ledger.entry e on e.intent_id = i.id join ledger.posting p on p.entry_id = e.id
     where i.run = $1 order by i.line, p.amount_minor desc`, [run]);
  return rows.map(({ text }) => text);
}

const code = (outcome: unknown): string | undefined =>
  outcome instanceof PermanentError || outcome instanceof RetryAfterError ? outcome.code : (outcome as CaptureResult).outcome;

test('a declined payment rolls back alone: its neighbours in the transaction stay', async (t) => {
  const run = newRun();
  const lease = jobs(run, [{}, { token: 'tok_decline_do_not_honor' }, { amount: '0.10' }, { token: 'tok_provider_down' }, { iban: 'DE88370400440532013000' }]);
  const outcomes = await captureLease(pool, 'w')(lease, { signal });
  t.deepEqual(lease.map(({ id }) => code(outcomes.get(id))), ['captured', 'CARD_DECLINED', 'captured', 'PROVIDER_UNAVAILABLE', 'INVALID_IBAN']);
  t.true(outcomes.get(lease[1]!.id) instanceof PermanentError);
  t.true(outcomes.get(lease[3]!.id) instanceof RetryAfterError);
  t.deepEqual(await postings(run), [
    'pi_2 provider EUR 1000', 'pi_2 fees EUR -15', 'pi_2 merchant: Blue Door Books EUR -985',
    'pi_4 provider EUR 10', 'pi_4 merchant: Blue Door Books EUR -10',
  ]);
});

test('a payment that the database itself refuses rolls back alone, too', async (t) => {
  const run = newRun();
  const lease = jobs(run, [{}, { merchant: 'a\u0000b' }, { reference: 'refused' }, {}]);
  const outcomes = await captureLease(pool, 'w')(lease, { signal });
  t.is(code(outcomes.get(lease[1]!.id)), 'BAD_INTENT');
  t.is((outcomes.get(lease[2]!.id) as pg.DatabaseError).code, '23514');
  t.deepEqual((await postings(run)).filter((posting) => posting.includes('provider')), ['pi_2 provider EUR 1000', 'pi_5 provider EUR 1000']);
});

test('time-outs at the provider succeed at a later attempt', async (t) => {
  const run = newRun();
  const lines = [{ token: 'tok_timeout_once' }, { token: 'tok_timeout_twice' }];
  const codes: unknown[] = [];
  for (const attempt of [1, 2, 3]) {
    const lease = jobs(run, lines, attempt);
    const outcomes = await captureLease(pool, 'w')(lease, { signal });
    codes.push(lease.map(({ id }) => code(outcomes.get(id))));
  }
  t.deepEqual(codes, [['PROVIDER_TIMEOUT', 'PROVIDER_TIMEOUT'], ['captured', 'PROVIDER_TIMEOUT'], ['captured', 'captured']]);
});

test('a job that is delivered again captures nothing again, and says so', async (t) => {
  const run = newRun();
  await captureLease(pool, 'first')(jobs(run, [{}, {}]), { signal });
  const again = jobs(run, [{}, {}, {}], 2);
  const outcomes = await captureLease(pool, 'second')(again, { signal });
  t.deepEqual(again.map(({ id }) => outcomes.get(id)), [
    { outcome: 'captured', worker: 'second', redelivered: true },
    { outcome: 'captured', worker: 'second', redelivered: true },
    { outcome: 'captured', worker: 'second' },
  ]);
  t.is((await postings(run)).length, 9);
});

test('a duplicated intent is caught by the ledger\'s key and counted once, however often its job comes', async (t) => {
  const run = newRun();
  const lease = jobs(run, [{ reference: 'same' }, { reference: 'same' }, { reference: 'same', amount: '99.00' }]);
  for (const attempt of [1, 2]) {
    const outcomes = await captureLease(pool, 'w')(lease.map((job) => ({ ...job, attempt })), { signal });
    t.deepEqual(lease.map(({ id }) => code(outcomes.get(id))), ['captured', 'duplicate', 'REFERENCE_CONFLICT']);
  }
  const { rows } = await pool.query(`select d.job_id from ledger.duplicate d join ledger.intent i on i.id = d.intent_id where i.run = $1`, [run]);
  t.deepEqual(rows, [{ job_id: lease[1]!.id }]);
  t.is((await postings(run)).length, 3);
});

test('two workers that capture the same intents in opposite order wait for one another, and capture each once', async (t) => {
  const run = newRun();
  const lines = Array.from({ length: 60 }, (_, index) => ({ reference: `pi_${index}` }));
  const forth = jobs(run, lines.map((line, index) => ({ ...line, line: 1000 + index })));
  const back = jobs(run, lines.map((line, index) => ({ ...line, line: 2000 + index })).reverse());
  const outcomes = await Promise.all([captureLease(pool, 'a')(forth, { signal }), captureLease(pool, 'b')(back, { signal })]);
  const all = outcomes.flatMap((each) => [...each.values()].map(code));
  t.is(all.filter((each) => each === 'captured').length, 60);
  t.is(all.filter((each) => each === 'duplicate').length, 60);
  t.is((await postings(run)).length, 180);
});

test('a worker that dies in the middle of its transaction leaves nothing; one that dies after it leaves all', async (t) => {
  const run = newRun();
  const lease = jobs(run, Array.from({ length: 20 }, () => ({})));
  // The tenth payment waits for a lock that we hold, and there its connection is cut: the database sees what a SIGKILL shows it.
  const holder = await pool.connect();
  const holderPid = (await holder.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]!.pid;
  await holder.query('begin');
  await holder.query(`select ledger.capture($1, 1, 'pi_11', 0, gen_random_uuid(), 1, 'holder', 'm', 'EUR', 5)`, [run]);
  const working = captureLease(pool, 'dying')(lease, { signal });
  const waiting = await waitFor(async () => {
    const { rows } = await pool.query<{ pid: number }>(
      'select pid from pg_stat_activity where $1 = any (pg_blocking_pids(pid))', [holderPid]);
    return rows[0]?.pid;
  }, { deadlineMs: 10_000, what: 'the handler to wait for the lock' });
  await pool.query('select pg_terminate_backend($1)', [waiting]);
  await t.throwsAsync(working, { instanceOf: SnoozeError });
  await holder.query('rollback');
  holder.release();
  t.deepEqual(await postings(run), []);

  await captureLease(pool, 'dies before its report')(lease, { signal });
  const outcomes = await captureLease(pool, 'next')(lease.map((job) => ({ ...job, attempt: 2 })), { signal });
  t.true([...outcomes.values()].every((outcome) => (outcome as CaptureResult).redelivered));
  t.is((await postings(run)).length, 60);
});

test('a handler whose lease is lost stops and leaves nothing', async (t) => {
  const run = newRun();
  const abort = new AbortController();
  abort.abort(new Error('lost'));
  await t.throwsAsync(captureLease(pool, 'w')(jobs(run, [{}, {}]), { signal: abort.signal }), { message: 'lost' });
  t.deepEqual(await postings(run), []);
});

test('a database that cannot be reached puts the lease off: no attempt is spent', async (t) => {
  const away = new pg.Pool({ connectionString: 'postgres://nobody@127.0.0.1:1/none' });
  await t.throwsAsync(captureLease(away, 'w')(jobs(newRun(), [{}]), { signal }), { instanceOf: SnoozeError });
  await away.end();
});

test('a schema named ledger that is somebody else\'s is left alone', async (t) => {
  const other = await createTestDatabase();
  const client = new pg.Client({ connectionString: other.url });
  await client.connect();
  await client.query('create schema ledger');
  await t.throwsAsync(prepareLedger(client), { instanceOf: ForeignLedgerError });
  t.is((await client.query(`select from pg_class where relnamespace = 'ledger'::regnamespace`)).rowCount, 0);
  const ended = once(client, 'end');
  await client.end();
  await ended;
  await other.drop();
});
