/** Jobs inside an application's own transaction: what the SQL functions do, refuse, and leave alone. */
import { readFile } from 'node:fs/promises';
import anyTest, { type ExecutionContext } from 'ava';
import type pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { ReceiptStatus } from '../../coordinator/engine/messages.ts';
import { migrate } from '../../coordinator/store/migrate.ts';
import { cancelJobs } from '../../coordinator/store/cancel_jobs.ts';
import { openPool, type Pool } from '../../coordinator/store/pool.ts';
import { startPrivateServer } from '../support/private_server.ts';
import { withAdmin } from '../support/run_server.ts';
import { failed, startEngine, succeeded, TestWorker, type SentLease, type TestEngine } from '../support/store_engine.ts';
import { newJobs } from '../support/store_jobs.ts';
import { StoreWorld } from '../support/store_world.ts';
import { waitFor, within } from '../support/wait.ts';

const test = anyTest.serial;
const { ACCEPTED, DUPLICATE } = ReceiptStatus;

let world: StoreWorld;
let engine: TestEngine;
let pool: Pool;
let application: pg.Client;
let queues = 0;

test.before(async () => {
  world = await StoreWorld.open();
  engine = await startEngine(world.url, { leaseTtlMs: 30_000, tickMs: 50 });
  pool = await openPool(world.url);
  application = await world.client();
  // The suite's own user has the name of the schema.
  await application.query('set search_path = public');
});

test.after.always(async () => {
  await Promise.all([engine?.stop(), pool?.end()]);
  await world?.close();
});

interface Holding {
  queue: string;
  worker: TestWorker;
  lease: SentLease;
  token: string;
  ids: string[];
}

/** A worker that holds one lease of so many jobs. */
async function holding(count: number, fields: { maxAttempts?: number } = {}): Promise<Holding> {
  queues += 1;
  const queue = `q${queues}`;
  const worker = new TestWorker(engine.engine);
  await worker.hello({ queues: [queue], jobs: count });
  await engine.engine.submit(newJobs(count, { queue, ...fields }));
  await worker.gets(count);
  const lease = worker.leases[0]!;
  return { queue, worker, lease, token: lease.token, ids: lease.jobs.map(({ id }) => id) };
}

const statuses = async ({ worker, token }: Holding, ids: string[], move = succeeded()): Promise<ReceiptStatus[]> =>
  (await worker.report(token, ids.map((jobId) => ({ jobId, move })))).map(({ status }) => status);
const complete = (client: pg.Client, token: string, id: string) => client.query(`select skiplease.complete($1, $2, '{"done": true}')`, [token, id]);

/** The statement is refused so, and leaves nothing. */
async function refused(t: ExecutionContext, work: Promise<unknown>, code: string, message: RegExp = /./): Promise<void> {
  const error = await t.throwsAsync(work) as Error & { code: string };
  t.is(error.code, code, error.message);
  t.regex(error.message, message);
}

/** A statement on the test's database waits for a lock. */
async function somebodyWaits(): Promise<void> {
  await waitFor(async () => (await world.value<number>(
    `select count(*)::int from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)) > 0, { deadlineMs: 3_000, what: 'it to wait' });
}

async function inTransaction(client: pg.Client, ...statements: [string, unknown[]?][]): Promise<void> {
  await client.query('begin');
  for (const [text, values] of statements) await client.query(text, values);
  await client.query('commit');
}

test('a job is submitted with what its transaction writes, or not at all; a worker gets it soon after the commit', async (t) => {
  const worker = new TestWorker(engine.engine);
  await worker.hello({ queues: ['shop'], jobs: 10 });
  await application.query('create table shop_order (id integer)');
  const submit = (order: number) => application.query(`insert into shop_order values (${order});
    select skiplease.submit('shop', 'confirm', '{"order": ${order}}', headers => '{"trace": "4711"}', timeout => '1.5 s', priority => 3, max_attempts => 7)`);
  await application.query('begin');
  await submit(1);
  await application.query('rollback');
  await application.query('begin');
  await submit(2);
  t.is(await world.count('ready', `queue_id in (select id from skiplease.queue where name = 'shop')`), 0);
  await application.query('commit');
  const [job] = await worker.gets(1);
  t.like(job, { type: 'confirm', attempt: 1, timeout: { seconds: 1, nanos: 500_000_000 }, maxAttempts: 7, priority: 3, contentType: 'application/json' });
  t.deepEqual(JSON.parse(Buffer.from(job!.payload).toString()), { order: 2 });
  t.is(await world.count('job', `type = 'confirm'`), 1);
  t.deepEqual(await worker.succeed(worker.leases[0]!), [ACCEPTED]);
  worker.leave();
});

test('no statement of it ever writes to ready, also for a time that has passed', async (t) => {
  await world.queue('away');
  await application.query(`select skiplease.submit('away', 'x', run_at => now() - interval '1 day')`);
  const client = await world.client();
  await client.query('begin');
  await client.query(`select skiplease.submit('away', 'y')`);
  const { rows } = await client.query(`select count(*)::int as ready from skiplease.ready r join skiplease.job j on j.id = r.job_id where j.type = 'y'`);
  t.deepEqual(rows, [{ ready: 0 }]);
  await client.query('commit');
  await waitFor(async () => (await world.count('ready', `queue_id in (select id from skiplease.queue where name = 'away')`)) === 2,
    { deadlineMs: 5_000, what: 'both to be promoted' });
});

test('ids that are made here are UUIDv7 by the database\'s clock, in the order of the calls', async (t) => {
  const { rows } = await application.query<{ job_id: string }>(`select job_id from skiplease.submit_many(
    (select jsonb_agg(jsonb_build_object('queue', 'ids', 'type', 'x', 'payload', i, 'run_at', now() + interval '1 day')) from generate_series(1, 500) i))`);
  const ids = rows.map(({ job_id: id }) => id);
  t.true(ids.every((id) => /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)));
  t.deepEqual(ids.toSorted(), ids);
  t.is(new Set(ids).size, 500);
  const off = await world.value<number>('select abs(extract(epoch from skiplease.uuid_time($1) - skiplease.now()))::float8', [ids[0]]);
  t.true(off < 10);
});

test('an id that is given makes a repeat harmless; another job\'s is refused', async (t) => {
  const id = uuidv7();
  const submit = (type: string) => application.query<{ submit: string }>(`select skiplease.submit('twice', $2, id => $1)`, [id, type]);
  t.is((await submit('x')).rows[0]!.submit, id);
  t.is((await submit('x')).rows[0]!.submit, id);
  await refused(t, submit('y'), 'SK011', /exists with another queue or type/);
  t.is(await world.count('job', 'id = $1', [id]), 1);
  const other = uuidv7();
  const { rows } = await application.query('select * from skiplease.submit_many($1)', [JSON.stringify([id, other, other].map((each) => ({ id: each, queue: 'twice', type: 'x' })))]);
  t.deepEqual(rows, [{ job_id: id, existing: true }, { job_id: other, existing: false }, { job_id: other, existing: true }]);
});

test('what the coordinator would refuse is refused here, by field', async (t) => {
  const old = uuidv7({ msecs: Date.now() - 25 * 3_600_000 });
  for (const [parameters, message] of [
    [`'two words', 'x'`, /jobs\[0\]\.queue must be 1 to 128/], [`null, 'x'`, /queue/], [`'q', ''`, /type must/],
    [`'q', 'x', id => '${old}'`, /id was made at .* are accepted/], [`'q', 'x', id => '00000000-0000-4000-8000-000000000000'`, /id must be a UUIDv7/],
    [`'q', 'x', priority => 10`, /priority must be 0 to 9/], [`'q', 'x', max_attempts => 0`, /max_attempts/], [`'q', 'x', timeout => '31 days'`, /timeout/],
    [`'q', 'x', headers => '{"a": 1}'`, /headers/], [`'q', 'x', headers => '[]'`, /headers/], [`'q', 'x', run_at => now() + interval '11 years'`, /run_at/],
    [`'q', 'x', options => '{"serial_key": ""}'`, /serial_key must have/], [`'q', 'x', options => '{"unique": {}}'`, /unique is no field/],
    [`'q', 'x', options => '{"after_job_ids": ["x"]}'`, /after_job_ids/], [`'q', 'x', options => '{"batch_id": 7}'`, /batch_id/],
    [`'q', 'x', to_jsonb(repeat('x', 1048576))`, /payload has more than 1 MiB/],
  ] as [string, RegExp][]) {
    await refused(t, application.query(`select skiplease.submit(${parameters})`), 'SK013', message);
  }
  for (const [jobs, message] of [
    ['{}', /an array of 1 to 10,000/], ['[]', /an array/], ['[1]', /jobs\[0\] is not an object/],
    ['[{"queue": "q", "type": "x"}, {"queue": "q", "type": "x", "retries": 3}]', /jobs\[1\]\.retries is no field of a job/],
  ] as [string, RegExp][]) {
    await refused(t, application.query('select skiplease.submit_many($1)', [jobs]), 'SK013', message);
  }
  await refused(t, application.query(`select skiplease.create_queue('a b')`), 'SK013', /queue must/);
  await refused(t, application.query(`select skiplease.check_lease('7.xyz')`), 'SK013', /token must be that of a lease/);
  await refused(t, application.query(`select skiplease.check_lease('9999999999999999999.0123456789abcdef')`), 'SK013');
  await refused(t, application.query(`select skiplease.complete('7.0123456789abcdef', null)`), 'SK013', /job_id is missing/);
  await refused(t, application.query(`select skiplease.complete_bytes('7.0123456789abcdef', $1, $2)`, [old, Buffer.alloc(262_145)]), 'SK013', /256 KiB/);
  await refused(t, application.query(`select skiplease.fail('7.0123456789abcdef', $1, '')`, [old]), 'SK013', /code is missing/);
});

test('while a transaction that creates a queue is open, others are told so soon, and nobody else waits', async (t) => {
  const first = await world.client();
  await first.query('begin');
  await first.query(`select skiplease.submit('brand-new', 'x')`);
  const second = refused(t, application.query(`select skiplease.submit('brand-new', 'y')`), 'SK014', /create_queue\('?brand-new/);
  const [bystander] = newJobs(1, { queue: 'bystander' });
  await t.throwsAsync(within(engine.engine.submit(newJobs(1, { queue: 'brand-new' })), 1_900, 'an answer'), { message: /is being created/ });
  await within(engine.engine.submit([bystander!]), 1_900, 'a submit to another new queue');
  await second;
  const waits = application.query(`select skiplease.submit('brand-new', 'y')`);
  await first.query('commit');
  await waits;
  await engine.engine.submit(newJobs(1, { queue: 'brand-new' }));
  t.is(await world.count('job', `queue_id = (select id from skiplease.queue where name = 'brand-new')`), 3);
});

test('effects and completion are committed together; the report that follows is a duplicate, and makes room', async (t) => {
  const held = await holding(2);
  const [one, two] = held.ids as [string, string];
  await application.query('create table effect (job_id uuid)');
  await inTransaction(application, ['select skiplease.check_lease($1, $2)', [held.token, one]], ['insert into effect values ($1)', [one]],
    ['select skiplease.complete($1, $2)', [held.token, one]]);
  await application.query('begin');
  await application.query('insert into effect values ($1)', [two]);
  await complete(application, held.token, two);
  await application.query('rollback');
  t.deepEqual(await world.rows('select job_id from effect'), [{ job_id: one }]);
  t.is(held.worker.session.heldJobs, 2, 'the coordinator has not heard of it yet');
  t.deepEqual(await statuses(held, [one]), [DUPLICATE]);
  t.is(held.worker.session.heldJobs, 1);
  await complete(application, held.token, two);
  t.deepEqual(await world.rows(`select state, attempt, convert_from(result, 'UTF8')::json as result, result_type from skiplease.outcome where job_id = $1`, [two]),
    [{ state: 4, attempt: 1, result: { done: true }, result_type: 'application/json' }]);
  t.deepEqual(await statuses(held, [two], failed()), [DUPLICATE], 'also when the worker does not know that its COMMIT went through');
  t.is(held.worker.session.heldJobs, 0);
  await waitFor(async () => (await world.count('lease', 'id = $1', [held.token.split('.')[0]])) === 0, { deadlineMs: 3_000, what: 'the lease to be swept' });
});

test('a stale, wrong or spent hold is refused, each in its own words', async (t) => {
  const held = await holding(4, { maxAttempts: 9 });
  const [cancelled, completed, returned, kept] = held.ids as [string, string, string, string];
  await cancelJobs(pool, [cancelled], 'no more', () => {});
  await complete(application, held.token, completed);
  await statuses(held, [returned], failed({ retryDelayMs: 60_000 }));
  await refused(t, complete(application, held.token, cancelled), 'SK021', /was cancelled/);
  await refused(t, complete(application, held.token, completed), 'SK022', /completed before/);
  await refused(t, complete(application, held.token, returned), 'SK023', /failed before/);
  await refused(t, complete(application, held.token, uuidv7()), 'SK020');
  const wrong = held.token.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'));
  await refused(t, complete(application, wrong, kept), 'SK020');
  await refused(t, application.query('select skiplease.check_lease($1, $2)', [wrong, kept]), 'SK020', /does not hold/);
  await refused(t, application.query(`select skiplease.fail($1, $2, 'X')`, [wrong, kept]), 'SK020');
  await refused(t, application.query('select skiplease.check_lease($1)', [wrong]), 'SK020');
  await application.query('select skiplease.check_lease($1)', [held.token]);
  held.worker.leave();
  await waitFor(async () => (await world.count('ready', 'job_id = $1', [kept])) === 1, { deadlineMs: 3_000, what: 'the job to be given back' });
  await refused(t, complete(application, held.token, kept), 'SK020');
});

test('what expired, if only its last attempt, is lost to its holder: nothing of it was completed', async (t) => {
  const held = await holding(1, { maxAttempts: 1 });
  held.worker.fallSilent();
  engine.engine.sessions.detach(held.worker.session);
  held.worker.session.heardMs = -Infinity;
  await engine.engine.sessions.giveUp([held.worker.session], 0);
  await waitFor(async () => (await world.count('outcome', 'job_id = $1 and state = 5', held.ids)) === 1, { deadlineMs: 3_000, what: 'the job to fail' });
  await refused(t, complete(application, held.token, held.ids[0]!), 'SK020');
});

test('of a stale holder and the next one, the next one completes the job: its effects alone are there', async (t) => {
  const held = await holding(1, { maxAttempts: 9 });
  const [id] = held.ids as [string];
  const late = await world.client();
  await application.query('create table account (job_id uuid, by text)');
  held.worker.leave();
  const next = new TestWorker(engine.engine);
  await next.hello({ queues: [held.queue], jobs: 1 });
  await next.gets(1);
  const pay = async (client: pg.Client, token: string, by: string) => {
    await client.query('begin');
    try {
      await client.query('insert into account values ($1, $2)', [id, by]);
      await complete(client, token, id);
      await client.query('commit');
    } catch (error) {
      await client.query('rollback');
      throw error;
    }
  };
  const both = await Promise.allSettled([pay(late, held.token, 'late'), pay(application, next.leases[0]!.token, 'next')]);
  t.deepEqual(both.map(({ status }) => status), ['rejected', 'fulfilled']);
  t.deepEqual(await world.rows('select by from account'), [{ by: 'next' }]);
  next.leave();
});

test('two transactions that complete one job under one lease: one commits, the other is told', async (t) => {
  const held = await holding(1);
  const other = await world.client();
  await application.query('begin');
  await complete(application, held.token, held.ids[0]!);
  const second = refused(t, complete(other, held.token, held.ids[0]!), 'SK022');
  await somebodyWaits();
  await application.query('commit');
  await second;
  held.worker.leave();
});

test('a failed attempt comes back after its delay, as the next attempt; past the last one the job has failed', async (t) => {
  const held = await holding(2, { maxAttempts: 2 });
  const [id, other] = held.ids as [string, string];
  const { rows } = await application.query(`select skiplease.fail($1, $2, 'BUSY', 'try later', retry_delay => '0', details => 'stack')`, [held.token, id]);
  t.deepEqual(rows, [{ fail: 'SCHEDULED' }]);
  t.deepEqual(await world.rows(`select number, state, error_code, error_message, error_details, worker_id from skiplease.attempt where job_id = $1`, [id]),
    [{ number: 1, state: 1, error_code: 'BUSY', error_message: 'try later', error_details: 'stack', worker_id: 'w' }]);
  t.deepEqual(await statuses(held, [id], failed()), [DUPLICATE]);
  await held.worker.gets(3);
  const { token, jobs } = held.worker.leases[1]!;
  t.like(jobs[0], { id, attempt: 2 });
  t.deepEqual(await statuses(held, [id], failed()), [DUPLICATE], 'the old token does not touch the new attempt');
  t.deepEqual((await application.query(`select skiplease.fail($1, $2, 'BUSY')`, [token, id])).rows, [{ fail: 'FAILED' }]);
  t.is((await held.worker.report(token, [{ jobId: id, move: failed() }]))[0]!.status, DUPLICATE);
  t.deepEqual((await application.query(`select skiplease.fail($1, $2, 'NO', permanent => true)`, [held.token, other])).rows, [{ fail: 'FAILED' }]);
  t.deepEqual(await world.rows('select job_id, state, attempt from skiplease.outcome where job_id = any($1) order by attempt', [[id, other]]),
    [{ job_id: other, state: 5, attempt: 1 }, { job_id: id, state: 5, attempt: 2 }]);
  t.deepEqual(await statuses(held, [other], failed()), [DUPLICATE]);
  t.is(held.worker.session.heldJobs, 0);
});

/** Jobs of a batch by what they came to, exact at any moment. */
const batchCounts = async (batch: string) => (await world.rows<Record<'total' | 'succeeded' | 'failed', number>>(`
  select (b.total + coalesce(sum(d.entered), 0))::int as total, (b.succeeded + coalesce(sum(d.succeeded), 0))::int as succeeded,
         (b.failed + coalesce(sum(d.failed), 0))::int as failed
    from skiplease.batch b left join skiplease.batch_delta d on d.batch_id = b.id where b.id = $1 group by b.id`, [batch]))[0];

test('a job of a batch is counted in the transaction that ends it, and not again by its report, or when its worker is gone', async (t) => {
  const batch = uuidv7();
  await world.rows(`insert into skiplease.batch (id, label, created_at) values ($1, '', now())`, [batch]);
  const worker = new TestWorker(engine.engine);
  await worker.hello({ queues: ['batched'], jobs: 4 });
  await application.query(`select skiplease.submit_many($1)`, [JSON.stringify(Array.from({ length: 3 }, () => ({ queue: 'batched', type: 'x', batch_id: batch, max_attempts: 2 })))]);
  await application.query(`select skiplease.submit('batched', 'x', options => jsonb_build_object('batch_id', $1::text))`, [batch]);
  const [one, two, three, four] = (await worker.gets(4)).map(({ id }) => id) as [string, string, string, string];
  const token = (id: string) => worker.leases.find(({ jobs }) => jobs.some((job) => job.id === id))!.token;
  t.deepEqual(await batchCounts(batch), { total: 4, succeeded: 0, failed: 0 });
  await application.query('begin');
  await complete(application, token(one), one);
  t.deepEqual(await batchCounts(batch), { total: 4, succeeded: 0, failed: 0 });
  await application.query('commit');
  await complete(application, token(two), two);
  t.deepEqual(await batchCounts(batch), { total: 4, succeeded: 2, failed: 0 });
  for (const _ of ['first', 'again']) {
    t.is((await worker.report(token(one), [{ jobId: one, move: succeeded() }]))[0]!.status, DUPLICATE);
    t.deepEqual(await batchCounts(batch), { total: 4, succeeded: 2, failed: 0 });
  }
  await application.query(`select skiplease.fail($1, $2, 'X', permanent => true)`, [token(three), three]);
  await application.query(`select skiplease.fail($1, $2, 'X', retry_delay => '1 h')`, [token(four), four]);
  t.deepEqual(await batchCounts(batch), { total: 4, succeeded: 2, failed: 1 });
  worker.leave();
  await waitFor(async () => (await world.count('lease', 'job_ids @> array[$1::uuid]', [three])) === 0, { deadlineMs: 3_000, what: 'the leases to be gone' });
  t.deepEqual(await batchCounts(batch), { total: 4, succeeded: 2, failed: 1 });
  t.is(await world.count('scheduled', 'job_id = $1 and special', [four]), 1);
});

test('jobs with a serial key that SQL submits run one at a time, in order; the next waits until the coordinator knows of the end', async (t) => {
  const worker = new TestWorker(engine.engine);
  await worker.hello({ queues: ['serial'], jobs: 10 });
  await application.query(`select skiplease.submit_many($1)`, [JSON.stringify(['a', 'b', 'c'].map((type) => ({ queue: 'serial', type, serial_key: 'account 7', max_attempts: 2 })))]);
  await worker.gets(1);
  const first = worker.leases[0]!;
  await refused(t, application.query(`select skiplease.fail($1, $2, 'X')`, [first.token, first.jobs[0]!.id]), 'SK010', /report its failure to the coordinator/);
  await complete(application, first.token, first.jobs[0]!.id);
  t.is(await world.count('gate_holder', 'job_id = $1', [first.jobs[0]!.id]), 1);
  t.deepEqual(await worker.succeed(first), [DUPLICATE]);
  await worker.gets(2);
  const second = worker.leases[1]!;
  await application.query(`select skiplease.fail($1, $2, 'X', permanent => true)`, [second.token, second.jobs[0]!.id]);
  t.deepEqual(await worker.succeed(second), [DUPLICATE]);
  await worker.gets(3);
  t.deepEqual(worker.jobs.map(({ type }) => type), ['a', 'b', 'c']);
  t.deepEqual(await worker.succeed(worker.leases[2]!), [ACCEPTED]);
  worker.leave();
});

test('a job that waits for others, submitted in SQL, is set off once they are final', async (t) => {
  const worker = new TestWorker(engine.engine);
  await worker.hello({ queues: ['after'], jobs: 10 });
  const [before] = newJobs(1, { queue: 'after', type: 'before' });
  await engine.engine.submit([before!]);
  await application.query(`select skiplease.submit('after', 'then', options => jsonb_build_object('after_job_ids', jsonb_build_array($1::text)))`, [before!.id]);
  await worker.gets(1);
  t.is(await world.count('blocked', 'reason = 1'), 1);
  await complete(application, worker.leases[0]!.token, before!.id);
  await worker.succeed(worker.leases[0]!);
  await worker.gets(2);
  t.is(worker.jobs[1]!.type, 'then');
  worker.leave();
});

test('a job cannot be given back while a transaction that completes it is open, nor completed once it was', async (t) => {
  for (const ending of ['commit', 'rollback'] as const) {
    const held = await holding(1);
    const other = await world.client();
    await other.query('begin');
    await complete(other, held.token, held.ids[0]!);
    const failing = application.query(`select skiplease.fail($1, $2, 'X', retry_delay => '1 h')`, [held.token, held.ids[0]]);
    const checked = ending === 'commit' ? refused(t, failing, 'SK022') : t.notThrowsAsync(failing);
    await somebodyWaits();
    await other.query(ending);
    await checked;
    t.is(await world.count('outcome', 'job_id = $1', held.ids), ending === 'commit' ? 1 : 0);
    t.is(await world.count('scheduled', 'job_id = $1', held.ids), ending === 'commit' ? 0 : 1);
    held.worker.leave();
  }
});

test('without a delay of its own the queue\'s backoff counts, and never overflows', async (t) => {
  const backoff = (parameters: string) => world.value<number>(`select skiplease.backoff_ms(${parameters})`);
  t.is(await backoff('1000, 2, 3600000, 0, 1'), 1_000);
  t.is(await backoff('1000, 2, 3600000, 0, 4'), 8_000);
  t.is(await backoff('1000, 100, 3600000, 0, 1000'), 3_600_000);
  t.is(await backoff('0, 2, 3600000, 0, 9'), 0);
  const spread = await backoff('1000, 2, 3600000, 0.5, 1');
  t.true(spread >= 500 && spread <= 1_500);
  const held = await holding(1);
  await application.query(`select skiplease.fail($1, $2, 'X')`, [held.token, held.ids[0]]);
  const delay = await world.value<number>(`select extract(epoch from run_at - skiplease.now())::float8 from skiplease.scheduled where job_id = $1`, held.ids);
  t.true(delay > 0.5 && delay < 1.2, `${delay} s`);
  held.worker.leave();
});

test('a transaction that fails a job waits for one that has completed another of the lease, and both count', async (t) => {
  const held = await holding(3);
  const [completed, back, reported] = held.ids as [string, string, string];
  const other = await world.client();
  await other.query('begin');
  await complete(other, held.token, completed);
  const failing = application.query(`select skiplease.fail($1, $2, 'X', retry_delay => '1 h')`, [held.token, back]);
  await somebodyWaits();
  t.deepEqual(await within(statuses(held, [reported]), 900, 'a report beside them'), [ACCEPTED]);
  await other.query('commit');
  await failing;
  t.deepEqual(await statuses(held, [completed, back]), [DUPLICATE, DUPLICATE]);
  t.is(await world.count('scheduled', 'job_id = $1 and attempt = 2', [back]), 1);
});

test('under REPEATABLE READ nothing that was committed meanwhile is overlooked', async (t) => {
  const held = await holding(2);
  await application.query('begin isolation level repeatable read');
  await application.query('select 1 from skiplease.clock');
  await statuses(held, [held.ids[0]!], failed({ retryDelayMs: 60_000 }));
  await refused(t, complete(application, held.token, held.ids[0]!), '40001');
  await application.query('rollback');
  held.worker.leave();
});

test('whatever the session is set to, nothing is read from end to end, and its own names are not taken for ours', async (t) => {
  const held = await holding(50);
  const client = await world.client();
  // Tables of which the statistics say that they are tiny are read whole, where the planner has a choice.
  await client.query('analyze skiplease.lease, skiplease.outcome, skiplease.attempt, skiplease.job, skiplease.scheduled');
  await client.query(`set enable_indexscan = on; set search_path = public; set standard_conforming_strings = off;
    create temporary table lease (id bigint); create function public.now() returns timestamptz language sql as 'select null::timestamptz';
    create domain pg_temp.uuid as text check (false)`);
  const scans = `select coalesce(sum(seq_scan), 0)::int from pg_stat_user_tables where schemaname = 'skiplease' and relname ~ '^(lease|ready|scheduled|job|outcome|attempt)'`;
  await client.query('select pg_stat_force_next_flush()');
  const before = await scansNow(scans);
  for (const id of held.ids.slice(0, 10)) await client.query(`select skiplease.complete('${held.token}', '${id}', '{"a": 1}')`);
  await client.query(`select skiplease.fail('${held.token}', '${held.ids[10]}', 'X')`);
  await client.query(`select skiplease.submit('plans', 'x', '{}'), skiplease.submit_many('[{"queue": "plans", "type": "y"}]')`);
  await client.query('select pg_stat_force_next_flush()');
  t.is(await scansOf(client, scans) - before, 0);
  held.worker.leave();
});

/** Counters are flushed at a transaction's end, and cached within one. */
async function scansOf(client: pg.Client, statement: string): Promise<number> {
  return ((await client.query({ text: statement, rowMode: 'array' })).rows[0] as unknown as number[])[0]!;
}
const scansNow = (statement: string) => scansOf(application, statement);

test('the two roles may call their functions, and nothing else', async (t) => {
  const granted = await world.rows<{ role: string; functions: string }>(`
    select r.rolname as role, string_agg(distinct p.proname, ' ' order by p.proname) as functions
      from pg_roles r, pg_proc p
     where r.rolname in ('skiplease_submitter', 'skiplease_worker', 'pg_monitor') and p.pronamespace = 'skiplease'::regnamespace
       and has_function_privilege(r.oid, p.oid, 'execute') group by 1 order by 1`);
  t.deepEqual(granted, [
    { role: 'skiplease_submitter', functions: 'create_queue sql_interface_version submit submit_bytes submit_many' },
    { role: 'skiplease_worker', functions: 'check_lease complete complete_bytes fail sql_interface_version' },
  ]);
  t.deepEqual(await world.rows(`select c.relname, r.rolname from pg_class c, pg_roles r
    where c.relnamespace = 'skiplease'::regnamespace and c.relkind in ('r', 'p', 'S', 'v') and r.rolname in ('skiplease_submitter', 'skiplease_worker')
      and case c.relkind when 'S' then has_sequence_privilege(r.oid, c.oid, 'usage, select, update')
            else has_table_privilege(r.oid, c.oid, 'select, insert, update, delete, truncate, references, trigger') end`), []);
  const held = await holding(1);
  await application.query('set role skiplease_submitter');
  await application.query(`select skiplease.submit('as-role', 'x')`);
  await refused(t, complete(application, held.token, held.ids[0]!), '42501', /permission denied/);
  await refused(t, application.query('select * from skiplease.job'), '42501', /permission denied/);
  await refused(t, application.query(`select skiplease.new_job_id(now())`), '42501', /permission denied/);
  await application.query('set role skiplease_worker');
  await refused(t, application.query(`select skiplease.submit('as-role', 'x')`), '42501', /permission denied/);
  await refused(t, application.query('create table skiplease.mine ()'), '42501', /permission denied/);
  await complete(application, held.token, held.ids[0]!);
  await application.query('reset role');
  held.worker.leave();
});

test('every statement of the documentation runs, for a role that has been granted the two', async (t) => {
  const text = await readFile(new URL('../../coordinator/store/README.md', import.meta.url), 'utf8');
  const held = await holding(2);
  const role = `${world.database.name}_shop`;
  const blocks = [...text.matchAll(/^```sql\n([\s\S]*?)^```/gm)].map(([, block]) => Object.entries({
    'to shop': `to ${role}`, TOKEN: held.token, JOB_ID_2: held.ids[1]!, JOB_ID: held.ids[0]!,
  }).reduce((done, [from, to]) => done.replaceAll(from, to), block!));
  t.is(blocks.length, 7);
  await application.query(`create role ${role}; create table orders (id integer, total numeric, confirmed boolean); grant select, insert, update on orders to ${role}`);
  try {
    await application.query(blocks.shift()!);
    await application.query(`set role ${role}`);
    for (const block of blocks) await application.query(block);
  } finally {
    await application.query('rollback');
    await application.query(`reset role; drop owned by ${role}; drop role ${role}`);
  }
  t.deepEqual(await world.rows('select state from skiplease.outcome where job_id = any($1) order by state', [held.ids]), [{ state: 4 }, { state: 5 }]);
  t.is(await world.count('job', `type like 'order.%'`), 4);
  t.is(await world.value('select skiplease.sql_interface_version()'), 1);
  held.worker.leave();
});

test('a coordinator that may not create roles migrates all the same, and nobody else may call anything', async (t) => {
  const server = await startPrivateServer();
  t.teardown(() => server.stop());
  await withAdmin(server.url, (client) => client.query(`create role plain login password 'plain'`).then(() => client.query('create database plain owner plain')));
  const url = new URL(server.url);
  [url.username, url.password, url.pathname] = ['plain', 'plain', '/plain'];
  await migrate(url.href);
  const admin = new URL(server.url);
  admin.pathname = '/plain';
  const callable = `select count(*)::int as functions from pg_proc where pronamespace = 'skiplease'::regnamespace and has_function_privilege('somebody', oid, 'execute')`;
  await withAdmin(admin.href, async (client) => {
    await client.query('create role somebody');
    t.deepEqual((await client.query(callable)).rows, [{ functions: 0 }]);
    t.deepEqual((await client.query(`select rolname from pg_roles where rolname ~ '^skiplease_'`)).rows, []);
    await client.query('create role skiplease_submitter nologin; grant skiplease_submitter to somebody');
  });
  await withAdmin(url.href, (client) => client.query(`grant usage on schema skiplease to skiplease_submitter;
    grant execute on function skiplease.submit(text, text, jsonb, uuid, integer, timestamptz, integer, interval, jsonb, jsonb) to skiplease_submitter`));
  await withAdmin(admin.href, async (client) => {
    await client.query('set role somebody');
    await client.query(`select skiplease.submit('q', 'x')`);
    t.pass();
  });
});
