/**
 * The worker in Python (worker/python) against the real coordinator: proof that the contract can be spoken from another
 * language, through a worker's death, a coordinator's departure, and beside a worker in TypeScript.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { credentials } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import pg from 'pg';
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
import { startProcess, startScript, type TestProcess } from '../support/processes.ts';
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
  try {
    execFileSync('./run_tests.sh', ['--install-only'], { cwd: pythonFolder, stdio: 'pipe', timeout: 110_000 });
    return true;
  } catch (error) {
    process.stderr.write(`worker/python cannot be tested here: ${String((error as { stderr?: Buffer }).stderr ?? error)}\n`);
    return false;
  }
}

const testPython = testWhen(pythonIsReady(), 'Python 3.10 and the packages of worker/python', test.serial);

let database: TestDatabase;
let ledger: pg.Pool;

test.beforeEach(async () => {
  database = await createTestDatabase();
  ledger = new pg.Pool({ connectionString: database.url, max: 3 });
  ledger.on('error', () => {});
  const client = await ledger.connect();
  await prepareLedger(client).finally(() => client.release());
});

test.afterEach.always(async () => {
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

testPython('the Python worker passes its own tests, on a real coordinator and a real ledger', async (t) => {
  const running = await coordinator();
  const tests = await startProcess('./run_tests.sh', [], {
    cwd: pythonFolder,
    env: { ...process.env, SKIPLEASE_TEST_ADDRESS: running.grpcAddress, SKIPLEASE_TEST_DATABASE_URL: database.url },
  });
  t.is(await tests.exited, 0, tests.logs.join('\n'));
  t.log(tests.logs.at(-1));
  t.notRegex(tests.logs.at(-1)!, /skipped/);
  t.is(await running.stop(), 0);
});

testPython('one of two Python workers is killed while it holds leases, and every payment still ends once', async (t) => {
  const running = await coordinator();
  const [first, second] = [await startWorker('python', 'python-1', [running]), await startWorker('python', 'python-2', [running])];
  const release = await holdLedger();
  const run = await submitPayments(running);
  for (const { workerId } of [first, second]) {
    await waitFor(async () => (await leasesOf(running, workerId)).length > 0, { deadlineMs, what: `a lease of ${workerId}` });
  }
  const lost = (await leasesOf(running, first.workerId)).flatMap(({ jobIds }) => jobIds);
  first.kill('SIGKILL');
  t.is(await first.exited, 137);
  await release();

  await assertAllEndedOnce(t, run);
  t.is(await capturedBy(first.workerId), 0);
  const { rows } = await ledger.query<{ attempt: number }>('select attempt from skiplease.outcome where job_id = any($1::uuid[])', [lost]);
  t.is(rows.length, lost.length);
  t.true(rows.every(({ attempt }) => attempt >= 2), 'a job that died with its worker has spent an attempt');
  t.is(await second.stop(), 0);
  t.is(await running.stop(), 0);
});

testPython('a worker in Python and one in TypeScript share the work', async (t) => {
  const running = await coordinator();
  const python = await startWorker('python', 'python', [running]);
  const typescript = await startWorker('typescript', 'typescript', [running]);
  const release = await holdLedger();
  const run = await submitPayments(running);
  for (const { workerId } of [python, typescript]) {
    await waitFor(async () => (await leasesOf(running, workerId)).length > 0, { deadlineMs, what: `a lease of ${workerId}` });
  }
  await release();

  await assertAllEndedOnce(t, run);
  for (const { workerId } of [python, typescript]) t.true(await capturedBy(workerId) > 0, `${workerId} captured something`);
  t.is(await python.stop(), 0);
  t.is(await typescript.stop(), 0);
  t.is(await running.stop(), 0);
});

for (const [how, signal, exitCode] of [['leaves', 'SIGTERM', 0], ['dies', 'SIGKILL', 137]] as const) {
  testPython(`a coordinator ${how} while a Python worker holds leases: it goes on at the other, no attempt spent`, async (t) => {
    const [first, second] = [await coordinator(), await coordinator()];
    const worker = await startWorker('python', 'python', [first, second]);
    const release = await holdLedger();
    const run = await submitPayments(first);
    const held = await waitFor(
      async () => {
        const leases = await leasesOf(second, worker.workerId);
        return leases.length > 0 && leases;
      },
      { deadlineMs, what: 'a lease' },
    );
    first.kill(signal);
    t.is(await first.exited, exitCode);
    await waitFor(
      async () => (await leasesOf(second, worker.workerId)).some(({ coordinatorId }) => coordinatorId === second.coordinatorId),
      { deadlineMs, what: 'the leases to live on at the other coordinator' },
    );
    await release();

    await assertAllEndedOnce(t, run);
    const expired = await ledger.query('select from skiplease.attempt where state = 2');
    t.is(expired.rowCount, 0, 'no attempt has expired');
    const { rows } = await ledger.query<{ attempt: number }>(
      'select attempt from ledger.intent where job_id = any($1::uuid[])', [held.flatMap(({ jobIds }) => jobIds)]);
    t.true(rows.length > 0);
    t.is(await worker.stop(), 0);
    t.is(await second.stop(), 0);
  });
}

testPython('a Python worker that is stopped hands back what it has not begun', async (t) => {
  const running = await coordinator();
  const worker = await startWorker('python', 'python', [running]);
  const release = await holdLedger();
  const run = await submitPayments(running);
  const held = async (): Promise<number> => (await leasesOf(running, worker.workerId)).flatMap(({ jobIds }) => jobIds).length;
  await waitFor(async () => (await held()) === windowJobs, { deadlineMs, what: 'a full window' });
  worker.kill('SIGTERM');
  await waitFor(async () => (await held()) <= 2 * leaseJobsMax, { deadlineMs, what: 'all but the two leases being captured to be handed back' });
  await release();
  t.is(await worker.exited, 0, worker.logs.join('\n'));
  t.is(await held(), 0);

  const successor = await startWorker('python', 'python-2', [running]);
  await assertAllEndedOnce(t, run);
  const { rowCount } = await ledger.query('select from skiplease.attempt where state = 2');
  t.is(rowCount, 0, 'no attempt has expired');
  t.is(await successor.stop(), 0);
  t.is(await running.stop(), 0);
});
