/** Workers that misbehave: each is refused by name, and harms nobody else. */
import { randomUUID } from 'node:crypto';
import { connect as connectHttp2 } from 'node:http2';
import test, { type ExecutionContext } from 'ava';
import type { StatusObject } from '@grpc/grpc-js';
import { BadRequest } from '../../proto/gen/google/rpc/error_details.ts';
import { Status } from '../../proto/gen/google/rpc/status.ts';
import { LeaseRequest, type Lease } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { newJobId, SkipleaseError } from '../../worker/index.ts';
import { LeaseClient, succeeded } from '../support/lease_client.ts';
import { startWorld, type World } from '../support/lease_world.ts';
import { waitFor } from '../support/wait.ts';

const LEASE_TTL_MS = 3_000;
const DEADLINE_MS = 30_000;
const CODE = { OK: 0, INVALID_ARGUMENT: 3, DEADLINE_EXCEEDED: 4, RESOURCE_EXHAUSTED: 8, FAILED_PRECONDITION: 9 } as const;
const INVALID = 5;

let world: World;

test.before(async () => {
  world = await startWorld({ leaseTtlMs: LEASE_TTL_MS });
});

test.after.always(() => world?.end());

/** The attack, while a good worker completes 1,000 jobs with no error. */
async function besideAGoodWorker(t: ExecutionContext, queue: string, attack: (while_: () => boolean) => Promise<void>): Promise<void> {
  const good = await world.worker({ queues: [queue], jobs: 50, workerId: `good ${queue}` });
  const statuses: number[] = [];
  good.listen((message) => {
    if (message.$case === 'receipt') statuses.push(...message.value.jobs.map(({ status }) => status));
    if (message.$case === 'lease') {
      const { token, jobs } = message.value;
      good.send({ $case: 'report', value: { token, outcomes: jobs.map(({ id }) => succeeded(id)) } });
    }
  });
  const attacking = attack(() => statuses.length < 1_000);
  const jobIds: string[] = [];
  for (let round = 0; round < 20; round += 1) jobIds.push(...(await world.submit(queue, 50)));
  const ended = await world.records.untilEnded(jobIds);
  await waitFor(() => statuses.length >= 1_000, { deadlineMs: DEADLINE_MS, what: '1,000 receipts' });
  t.true(ended.every(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1));
  t.true(statuses.every((status) => status === 1));
  await attacking;
  await good.heartbeat();
  t.is((await good.leave()).code, CODE.OK);
}

/** The fields that a refusal names. */
function violations(status: StatusObject): string[] {
  const [bytes] = status.metadata.get('grpc-status-details-bin');
  const { details } = Status.decode(bytes as Buffer);
  const found = details.find(({ typeUrl }) => typeUrl.endsWith('google.rpc.BadRequest'));
  return found === undefined ? [] : BadRequest.decode(found.value).fieldViolations.map(({ field, description }) => `${field}: ${description}`);
}

interface Refusal {
  code: number;
  /** Of google.rpc.ErrorInfo. */
  reason: string;
  /** What the first violation says. */
  says?: RegExp;
}

type Send = (stream: LeaseClient, lease: () => Promise<Lease>) => unknown;

/** One stream each, that ends as it must: what is sent after hello and, where it is asked for, a lease. */
const REFUSED: Record<string, { send: Send; before?: 'hello'; refusal: Refusal }> = {
  'a heartbeat before hello': {
    send: (stream) => stream.send({ $case: 'heartbeat', value: { sequence: 1, received: 0 } }), before: 'hello',
    refusal: { code: CODE.FAILED_PRECONDITION, reason: 'HELLO_FIRST' },
  },
  'a report before hello': {
    send: (stream) => stream.send({ $case: 'report', value: { token: '1.0123456789abcdef', outcomes: [succeeded(newJobId())] } }), before: 'hello',
    refusal: { code: CODE.FAILED_PRECONDITION, reason: 'HELLO_FIRST' },
  },
  'an empty message': {
    send: (stream) => stream.call.write({ message: undefined }),
    refusal: { code: CODE.INVALID_ARGUMENT, reason: 'INVALID_FIELD', says: /message: is missing/ },
  },
  'an empty message before hello': {
    send: (stream) => stream.call.write({ message: undefined }), before: 'hello',
    refusal: { code: CODE.INVALID_ARGUMENT, reason: 'INVALID_FIELD', says: /message: is missing/ },
  },
  'a second hello': {
    send: (stream) => stream.send({ $case: 'hello', value: stream.helloMessage({ queues: ['attack'] }) }),
    refusal: { code: CODE.FAILED_PRECONDITION, reason: 'SECOND_HELLO' },
  },
  'two hellos at once': {
    send: (stream) => {
      stream.send({ $case: 'hello', value: stream.helloMessage({ queues: ['attack'] }) });
      stream.send({ $case: 'hello', value: stream.helloMessage({ queues: ['attack'] }) });
    },
    before: 'hello',
    refusal: { code: CODE.FAILED_PRECONDITION, reason: 'SECOND_HELLO' },
  },
  'a hello with a window of a billion': {
    send: (stream) => stream.send({ $case: 'hello', value: stream.helloMessage({ queues: ['attack'], jobs: 1_000_000_000 }) }), before: 'hello',
    refusal: { code: CODE.INVALID_ARGUMENT, reason: 'INVALID_FIELD', says: /hello\.window\.jobs: is 1000000000: 0 to 100000/ },
  },
  'a window of a billion': {
    send: (stream) => stream.window(1_000_000_000),
    refusal: { code: CODE.INVALID_ARGUMENT, reason: 'INVALID_FIELD', says: /window\.jobs: is 1000000000: 0 to 100000/ },
  },
  'a window of 4 GiB': {
    send: (stream) => stream.window(1, { bytes: 4_294_967_295 }),
    refusal: { code: CODE.INVALID_ARGUMENT, reason: 'INVALID_FIELD', says: /window\.bytes: is 4294967295/ },
  },
  'a cap for a queue that hello did not name': {
    send: (stream) => stream.window(1, { queues: [{ queue: 'elsewhere', jobsMax: 1 }] }),
    refusal: { code: CODE.INVALID_ARGUMENT, reason: 'INVALID_FIELD', says: /elsewhere is not among the queues/ },
  },
  'a hello without queues, with an over-long label and a bad instance': {
    send: (stream) => stream.send({ $case: 'hello', value: stream.helloMessage({ queues: [], workerId: 'x'.repeat(129), instanceId: 'short' }) }), before: 'hello',
    refusal: { code: CODE.INVALID_ARGUMENT, reason: 'INVALID_FIELD', says: /hello\.worker_id.*\n.*hello\.instance_id.*\n.*hello\.queues: has 0 queues/ },
  },
  'a hello of one who cannot receive the largest job': {
    send: (stream) => stream.send({ $case: 'hello', value: stream.helloMessage({ queues: ['attack'], receiveBytesMax: 1_000 }) }), before: 'hello',
    refusal: { code: CODE.INVALID_ARGUMENT, reason: 'INVALID_FIELD', says: /hello\.receive_bytes_max: is 1000/ },
  },
  'a report of 20,000 outcomes': {
    send: async (stream, lease) => {
      const { token } = await lease();
      stream.send({ $case: 'report', value: { token, outcomes: Array.from({ length: 20_000 }, () => succeeded(newJobId())) } });
    },
    refusal: { code: CODE.INVALID_ARGUMENT, reason: 'INVALID_FIELD', says: /report\.outcomes: has more than 10000 outcomes/ },
  },
  'progress with an oversized checkpoint': {
    send: async (stream, lease) => {
      const { token, jobs: [job] } = await lease();
      const checkpoint = { content: { $case: 'data' as const, value: Buffer.alloc(65_537) }, contentType: '' };
      stream.send({ $case: 'progress', value: { token, jobId: job!.id, percent: 1, note: '', checkpoint } });
    },
    refusal: { code: CODE.INVALID_ARGUMENT, reason: 'INVALID_FIELD', says: /progress\.checkpoint.*65537.*65536/ },
  },
  'progress of 101 percent': {
    send: async (stream, lease) => {
      const { token, jobs: [job] } = await lease();
      stream.send({ $case: 'progress', value: { token, jobId: job!.id, percent: 101, note: '', checkpoint: undefined } });
    },
    refusal: { code: CODE.INVALID_ARGUMENT, reason: 'INVALID_FIELD', says: /progress\.percent: is 101/ },
  },
};

test('each malformed message ends its stream with a code, a reason, the field and the limit, while a good worker goes on', async (t) => {
  await besideAGoodWorker(t, 'good.refused', async (goesOn) => {
    let rounds = 0;
    do {
      for (const [name, { send, before, refusal }] of Object.entries(REFUSED)) {
        const stream = new LeaseClient(world.addresses[0]!);
        if (before === undefined) await stream.hello({ queues: ['attack'], jobs: 1 });
        await send(stream, async () => {
          await world.submit('attack', 1);
          return stream.next('lease');
        });
        const status = await stream.status();
        const { reason } = SkipleaseError.fromStatus(status);
        t.deepEqual([status.code, reason], [refusal.code, refusal.reason], `${name}: ${status.details}`);
        if (refusal.says !== undefined) t.regex(violations(status).join('\n'), refusal.says, name);
      }
      rounds += 1;
    } while (goesOn());
    t.log(`${rounds} rounds of ${Object.keys(REFUSED).length} attacks`);
  });
});

test('what is malformed within a report is refused job by job, and the stream lives on', async (t) => {
  const jobIds = await world.submit('report.bad', 6);
  const stream = await world.worker({ queues: ['report.bad'] });
  const { token } = await stream.next('lease');
  const at = (index: number) => jobIds[index]!;
  const delay = (seconds: number, nanos: number) => ({ seconds, nanos });
  const none = { followUps: [] };
  await besideAGoodWorker(t, 'good.report', async (goesOn) => {
    do {
      const { jobs } = await stream.report(token, [
        { jobId: at(0), outcome: undefined, ...none },
        { jobId: at(1), outcome: { $case: 'released', value: { delay: delay(-5, 0) } }, ...none },
        { jobId: at(2), outcome: { $case: 'snoozed', value: { delay: delay(366 * 86_400, 0) } }, ...none },
        { jobId: at(3), outcome: { $case: 'failed', value: { error: undefined, permanent: false, retryDelay: delay(1, -5) } }, ...none },
        { jobId: at(4), outcome: { $case: 'succeeded', value: { result: { content: { $case: 'data', value: Buffer.alloc(262_145) }, contentType: '' } } }, ...none },
        { jobId: at(5), outcome: { $case: 'snoozed', value: { delay: delay(1, 2_000_000_000) } }, ...none },
        { jobId: '', outcome: { $case: 'succeeded', value: { result: undefined } }, ...none },
      ]);
      t.deepEqual(jobs.map(({ status }) => status), Array.from({ length: 7 }, () => INVALID));
      for (const [index, says] of [/outcome: is missing/, /released\.delay.*0 to 365 days/, /snoozed\.delay.*0 to 365 days/, /failed\.retry_delay: not a duration/,
        /succeeded\.result.*262145.*262144/, /snoozed\.delay: not a duration/, /job_id/].entries()) {
        t.regex(jobs[index]!.message, says);
      }
    } while (goesOn());
  });
  t.deepEqual((await stream.report(token, jobIds.map((id) => succeeded(id)))).jobs.map(({ status }) => status), [1, 1, 1, 1, 1, 1], 'all of them were still held');
  await stream.leave();
});

/**
 * A gRPC stream by hand over HTTP/2, for what no client would send: `first`, then `second` once the server has said
 * something. Answers its grpc-status. The connection stays open, as that of somebody who does not care.
 */
function rawLease(t: ExecutionContext, first: Buffer, second?: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`http://${world.addresses[0]}`);
    session.on('error', reject);
    t.teardown(() => session.destroy());
    const stream = session.request({
      ':method': 'POST', ':path': '/skiplease.v1.WorkerService/Lease', 'content-type': 'application/grpc', te: 'trailers',
    });
    const note = (headers: Record<string, unknown>): void => {
      if (headers['grpc-status'] !== undefined) resolve(headers['grpc-status'] as string);
    };
    stream.on('response', note);
    stream.on('trailers', note);
    stream.on('error', reject);
    stream.once('data', () => second !== undefined && stream.write(second));
    stream.write(first);
  });
}

function frame(message: Buffer, length = message.length): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
}

test('garbage on the stream ends it, gives back what it held, and harms nobody', async (t) => {
  const instance = new LeaseClient(world.addresses[0]!);
  const hello = (workerId: string): Buffer => {
    const value = instance.helloMessage({ queues: ['garbage'], workerId, instanceId: randomUUID() });
    return frame(Buffer.from(LeaseRequest.encode({ message: { $case: 'hello', value } }).finish()));
  };
  // Each time that their holder is gone an attempt is spent.
  await world.members[0]!.operator.update('garbage', { retryPolicy: { maxAttempts: 1_000, initialBackoff: undefined, maxBackoff: undefined } });
  const jobIds = await world.submit('garbage', 3);
  await besideAGoodWorker(t, 'good.garbage', async (goesOn) => {
    let round = 0;
    do {
      // A message that does not decode, before and after hello.
      const noise = frame(Buffer.from('ff'.repeat(40), 'hex'));
      t.is(await rawLease(t, noise), String(CODE.INVALID_ARGUMENT));
      t.is(await rawLease(t, Buffer.concat([hello(`garbage ${round}`), noise])), String(CODE.INVALID_ARGUMENT));
      t.is(await rawLease(t, hello(`garbage ${round}`), noise), String(CODE.INVALID_ARGUMENT));
      // A frame that announces more than anybody may send.
      t.is(await rawLease(t, frame(Buffer.alloc(100), 0x7fff_ffff)), String(CODE.RESOURCE_EXHAUSTED));
      round += 1;
    } while (goesOn());
  });
  const heir = await world.worker({ queues: ['garbage'] });
  const back: string[] = [];
  while (back.length < 3) {
    const lease = await heir.next('lease');
    back.push(...lease.jobs.map(({ id }) => id));
    await heir.report(lease.token, lease.jobs.map(({ id }) => succeeded(id)));
  }
  t.deepEqual(back.toSorted(), jobIds.toSorted());
  await waitFor(
    async () => (await world.members[0]!.operator.workers('garbage')).length === 1,
    { deadlineMs: DEADLINE_MS, what: 'the sessions of those who sent garbage to be gone' },
  );
  await Promise.all([heir.leave(), instance.cancel()]);
});

test('500 streams that never say hello are let go after the time to live', async (t) => {
  await besideAGoodWorker(t, 'good.silent', async () => {
    const streams = Array.from({ length: 500 }, () => new LeaseClient(world.addresses[0]!));
    const ended = await Promise.all(streams.map((stream) => stream.status(DEADLINE_MS)));
    t.deepEqual([...new Set(ended.map(({ code }) => code))], [CODE.DEADLINE_EXCEEDED]);
  });
});

test('a worker that never reads is let go, and its jobs go to others', async (t) => {
  const queue = 'deaf';
  await world.members[0]!.operator.update(queue, { leaseJobsMax: 1 });
  const deaf = await world.worker({ queues: [queue], jobs: 100, workerId: 'deaf' });
  deaf.call.pause();
  await besideAGoodWorker(t, 'good.deaf', async () => {
    const jobIds = await world.submit(queue, 80, { payload: new Uint8Array(100_000) });
    await waitFor(
      async () => (await world.members[0]!.operator.workers(queue)).length === 0,
      { deadlineMs: DEADLINE_MS, what: 'the worker that does not read to be let go' },
    );
    const heir = await world.worker({ queues: [queue], jobs: 100 });
    heir.listen((message) => {
      if (message.$case !== 'lease') return;
      heir.send({ $case: 'report', value: { token: message.value.token, outcomes: message.value.jobs.map(({ id }) => succeeded(id)) } });
    });
    t.is((await world.records.untilEnded(jobIds)).length, 80);
    await heir.leave();
  });
  deaf.call.resume();
  t.is((await deaf.status()).code, CODE.RESOURCE_EXHAUSTED);
});
