/** The submitters' client against real coordinators, over connections that break at the worst moment. */
import test from 'ava';
import { JobClient, newJobId, PermanentError, SkipleaseError, Worker } from '../../worker/index.ts';
import type { ChunkAcknowledgement, JobSnapshot, NewJob } from '../../worker/index.ts';
import { startWorld } from '../support/lease_world.ts';
import type { World } from '../support/lease_world.ts';
import { startWorkerHere, makeEffectsFile } from '../support/lease_workers.ts';
import { startTcpProxy } from '../support/tcp_proxy.ts';
import type { TcpProxy } from '../support/tcp_proxy.ts';
import { waitFor } from '../support/wait.ts';

const deadlineMs = 20_000;

let world: World;

test.before(async () => {
  world = await startWorld();
});

test.after.always(async () => {
  await world?.end();
});

/** A client whose first way leads through a proxy, its second straight to the coordinator. */
async function throughProxy(t: { teardown(undo: () => unknown): void }): Promise<{ client: JobClient; proxy: TcpProxy }> {
  const proxy = await startTcpProxy(world.addresses[0]!);
  const client = new JobClient({ addresses: [proxy.address, world.addresses[0]!] });
  t.teardown(async () => {
    client.close();
    await proxy.close();
  });
  return { client, proxy };
}

async function countJobs(queue: string): Promise<number> {
  const text = 'select count(*)::int as count from skiplease.job join skiplease.queue on queue.id = job.queue_id where queue.name = $1';
  return (await world.records.rows<{ count: number }>(text, [queue]))[0]!.count;
}

test('a submit whose answer is lost is repeated by the client, and creates nothing twice', async (t) => {
  const { client, proxy } = await throughProxy(t);
  await client.submit({ queue: 'lost-answer', type: 'warm-up' });
  proxy.freeze(true, 'to client');
  const submitted = client.submit({ queue: 'lost-answer', type: 'work', payload: { n: 1 } });
  await waitFor(async () => (await countJobs('lost-answer')) === 2, { deadlineMs, what: 'the job to be committed' });
  proxy.cut();
  const { id, existing } = await submitted;
  t.true(existing, 'the second try met what the first had made');
  t.is(await countJobs('lost-answer'), 2);
  t.deepEqual((await client.get(id)).payload, { n: 1 });
});

test('submits at once share a message, and one that is refused has an answer of its own', async (t) => {
  const client = new JobClient({ addresses: [world.addresses[0]!] });
  t.teardown(() => client.close());
  const jobs: NewJob[] = Array.from({ length: 50 }, (_, n) => ({ queue: 'at-once', type: 'work', payload: { n } }));
  const first = await client.submit({ id: newJobId(), ...jobs[0]! });
  const results = await Promise.allSettled([
    ...jobs.map((job) => client.submit(job)), client.submit({ queue: 'at-once', type: 'work', priority: 1.5 }),
    client.submit({ queue: 'bad name!', type: 'work' }), client.submit({ ...jobs[0]!, id: first.id }),
  ]);
  const [unwritable, bad, again] = results.slice(-3);
  t.true(results.slice(0, 50).every((result) => result.status === 'fulfilled' && !result.value.existing));
  t.like((unwritable as PromiseRejectedResult).reason as SkipleaseError, { code: 'INVALID_ARGUMENT', message: 'a job cannot be written: invalid int32: 1.5' });
  t.like((bad as PromiseRejectedResult).reason as SkipleaseError, { code: 'INVALID_ARGUMENT' });
  t.is(((bad as PromiseRejectedResult).reason as SkipleaseError).fieldViolations[0]!.field, 'job.queue');
  t.deepEqual((again as PromiseFulfilledResult<unknown>).value, { id: first.id, existing: true });
  t.is(await countJobs('at-once'), 51);
});

test('a unique key: the answer names the job that has it, by whatever way it was submitted', async (t) => {
  const client = new JobClient({ addresses: [world.addresses[0]!] });
  t.teardown(() => client.close());
  const job: NewJob = { queue: 'unique', type: 'work', unique: { key: 'ä', scope: 'QUEUE_AND_TYPE', lifetimeMs: 60_000 } };
  const { id, existing } = await client.submit(job);
  t.false(existing);
  t.like(await client.get(id), { unique: { key: 'ä', scope: 'QUEUE_AND_TYPE', lifetimeMs: 60_000, onConflict: 'RETURN_EXISTING' }, retryPolicy: undefined });
  t.deepEqual(await client.submit(job), { id, existing: true });
  t.deepEqual((await client.submitMany([job, { ...job, type: 'other' }]))[0], { id, existing: true });
  const chunks: ChunkAcknowledgement[] = [];
  t.like(await client.stream([job, { ...job, unique: { key: 'new' } }], { onChunk: (chunk) => chunks.push(chunk) }), { created: 1, existing: 1 });
  t.is(chunks[0]!.jobIds[0], id);
  t.like(await t.throwsAsync(client.submit({ ...job, unique: { ...job.unique!, onConflict: 'REJECT' } }), { instanceOf: SkipleaseError }), { code: 'ALREADY_EXISTS', reason: 'UNIQUE_KEY_TAKEN' });
  t.is((await client.submit({ ...job, unique: { ...job.unique!, onConflict: 'REPLACE' } })).existing, false);
  t.like(await client.get(id), { state: 'CANCELLED' });
});

test('jobs by filter: what has failed is re-driven at a rate, and what waits is cancelled', async (t) => {
  const client = new JobClient({ addresses: world.addresses });
  t.teardown(() => client.close());
  const retryPolicy = { maxAttempts: 1, initialBackoffMs: 5 };
  const submitted = await client.submitMany(Array.from({ length: 20 }, () => ({ queue: 'by-filter', type: 'fails', retryPolicy })));
  t.like(await client.get(submitted[0]!.id), { maxAttempts: 1, retryPolicy: { initialBackoffMs: 5 } });
  const quiet = () => {};
  const worker = new Worker({
    addresses: world.addresses, queues: ['by-filter'], handlers: { fails: () => Promise.reject(new PermanentError('BROKEN', 'as it must')) },
    handleSignals: false, logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
  const running = worker.run();
  await waitFor(async () => (await Promise.all(submitted.map(({ id }) => client.get(id)))).every(({ state }) => state === 'FAILED'), { deadlineMs, what: 'all to fail' });
  await worker.stop();
  await running;
  t.is(await client.retryAll({ queue: 'by-filter', errorCode: 'OTHER' }), 0);
  t.is(await client.retryAll({ queue: 'by-filter', errorCode: 'BROKEN' }, { jobsMax: 5, jobsPerSecond: 0.01, maxAttempts: 9 }), 5);
  t.is(await client.retryAll({ queue: 'by-filter', createdBefore: new Date(Date.now() + 60_000) }), 15);
  const oldest = [...submitted].sort((one, other) => (one.id < other.id ? -1 : 1))[0]!;
  const { retriedAsJobId } = await client.get(oldest.id);
  t.like(await client.get(retriedAsJobId), { originJobId: oldest.id, maxAttempts: 9 });
  t.is(await client.cancelAll({ queue: 'by-filter', type: 'fails' }, 'enough'), 20);
  t.like(await client.get(retriedAsJobId), { state: 'CANCELLED' });
  await t.throwsAsync(client.cancelAll({}), { instanceOf: SkipleaseError, code: 'INVALID_ARGUMENT' });
});

test('a coordinator that says nothing is given up, and the next one has the job', async (t) => {
  const proxy = await startTcpProxy(world.addresses[0]!);
  const client = new JobClient({ addresses: [proxy.address, world.addresses[0]!], timeoutMs: 500 });
  t.teardown(async () => {
    client.close();
    await proxy.close();
  });
  await client.submit({ queue: 'silence', type: 'warm-up' });
  proxy.freeze(true);
  const { existing } = await client.submit({ queue: 'silence', type: 'work' });
  t.false(existing);
  t.is(await countJobs('silence'), 2);
  // Nobody is left waiting either when the client is closed first.
  proxy.freeze(true);
  const lonely = new JobClient({ addresses: [proxy.address] });
  const submitted: Promise<unknown>[] = [];
  // More than may be on the way at once: some wait for room, and some have not been taken up yet.
  for (let turn = 0; turn < 8; turn += 1) {
    submitted.push(lonely.submit({ queue: 'silence', type: 'late' }));
    await new Promise(setImmediate);
  }
  submitted.push(lonely.submit({ queue: 'silence', type: 'late' }));
  lonely.close();
  for (const each of submitted) await t.throwsAsync(each, { instanceOf: SkipleaseError, code: 'CANCELLED' });
});

test('many jobs go in chunks, and come back in their order', async (t) => {
  const client = new JobClient({ addresses: world.addresses });
  t.teardown(() => client.close());
  const known = newJobId();
  await client.submit({ id: known, queue: 'many', type: 'work' });
  const jobs: NewJob[] = Array.from({ length: 2_500 }, (_, number) => ({ queue: 'many', type: 'work', payload: number }));
  jobs[1_234]!.id = known;
  const submitted = await client.submitMany(jobs);
  t.is(submitted.length, 2_500);
  t.deepEqual(submitted[1_234], { id: known, existing: true });
  t.is(submitted.filter(({ existing }) => existing).length, 1);
  t.is(await countJobs('many'), 2_500);
  t.is((await client.get(submitted[2_400]!.id)).payload, 2_400);
});

test('a stream that breaks again and again creates every job once', async (t) => {
  const { client, proxy } = await throughProxy(t);
  const acknowledged: ChunkAcknowledgement[] = [];
  async function* source(): AsyncGenerator<NewJob> {
    for (let number = 0; number < 20_000; number += 1) {
      if (number % 5_000 === 2_500) {
        // Break it while something is under way, on whichever of the two ways that is.
        await waitFor(() => acknowledged.length > 0, { deadlineMs, what: 'a first acknowledgement' });
        proxy.cut();
      }
      yield { queue: 'broken-stream', type: 'work', payload: { number } };
    }
  }
  const totals = await client.stream(source(), { chunkJobs: 200, onChunk: (chunk) => acknowledged.push(chunk) });
  t.like(totals, { jobs: 20_000, refused: 0, refusals: [] });
  t.is(totals.created + totals.existing, 20_000);
  t.is(acknowledged.reduce((sum, { jobIds }) => sum + jobIds.length, 0), 20_000);
  t.is(new Set(acknowledged.flatMap(({ jobIds }) => jobIds)).size, 20_000);
  t.is(await countJobs('broken-stream'), 20_000);
});

test('a refused chunk is counted with its error, and does not end the stream', async (t) => {
  const client = new JobClient({ addresses: world.addresses });
  t.teardown(() => client.close());
  const jobs: NewJob[] = Array.from({ length: 30 }, (_, number) => ({ queue: 'refused', type: 'work', priority: number === 15 ? 77 : 0 }));
  const totals = await client.stream(jobs, { chunkJobs: 10 });
  t.like(totals, { chunks: 3, jobs: 30, created: 20, existing: 0, refused: 10 });
  const [refusal] = totals.refusals;
  t.is(totals.refusals.length, 1);
  t.like(refusal, { chunk: 2, error: { code: 'INVALID_ARGUMENT' } });
  t.regex(refusal!.error!.fieldViolations[0]!.field, /jobs\[5\]\.priority/);
  t.is(await countJobs('refused'), 20);
});

test('a source that trickles is not kept waiting for a full chunk', async (t) => {
  const client = new JobClient({ addresses: world.addresses });
  t.teardown(() => client.close());
  let acknowledged = 0;
  async function* source(): AsyncGenerator<NewJob> {
    for (let number = 0; number < 3; number += 1) {
      yield { queue: 'trickle', type: 'work' };
      await waitFor(() => acknowledged === number + 1, { deadlineMs, what: `job ${number + 1} to be committed` });
    }
  }
  const totals = await client.stream(source(), { onChunk: ({ jobIds }) => (acknowledged += jobIds.length) });
  t.like(totals, { chunks: 3, created: 3 });
});

test('an error of the source ends the stream with that error', async (t) => {
  const client = new JobClient({ addresses: world.addresses });
  t.teardown(() => client.close());
  function* source(): Generator<NewJob> {
    yield { queue: 'source-error', type: 'work' };
    throw new RangeError('line 2 cannot be read');
  }
  await t.throwsAsync(client.stream(source()), { instanceOf: RangeError, message: 'line 2 cannot be read' });
});

test('a job that has no form on the wire ends the stream', async (t) => {
  const client = new JobClient({ addresses: world.addresses });
  t.teardown(() => client.close());
  const expected = { instanceOf: SkipleaseError, code: 'INVALID_ARGUMENT', message: /a job cannot be written: .*1\.5/ };
  await t.throwsAsync(client.stream([{ queue: 'unwritable', type: 'work', priority: 1.5 }]), expected);
});

test('watch shows a job until it is final, over a broken connection', async (t) => {
  const { client, proxy } = await throughProxy(t);
  const { id } = await client.submit({ queue: 'watched', type: 'work' });
  const seen: JobSnapshot[] = [];
  for await (const job of client.watch(id)) {
    seen.push(job);
    if (seen.length > 1) continue;
    proxy.cut();
    const worker = startWorkerHere({
      addresses: world.addresses, queue: 'watched', workerId: 'watched', effectsFile: await makeEffectsFile(), concurrency: 1, windowJobs: 1, workMs: 50,
    });
    t.teardown(() => worker.stop());
  }
  t.is(seen[0]!.state, 'READY');
  t.like(seen.at(-1), { id, state: 'SUCCEEDED', final: true });
  const order = ['READY', 'LEASED', 'SUCCEEDED'];
  const places = seen.map(({ state }) => order.indexOf(state));
  t.deepEqual(places, places.toSorted((one, other) => one - other), 'never backwards');
});

test('cancel and retry answer for each job', async (t) => {
  const client = new JobClient({ addresses: world.addresses });
  t.teardown(() => client.close());
  const { id } = await client.submit({ queue: 'steered', type: 'work' });
  const nobody = newJobId();
  t.deepEqual(await client.cancel([id, nobody], 'enough'), [
    { jobId: id, outcome: 'CANCELLED' },
    { jobId: nobody, outcome: 'NOT_FOUND' },
  ]);
  const outcomes = (await client.retry([id, nobody])).map(({ outcome }) => outcome);
  t.deepEqual(outcomes, ['NOT_FAILED', 'NOT_FOUND']);
});

test('an error names its code, its reason and the fields; what cannot be reached is tried a bounded number of times', async (t) => {
  const client = new JobClient({ addresses: world.addresses });
  t.teardown(() => client.close());
  const bad = await t.throwsAsync(client.submit({ queue: 'no spaces', type: '' }), { instanceOf: SkipleaseError, code: 'INVALID_ARGUMENT' });
  t.not(bad.reason, '');
  t.deepEqual(bad.fieldViolations.map(({ field }) => field).toSorted(), ['job.queue', 'job.type']);
  await t.throwsAsync(client.get(newJobId()), { code: 'NOT_FOUND' });
  const lost = new JobClient({ addresses: ['127.0.0.1:1'], triesMax: 2 });
  t.teardown(() => lost.close());
  await t.throwsAsync(lost.submit({ queue: 'q', type: 't' }), { code: 'UNAVAILABLE' });
});
