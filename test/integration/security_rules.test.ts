import { credentials, Metadata, status } from '@grpc/grpc-js';
import type { Client, ServiceDefinition, StatusObject } from '@grpc/grpc-js';
import test from 'ava';
import { generateKeyPair } from 'jose';
import { v7 as uuidv7 } from 'uuid';
import { ExternalScalerService } from '../../proto/gen/externalscaler/externalscaler.ts';
import { BatchServiceClient, BatchServiceService } from '../../proto/gen/skiplease/v1/batch_service.ts';
import { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import { CancelOutcome, JobServiceClient, JobServiceService, RetryOutcome } from '../../proto/gen/skiplease/v1/job_service.ts';
import { QueueServiceClient, QueueServiceService } from '../../proto/gen/skiplease/v1/queue_service.ts';
import { Schedule, ScheduleServiceClient, ScheduleServiceService } from '../../proto/gen/skiplease/v1/schedule_service.ts';
import { WorkerServiceService } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { LeaseRequest } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { CAPABILITIES } from '../../coordinator/security/access.ts';
import { METHOD_RULES } from '../../coordinator/rpc/method_rules.ts';
import { startCoordinator } from '../support/coordinator.ts';
import type { TestCoordinator } from '../support/coordinator.ts';
import { createTestDatabase } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';
import { clientWith, SecuredFolder } from '../support/secured.ts';
import type { TestIdentity } from '../support/secured.ts';
import { call, jobSpec, refused, refusalOf } from '../support/rpc_clients.ts';

const SERVICES: ServiceDefinition[] = [BatchServiceService, JobServiceService, QueueServiceService, ScheduleServiceService, WorkerServiceService, ExternalScalerService];
const WITHIN_MS = 15_000;
const codes: Record<keyof typeof status, number> = status;

/** One for each capability, in each of two queues; one that may do all in one of them, one that may do all. */
const IDENTITIES: TestIdentity[] = [
  ...CAPABILITIES.flatMap((capability) => ['mail', 'other'].map((queue) => ({ name: `${capability}-${queue}`, grants: [{ can: [capability], queues: [queue] }] }))),
  { name: 'root', grants: [{ can: ['admin'], queues: ['*'] }] },
  { name: 'nobody', grants: [] },
];

const batchId = uuidv7();
const jobId = uuidv7();
const newSchedule = Schedule.create({ name: 'daily', cron: '0 7 * * *', timeZone: 'UTC', job: JobSpec.create({ queue: 'mail', type: 'x' }) });
const job = () => jobSpec({ queue: 'mail' });
const scaled = { name: 'mail-workers', namespace: 'jobs', scalerMetadata: { queue: 'mail', target: '10' } };

/** What each method needs, and a request that it is needed for, in the queue mail. Read against coordinator/rpc/method_rules.ts, not from it. */
const CALLS: Record<string, { needs: (typeof CAPABILITIES)[number]; request: () => object; everyQueue?: true }> = {
  'JobService/SubmitJob': { needs: 'submit', request: () => ({ job: job() }) },
  'JobService/SubmitJobs': { needs: 'submit', request: () => ({ jobs: [job(), job()] }) },
  'JobService/StreamSubmitJobs': { needs: 'submit', request: () => ({ chunk: 1, jobs: [job()] }) },
  'JobService/GetJob': { needs: 'read', request: () => ({ jobId }) },
  'JobService/ListJobs': { needs: 'read', request: () => ({ queue: 'mail', type: '', state: 0, pageSize: 0, pageToken: '', batchId: '', errorCode: '', createdFrom: undefined, createdBefore: undefined }) },
  'JobService/WatchJob': { needs: 'read', request: () => ({ jobId }) },
  'JobService/CancelJobs': { needs: 'operate', request: () => ({ jobIds: [jobId], reason: '', filter: undefined }) },
  'JobService/RetryJobs': { needs: 'operate', request: () => ({ jobIds: [jobId], filter: undefined, jobsMax: 0, jobsPerSecond: 0, maxAttempts: 0 }) },
  'BatchService/CreateBatch': { needs: 'submit', request: () => ({ id: uuidv7(), label: '', followUp: job() }) },
  'BatchService/CloseBatch': { needs: 'submit', request: () => ({ batchId }) },
  'BatchService/GetBatch': { needs: 'read', request: () => ({ batchId }) },
  'BatchService/WatchBatch': { needs: 'read', request: () => ({ batchId }) },
  'BatchService/ListBatches': { needs: 'read', request: () => ({ state: 0, pageSize: 0, pageToken: '' }), everyQueue: true },
  'BatchService/CancelBatch': { needs: 'operate', request: () => ({ batchId, reason: '' }), everyQueue: true },
  'QueueService/ListQueues': { needs: 'read', request: () => ({ pageSize: 0, pageToken: '' }) },
  'QueueService/GetQueue': { needs: 'read', request: () => ({ queue: 'mail' }) },
  'QueueService/WatchQueues': { needs: 'read', request: () => ({ queues: ['mail'] }) },
  'QueueService/PauseQueue': { needs: 'operate', request: () => ({ queue: 'mail' }) },
  'QueueService/ResumeQueue': { needs: 'operate', request: () => ({ queue: 'mail' }) },
  'QueueService/PurgeQueue': { needs: 'operate', request: () => ({ queue: 'mail', reason: '' }) },
  'QueueService/UpdateQueue': { needs: 'admin', request: () => ({ queue: 'mail', settings: undefined }) },
  'ScheduleService/PutSchedule': { needs: 'admin', request: () => ({ schedule: newSchedule }) },
  'ScheduleService/GetSchedule': { needs: 'read', request: () => ({ name: 'daily' }) },
  'ScheduleService/ListSchedules': { needs: 'read', request: () => ({ pageSize: 0, pageToken: '' }) },
  'ScheduleService/PauseSchedule': { needs: 'operate', request: () => ({ name: 'daily' }) },
  'ScheduleService/ResumeSchedule': { needs: 'operate', request: () => ({ name: 'daily' }) },
  'ScheduleService/TriggerSchedule': { needs: 'operate', request: () => ({ name: 'daily', jobId: uuidv7() }) },
  'ScheduleService/DeleteSchedule': { needs: 'admin', request: () => ({ name: 'nobodys' }) },
  'ExternalScaler/IsActive': { needs: 'read', request: () => scaled },
  'ExternalScaler/StreamIsActive': { needs: 'read', request: () => scaled },
  'ExternalScaler/GetMetricSpec': { needs: 'read', request: () => scaled },
  'ExternalScaler/StreamMetricSpec': { needs: 'read', request: () => scaled },
  'ExternalScaler/GetMetrics': { needs: 'read', request: () => ({ scaledObjectRef: scaled, metricName: '' }) },
  'WorkerService/Lease': { needs: 'work', request: hello },
  'WorkerService/ListWorkers': { needs: 'read', request: () => ({ queue: 'mail', pageSize: 0, pageToken: '' }) },
  'WorkerService/ListLeases': { needs: 'read', request: () => ({ queue: 'mail', workerId: '', pageSize: 0, pageToken: '' }) },
};

function hello(): LeaseRequest {
  return { message: { $case: 'hello', value: {
    workerId: 'w', instanceId: '', queues: [{ queue: 'mail', jobsMax: 0 }], window: { jobs: 0, bytes: 0, queues: [] }, sdk: '', sdkVersion: '', heldTokens: [], receiveBytesMax: 0,
  } } };
}

let database: TestDatabase;
let secured: SecuredFolder;
let coordinator: TestCoordinator;
const clients = new Map<string | undefined, JobServiceClient>();

test.before(async () => {
  database = await createTestDatabase();
  secured = await SecuredFolder.create(IDENTITIES);
  coordinator = await startCoordinator({ databaseUrl: database.url, environment: secured.environment });
  const root = secured.token('root');
  await call(clientOf(root), 'submitJob', { job: { ...job(), id: jobId } });
  const batches = clientWith(BatchServiceClient, coordinator.grpcAddress, root);
  await call(batches, 'createBatch', { id: batchId, label: '', followUp: undefined });
  const schedules = clientWith(ScheduleServiceClient, coordinator.grpcAddress, root);
  await call(schedules, 'putSchedule', { schedule: newSchedule });
  batches.close();
  schedules.close();
});

test.after.always(async () => {
  clients.forEach((client) => client.close());
  await coordinator?.stop();
  await secured?.remove();
  await database?.drop();
});

function clientOf(token: string | undefined): JobServiceClient {
  let client = clients.get(token);
  if (client === undefined) {
    client = clientWith(JobServiceClient, coordinator.grpcAddress, token);
    clients.set(token, client);
  }
  return client;
}

/** Without its package. */
function nameOf(path: string): string {
  return path.replace(/^\/(skiplease\.v1|externalscaler)\./, '');
}

/** How a call of any kind is answered: what it says first, or how it ends. */
function answerOf(client: Client, name: string, request: unknown): Promise<{ code: number; reason: string; first: unknown }> {
  const definition = SERVICES.flatMap((each) => Object.values(each)).find(({ path }) => nameOf(path) === name)!;
  return new Promise((resolve) => {
    const started = client.makeBidiStreamRequest(definition.path, definition.requestSerialize, definition.responseDeserialize, new Metadata(), { deadline: Date.now() + WITHIN_MS });
    started.on('data', (first: unknown) => {
      resolve({ code: codes.OK, reason: '', first });
      started.cancel();
    });
    started.on('error', () => {});
    started.on('status', (ended: StatusObject) => resolve({ code: ended.code, reason: refusalOf(ended).reason, first: undefined }));
    started.write(request);
    if (name !== 'WorkerService/Lease') started.end();
  });
}

test('every method of every service is in the table', (t) => {
  const served = SERVICES.flatMap((each) => Object.values(each)).map(({ path }) => path);
  t.deepEqual(Object.keys(CALLS).toSorted(), served.map(nameOf).toSorted());
  t.deepEqual(served.filter((path) => METHOD_RULES[path] === undefined), []);
});

for (const [name, { needs, request, everyQueue }] of Object.entries(CALLS)) {
  test.serial(`${name} is for those who may ${needs}${everyQueue ? ' in every queue' : ''}`, async (t) => {
    for (const token of [undefined, 'made-up', await secured.sign({}, -60)]) {
      t.is((await answerOf(clientOf(token), name, request())).code, codes.UNAUTHENTICATED, `with the token ${token}`);
    }
    for (const capability of [...CAPABILITIES, 'nobody', 'root'] as const) {
      const who = capability === 'nobody' || capability === 'root' ? capability : `${capability}-mail`;
      const allowed = capability === 'root' || (everyQueue === undefined && (capability === needs || capability === 'admin'));
      const { code } = await answerOf(clientOf(secured.token(who)), name, request());
      if (allowed) t.false([codes.UNAUTHENTICATED, codes.PERMISSION_DENIED].includes(code), `${who}: ${code}`);
      else t.is(code, codes.PERMISSION_DENIED, who);
    }
  });
}

/** Methods that name no queue: what is of another queue is as if it were not there. */
const NOT_THERE: Record<string, (first: never) => boolean> = {
  'JobService/StreamSubmitJobs': ({ error }: { error: { code: number } }) => error.code === codes.PERMISSION_DENIED,
  'JobService/CancelJobs': ({ results }: { results: { outcome: number }[] }) => results[0]!.outcome === CancelOutcome.NOT_FOUND,
  'JobService/RetryJobs': ({ results }: { results: { outcome: number }[] }) => results[0]!.outcome === RetryOutcome.NOT_FOUND,
  'QueueService/ListQueues': ({ queues }: { queues: { name: string }[] }) => !queues.some((queue) => queue.name === 'mail'),
  'ScheduleService/ListSchedules': ({ schedules }: { schedules: object[] }) => schedules.length === 0,
  'BatchService/CloseBatch': () => true,
  'BatchService/GetBatch': () => true,
  'BatchService/WatchBatch': () => true,
};

test.serial('the same capability in another queue is of no use', async (t) => {
  for (const [name, { needs, request }] of Object.entries(CALLS)) {
    const { code, first } = await answerOf(clientOf(secured.token(`${needs}-other`)), name, request());
    if (NOT_THERE[name] === undefined) t.true(code === codes.PERMISSION_DENIED || code === codes.NOT_FOUND, `${name}: ${code}`);
    else t.true(code === codes.OK && NOT_THERE[name](first as never), `${name}: ${JSON.stringify(first)}`);
  }
});

test.serial('a JSON Web Token is good by its key, its issuer, its audience and its time, and grants what its claim says', async (t) => {
  const grants = { skiplease: [{ can: ['read'], queues: ['mail'] }] };
  const ask = async (token: string) => {
    const client = clientWith(QueueServiceClient, coordinator.grpcAddress, token);
    try {
      return await refused(call(client, 'getQueue', { queue: 'mail' }).then((answer) => Promise.reject(Object.assign(new Error('OK'), {
        code: 0, details: answer.queue!.name, metadata: new Metadata(),
      }))));
    } finally {
      client.close();
    }
  };
  t.like(await ask(await secured.sign(grants)), { code: codes.OK, message: 'mail' });
  t.like(await ask(await secured.sign()), { code: codes.PERMISSION_DENIED, reason: 'NOT_GRANTED' });
  t.like(await ask(await secured.sign(grants, -60)), { code: codes.UNAUTHENTICATED, reason: 'TOKEN_EXPIRED' });
  t.like(await ask(await secured.sign({ ...grants, aud: 'somebody else' })), { code: codes.UNAUTHENTICATED, reason: 'TOKEN_REFUSED' });
  t.like(await ask(await secured.sign({ ...grants, iss: 'https://elsewhere.example.org' })), { code: codes.UNAUTHENTICATED, reason: 'TOKEN_REFUSED' });
  t.like(await ask(await secured.sign({ ...grants, nbf: Math.floor(Date.now() / 1_000) + 60 })), { code: codes.UNAUTHENTICATED, reason: 'TOKEN_REFUSED' });
  t.like(await ask(await secured.sign({ ...grants, sub: 'a\nb' })), { code: codes.UNAUTHENTICATED, reason: 'TOKEN_REFUSED' });
  t.like(await ask(await secured.sign({ skiplease: 'everything' })), { code: codes.UNAUTHENTICATED, reason: 'TOKEN_REFUSED' });
  const { privateKey } = await generateKeyPair('ES256');
  t.like(await ask(await secured.sign(grants, 600, privateKey)), { code: codes.UNAUTHENTICATED, reason: 'TOKEN_REFUSED' });
  // Signed with what everybody knows, as an old trick has it; and not signed at all.
  t.like(await ask(await secured.sign(grants, 600, new TextEncoder().encode('known to everybody, long enough.'), 'HS256')), { code: codes.UNAUTHENTICATED, reason: 'TOKEN_REFUSED' });
  const [, claims] = (await secured.sign(grants)).split('.');
  const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${claims}.`;
  t.is((await ask(unsigned)).code, codes.UNAUTHENTICATED);
});

test.serial('health needs no proof, reflection does', async (t) => {
  const raw = (path: string, token: string | undefined, bytes: Buffer) => new Promise<number>((resolve) => {
    const started = clientOf(token).makeBidiStreamRequest(path, (given: Buffer) => given, (given: Buffer) => given);
    started.on('data', () => resolve(codes.OK));
    started.on('error', () => {});
    started.on('status', ({ code }: StatusObject) => resolve(code));
    started.write(bytes);
    started.end();
  });
  t.is(await raw('/grpc.health.v1.Health/Check', undefined, Buffer.alloc(0)), codes.OK);
  for (const version of ['v1', 'v1alpha']) {
    const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
    t.is(await raw(path, undefined, Buffer.from([0x3a, 0x01, 0x2a])), codes.UNAUTHENTICATED);
    t.is(await raw(path, secured.token('nobody'), Buffer.from([0x3a, 0x01, 0x2a])), codes.OK);
  }
});

test.serial('a call by filter must name a queue, unless it is granted everywhere', async (t) => {
  const filter = { queue: '', type: 'send', batchId: '', errorCode: '', createdFrom: undefined, createdBefore: undefined };
  const request = { jobIds: [], reason: '', filter };
  t.like(await refused(call(clientOf(secured.token('operate-mail')), 'cancelJobs', request)), { code: codes.PERMISSION_DENIED });
  t.is((await call(clientOf(secured.token('operate-other')), 'cancelJobs', { ...request, filter: { ...filter, queue: 'other' } })).jobsCancelled, 0);
  t.is((await call(clientOf(secured.token('root')), 'cancelJobs', { ...request, filter: { ...filter, type: 'none' } })).jobsCancelled, 0);
});

test.serial('of several authorization headers, or one that is no bearer token, none counts', async (t) => {
  const client = new JobServiceClient(coordinator.grpcAddress, credentials.createInsecure());
  const ask = (...values: string[]) => new Promise<string>((resolve) => {
    const metadata = new Metadata();
    values.forEach((value) => metadata.add('authorization', value));
    client.getJob({ jobId }, metadata, (error) => resolve(error === null ? 'OK' : refusalOf(error).reason));
  });
  t.is(await ask(`Bearer ${secured.token('root')}`), 'OK');
  t.is(await ask(`bearer ${secured.token('root')}`), 'OK');
  t.is(await ask(`Basic ${secured.token('root')}`), 'NOT_A_BEARER_TOKEN');
  t.is(await ask(secured.token('root')), 'NOT_A_BEARER_TOKEN');
  t.not(await ask(`Bearer ${secured.token('root')}`, `Bearer ${secured.token('nobody')}`), 'OK');
  client.close();
});
