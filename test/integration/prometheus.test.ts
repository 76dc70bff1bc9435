/** A real Prometheus with our rules scrapes two real coordinators: every rule evaluates, every panel of every dashboard has something to show. */
import test from 'ava';
import { PermanentError, Worker } from '../../worker/index.ts';
import { manifestLines, valueOf as manifestValue } from '../autoscale/manifests.ts';
import { startWorld, type World } from '../support/lease_world.ts';
import { readPanels } from '../support/monitoring.ts';
import { hasPrometheus, startPrometheus, type PrometheusServer } from '../support/prometheus.ts';
import { testWhen } from '../support/skip.ts';
import { waitFor } from '../support/wait.ts';
import { KeptLog } from '../unit/worker_parts.ts';

const deadlineMs = 30_000;
const withPrometheus = testWhen(hasPrometheus(), 'prometheus', test.serial);

/** What is shown only when something is wrong, or was returned unstarted, or some minutes after the start. */
const EMPTY_IN_PEACE = new Set(['Conditions', 'Unexpected failures a second', 'Returned unstarted a second', 'Oldest partition']);

let world: World;
let prometheus: PrometheusServer;

test.before(async () => {
  if (!hasPrometheus()) return;
  world = await startWorld({ coordinators: 2 });
  prometheus = await startPrometheus(world.members.map(({ httpAddress }) => httpAddress));
});

test.after.always(async () => {
  await prometheus?.stop();
  await world?.end();
});

/** Some succeed, some fail, one is tried again; those of `unserved` wait for a worker that never comes. */
async function work(t: { teardown(undo: () => unknown): void }): Promise<void> {
  const worker = new Worker({
    addresses: world.addresses, queues: ['served'], handleSignals: false, drainDeadlineMs: 0, logger: new KeptLog(),
    handlers: {
      work: (job) => {
        if (job.priority === 1) throw new PermanentError('BAD', 'never');
        if (job.priority === 2 && job.attempt === 1) throw new Error('not yet');
      },
    },
  });
  const running = worker.run();
  t.teardown(async () => {
    await worker.stop();
    await running;
  });
  await world.submit('unserved', 3);
  for (const priority of [0, 1, 2]) await world.submit('served', 5, { priority });
}

const valueOf = async (expression: string) => Number((await prometheus.query(expression))[0]?.value[1]);

withPrometheus('every panel of every dashboard shows something', async (t) => {
  await work(t);
  const expressions = (await readPanels()).flatMap(({ dashboard, title, expressions: all }) => all.map((expression) => ({
    name: `${dashboard}, ${title}`,
    mayBeEmpty: EMPTY_IN_PEACE.has(title) || expression.includes('skiplease_released_jobs_total'),
    expression: expression.replaceAll('$job', 'skiplease').replaceAll('$queue', '.*').replaceAll('$__rate_interval', '1m'),
  })));
  t.true(expressions.length > 40);
  let empty: string[] = [];
  await waitFor(async () => {
    // Some find the worker waiting, and are handed over.
    await world.submit('served', 1);
    const shown = await Promise.all(expressions.map(({ expression }) => prometheus.query(expression)));
    empty = expressions.filter(({ mayBeEmpty }, index) => !mayBeEmpty && shown[index]!.length === 0).map(({ name }) => name);
    return empty.length === 0;
  }, { deadlineMs, what: 'every panel to show something' }).catch(() => t.deepEqual(empty, []));
});

withPrometheus('every rule evaluates, and depths are not added up', async (t) => {
  const rules = await waitFor(async () => {
    const all = await prometheus.rules();
    return all.every(({ health }) => health !== 'unknown') && all;
  }, { deadlineMs, what: 'every rule to be evaluated' });
  t.deepEqual(rules.filter(({ health }) => health !== 'ok'), []);
  t.is(await valueOf('count(skiplease_ready_jobs{queue="unserved"})'), 2);
  t.is(await valueOf('queue:skiplease_ready_jobs:max{queue="unserved"}'), 3);
});

withPrometheus('what the autoscalers of deploy/k8s ask: the largest of what the coordinators say and never the sum; a queue that is not there is at zero', async (t) => {
  await world.submit('scaled', 4);
  const adapter = manifestValue(await manifestLines('prometheus-adapter', 'adapter-values.yaml'), 'metricsQuery')!
    .replace('<<.Series>>', 'skiplease_workload_jobs').replace('<<.LabelMatchers>>', 'queue="scaled"');
  const kedaLines = await manifestLines('keda-prometheus');
  const keda = (queue: string) => manifestValue(kedaLines, 'query')!.replace('queue="payments"', `queue="${queue}"`);
  await waitFor(async () => (await prometheus.query('skiplease_workload_jobs{queue="scaled"} == 4')).length === 2, { deadlineMs, what: 'both coordinators to say it' });
  for (const query of [adapter, keda('scaled')]) t.is(await valueOf(query), 4, query);
  t.is(await valueOf(keda('nowhere')), 0);
  t.deepEqual((await prometheus.query(adapter)).map(({ metric }) => metric), [{ queue: 'scaled' }]);
});

withPrometheus('a backlog that nobody takes is noticed, and a coordinator that is gone', async (t) => {
  const stateOf = async (name: string) => (await prometheus.rules()).find((rule) => rule.name === name)!.state;
  t.is(await stateOf('SkipleaseBacklogWithoutWorkers'), 'pending');
  t.is(await stateOf('SkipleaseCoordinatorDown'), 'inactive');
  await world.members[1]!.stop();
  await waitFor(async () => (await stateOf('SkipleaseCoordinatorDown')) === 'pending', { deadlineMs, what: 'the alert to be pending' });
  t.is(await stateOf('SkipleaseNoCoordinator'), 'inactive');
});
