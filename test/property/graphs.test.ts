/**
 * Random graphs on two coordinators, with random ends and cancels in between: a job runs only once all that it waits for are
 * final, policies are honoured, and everything ends.
 */
import anyTest, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { cancelJobs } from '../../coordinator/store/cancel_jobs.ts';
import { JobState, type NewJob } from '../../coordinator/types.ts';
import { openEnginePair } from '../support/engine_pair.ts';
import { failed, succeeded, TestWorker } from '../support/store_engine.ts';
import { newJob } from '../support/store_jobs.ts';
import { PROPERTY_MS } from '../support/store_properties.ts';
import { holdsFor } from '../support/timed_property.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.serial;

const { world, pool, engines, close } = await openEnginePair({ tickMs: 200 });
test.after.always(close);

/** One job of a graph: it waits for some of those before it. */
const node = fc.record({
  after: fc.array(fc.nat(1_000), { maxLength: 4 }),
  anyway: fc.boolean(),
  ends: fc.constantFrom('succeeds', 'succeeds', 'succeeds', 'fails', 'is cancelled'),
});
type Node = typeof node extends fc.Arbitrary<infer Value> ? Value : never;

const graph = fc.record({
  nodes: fc.array(node, { minLength: 5, maxLength: 40 }),
  /** Jobs in each request, and the coordinator that it goes to. */
  requests: fc.array(fc.record({ jobs: fc.integer({ min: 1, max: 10 }), engine: fc.nat(1) }), { minLength: 1, maxLength: 6 }),
  windows: fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 })),
});

interface Planned {
  job: NewJob;
  after: number[];
  node: Node;
}

function plan(queue: string, nodes: Node[]): Planned[] {
  const planned: Planned[] = [];
  nodes.forEach((each, index) => {
    const after = index === 0 ? [] : [...new Set(each.after.map((at) => at % index))];
    const options = after.length === 0 ? null
      : { after: after.map((on) => planned[on]!.job.id), afterPolicy: each.anyway ? 'run_anyway' as const : 'cancel' as const };
    planned.push({ job: newJob({ queue, maxAttempts: 1, options }), after, node: each });
  });
  return planned;
}

/** Works until it is told to stop, each job to the end that is planned for it; notes what was not final when it was leased. */
async function work(worker: TestWorker, jobs: Map<string, Planned>, planned: Planned[], tooEarly: string[], stopped: () => boolean): Promise<void> {
  for (let done = 0; !stopped();) {
    const lease = await waitFor(() => worker.leases[done] ?? stopped(), { deadlineMs: 20_000, what: 'a lease, or the end' });
    if (lease === true) {
      return;
    }
    done += 1;
    for (const { id } of lease.jobs) {
      const { after, node: { ends } } = jobs.get(id)!;
      const final = await world.count('outcome', 'job_id = any($1)', [after.map((on) => planned[on]!.job.id)]);
      if (final < after.length) tooEarly.push(id);
      if (ends === 'is cancelled') {
        await cancelJobs(pool, [id], 'no', (commit) => engines[0]!.engine.jobsCancelled(commit, 'no'));
      }
      await worker.report(lease.token, [{ jobId: id, move: ends === 'fails' ? failed({ permanent: true }) : succeeded() }]);
    }
  }
}

/** What each must have come to: only those that ran were cancelled by hand. */
async function checkEnds(t: ExecutionContext, planned: Planned[]): Promise<void> {
  const outcomes = new Map((await world.rows<{ job_id: string; state: number; code: string | null; lease_id: string | null; attempt: number }>(
    'select job_id, state, reason[1] as code, lease_id, attempt from skiplease.outcome where job_id = any($1)', [planned.map(({ job }) => job.id)])).map((row) => [row.job_id, row]));
  const states: number[] = [];
  planned.forEach(({ job, after, node: { anyway, ends } }) => {
    const runs = anyway || after.every((on) => states[on] === JobState.SUCCEEDED);
    const state = !runs || ends === 'is cancelled' ? JobState.CANCELLED : ends === 'fails' ? JobState.FAILED : JobState.SUCCEEDED;
    states.push(state);
    const outcome = outcomes.get(job.id)!;
    t.is(outcome.state, state);
    t.is(outcome.lease_id !== null, runs, 'it ran, or never started');
    t.is(outcome.code, !runs ? 'AFTER_JOB_FAILED' : ends === 'is cancelled' ? 'CANCELLED' : null);
  });
}

let graphs = 0;

test('a job runs only once all that it waits for are final, policies are honoured, and everything ends', async (t) => {
  await holdsFor(PROPERTY_MS, [graph], async ({ nodes, requests, windows }) => {
    graphs += 1;
    const queue = `graph${graphs}`;
    const queueId = await world.queue(queue);
    const planned = plan(queue, nodes);
    const jobs = new Map(planned.map((each) => [each.job.id, each]));
    const tooEarly: string[] = [];
    let over = false;
    const workers = await Promise.all(windows.map(async (window, index) => {
      const worker = new TestWorker(engines[index]!.engine);
      await worker.hello({ queues: [queue], jobs: window });
      return worker;
    }));
    const working = workers.map((worker) => work(worker, jobs, planned, tooEarly, () => over));
    for (let first = 0, request = 0; first < planned.length; request += 1) {
      const { jobs: count, engine } = requests[request % requests.length]!;
      // Whoever is named stands before, or behind in the same request.
      await engines[engine]!.engine.submit(planned.slice(first, first + count).map(({ job }) => job).toReversed());
      first += count;
    }
    await waitFor(async () => (await world.count('outcome', 'job_id = any($1)', [[...jobs.keys()]])) === planned.length, { deadlineMs: 15_000, what: 'every job to end' })
      .finally(() => {
        over = true;
      });
    await Promise.all(working);
    workers.forEach((worker) => worker.leave());
    t.deepEqual(tooEarly, []);
    await checkEnds(t, planned);
    t.is(await world.count('blocked', 'queue_id = $1', [queueId]), 0);
  });
  await waitFor(async () => (await world.count('dependency')) === 0, { deadlineMs: 5_000, what: 'nothing to be waited for any more' });
  t.log(`${graphs} graphs`);
});
