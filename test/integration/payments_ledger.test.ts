/** The demo's handler on a real database: what a decline undoes, what a second delivery finds, what a crash leaves. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import test from 'ava';
import pg from 'pg';
import { BatchContext, type ContextParts } from '../../worker/context.ts';
import { LeaseLostError, PermanentError, RetryAfterError, SnoozeError } from '../../worker/index.ts';
import { HeldJob } from '../../worker/lease/held_job.ts';
import { captureLease, type CaptureJob, type CaptureOutcomes, type CaptureResult } from '../../worker/payments/handler.ts';
import { paymentOf } from '../../worker/payments/intent.ts';
import { capture, ForeignLedgerError, ledgerPool, prepareLedger } from '../../worker/payments/ledger.ts';
import { jobIdOf, newRun } from '../../worker/payments/job_id.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { waitFor } from '../support/wait.ts';
import { KeptLog } from '../unit/worker_parts.ts';

let database: TestDatabase;
let pool: pg.Pool;

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

interface Delivery {
  worker?: string;
  database?: pg.Pool;
  /** The lease is lost before the handler begins. */
  lost?: boolean;
}

/** Hands these jobs to a worker as one lease, and to its handler. Those that have ended are left out, as a coordinator would. */
async function deliver(jobsToDo: CaptureJob[], { worker = 'w', database = pool, lost = false }: Delivery = {}): Promise<CaptureOutcomes> {
  const secret = randomBytes(8);
  await pool.query(`insert into skiplease.queue (name) values ('payments') on conflict do nothing`);
  await pool.query(`insert into skiplease.job (id, queue_id, priority, type, payload)
    select i.id, q.id, 0, 'payment.capture', '' from unnest($1::uuid[]) i (id), skiplease.queue q on conflict do nothing`, [jobsToDo.map(({ id }) => id)]);
  const { rows } = await pool.query<{ id: string; job_ids: string[] }>(`
    insert into skiplease.lease (id, secret, queue_id, coordinator_id, session_id, granted_at, job_ids, attempts, priorities, settled)
    select nextval('skiplease.lease_id'), $2, q.id, gen_random_uuid(), gen_random_uuid(), now(), array_agg(i.id),
           array_agg($3::int2), array_agg(0::int2), repeat('0', count(*)::int)::varbit
      from unnest($1::uuid[]) i (id), skiplease.queue q where not exists (select from skiplease.outcome o where o.job_id = i.id) group by q.id
    returning id, job_ids`, [jobsToDo.map(({ id }) => id), secret.readBigInt64BE(), jobsToDo[0]!.attempt]);
  const { id, job_ids: leased } = rows[0]!;
  const lease = { token: `${id}.${secret.toString('hex')}`, queue: 'payments', jobs: new Map<string, HeldJob>(), codec: undefined };
  const batch = leased.map((jobId) => new HeldJob(lease, { id: jobId } as HeldJob['wire']));
  const abort = new AbortController();
  for (const job of batch) {
    job.phase = 'running';
    if (lost) job.abort(new LeaseLostError('lost'));
  }
  if (lost) abort.abort();
  const logger = new KeptLog();
  const context = new BatchContext(batch, { database, logger } as unknown as ContextParts, abort.signal, logger);
  return captureLease(worker)(jobsToDo.filter((job) => leased.includes(job.id)), context);
}

/** How many of the jobs are complete. */
async function completed(lease: CaptureJob[]): Promise<number> {
  const { rows } = await pool.query<{ count: number }>('select count(*)::integer as count from skiplease.outcome where state = 4 and job_id = any($1)', [lease.map(({ id }) => id)]);
  return rows[0]!.count;
}

async function postings(run: string): Promise<string[]> {
  const { rows } = await pool.query<{ text: string }>(
    `select concat_ws(' ', i.reference, p.account, p.currency, p.amount_minor) as text
     from ledger.intent i join ledger.entry e on e.intent_id = i.id join ledger.posting p on p.entry_id = e.id
     where i.run = $1 order by i.line, p.amount_minor desc`, [run]);
  return rows.map(({ text }) => text);
}

const code = (outcome: unknown): string | undefined =>
  outcome instanceof PermanentError || outcome instanceof RetryAfterError ? outcome.code : (outcome as CaptureResult | undefined)?.outcome;

test('a declined payment rolls back alone: its neighbours in the transaction stay', async (t) => {
  const run = newRun();
  const lease = jobs(run, [{}, { token: 'tok_decline_do_not_honor' }, { amount: '0.10' }, { token: 'tok_provider_down' }, { iban: 'DE88370400440532013000' }]);
  const outcomes = await deliver(lease);
  t.deepEqual(lease.map(({ id }) => code(outcomes.get(id))), ['captured', 'CARD_DECLINED', 'captured', 'PROVIDER_UNAVAILABLE', 'INVALID_IBAN']);
  t.true(outcomes.get(lease[1]!.id) instanceof PermanentError);
  t.true(outcomes.get(lease[3]!.id) instanceof RetryAfterError);
  t.deepEqual(await postings(run), [
    'pi_2 provider EUR 1000', 'pi_2 fees EUR -15', 'pi_2 merchant: Blue Door Books EUR -985',
    'pi_4 provider EUR 10', 'pi_4 merchant: Blue Door Books EUR -10',
  ]);
  t.is(await completed(lease), 2);
});

test('a payment that the database itself refuses rolls back alone, too', async (t) => {
  const run = newRun();
  const lease = jobs(run, [{}, { merchant: 'a\u0000b' }, { reference: 'refused' }, {}]);
  const outcomes = await deliver(lease);
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
    const outcomes = await deliver(lease);
    codes.push(lease.map(({ id }) => code(outcomes.get(id))));
    t.is(await completed(lease), attempt - 1);
  }
  t.deepEqual(codes, [['PROVIDER_TIMEOUT', 'PROVIDER_TIMEOUT'], ['captured', 'PROVIDER_TIMEOUT'], [undefined, 'captured']]);
});

test('a job that a worker captured without completing it captures nothing again, and says so', async (t) => {
  const run = newRun();
  // As the worker in Python does it, which then dies before its report.
  const client = await pool.connect();
  for (const job of jobs(run, [{}, {}])) await capture(client, paymentOf(job.json()), job, 'first');
  client.release();
  const again = jobs(run, [{}, {}, {}], 2);
  const outcomes = await deliver(again, { worker: 'second' });
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
    const outcomes = await deliver(lease.map((job) => ({ ...job, attempt })));
    t.deepEqual(lease.map(({ id }) => code(outcomes.get(id))), attempt === 1 ? ['captured', 'duplicate', 'REFERENCE_CONFLICT'] : [undefined, undefined, 'REFERENCE_CONFLICT']);
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
  const outcomes = await Promise.all([deliver(forth, { worker: 'a' }), deliver(back, { worker: 'b' })]);
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
  const working = deliver(lease, { worker: 'dying' });
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

  t.is(await completed(lease), 0);

  await deliver(lease, { worker: 'dies before its report' });
  t.is((await postings(run)).length, 60);
  t.is(await completed(lease), 20, 'captured and complete, though nobody reported it');
});

test('a handler whose lease is lost stops and leaves nothing', async (t) => {
  const run = newRun();
  const outcomes = await deliver(jobs(run, [{}, {}]), { lost: true });
  t.true([...outcomes.values()].every((outcome) => outcome instanceof LeaseLostError));
  t.deepEqual(await postings(run), []);
});

test('a database that cannot be reached puts the lease off: no attempt is spent', async (t) => {
  const away = new pg.Pool({ connectionString: 'postgres://nobody@127.0.0.1:1/none' });
  await t.throwsAsync(deliver(jobs(newRun(), [{}]), { database: away }), { instanceOf: SnoozeError });
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
