import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import type { JobSpec, JobState } from '../../proto/gen/skiplease/v1/job.ts';
import { CancelJobsRequest, ListJobsRequest, RetryJobsRequest, SubmitJobRequest } from '../../proto/gen/skiplease/v1/job_service.ts';
import type { StreamSubmitJobsResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import type { LeaseResponse } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { LeaseRequest, ReceiptStatus } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { newJobId } from '../../coordinator/rpc/ids.ts';
import { makePageToken } from '../../coordinator/rpc/page_token.ts';
import { waitFor, within } from '../support/wait.ts';
import { call, data, jobSpec, refused, startRpc, succeeded } from '../support/rpc_clients.ts';
import type { Refusal, Rpc } from '../support/rpc_clients.ts';

const GOOD_JOBS = 1_000;
const DEADLINE_MS = 60_000;

let rpc: Rpc;
test.before(async () => {
  rpc = await startRpc({ SKIPLEASE_PAYLOAD_BYTES_MAX: '10000', SKIPLEASE_RESULT_BYTES_MAX: '10000', SKIPLEASE_RECEIVE_BYTES_MAX: '1000000' });
});
test.after.always(() => rpc?.stop());

/** Somebody decent: submits and works 1,000 jobs, and wants each receipt to say ACCEPTED. */
async function goodClient(queue: string): Promise<void> {
  const worker = await rpc.worker({ queues: [queue], jobs: 200 });
  let accepted = 0;
  worker.stream.on('data', ({ message }: LeaseResponse) => {
    if (message?.$case === 'lease') {
      worker.say({ $case: 'report', value: { token: message.value.token, outcomes: message.value.jobs.map(({ id }) => succeeded(id)) } });
    } else if (message?.$case === 'receipt') {
      accepted += message.value.jobs.filter((job) => job.status === ReceiptStatus.ACCEPTED).length;
    }
  });
  for (let submitted = 0; submitted < GOOD_JOBS; submitted += 100) {
    await rpc.submit(...Array.from({ length: 100 }, () => jobSpec({ queue, payload: data('good') })));
  }
  await waitFor(() => {
    if (worker.error !== undefined) {
      throw worker.error;
    }
    return accepted === GOOD_JOBS;
  }, { deadlineMs: DEADLINE_MS, what: `the good client's ${GOOD_JOBS} receipts` });
  await worker.leave();
}

/** The attack again and again, until the good client is through: it must not notice. */
function attack(name: string, run: (t: ExecutionContext) => Promise<void>): void {
  test.serial(`${name}: refused, and nobody else notices`, async (t) => {
    let through = false;
    const good = goodClient(`good-${newJobId(Date.now())}`).then(() => {
      through = true;
    });
    do {
      await run(t);
    } while (!through && await Promise.race([good.then(() => false), new Promise<boolean>((resolve) => {
      setImmediate(() => resolve(true));
    })]));
    await t.notThrowsAsync(good);
  });
}

interface Expected {
  code?: number;
  reason?: string;
  field: string;
  /** Words of the description that name the limit. */
  says?: string;
}

function matches(t: ExecutionContext, refusal: Refusal, expected: Expected): void {
  const { code = status.INVALID_ARGUMENT, reason = 'INVALID_FIELD', field, says = '' } = expected;
  t.is(refusal.code, code, refusal.message);
  t.is(refusal.reason, reason);
  t.is(refusal.domain, 'skiplease');
  t.is(refusal.violations[0]?.field, field);
  t.true(refusal.violations[0]!.description.includes(says), refusal.violations[0]!.description);
}

const submitOne = (fields: Partial<JobSpec>) => refused(call(rpc.jobs, 'submitJob', { job: jobSpec(fields) }));

for (const [name, fields, expected] of [
  ['an empty queue name', { queue: '' }, { field: 'job.queue', says: '1 to 128' }],
  ['an over-long queue name', { queue: 'q'.repeat(129) }, { field: 'job.queue', says: '1 to 128' }],
  ['a type with odd characters', { type: 'send mail\0' }, { field: 'job.type', says: '1 to 128' }],
  ['a payload over the limit', { payload: data('x'.repeat(10_001)) }, { field: 'job.payload.data', says: 'at most 10000' }],
  ['JSON over the limit', { payload: { content: { $case: 'json', value: { a: 'x'.repeat(10_000) } }, contentType: '' } },
    { field: 'job.payload.json', says: 'at most 10000' }],
  ['a number that JSON would round', { payload: { content: { $case: 'json', value: { amount: 2 ** 60 } }, contentType: '' } },
    { field: 'job.payload.json.amount', says: '2^53' }],
  ['JSON text that does not parse', { payload: { content: { $case: 'jsonText', value: '{"a":' }, contentType: '' } }, { field: 'job.payload.json_text', says: 'not JSON' }],
  ['a negative delay', { start: { $case: 'delay', value: { seconds: -5, nanos: 0 } } }, { field: 'job.delay', says: '0 to 10 years' }],
  ['a delay of centuries', { start: { $case: 'delay', value: { seconds: 300_000_000_000, nanos: 0 } } }, { field: 'job.delay', says: '0 to 10 years' }],
  ['a timeout whose nanos run over', { timeout: { seconds: 1, nanos: 2_000_000_000 } }, { field: 'job.timeout', says: 'not a duration' }],
  ['a run_at beyond all times', { start: { $case: 'runAt', value: new Date(8_640_000_000_000_000) } }, { field: 'job.run_at', says: '1 to 9999' }],
  ['a negative priority', { priority: -2_147_483_648 }, { field: 'job.priority', says: '0 to 9' }],
  ['an id of last week', { id: '01900000-0000-7000-8000-000000000000' }, { field: 'job.id', says: '24 hours past to 5 minutes ahead' }],
  ['an id that is no UUIDv7', { id: 'order-4711' }, { field: 'job.id', says: 'UUIDv7' }],
] as [string, Partial<JobSpec>, Expected][]) {
  attack(name, async (t) => matches(t, await submitOne(fields), expected));
}

attack('too many jobs at once, and none', async (t) => {
  const small = jobSpec({ queue: 'q', type: 't' });
  matches(t, await refused(call(rpc.jobs, 'submitJobs', { jobs: Array.from({ length: 10_001 }, () => small) })), { field: 'jobs', says: '1 to 10000' });
  matches(t, await refused(call(rpc.jobs, 'submitJobs', { jobs: [] })), { field: 'jobs', says: '1 to 10000' });
  matches(t, await refused(call(rpc.jobs, 'submitJob', { job: undefined })), { field: 'job', says: 'missing' });
});

attack('ten thousand bad jobs at once', async (t) => {
  const refusal = await refused(call(rpc.jobs, 'submitJobs', { jobs: Array.from({ length: 10_000 }, () => jobSpec({ queue: '' })) }));
  matches(t, refusal, { field: 'jobs[0].queue' });
  t.true(refusal.violations.length <= 100, 'what is told stays small enough for trailers');
});

attack('a message over the limit', async (t) => {
  const jobs = Array.from({ length: 150 }, () => jobSpec({ payload: data('x'.repeat(9_000)) }));
  matches(t, await refused(call(rpc.jobs, 'submitJobs', { jobs })),
    { code: status.RESOURCE_EXHAUSTED, reason: 'MESSAGE_TOO_LARGE', field: '', says: 'at most 1000000' });
  const far = Array.from({ length: 1_000 }, () => jobs[0]!);
  const refusal = await refused(call(rpc.jobs, 'submitJobs', { jobs: far }));
  t.is(refusal.code, status.RESOURCE_EXHAUSTED);
  t.regex(refusal.message, /larger than max/);
});

/** A call with bytes that no encoder would make. */
function rawCall(path: string, bytes: Buffer): Promise<Refusal> {
  return refused(new Promise((resolve, reject) => {
    rpc.jobs.makeUnaryRequest(path, (raw: Buffer) => raw, (raw: Buffer) => raw, bytes, (error: ServiceError | null, answer) => (error ? reject(error) : resolve(answer)));
  }));
}

attack('messages that cannot be decoded', async (t) => {
  const good = Buffer.from(SubmitJobRequest.encode({ job: jobSpec({ payload: data('whole') }) }).finish());
  // job { timeout { seconds: 2^62 } }
  const hugeDuration = Buffer.from([0x0a, 0x0d, 0x4a, 0x0b, 0x08, ...Array.from({ length: 8 }, () => 0x80), 0x40, 0x10]);
  for (const bytes of [good.subarray(0, good.length - 2), hugeDuration, Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]), Buffer.from([0x0f])]) {
    for (const path of ['/skiplease.v1.JobService/SubmitJob', '/skiplease.v1.QueueService/UpdateQueue', '/skiplease.v1.JobService/GetJob']) {
      const refusal = await rawCall(path, bytes).catch((error: Error) => error);
      if (!(refusal instanceof Error)) {
        t.is(refusal.code, status.INVALID_ARGUMENT, refusal.message);
        t.is(refusal.reason, 'INVALID_FIELD');
      }
    }
  }
  matches(t, await rawCall('/skiplease.v1.JobService/SubmitJob', good.subarray(0, good.length - 2)), { field: '', says: 'cannot be decoded' });
  matches(t, await rawCall('/skiplease.v1.JobService/SubmitJob', hugeDuration), { field: '', says: 'cannot be decoded' });
});

attack('a stream whose messages cannot be decoded', async (t) => {
  for (const path of ['/skiplease.v1.JobService/StreamSubmitJobs', '/skiplease.v1.WorkerService/Lease', '/skiplease.v1.JobService/WatchJob']) {
    const stream = rpc.jobs.makeBidiStreamRequest(path, (raw: Buffer) => raw, (raw: Buffer) => raw);
    stream.on('data', () => {});
    const refusal = await refused(new Promise((resolve, reject) => {
      stream.on('error', reject);
      stream.on('end', resolve);
      stream.write(Buffer.from([0x0a, 0x7f, 0x01]));
    }));
    matches(t, refusal, { field: '', says: 'cannot be decoded' });
  }
});

attack('messages that cannot be decoded, among others, at any moment', async (t) => {
  const queues = [{ queue: 'unread', jobsMax: 0 }];
  const window = { jobs: 1, bytes: 0, queues: [] };
  const bytes = (message: LeaseRequest['message']) => Buffer.from(LeaseRequest.encode({ message }).finish());
  const hello = bytes({ $case: 'hello', value: { workerId: 'w', instanceId: '', queues, window, sdk: '', sdkVersion: '', heldTokens: [], receiveBytesMax: 0 } });
  const report = bytes({ $case: 'report', value: { token: '1.0123456789abcdef', outcomes: [succeeded(newJobId(Date.now()))] } });
  const bad = Buffer.from([0x0a, 0x7f, 0x01]);
  await Promise.all(Array.from({ length: 50 }, async () => {
    const stream = rpc.jobs.makeBidiStreamRequest('/skiplease.v1.WorkerService/Lease', (raw: Buffer) => raw, (raw: Buffer) => raw);
    stream.on('data', () => {});
    const refusal = refused(new Promise((resolve, reject) => {
      stream.on('error', reject);
      stream.on('end', resolve);
    }));
    for (const message of [hello, report, report, report, report, report, bad, bad, bytes({ $case: 'window', value: window }), report, bad]) {
      stream.write(message);
      await delay(Math.random() < 0.5 ? 0 : Math.random() * 20);
    }
    stream.end();
    matches(t, await within(refusal, DEADLINE_MS, 'the end of the stream'), { field: '', says: 'cannot be decoded' });
  }));
});

attack('bad chunks on a submit stream', async (t) => {
  const stream = rpc.jobs.streamSubmitJobs();
  const codes: (number | undefined)[] = [];
  stream.on('data', ({ error }: StreamSubmitJobsResponse) => codes.push(error?.code));
  const ended = new Promise((resolve) => {
    stream.on('status', resolve);
  });
  for (let chunk = 1; chunk <= 40; chunk += 1) {
    stream.write({ chunk, jobs: chunk % 2 === 0 ? [] : [jobSpec({ queue: '' })] });
  }
  stream.end();
  t.like(await within(ended, DEADLINE_MS, 'the stream to end'), { code: status.OK });
  t.deepEqual(codes, Array.from({ length: 40 }, () => status.INVALID_ARGUMENT));
});

attack('bad page tokens, sizes and filters', async (t) => {
  const list = ListJobsRequest.create();
  for (const [changes, field] of [
    [{ pageToken: 'x'.repeat(10_000) }, 'page_token'], [{ pageToken: '\0' }, 'page_token'], [{ pageToken: Buffer.from('[1,2]').toString('base64url') }, 'page_token'],
    [{ pageSize: -5 }, 'page_size'], [{ pageSize: 2_147_483_647 }, 'page_size'], [{ queue: "'; drop table job; --" }, 'queue'], [{ state: -5 as JobState }, 'state'],
  ] as const) {
    matches(t, await refused(call(rpc.jobs, 'listJobs', { ...list, ...changes })), { field });
  }
  matches(t, await refused(call(rpc.queues, 'listQueues', { pageSize: 0, pageToken: 'zzz' })), { field: 'page_token' });
  // Such as no list has ever given, but in their form.
  for (const cursor of ['\0', 'a\0', 'é']) {
    matches(t, await refused(call(rpc.queues, 'listQueues', { pageSize: 0, pageToken: makePageToken(cursor, []) })), { field: 'page_token' });
    matches(t, await refused(call(rpc.schedules, 'listSchedules', { pageSize: 0, pageToken: makePageToken(cursor, []) })), { field: 'page_token' });
  }
  matches(t, await refused(call(rpc.workers, 'listWorkers', { queue: '', pageSize: 0, pageToken: makePageToken('-'.repeat(36), ['']) })), { field: 'page_token' });
  matches(t, await refused(call(rpc.workers, 'listWorkers', { queue: '', pageSize: 1_001, pageToken: '' })), { field: 'page_size', says: '1 to 1000' });
  matches(t, await refused(call(rpc.workers, 'listLeases', { queue: '', workerId: 'w\0', pageSize: 0, pageToken: '' })), { field: 'worker_id' });
});

attack('jobs and queues that do not exist', async (t) => {
  const id = newJobId(Date.now());
  t.like(await refused(call(rpc.jobs, 'getJob', { jobId: id })), { code: status.NOT_FOUND, reason: 'JOB_NOT_FOUND' });
  t.like(await refused(call(rpc.queues, 'pauseQueue', { queue: 'nobody-knows-it' })), { code: status.NOT_FOUND, reason: 'QUEUE_NOT_FOUND' });
  matches(t, await refused(call(rpc.jobs, 'getJob', { jobId: '../../etc/passwd' })), { field: 'job_id' });
  matches(t, await refused(call(rpc.jobs, 'cancelJobs', CancelJobsRequest.create({ jobIds: Array.from({ length: 1_001 }, () => id), reason: '' }))), { field: 'job_ids', says: '1 to 1000' });
  matches(t, await refused(call(rpc.jobs, 'cancelJobs', CancelJobsRequest.create({ jobIds: [id], reason: 'r'.repeat(201) }))), { field: 'reason', says: 'at most 200' });
  matches(t, await refused(call(rpc.jobs, 'retryJobs', RetryJobsRequest.create({ jobIds: [] }))), { field: 'job_ids', says: '1 to 1000' });
});

attack('garbage bytes on both ports', async (t) => {
  const { grpcAddress, httpAddress } = rpc.coordinator;
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  // A frame that claims to be 16 MiB long; settings of zero length; then noise.
  const frame = Buffer.from([0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01]);
  const settings = Buffer.from([0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00]);
  const noises = [randomBytes(10_000), Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), preface, Buffer.concat([preface, randomBytes(5_000)]),
    Buffer.concat([preface, settings, frame, randomBytes(5_000)]), Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00]), Buffer.alloc(0)];
  for (const address of [grpcAddress, httpAddress]) {
    const port = Number(address.split(':').at(-1));
    await Promise.all(noises.map((noise) => new Promise<void>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.end(noise));
      socket.on('error', () => {});
      socket.on('data', () => {});
      socket.on('close', () => resolve());
      socket.setTimeout(2_000, () => socket.destroy());
    })));
  }
  t.is((await fetch(`http://${httpAddress}/healthz`)).status, 200);
});

attack('clients that open streams and never read', async (t) => {
  const ids = await rpc.submit(...Array.from({ length: 20 }, () => jobSpec({ queue: 'never-read', payload: data('x'.repeat(9_000)) })));
  const watches = ids.map((jobId) => rpc.jobs.watchJob({ jobId }).pause());
  const submits = Array.from({ length: 5 }, () => rpc.jobs.streamSubmitJobs().pause());
  submits.forEach((stream) => {
    stream.on('error', () => {});
    for (let chunk = 1; chunk <= 50; chunk += 1) {
      stream.write({ chunk, jobs: [jobSpec({ queue: 'never-read' })] });
    }
  });
  const { results } = await call(rpc.jobs, 'cancelJobs', CancelJobsRequest.create({ jobIds: ids, reason: '' }));
  t.is(results.length, 20);
  for (const stream of [...watches, ...submits]) {
    stream.on('error', () => {});
    stream.cancel();
  }
});
