/** The worker library against a real coordinator: what becomes of jobs whose handlers return, throw, wait too long or do not exist. */
import test from 'ava';
import {
  JobCancelledError,
  JobClient,
  JobTimeoutError,
  newJobId,
  PermanentError,
  RetryAfterError,
  SnoozeError,
  Worker,
} from '../../worker/index.ts';
import type { JobContext, JobSnapshot, NewJob, WorkerOptions } from '../../worker/index.ts';
import { startWorld } from '../support/lease_world.ts';
import type { World } from '../support/lease_world.ts';
import { waitFor } from '../support/wait.ts';
import { KeptLog } from '../unit/worker_parts.ts';

const deadlineMs = 20_000;

let world: World;
let client: JobClient;

test.before(async () => {
  world = await startWorld();
  client = new JobClient({ addresses: world.addresses });
});

test.after.always(async () => {
  client?.close();
  await world?.end();
});

/** A worker of one queue, stopped at the test's end. */
function work(t: { teardown(undo: () => unknown): void }, queue: string, options: Partial<WorkerOptions>): KeptLog {
  const logger = new KeptLog();
  const worker = new Worker({ addresses: world.addresses, queues: [queue], handleSignals: false, drainDeadlineMs: 0, logger, ...options });
  const running = worker.run();
  t.teardown(async () => {
    await worker.stop();
    await running;
  });
  return logger;
}

async function untilFinal(jobId: string): Promise<JobSnapshot> {
  return untilSeen(jobId, (job) => job.final, 'to end');
}

async function untilSeen(jobId: string, condition: (job: JobSnapshot) => boolean, what: string): Promise<JobSnapshot> {
  return waitFor(
    async () => {
      const job = await client.get(jobId);
      return condition(job) && job;
    },
    { deadlineMs, what: `the job ${what}` },
  );
}

test('a handler is given what was submitted, and its result is kept', async (t) => {
  const seen: unknown[] = [];
  const { id } = await client.submit({
    queue: 'results', type: 'add', payload: { a: 1, b: [2, 'drei'] }, headers: { trace: 'abc' }, priority: 3, maxAttempts: 7, timeoutMs: 5_000,
  });
  const raw = await client.submit({ queue: 'results', type: 'echo', payload: new Uint8Array([0, 255, 7]), contentType: 'image/png' });
  work(t, 'results', {
    handlers: {
      add: (job, context) => {
        const { id: _id, payload: _payload, ...rest } = job;
        seen.push({ ...rest, json: job.json(), token: /^\d+\.[0-9a-f]{16}$/.test(context.token) });
        return { sum: 3, text: 'ünïcode' };
      },
      echo: (job) => job.payload,
    },
  });
  const job = await untilFinal(id);
  t.like(job, { state: 'SUCCEEDED', attempt: 1, final: true });
  t.deepEqual(job.result, { sum: 3, text: 'ünïcode' });
  t.deepEqual(seen, [
    {
      queue: 'results', type: 'add', contentType: 'application/json', attempt: 1, maxAttempts: 7, timeoutMs: 5_000,
      headers: { trace: 'abc' }, checkpoint: undefined, priority: 3, json: { a: 1, b: [2, 'drei'] }, token: true,
    },
  ]);
  t.deepEqual(Buffer.from((await untilFinal(raw.id)).result as Uint8Array), Buffer.from([0, 255, 7]));
});

test('a batch handler gets the jobs of a lease at once, and answers for each', async (t) => {
  const jobs: NewJob[] = Array.from({ length: 300 }, (_, number) => ({ queue: 'batch', type: 'capture', payload: { number }, maxAttempts: 1 }));
  const submitted = await client.submitMany(jobs);
  const sizes: number[] = [];
  work(t, 'batch', {
    batchHandlers: {
      capture: (batch) => {
        sizes.push(batch.length);
        return batch.map((job) => {
          const { number } = job.json<{ number: number }>();
          return number % 100 === 7 ? new PermanentError('DECLINED', `declined: ${number}`) : { number };
        });
      },
    },
  });
  const ended = await world.records.untilEnded(submitted.map(({ id }) => id));
  t.is(sizes.reduce((sum, size) => sum + size, 0), 300);
  t.true(Math.max(...sizes) > 1, `batches of ${sizes.join(', ')}`);
  t.is(ended.filter(({ state }) => state === 'FAILED').length, 3);
  const declined = await client.get(submitted[107]!.id);
  t.like(declined, { state: 'FAILED', error: { code: 'DECLINED', message: 'declined: 107' } });
  t.deepEqual((await client.get(submitted[299]!.id)).result, { number: 299 });
});

test('an error is a failed attempt, tried again; RetryAfterError sets the delay, PermanentError ends it', async (t) => {
  const submit = (type: string): Promise<{ id: string }> => client.submit({ queue: 'errors', type, maxAttempts: 2 });
  const [ordinary, later, permanent] = await Promise.all(['ordinary', 'later', 'permanent'].map(submit));
  await world.members[0]!.operator.update('errors', {
    retryPolicy: { maxAttempts: undefined, initialBackoff: { seconds: 0, nanos: 1_000_000 }, factor: undefined, maxBackoff: undefined, jitter: undefined },
  });
  work(t, 'errors', {
    handlers: {
      ordinary: (job) => {
        throw Object.assign(new Error(`broken ${job.attempt}`), { code: 'E_BROKEN' });
      },
      later: (job) => {
        if (job.attempt === 1) throw new RetryAfterError(86_400_000, 'PROVIDER_DOWN', 'tomorrow');
      },
      permanent: () => {
        throw new PermanentError('NO_SUCH_CARD', 'never');
      },
    },
  });
  const failed = await untilFinal(ordinary!.id);
  t.like(failed, { state: 'FAILED', attempt: 2, error: { code: 'E_BROKEN', message: 'broken 2' } });
  t.deepEqual(failed.attempts.map(({ number, state, error }) => [number, state, error?.message]), [
    [1, 'FAILED', 'broken 1'],
    [2, 'FAILED', 'broken 2'],
  ]);
  t.regex(failed.attempts[0]!.error!.details, /worker_handlers\.test\.ts/, 'the stack is kept');
  t.like(await untilFinal(permanent!.id), { state: 'FAILED', attempt: 1, error: { code: 'NO_SUCH_CARD', message: 'never' } });
  const waits = await untilSeen(later!.id, ({ state }) => state === 'SCHEDULED', 'to wait for its next attempt');
  t.like(waits, { attempt: 1, error: { code: 'PROVIDER_DOWN', message: 'tomorrow' } });
  const inHours = (waits.runAt!.getTime() - Date.now()) / 3_600_000;
  t.true(inHours > 23 && inHours <= 24, `again in ${inHours} hours`);
});

test('a snoozed job comes back after its delay, and no attempt is spent', async (t) => {
  const { id } = await client.submit({ queue: 'snooze', type: 'wait', maxAttempts: 1 });
  const attempts: number[] = [];
  work(t, 'snooze', {
    handlers: {
      wait: (job) => {
        attempts.push(job.attempt);
        if (attempts.length < 3) throw new SnoozeError(10);
        return 'done';
      },
    },
  });
  t.like(await untilFinal(id), { state: 'SUCCEEDED', attempt: 1, attempts: [] });
  t.deepEqual(attempts, [1, 1, 1]);
});

test('a type that nobody here handles is handed back with a delay and a warning, and left to who knows it', async (t) => {
  const { id } = await client.submit({ queue: 'unknown', type: 'mystery', maxAttempts: 1 });
  const log = work(t, 'unknown', { handlers: { known: () => undefined } });
  const waits = await untilSeen(id, ({ state }) => state === 'SCHEDULED', 'to be handed back');
  const inMs = waits.runAt!.getTime() - Date.now();
  t.true(inMs > 1_000 && inMs <= 5_000, `again in ${inMs} ms`);
  t.is(log.events('no_handler').length, 1);
  t.regex(log.events('no_handler')[0]!.message, /mystery .*handlers here: known/);
  work(t, 'unknown', { handlers: { mystery: () => 'solved' } });
  const job = await untilFinal(id);
  t.like(job, { state: 'SUCCEEDED', attempt: 1, attempts: [], result: 'solved' });
});

test('a cancelled job’s handler is told, and what it returns counts for nothing', async (t) => {
  const { id } = await client.submit({ queue: 'cancel', type: 'slow' });
  let context: JobContext | undefined;
  work(t, 'cancel', {
    handlers: {
      slow: async (_job, given) => {
        context = given;
        await new Promise<void>((resolve) => given.signal.addEventListener('abort', () => resolve()));
        return 'too late';
      },
    },
  });
  await waitFor(() => context !== undefined, { deadlineMs, what: 'the handler to start' });
  t.deepEqual(await client.cancel([id], 'not needed any more'), [{ jobId: id, outcome: 'CANCELLED' }]);
  await waitFor(() => context!.signal.aborted, { deadlineMs, what: 'the signal to fire' });
  t.true(context!.signal.reason instanceof JobCancelledError);
  t.regex((context!.signal.reason as Error).message, /not needed any more/);
  t.like(await client.get(id), { state: 'CANCELLED', result: undefined });
  t.deepEqual(await client.cancel([id]), [{ jobId: id, outcome: 'ALREADY_FINAL' }]);
});

test('an attempt that takes longer than its timeout fails with TIMEOUT, though its handler does not listen', async (t) => {
  const { id } = await client.submit({ queue: 'timeout', type: 'deaf', timeoutMs: 50, maxAttempts: 1 });
  let end = (): void => {};
  let context: JobContext | undefined;
  work(t, 'timeout', {
    handlers: {
      deaf: async (_job, given) => {
        context = given;
        await new Promise<void>((resolve) => (end = resolve));
      },
    },
    timeoutGraceMs: 50,
  });
  const job = await untilFinal(id);
  end();
  t.like(job, { state: 'FAILED', error: { code: 'TIMEOUT', message: 'the attempt took longer than its timeout of 50 ms' } });
  t.true(context!.signal.reason instanceof JobTimeoutError);
});

test('a checkpoint is handed to the next attempt, and progress is seen while the job runs', async (t) => {
  const { id } = await client.submit({ queue: 'checkpoint', type: 'copy', maxAttempts: 2 });
  const given: unknown[] = [];
  let end = (): void => {};
  work(t, 'checkpoint', {
    handlers: {
      copy: async (job, context) => {
        given.push(job.checkpointJson());
        if (job.attempt === 1) {
          for (let row = 0; row <= 500; row += 1) context.checkpoint({ row });
          throw new RetryAfterError(0);
        }
        context.progress(75, 'three quarters');
        await new Promise<void>((resolve) => (end = resolve));
      },
    },
  });
  const running = await untilSeen(id, ({ progress }) => progress?.percent === 75, 'to be at 75 percent');
  t.like(running, { state: 'LEASED', attempt: 2, progress: { percent: 75, note: 'three quarters' } });
  end();
  t.like(await untilFinal(id), { state: 'SUCCEEDED', attempt: 2 });
  t.deepEqual(given, [undefined, { row: 500 }]);
});

test('jobs that wait for others run after them, or anyway, or are cancelled with them', async (t) => {
  const order: string[] = [];
  const [extract, clean, index] = [newJobId(), newJobId(), newJobId()];
  const book = { queue: 'books', maxAttempts: 1 };
  const [, , , publish, tidy] = await client.submitMany([
    { ...book, id: extract, type: 'extract' },
    { ...book, id: clean, type: 'clean', afterJobIds: [extract] },
    { ...book, id: index, type: 'index', afterJobIds: [extract, clean] },
    { ...book, type: 'publish', afterJobIds: [clean, index] },
    { ...book, type: 'tidy', afterJobIds: [clean, index], afterPolicy: 'RUN_ANYWAY' },
  ]);
  t.like(await client.get(index), { state: 'BLOCKED', blockedReason: 'DEPENDENCY', afterJobIds: [extract, clean] });
  const note = (job: { type: string }) => void order.push(job.type);
  work(t, 'books', {
    handlers: {
      extract: note, clean: note, publish: note, tidy: note,
      index: (job) => {
        note(job);
        throw new PermanentError('TOO_LONG', 'no');
      },
    },
  });
  t.like(await untilFinal(tidy!.id), { state: 'SUCCEEDED' });
  t.deepEqual(order, ['extract', 'clean', 'index', 'tidy']);
  t.like(await untilFinal(publish!.id), { state: 'CANCELLED', error: { code: 'AFTER_JOB_FAILED' } });
});

test('follow-ups are submitted with the success of their job, and not with its failure', async (t) => {
  const parents = await client.submitMany(['good', 'bad'].map((payload) => ({ queue: 'parent', type: 'parent', payload, maxAttempts: 1 })));
  const children = new Map<string, string>();
  work(t, 'parent', {
    handlers: {
      parent: (job, context) => {
        const kind = job.json<string>();
        children.set(kind, context.followUp({ queue: 'child', type: 'child', payload: { of: job.id } }));
        if (kind === 'bad') throw new Error('no');
      },
    },
  });
  await world.records.untilEnded(parents.map(({ id }) => id));
  t.like(await client.get(children.get('good')!), { state: 'READY', payload: { of: parents[0]!.id } });
  await t.throwsAsync(client.get(children.get('bad')!), { code: 'NOT_FOUND' });
});
