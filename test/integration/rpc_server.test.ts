import { credentials, makeGenericClientConstructor, status } from '@grpc/grpc-js';
import test from 'ava';
import { service as healthService } from 'grpc-health-check';
import { JobState } from '../../proto/gen/skiplease/v1/job.ts';
import { CancelJobsRequest } from '../../proto/gen/skiplease/v1/job_service.ts';
import { makeServerFolder, startPrivateServer } from '../support/private_server.ts';
import { startScript } from '../support/processes.ts';
import { migrate } from '../../coordinator/store/migrate.ts';
import { waitFor } from '../support/wait.ts';
import { call, jobSpec, refused, startRpc } from '../support/rpc_clients.ts';

const MAIN = new URL('../../coordinator/main.ts', import.meta.url).pathname;
const HealthClient = makeGenericClientConstructor(healthService, 'Health');
type Check = (request: { service: string }, callback: (error: Error | null, answer: { status: string }) => void) => void;

async function health(address: string, service: string): Promise<string> {
  const client = new HealthClient(address, credentials.createInsecure());
  try {
    return await new Promise<string>((resolve, reject) => {
      (client.Check as Check).call(client, { service }, (error, answer) => (error ? reject(error) : resolve(answer.status)));
    });
  } finally {
    client.close();
  }
}

test('health, readiness and metrics, from the start to the end', async (t) => {
  const rpc = await startRpc({ SKIPLEASE_DRAIN_DEADLINE_MS: '20000' });
  const { coordinator } = rpc;
  const get = async (path: string) => {
    const response = await fetch(`http://${coordinator.httpAddress}${path}`);
    return [response.status, await response.text()] as const;
  };
  for (const service of ['', 'skiplease.v1.JobService', 'skiplease.v1.QueueService', 'skiplease.v1.ScheduleService', 'skiplease.v1.WorkerService']) {
    t.is(await health(coordinator.grpcAddress, service), 'SERVING');
  }
  t.deepEqual(await get('/readyz'), [200, 'ready\n']);
  t.deepEqual(await get('/healthz'), [200, 'alive\n']);
  t.is((await get('/elsewhere'))[0], 404);

  await rpc.submit(...Array.from({ length: 3 }, () => jobSpec({ queue: 'metrics' })));
  const worker = await rpc.worker({ queues: ['metrics'], jobs: 2 });
  await worker.lease();
  const [, metrics] = await get('/metrics');
  for (const line of ['skiplease_submitted_jobs_total{queue="metrics"} 3', 'skiplease_ready_jobs{queue="metrics"} 1', 'skiplease_leased_jobs{queue="metrics"} 2',
    'skiplease_sessions 1', 'skiplease_window_jobs 2', 'skiplease_held_jobs 2']) {
    t.true(metrics.includes(`${line}\n`), line);
  }

  // The worker keeps its stream: the coordinator waits for it, serves on, and says that it is going away.
  coordinator.kill('SIGTERM');
  await worker.next('drain');
  t.deepEqual(await get('/readyz'), [503, 'draining\n']);
  t.deepEqual(await get('/healthz'), [200, 'alive\n']);
  t.is(await health(coordinator.grpcAddress, 'skiplease.v1.WorkerService'), 'NOT_SERVING');
  worker.cut();
  t.is(await coordinator.exited, 0);
  await rpc.stop();
});

test('a second signal ends the process at once', async (t) => {
  const rpc = await startRpc({ SKIPLEASE_DRAIN_DEADLINE_MS: '60000' });
  const worker = await rpc.worker();
  rpc.coordinator.kill('SIGINT');
  await worker.next('drain');
  rpc.coordinator.kill('SIGTERM');
  t.is(await rpc.coordinator.exited, 143);
  await rpc.stop();
});

test('what stands in the way of a start is said in one line, and the process exits with 1', async (t) => {
  const rpc = await startRpc();
  const free = { SKIPLEASE_GRPC_ADDRESS: '127.0.0.1:0', SKIPLEASE_HTTP_ADDRESS: '127.0.0.1:0', DATABASE_URL: rpc.databaseUrl };
  for (const [environment, reason, words] of [
    [{ ...free, SKIPLEASE_GRPC_ADDRESS: rpc.coordinator.grpcAddress }, 'GRPC_ADDRESS_UNUSABLE', /port is taken.*SKIPLEASE_GRPC_ADDRESS/],
    [{ ...free, SKIPLEASE_HTTP_ADDRESS: rpc.coordinator.httpAddress }, 'HTTP_ADDRESS_UNUSABLE', /port is taken.*SKIPLEASE_HTTP_ADDRESS/],
    [{ ...free, SKIPLEASE_LEASE_TTL_MS: 'ten' }, 'INVALID_SETTING', /SKIPLEASE_LEASE_TTL_MS: "ten" is refused/],
    [{ ...free, DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/none' }, 'DATABASE_UNREACHABLE', /DATABASE_URL/],
  ] as const) {
    const running = await startScript(MAIN, [], environment);
    t.is(await running.exited, 1);
    const lines = running.logs.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as { level: string; msg: string; event: string; reason?: string });
    const fatal = lines.filter(({ level }) => level === 'fatal');
    t.is(fatal.length, 1, running.logs.join('\n'));
    t.is(fatal[0]!.event, 'start_failed');
    t.is(fatal[0]!.reason, reason);
    t.regex(fatal[0]!.msg, words);
  }
  await rpc.stop();
});

test('while the database is away, calls fail fast and say when to try again; then all is well by itself', async (t) => {
  const folder = await makeServerFolder();
  const server = await startPrivateServer({ dataFolder: folder });
  await migrate(server.url);
  const rpc = await startRpc({}, server.url);
  const [jobId] = await rpc.submit(jobSpec());
  await server.stop();
  for (const attempt of [
    () => call(rpc.jobs, 'submitJob', { job: jobSpec() }),
    () => call(rpc.jobs, 'getJob', { jobId: jobId! }),
    () => call(rpc.queues, 'pauseQueue', { queue: 'mail' }),
    () => call(rpc.jobs, 'cancelJobs', CancelJobsRequest.create({ jobIds: [jobId!], reason: '' })),
  ]) {
    const started = performance.now();
    const refusal = await refused(attempt());
    t.is(refusal.code, status.UNAVAILABLE);
    t.true(refusal.retryDelayMs! > 0);
    t.is(refusal.domain, 'skiplease');
    t.true(performance.now() - started < 5_000);
  }
  const again = await startPrivateServer({ dataFolder: folder, port: server.port });
  await waitFor(() => rpc.submit(jobSpec()).then(() => true, () => false), { deadlineMs: 20_000, what: 'submits to be taken again' });
  t.is((await rpc.get(jobId!)).state, JobState.READY);
  await rpc.stop();
  await again.stop();
});
