/** context.transaction against real coordinators: a job's effects and its completion are one, whatever dies at whatever moment. */
import test from 'ava';
import pg from 'pg';
import { PermanentError, SnoozeError, Worker } from '../../worker/index.ts';
import type { DatabaseClient, DatabasePool, NewJob, WorkerOptions } from '../../worker/index.ts';
import { startWorld, type World } from '../support/lease_world.ts';
import { startScript } from '../support/processes.ts';
import { waitFor } from '../support/wait.ts';
import { KeptLog } from '../unit/worker_parts.ts';

const deadlineMs = 20_000;
const frozenWorker = new URL('../support/transaction_worker.ts', import.meta.url).pathname;

let world: World;
let pool: pg.Pool;
/** Of a role that may do what a worker may, and write its effects. */
let workerUrl: string;
let role: string;

test.before(async () => {
  world = await startWorld({ coordinators: 2 });
  const url = new URL(world.databaseUrl);
  role = `${url.pathname.slice(1)}_worker`;
  await world.records.rows(`create table public.effect (job_id uuid, attempt integer, note text)`);
  await world.records.rows(`create role ${role} login password 'effects' in role skiplease_worker, skiplease_submitter`);
  await world.records.rows(`grant select, insert on public.effect to ${role}`);
  [url.username, url.password] = [role, 'effects'];
  workerUrl = url.href;
  pool = new pg.Pool({ connectionString: workerUrl });
});

test.after.always(async () => {
  await pool?.end();
  await world?.records.rows(`drop owned by ${role}`);
  await world?.records.rows(`drop role ${role}`);
  await world?.end();
});

/** A worker of one queue, stopped at the test's end. */
function work(t: { teardown(undo: () => unknown): void }, queue: string, options: Partial<WorkerOptions>): KeptLog {
  const logger = new KeptLog();
  const worker = new Worker({ addresses: world.addresses, queues: [queue], handleSignals: false, drainDeadlineMs: 0, database: pool, logger, ...options });
  const running = worker.run();
  t.teardown(async () => {
    await worker.stop();
    await running;
  });
  return logger;
}

const submit = (queue: string, count = 1, job: Partial<NewJob> = {}) => world.submit(queue, count, { type: 'effect', ...job });
const write = (client: DatabaseClient, job: { id: string; attempt: number }) =>
  client.query('insert into public.effect (job_id, attempt) values ($1, $2)', [job.id, job.attempt]);
const effects = (ids: string[]) => world.records.rows<{ job_id: string; attempt: number }>(
  'select job_id, attempt from public.effect where job_id = any($1) order by job_id, attempt', [ids]);
const outcome = async (id: string) => (await world.records.ended([id]))[0];
const ended = (ids: string[]) => world.records.untilEnded(ids);

test('the work and the completion are committed together, and the slot is free again', async (t) => {
  const ids = await submit('plain', 20);
  const logger = work(t, 'plain', {
    concurrency: 1, window: { jobs: 1 },
    handlers: {
      effect: (job, context) => context.transaction(async (client: pg.PoolClient) => {
        const { rows } = await client.query<{ one: number }>({ name: 'one', text: 'select 1 as one' });
        await write(client, job);
        return { number: rows[0]!.one, text: `it's "ünïcode" \\ ` };
      }),
    },
  });
  t.true((await ended(ids)).every(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1));
  t.deepEqual(await effects(ids), ids.toSorted().map((id) => ({ job_id: id, attempt: 1 })));
  t.deepEqual((await world.members[0]!.client.get(ids[0]!)).result, { number: 1, text: `it's "ünïcode" \\ ` });
  t.deepEqual(logger.lines.filter(({ level }) => level !== 'info' && level !== 'debug'), []);
});

test('what is thrown takes the effects back; an error that is returned fails the job and leaves them', async (t) => {
  const [thrown, returned, put] = await submit('errors', 3, { maxAttempts: 1 }) as [string, string, string];
  work(t, 'errors', {
    handlers: {
      effect: (job, context) => context.transaction(async (client) => {
        await write(client, job);
        if (job.id === thrown) throw new PermanentError('THROWN', 'gone');
        return job.id === returned ? new PermanentError('RETURNED', 'kept') : new SnoozeError(1_000);
      }),
    },
  });
  await ended([thrown, returned, put]);
  t.deepEqual(await effects([thrown, returned, put]), [{ job_id: returned, attempt: 1 }]);
  const get = (id: string) => world.members[0]!.client.get(id);
  t.like(await get(thrown), { state: 'FAILED', error: { code: 'THROWN' } });
  t.like(await get(returned), { state: 'FAILED', attempt: 1, error: { code: 'RETURNED', message: 'kept' } });
  t.like(await get(put), { state: 'FAILED', error: { code: 'TypeError' } }, 'what is put off is thrown');
});

test('an attempt that fails in its transaction is tried again after its delay', async (t) => {
  const [id] = await submit('retries', 1, { maxAttempts: 3 }) as [string];
  await world.members[0]!.operator.update('retries', {
    retryPolicy: { maxAttempts: undefined, initialBackoff: { seconds: 0, nanos: 1_000_000 }, factor: undefined, maxBackoff: undefined, jitter: undefined },
  });
  work(t, 'retries', {
    handlers: { effect: (job, context) => context.transaction(async (client) => {
      await write(client, job);
      return job.attempt < 3 ? new Error(`not yet: ${job.attempt}`) : 'done';
    }) },
  });
  t.like((await ended([id]))[0], { state: 'SUCCEEDED', attempt: 3 });
  t.deepEqual((await effects([id])).map(({ attempt }) => attempt), [1, 2, 3]);
});

test('of a batch in one transaction, one bad job takes no other with it', async (t) => {
  const ids = await submit('batch', 50, { maxAttempts: 1 });
  const [broken, refused, cancelled] = [ids[7]!, ids[23]!, ids[31]!];
  let transactions = 0;
  work(t, 'batch', {
    batchHandlers: {
      effect: async (jobs, context) => {
        transactions += 1;
        return context.transaction(jobs, async (client: pg.PoolClient, job) => {
          if (job.id === cancelled) await world.members[1]!.client.cancel([job.id], 'no more');
          await write(client, job);
          if (job.id === broken) await client.query('select 1 / 0');
          if (job.id === refused) throw new PermanentError('REFUSED', 'no');
          return { id: job.id };
        });
      },
    },
  });
  const states = new Map((await ended(ids)).map(({ jobId, state }) => [jobId, state]));
  t.deepEqual([broken, refused, cancelled].map((id) => states.get(id)), ['FAILED', 'FAILED', 'CANCELLED']);
  const good = ids.filter((id) => ![broken, refused, cancelled].includes(id));
  t.true(good.every((id) => states.get(id) === 'SUCCEEDED'));
  t.deepEqual((await effects(ids)).map(({ job_id: id }) => id), good.toSorted());
  t.true(transactions < ids.length, `${transactions} transactions`);
  t.like(await world.members[0]!.client.get(broken), { error: { code: '22012' } });
  t.deepEqual((await world.members[0]!.client.get(good[0]!)).result, { id: good[0] });
});

test('what follows a job is submitted in its transaction, or not at all', async (t) => {
  const [first, second] = await submit('follows', 2, { maxAttempts: 1 }) as [string, string];
  const followUps = new Map<string, string>();
  work(t, 'follows', {
    handlers: {
      effect: (job, context) => context.transaction(async () => {
        followUps.set(job.id, context.followUp({ queue: 'following', type: 'next', payload: { after: job.id }, delayMs: 60_000, headers: { trace: 'a' } }));
        if (job.id === second) throw new PermanentError('NO', 'no');
      }),
    },
  });
  await ended([first, second]);
  t.like(await world.members[0]!.client.get(followUps.get(first)!), { state: 'SCHEDULED', queue: 'following', type: 'next', payload: { after: first }, headers: { trace: 'a' } });
  await t.throwsAsync(world.members[0]!.client.get(followUps.get(second)!), { message: /There is no job/ });
});

test('a handler that fails after its transaction has failed nothing, and cannot have a second one', async (t) => {
  const [id] = await submit('twice') as [string];
  let error: Error | undefined;
  work(t, 'twice', {
    handlers: { effect: async (job, context) => {
      await context.transaction((client) => write(client, job));
      await context.transaction((client) => write(client, job)).catch((caught: Error) => {
        error = caught;
        throw caught;
      });
    } },
  });
  t.like((await ended([id]))[0], { state: 'SUCCEEDED', attempt: 1 });
  t.regex(error!.message, /was ended before/);
  t.is((await effects([id])).length, 1);
});

test('without the option there is no transaction, and the error says what to give', async (t) => {
  const [id] = await submit('no-database', 1, { maxAttempts: 1 }) as [string];
  const worker = new Worker({ addresses: world.addresses, queues: ['no-database'], handleSignals: false, logger: new KeptLog(),
    handlers: { effect: (_job, context) => context.transaction(async () => {}) } });
  const running = worker.run();
  await ended([id]);
  t.regex((await world.members[0]!.client.get(id)).error!.message, /give the worker the option `database`/);
  await worker.stop();
  await running;
});

/** A pool whose first COMMIT has no answer: the connection breaks before, or after, PostgreSQL has done it. */
function breakingPool(when: 'before' | 'after'): DatabasePool {
  let broken = false;
  return {
    connect: async () => {
      const client = await pool.connect();
      return {
        release: (error) => client.release(error),
        query: async (text, values) => {
          if (broken || !text.endsWith('commit')) return client.query(text, values);
          broken = true;
          if (when === 'after') await client.query(text, values);
          // On this one alone: others go back to the pool, and to other tests.
          client.on('error', () => {});
          (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
          throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
        },
      };
    },
  };
}

for (const when of ['before', 'after'] as const) {
  test(`a COMMIT without an answer, its connection broken ${when} it: the job's outcome decides, and the effect is there once`, async (t) => {
    const queue = `commit-${when}`;
    const [id] = await submit(queue, 1, { maxAttempts: 5 }) as [string];
    await world.members[0]!.operator.update(queue, {
      retryPolicy: { maxAttempts: undefined, initialBackoff: { seconds: 0, nanos: 1_000_000 }, factor: undefined, maxBackoff: undefined, jitter: undefined },
    });
    work(t, queue, { database: breakingPool(when), handlers: { effect: (job, context) => context.transaction((client) => write(client, job)) } });
    t.like((await ended([id]))[0], { state: 'SUCCEEDED', attempt: when === 'before' ? 2 : 1 });
    t.deepEqual((await effects([id])).map(({ attempt }) => attempt), [when === 'before' ? 2 : 1]);
    await leasesGone(queue);
  });
}

test('a connection that breaks between two queries of a transaction fails the attempt, and not the process', async (t) => {
  const [id] = await submit('broken-between', 1, { retryPolicy: { initialBackoffMs: 1 } }) as [string];
  const listeners: number[] = [];
  work(t, 'broken-between', {
    handlers: { effect: (job, context) => context.transaction(async (client: pg.PoolClient) => {
      await write(client, job);
      listeners.push(client.listenerCount('error'));
      if (job.attempt > 1) return;
      const ended = new Promise<void>((resolve) => client.on('end', resolve));
      const { rows: [own] } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
      await world.records.rows('select pg_terminate_backend($1)', [own!.pid]);
      await ended;
    }) },
  });
  t.like((await ended([id]))[0], { state: 'SUCCEEDED', attempt: 2 });
  t.deepEqual((await effects([id])).map(({ attempt }) => attempt), [2]);
  t.deepEqual(listeners, [1, 1], 'nobody listens any longer than the transaction lasts');
});

/** Nothing of the queue is held: every slot is free again. */
async function leasesGone(queue: string): Promise<void> {
  await waitFor(async () => (await world.records.rows(
    'select 1 from skiplease.lease l join skiplease.queue q on q.id = l.queue_id where q.name = $1', [queue])).length === 0,
  { deadlineMs, what: 'the lease to be settled' });
}

for (const moment of ['in', 'after'] as const) {
  test(`a worker that is killed ${moment === 'in' ? 'in its transaction leaves nothing' : 'between its COMMIT and its report leaves the job complete'}`, async (t) => {
    const queue = `killed-${moment}`;
    const victim = await startScript(frozenWorker, [world.members[0]!.grpcAddress, queue, workerUrl, moment], {});
    const [id] = await submit(queue, 1, { maxAttempts: 3 }) as [string];
    await victim.line((line) => line === `frozen ${moment}`, deadlineMs, 'the worker to be there');
    victim.kill('SIGKILL');
    await victim.exited;
    const again: number[] = [];
    work(t, queue, { handlers: { effect: (job, context) => {
      again.push(job.attempt);
      return context.transaction((client) => write(client, job));
    } } });
    await leasesGone(queue);
    await ended([id]);
    t.like(await outcome(id), { state: 'SUCCEEDED', attempt: moment === 'in' ? 2 : 1 });
    t.deepEqual(again, moment === 'in' ? [2] : []);
    t.deepEqual((await effects([id])).map(({ attempt }) => attempt), [moment === 'in' ? 2 : 1]);
  });
}

test.serial('a coordinator that is killed between a COMMIT and its report: the worker reports elsewhere, and the effect is there once', async (t) => {
  const third = await world.join();
  const ids = await submit('coordinator-killed', 10);
  const logger = work(t, 'coordinator-killed', {
    addresses: [third.grpcAddress, ...world.addresses], concurrency: 1,
    handlers: { effect: async (job, context) => {
      await context.transaction((client) => write(client, job));
      third.kill('SIGKILL');
      await third.exited;
    } },
  });
  const all = await ended(ids);
  t.true(all.every(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1));
  t.is((await effects(ids)).length, ids.length);
  await leasesGone('coordinator-killed');
  t.deepEqual(logger.events('report_without_effect'), []);
});
