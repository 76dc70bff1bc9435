import { writeFile } from 'node:fs/promises';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import { JobServiceClient } from '../../proto/gen/skiplease/v1/job_service.ts';
import { JobState } from '../../proto/gen/skiplease/v1/job.ts';
import { ReceiptStatus } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { startCoordinator } from '../support/coordinator.ts';
import type { TestCoordinator } from '../support/coordinator.ts';
import { createTestDatabase } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';
import { LeaseClient, succeeded } from '../support/lease_client.ts';
import { bearer, clientWith, SecuredFolder } from '../support/secured.ts';
import type { TestIdentity } from '../support/secured.ts';
import { waitFor } from '../support/wait.ts';
import { SkipleaseError, Worker } from '../../worker/index.ts';
import { call, jobSpec, refusalOf } from '../support/rpc_clients.ts';

const codes: Record<keyof typeof status, number> = status;
/** A good token lives on for the leeway of five seconds: one that expired two seconds ago is good for three more. */
const THREE_SECONDS = -2;

const WORKER = [{ can: ['work'], queues: ['*'] }];
const IDENTITIES: TestIdentity[] = [
  { name: 'root', grants: [{ can: ['admin'], queues: ['*'] }] },
  { name: 'alice', grants: WORKER },
  { name: 'mallory', grants: WORKER },
  { name: 'leaver', grants: WORKER },
  { name: 'mover', grants: WORKER },
  { name: 'follower', grants: [...WORKER, { can: ['submit'], queues: ['follow-*'] }] },
];

let database: TestDatabase;
let secured: SecuredFolder;
let one: TestCoordinator;
let other: TestCoordinator;
let jobs: JobServiceClient;

test.before(async () => {
  database = await createTestDatabase();
  secured = await SecuredFolder.create(IDENTITIES);
  const options = { databaseUrl: database.url, environment: secured.environment };
  [one, other] = await Promise.all([startCoordinator(options), startCoordinator(options)]);
  jobs = clientWith(JobServiceClient, one.grpcAddress, secured.token('root'));
});

test.after.always(async () => {
  jobs?.close();
  await Promise.all([one?.stop(), other?.stop()]);
  await secured?.remove();
  await database?.drop();
});

const worker = (name: string, coordinator = one) => new LeaseClient(coordinator.grpcAddress, bearer(secured.token(name)));

async function submit(queue: string): Promise<string> {
  return (await call(jobs, 'submitJob', { job: jobSpec({ queue }) })).jobId;
}

test('a lease belongs to its identity: nobody else resumes it, reports under it, or passes for its instance', async (t) => {
  const jobId = await submit('own');
  const alice = worker('alice');
  await alice.hello({ queues: ['own'] });
  const { token } = await alice.next('lease');

  for (const coordinator of [one, other]) {
    const mallory = worker('mallory', coordinator);
    const welcome = await mallory.hello({ queues: ['elsewhere'], instanceId: alice.instanceId, heldTokens: [token] });
    t.deepEqual(welcome.lostTokens, [token], 'not resumed');
    const { jobs: receipts } = await mallory.report(token, [succeeded(jobId)]);
    t.deepEqual(receipts.map((receipt) => receipt.status), [ReceiptStatus.LEASE_LOST]);
    const { jobs: failing } = await mallory.report(token, [{ jobId, outcome: { $case: 'released', value: { delay: undefined } }, followUps: [] }]);
    t.deepEqual(failing.map((receipt) => receipt.status), [ReceiptStatus.LEASE_LOST]);
    await mallory.leave();
  }
  await alice.heartbeat();
  t.is((await call(jobs, 'getJob', { jobId })).job!.state, JobState.LEASED);

  // She goes on elsewhere herself, and reports there, with the token that is hers.
  const again = worker('alice', other);
  const { resumed, lostTokens } = await again.hello({ queues: ['own'], instanceId: alice.instanceId, heldTokens: [token] });
  t.deepEqual([resumed.map((lease) => lease.token), lostTokens], [[token], []]);
  t.deepEqual((await again.report(token, [succeeded(jobId)])).jobs.map((receipt) => receipt.status), [ReceiptStatus.ACCEPTED]);
  t.deepEqual((await again.report(token, [succeeded(jobId)])).jobs.map((receipt) => receipt.status), [ReceiptStatus.DUPLICATE]);
  await again.leave();
  await alice.cancel();
});

test('a stream ends when its token does, and what was leased lives on under the next one', async (t) => {
  const jobId = await submit('expiring');
  const claims = { sub: 'shift-worker', skiplease: WORKER };
  const first = new LeaseClient(one.grpcAddress, bearer(await secured.sign(claims, THREE_SECONDS)));
  await first.hello({ queues: ['expiring'] });
  const { token } = await first.next('lease');
  const ended = refusalOf(await first.status());
  t.like(ended, { code: codes.UNAUTHENTICATED, reason: 'TOKEN_EXPIRED' });
  const second = new LeaseClient(one.grpcAddress, bearer(await secured.sign(claims)));
  const { resumed } = await second.hello({ queues: ['expiring'], instanceId: first.instanceId, heldTokens: [token] });
  t.is(resumed.length, 1);
  await second.report(token, [succeeded(jobId)]);
  const { job } = await call(jobs, 'getJob', { jobId });
  t.is(job!.state, JobState.SUCCEEDED);
  t.deepEqual(job!.attempts, [], 'no attempt was spent');
  await second.leave();
});

test('a worker that asks for its token each time waits for a better one; one that has no other is refused for good', async (t) => {
  const jobId = await submit('tokens');
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  const options = { addresses: [one.grpcAddress], queues: ['tokens'], handleSignals: false, logger: quiet, handlers: { send: async () => undefined } };
  const refusal = await t.throwsAsync(new Worker({ ...options, token: 'made-up' }).run(), { instanceOf: SkipleaseError });
  t.is(refusal.reason, 'UNKNOWN_TOKEN');
  const tokens = [() => 'made-up', () => Promise.reject(new Error('the file is not there yet')), () => secured.token('alice')];
  const worker = new Worker({ ...options, token: () => (tokens.length > 1 ? tokens.shift()! : tokens[0]!)() });
  const running = worker.run();
  await waitFor(async () => (await call(jobs, 'getJob', { jobId })).job!.state === JobState.SUCCEEDED, { deadlineMs: 15_000, what: 'the job to be done' });
  await worker.stop();
  await running;
});

test('a watch ends with its token too', async (t) => {
  const jobId = await submit('watched');
  const token = await secured.sign({ skiplease: [{ can: ['read'], queues: ['watched'] }] }, THREE_SECONDS);
  const client = clientWith(JobServiceClient, one.grpcAddress, token);
  const watch = client.watchJob({ jobId });
  watch.resume();
  watch.on('error', () => {});
  const ended = await new Promise<{ code: number }>((resolve) => watch.on('status', resolve));
  t.is(ended.code, codes.UNAUTHENTICATED);
  client.close();
});

test.serial('what is taken out of the files ends, what changes there counts, and the rest goes on', async (t) => {
  const [leaver, mover, alice] = [worker('leaver'), worker('mover'), worker('alice')];
  for (const each of [leaver, mover, alice]) await each.hello({ queues: ['changing'] });
  const signed = new LeaseClient(one.grpcAddress, bearer(await secured.sign({ sub: 'signed', skiplease: WORKER })));
  await signed.hello({ queues: ['changing'] });
  await secured.grant(IDENTITIES.filter(({ name }) => name !== 'leaver')
    .map((identity) => (identity.name === 'mover' ? { ...identity, grants: [{ can: ['work'], queues: ['moved'] }] } : identity)));
  t.like(refusalOf(await leaver.status()), { code: codes.UNAUTHENTICATED, reason: 'UNKNOWN_TOKEN' });
  t.like(refusalOf(await mover.status()), { code: codes.PERMISSION_DENIED, reason: 'NOT_GRANTED' });
  await secured.newKeys();
  t.like(refusalOf(await signed.status()), { code: codes.UNAUTHENTICATED, reason: 'TOKEN_REFUSED' });
  const moved = worker('mover');
  await moved.hello({ queues: ['moved'] });
  await moved.leave();
  await alice.heartbeat();
  await alice.leave();
});

test.serial('a file that makes no sense is told, and what was good stays', async (t) => {
  await writeFile(secured.identitiesFile, '{"identities": [{"name": "hunter2');
  const line = await one.line((text) => text.includes('reload_failed') && text.includes('identities.json'), 10_000, 'the file to be refused');
  t.false(line.includes('hunter2'), line);
  t.truthy(await submit('still-good'));
  await secured.grant(IDENTITIES);
  await one.line((text) => text.includes('"reloaded"') && text.includes('identities.json'), 10_000, 'the file to be used again');
});

test('what follows a job needs the right to submit there', async (t) => {
  const [allowed, denied] = [await submit('before'), await submit('before')];
  const follower = worker('follower');
  await follower.hello({ queues: ['before'] });
  const held = new Map<string, string>();
  while (held.size < 2) {
    const lease = await follower.next('lease');
    for (const { id } of lease.jobs) held.set(id, lease.token);
  }
  const report = async (jobId: string, queue: string) =>
    (await follower.report(held.get(jobId)!, [succeeded(jobId, { followUps: [jobSpec({ queue })] })])).jobs[0]!;
  t.is((await report(allowed, 'follow-up')).status, ReceiptStatus.ACCEPTED);
  const receipt = await report(denied, 'payments');
  t.is(receipt.status, ReceiptStatus.INVALID);
  t.is(receipt.message, 'follow_ups: follower may not submit in the queue payments');
  t.is((await report(denied, 'follow-2')).status, ReceiptStatus.ACCEPTED);
  await follower.leave();
});
