/**
 * The worker in Python (worker/python) against the real coordinator: proof that the contract can be spoken from another
 * language, through a worker's death, a coordinator's departure, and beside a worker in TypeScript.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { credentials } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { Pool } from 'pg';
import { QueueServiceClient } from '../../proto/gen/skiplease/v1/queue_service.ts';
import { WorkerServiceClient, type LeaseInfo, type ListLeasesResponse } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { JobClient } from '../../worker/index.ts';
import { makeAuditTables } from '../../worker/payments/audit_tables.ts';
import { readExpected } from '../../worker/payments/expected.ts';
import { exampleFile } from '../../worker/payments/input.ts';
import { checkInvariants } from '../../worker/payments/invariants.ts';
import { newRun } from '../../worker/payments/job_id.ts';
import { prepareLedger } from '../../worker/payments/ledger.ts';
import { paymentJobs, paymentsQueue } from '../../worker/payments/payment_jobs.ts';
import { startCoordinator, type TestCoordinator } from '../support/coordinator.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { killLeftProcesses, startProcess, startScript, type TestProcess } from '../support/processes.ts';
import { testWhen } from '../support/skip.ts';
import { waitFor } from '../support/wait.ts';

const pythonFolder = fileURLToPath(new URL('../../worker/python/', import.meta.url));
const typescriptWorker = fileURLToPath(new URL('../../worker/payments/worker.ts', import.meta.url));

/** The first rows of the example file: among them are duplicates, declines, time-outs and bad IBANs. */
const jobCount = 400;
/** Five leases fit a worker's window, two of which it captures at once; two windows are less than all there is. */
const leaseJobsMax = 20;
const windowJobs = 100;
const leaseTtlMs = 2_000;
const deadlineMs = 60_000;

/** Installs what requirements-dev.txt pins, unless it is there already. False: no Python 3.10, or its packages cannot be had. */
function pythonIsReady(): boolean {
  const { status, error, stderr } = spawnSync('./run_tests.sh', ['--install-only'], { cwd: pythonFolder, encoding: 'utf8', timeout: 110_000 });
  if (status !== 0) process.stderr.write(`worker/python cannot be tested here: ${error?.message ?? stderr}\n`);
  return status === 0;
}

const testPython = testWhen(pythonIsReady(), 'Python 3.10 and the packages of worker/python', test.serial);

let database: TestDatabase;
let ledger: Pool;

test.beforeEach(async () => {
  database = await createTestDatabase();
  ledger = new Pool({ connectionString: database.url, max: 3 });
  ledger.on('error', () => {});
  const client = await ledger.connect();
  await prepareLedger(client).finally(() => client.release());
});

test.afterEach.always(async () => {
  await killLeftProcesses();
  await ledger?.end();
  await database?.drop();
});

async function coordinator(): Promise<TestCoordinator> {
  const running = await startCoordinator({ databaseUrl: database.url, environment: { SKIPLEASE_LEASE_TTL_MS: String(leaseTtlMs) } });
  const client = new QueueServiceClient(running.grpcAddress, credentials.createInsecure());
  await new Promise<void>((resolve, reject) => {
    const settings = { leaseJobsMax, retryPolicy: undefined };
    client.updateQueue({ queue: paymentsQueue, settings }, (error) => (error ? reject(error) : resolve()));
  }).finally(() => client.close());
  return running;
}

interface PaymentsWorker extends TestProcess {
  workerId: string;
}

/** Starts a payments worker and waits until it has a session. */
async function startWorker(language: 'python' | 'typescript', workerId: string, coordinators: readonly TestCoordinator[]): Promise<PaymentsWorker> {
  const environment = {
    DATABASE_URL: database.url,
    SKIPLEASE_ADDRESSES: coordinators.map(({ grpcAddress }) => grpcAddress).join(','),
    SKIPLEASE_WORKER_ID: workerId,
    SKIPLEASE_WINDOW_JOBS: String(windowJobs),
  };
  const started = language === 'typescript'
    ? await startScript(typescriptWorker, [], environment)
    : await startProcess('.venv/bin/python', ['payments_worker.py'], { cwd: pythonFolder, env: { ...process.env, ...environment } });
  await waitFor(
    async () => (await ledger.query('select from skiplease.session where worker_id = $1', [workerId])).rowCount! > 0,
    { deadlineMs: 30_000, what: `a session of ${workerId}:\n${started.logs.join('\n')}` },
  );
  return { ...started, workerId };
}

async function submitPayments({ grpcAddress }: TestCoordinator): Promise<string> {
  const run = newRun();
  const client = new JobClient({ addresses: [grpcAddress] });
  const { created } = await client.stream(paymentJobs({ path: exampleFile, run, jobCount, onUnreadable: () => {} }));
  client.close();
  if (created !== jobCount) throw new Error(`${created} jobs were created, not ${jobCount}`);
  return run;
}

async function leasesOf({ grpcAddress }: TestCoordinator, workerId: string): Promise<LeaseInfo[]> {
  const client = new WorkerServiceClient(grpcAddress, credentials.createInsecure());
  const { leases } = await new Promise<ListLeasesResponse>((resolve, reject) => {
    client.listLeases({ queue: '', workerId, pageSize: 0, pageToken: '' }, (error, response) => (error ? reject(error) : resolve(response)));
  }).finally(() => client.close());
  return leases;
}

/** The jobs that a worker holds. */
async function heldBy(running: TestCoordinator, { workerId }: PaymentsWorker): Promise<string[]> {
  return (await leasesOf(running, workerId)).flatMap(({ jobIds }) => jobIds);
}

/** Waits until the windows of all these workers are full. */
async function untilFull(running: TestCoordinator, workers: readonly PaymentsWorker[]): Promise<void> {
  await Promise.all(workers.map((worker) => waitFor(
    async () => (await heldBy(running, worker)).length === windowJobs,
    { deadlineMs, what: `a full window of ${worker.workerId}` },
  )));
}

/** Waits until all jobs have ended, then holds the database against the file. */
async function assertAllEndedOnce(t: ExecutionContext, run: string): Promise<void> {
  await waitFor(
    async () => (await ledger.query('select from skiplease.outcome')).rowCount === jobCount,
    { deadlineMs, what: `${jobCount} jobs to end` },
  );
  const client = await ledger.connect();
  try {
    const rows = readExpected(exampleFile).rows.slice(0, jobCount);
    await makeAuditTables(client, { run, rows, jobCount });
    for (const { title, held, measure, culprits } of await checkInvariants(client, run)) {
      t.true(held, `${title} (${measure}): ${culprits.join('; ')}`);
    }
  } finally {
    client.release();
  }
}

async function capturedBy(workerId: string): Promise<number> {
  return (await ledger.query('select from ledger.intent where worker_id = $1', [workerId])).rowCount!;
}

/** No payment can be captured until it is let go: whatever is leased meanwhile stays leased. */
async function holdLedger(): Promise<() => Promise<void>> {
  const client = await ledger.connect();
  await client.query('begin; lock table ledger.intent in access exclusive mode');
  return async () => {
    await client.query('rollback');
    client.release();
  };
}

testPython('one of two Python workers is killed while it holds leases, and every payment still ends once', async (t) => {
  const running = await coordinator();
  const [first, second] = [await startWorker('python', 'python-1', [running]), await startWorker('python', 'python-2', [running])];
  const release = await holdLedger();
  const run = await submitPayments(running);
  await untilFull(running, [first, second]);
  const lost = await heldBy(running, first);
  first.kill('SIGKILL');
  t.is(await first.exited, 137);
  await release();

  await assertAllEndedOnce(t, run);
  t.is(await capturedBy(first.workerId), 0);
  const { rows } = await ledger.query<{ attempt: number }>('select attempt from skiplease.outcome where job_id = any($1::uuid[])', [lost]);
  t.is(rows.length, lost.length);
  // All but those of a last lease that may have been on its way still: that one goes back free.
  t.true(rows.filter(({ attempt }) => attempt >= 2).length >= windowJobs - leaseJobsMax, 'a job that dies with its worker spends an attempt');
  t.is(await second.stop(), 0);
  t.is(await running.stop(), 0);
});

testPython('a worker in Python and one in TypeScript share the work', async (t) => {
  const running = await coordinator();
  const python = await startWorker('python', 'python', [running]);
  const typescript = await startWorker('typescript', 'typescript', [running]);
  const release = await holdLedger();
  const run = await submitPayments(running);
  await untilFull(running, [python, typescript]);
  await release();

  await assertAllEndedOnce(t, run);
  const captured = await Promise.all([python, typescript].map(({ workerId }) => capturedBy(workerId)));
  t.true(captured.every((count) => count > 0), `each captured something: ${captured.join(' and ')}`);
  t.is(await python.stop(), 0);
  t.is(await typescript.stop(), 0);
  t.is(await running.stop(), 0);
});

for (const [how, signal] of [['leaves', 'SIGTERM'], ['dies', 'SIGKILL'], ['freezes', 'SIGSTOP']] as const) {
  testPython(`a coordinator ${how} while a Python worker holds leases: it goes on at the other, no attempt spent`, async (t) => {
    const [first, second] = [await coordinator(), await coordinator()];
    const worker = await startWorker('python', 'python', [first, second]);
    const release = await holdLedger();
    const run = await submitPayments(first);
    await untilFull(second, [worker]);
    const held = await heldBy(second, worker);
    first.kill(signal);
    await waitFor(
      async () => (await leasesOf(second, worker.workerId)).some(({ coordinatorId }) => coordinatorId === second.coordinatorId),
      { deadlineMs, what: 'the leases to live on at the other coordinator' },
    );
    await release();

    await assertAllEndedOnce(t, run);
    const expired = await ledger.query('select from skiplease.attempt where state = 2');
    t.is(expired.rowCount, 0, 'no attempt has expired');
    const { rows } = await ledger.query<{ attempt: number }>(
      `select i.attempt from ledger.intent i join skiplease.job j on j.id = i.job_id
       where j.id = any($1::uuid[]) and convert_from(j.payload, 'UTF8')::json ->> 'token' not like 'tok_timeout%'`, [held]);
    t.true(rows.length > windowJobs / 2 && rows.every(({ attempt }) => attempt === 1), 'what it held it captured at the first attempt');
    t.is(await worker.stop(), 0);
    t.is(await second.stop(), 0);
    first.kill('SIGCONT');
    t.is(await first.stop(), signal === 'SIGKILL' ? 137 : 0);
  });
}

testPython('a Python worker that is stopped hands back what it has not begun', async (t) => {
  const running = await coordinator();
  const worker = await startWorker('python', 'python', [running]);
  const release = await holdLedger();
  const run = await submitPayments(running);
  await untilFull(running, [worker]);
  worker.kill('SIGTERM');
  await waitFor(
    async () => (await heldBy(running, worker)).length <= 2 * leaseJobsMax,
    { deadlineMs, what: 'all but the two leases that are being captured to be handed back' },
  );
  await release();
  t.is(await worker.exited, 0, worker.logs.join('\n'));
  t.deepEqual(await heldBy(running, worker), []);

  const successor = await startWorker('python', 'python-2', [running]);
  await assertAllEndedOnce(t, run);
  const { rowCount } = await ledger.query('select from skiplease.attempt where state = 2');
  t.is(rowCount, 0, 'no attempt has expired');
  t.is(await successor.stop(), 0);
  t.is(await running.stop(), 0);
});
