import { status } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import test from 'ava';
import pg from 'pg';
import type { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import type { StreamSubmitJobsResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import { newJobId } from '../../coordinator/rpc/ids.ts';
import { waitFor } from '../support/wait.ts';
import { call, data, jobSpec, refusalOfStatus, startRpc } from '../support/rpc_clients.ts';
import type { Rpc } from '../support/rpc_clients.ts';

let rpc: Rpc;
test.before(async () => {
  rpc = await startRpc();
});
test.after.always(() => rpc?.stop());

function open() {
  const stream = rpc.jobs.streamSubmitJobs();
  const answers: StreamSubmitJobsResponse[] = [];
  let end: { code: number } | undefined;
  stream.on('data', (answer: StreamSubmitJobsResponse) => answers.push(answer));
  stream.on('error', (_error: ServiceError) => {});
  stream.on('status', (ended: { code: number }) => {
    end = ended;
  });
  return {
    stream,
    answers,
    send: (chunk: number, jobs: JobSpec[]) => stream.write({ chunk, jobs }),
    end: async () => {
      stream.end();
      return (await waitFor(() => end, { deadlineMs: 30_000, what: 'the stream to end' })).code;
    },
    answered: (count: number) => waitFor(() => answers.length >= count, { deadlineMs: 30_000, what: `${count} answers` }),
  };
}

test('chunks are answered in the order of their arrival, after their commit', async (t) => {
  const { answers, send, end } = open();
  for (let chunk = 1; chunk <= 100; chunk += 1) {
    // Of very different sizes, so that an answer out of order would show.
    send(chunk, Array.from({ length: chunk % 7 === 0 ? 500 : 1 }, () => jobSpec({ queue: 'flood', payload: data('x'.repeat(chunk)) })));
  }
  t.is(await end(), status.OK);
  t.deepEqual(answers.map(({ chunk }) => chunk), Array.from({ length: 100 }, (_, index) => index + 1));
  const ids = answers.flatMap(({ jobIds }) => jobIds);
  t.is(new Set(ids).size, 86 + 14 * 500);
  const { queue } = await call(rpc.queues, 'getQueue', { queue: 'flood' });
  t.is(queue!.depth!.ready, ids.length);
});

test('a refused chunk is answered and does not end the stream; its jobs are not there', async (t) => {
  const { answers, send, end } = open();
  const good = newJobId(Date.now());
  const mine = newJobId(Date.now());
  send(1, [jobSpec({ queue: 'mixed', id: good }), jobSpec({ queue: '' })]);
  send(2, []);
  send(3, [jobSpec({ queue: 'mixed', id: mine })]);
  send(4, [jobSpec({ queue: 'mixed', id: mine }), jobSpec({ queue: 'mixed' })]);
  send(5, [jobSpec({ queue: 'other', id: mine })]);
  t.is(await end(), status.OK);
  const refusals = answers.map(({ error }) => error && refusalOfStatus(error));
  t.like(refusals[0]!, { code: status.INVALID_ARGUMENT, reason: 'INVALID_FIELD' });
  t.deepEqual(refusals[0]!.violations.map(({ field }) => field), ['jobs[1].queue']);
  t.deepEqual(refusals[1]!.violations, [{ field: 'jobs', description: 'has 0 jobs: 1 to 10000 are accepted' }]);
  t.deepEqual(answers[2], { chunk: 3, jobIds: [], existingJobIds: [], error: undefined }, 'the client knows its ids');
  t.deepEqual(answers[3]!.existingJobIds, [mine]);
  t.is(answers[3]!.jobIds.length, 2);
  t.is(refusals[4]!.code, status.ALREADY_EXISTS);
  await t.throwsAsync(rpc.get(good), { message: /JOB_NOT_FOUND|There is no job/ });
});

test('a client that does not read its answers is read no further, and loses nothing when it reads on', async (t) => {
  const { stream, answers, send, end } = open();
  stream.pause();
  const jobs = Array.from({ length: 500 }, () => jobSpec({ queue: 'unread' }));
  for (let chunk = 1; chunk <= 200; chunk += 1) {
    send(chunk, jobs);
  }
  // Answers of 20 kB each fill what the connection holds; the rest of the chunks must wait in the client.
  const client = new pg.Client({ connectionString: rpc.databaseUrl });
  await client.connect();
  const count = async () => Number((await client.query<{ count: string }>(
    `select count(*) from skiplease.job j join skiplease.queue q on q.id = j.queue_id where q.name = 'unread'`)).rows[0]!.count);
  let last = 0;
  let changedAt = performance.now();
  await waitFor(async () => {
    const now = await count();
    if (now !== last) {
      last = now;
      changedAt = performance.now();
    }
    return now > 0 && performance.now() - changedAt > 500;
  }, { deadlineMs: 30_000, what: 'the server to stop reading' });
  t.true(last < 200 * 500, `${last} jobs were accepted`);
  stream.resume();
  t.is(await end(), status.OK);
  t.deepEqual(answers.map(({ chunk }) => chunk), Array.from({ length: 200 }, (_, index) => index + 1));
  t.true(answers.every(({ jobIds, error }) => jobIds.length === 500 && error === undefined));
  t.is(await count(), 200 * 500);
  await client.end();
});

test('a client that breaks off in the middle finds what was accepted, and repeats harmlessly', async (t) => {
  const ids = Array.from({ length: 1_000 }, () => newJobId(Date.now()));
  const { stream, send, answered } = open();
  send(1, ids.slice(0, 500).map((id) => jobSpec({ queue: 'broken', id })));
  await answered(1);
  send(2, ids.slice(500).map((id) => jobSpec({ queue: 'broken', id })));
  stream.cancel();
  const again = open();
  again.send(1, ids.map((id) => jobSpec({ queue: 'broken', id })));
  t.is(await again.end(), status.OK);
  t.is(again.answers[0]!.error, undefined);
  t.true(again.answers[0]!.existingJobIds.length >= 500);
  const { queue } = await call(rpc.queues, 'getQueue', { queue: 'broken' });
  t.is(queue!.depth!.ready, 1_000);
});
