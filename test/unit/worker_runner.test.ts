import test from 'ava';
import { CancelReason, ReceiptStatus } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { JobCancelledError, JobTimeoutError, LeaseLostError } from '../../worker/index.ts';
import type { BatchContext } from '../../worker/index.ts';
import { durationFromMs, msFromDuration } from '../../worker/wire/duration.ts';
import { waitFor } from '../support/wait.ts';
import { connected, Gate, KeptLog } from './worker_parts.ts';
import { leasedJob } from './worker_scripted_coordinator.ts';

const deadlineMs = 10_000;
const { ACCEPTED } = ReceiptStatus;

test('no more handlers than asked for run at once, over all leases, in the order of arrival', async (t) => {
  const gate = new Gate();
  const { stream, stop } = await connected(t, { handlers: { work: gate.handler }, concurrency: 2 });
  stream.lease('1.aa', [leasedJob('a'), leasedJob('b'), leasedJob('c')]);
  stream.lease('2.bb', [leasedJob('d')]);
  for (const [ended, started] of [['a', 'c'], ['b', 'd']] as const) {
    await waitFor(() => gate.started.length >= 2, { deadlineMs, what: 'two to start' });
    t.false(gate.started.includes(started));
    gate.open(ended);
    await waitFor(() => gate.started.includes(started), { deadlineMs, what: `${started} to start` });
    stream.receipt(await stream.take('report'), ACCEPTED);
  }
  gate.open();
  t.deepEqual(gate.started, ['a', 'b', 'c', 'd']);
  for (let left = 2; left > 0; ) {
    const report = await stream.take('report');
    left -= report.outcomes.length;
    stream.receipt(report, ACCEPTED);
  }
  await stop();
});

test('handlers that never wait leave the event loop its turns', async (t) => {
  let turns = 0;
  const timer = setInterval(() => (turns += 1), 1);
  t.teardown(() => clearInterval(timer));
  let turnsAtFirst = 0;
  let turnsAtLast = 0;
  const { stream, stop } = await connected(t, {
    handlers: {
      work: (job) => {
        if (job.id === '0') turnsAtFirst = turns;
        turnsAtLast = turns;
        const until = performance.now() + 2;
        while (performance.now() < until);
      },
    },
    concurrency: 4,
  });
  stream.lease('1.aa', Array.from({ length: 50 }, (_, index) => leasedJob(String(index))));
  for (let left = 50; left > 0; ) {
    const report = await stream.take('report');
    left -= report.outcomes.length;
    stream.receipt(report, ACCEPTED);
  }
  t.true(turnsAtLast - turnsAtFirst >= 5, `${turnsAtLast - turnsAtFirst} turns in 100 ms of work`);
  await stop();
});

test('cancelled and lost jobs: the signal fires with the reason, nothing is reported, the waiting do not start', async (t) => {
  const gate = new Gate();
  const { stream, stop } = await connected(t, { handlers: { work: gate.handler }, concurrency: 2 });
  stream.lease('1.aa', [leasedJob('cancelled'), leasedJob('lost'), leasedJob('waits'), leasedJob('next')]);
  await waitFor(() => gate.started.length === 2, { deadlineMs, what: 'two to start' });
  const { JOB_CANCELLED, LEASE_LOST } = CancelReason;
  stream.say({ $case: 'cancel', value: { token: '1.aa', jobIds: ['cancelled', 'waits'], reason: JOB_CANCELLED, message: 'enough' } });
  stream.say({ $case: 'cancel', value: { token: '1.aa', jobIds: ['lost'], reason: LEASE_LOST, message: '' } });
  await waitFor(() => gate.signals.get('lost')!.aborted, { deadlineMs, what: 'the signal' });
  t.true(gate.signals.get('cancelled')!.reason instanceof JobCancelledError);
  t.is((gate.signals.get('cancelled')!.reason as Error).message, 'enough');
  t.true(gate.signals.get('lost')!.reason instanceof LeaseLostError);
  gate.open();
  await waitFor(() => gate.started.includes('next'), { deadlineMs, what: 'the next to start' });
  gate.open('next');
  const report = await stream.take('report');
  t.deepEqual(report.outcomes.map(({ jobId }) => jobId), ['next']);
  t.false(gate.started.includes('waits'));
  stream.receipt(report, ACCEPTED);
  await stop();
});

test('a timeout fires the signal; the attempt fails with TIMEOUT whether or not its handler listens', async (t) => {
  const gate = new Gate();
  const log = new KeptLog();
  const { stream, stop } = await connected(t, {
    handlers: {
      listens: (_job, { signal }) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
      deaf: gate.handler,
    },
    logger: log,
  });
  const timeout = durationFromMs(30);
  stream.lease('1.aa', [leasedJob('listens', { type: 'listens', timeout }), leasedJob('deaf', { type: 'deaf', timeout })]);
  const outcomes = [];
  while (outcomes.length < 2) {
    const report = await stream.take('report');
    outcomes.push(...report.outcomes);
    stream.receipt(report, ACCEPTED);
  }
  for (const { outcome } of outcomes) {
    if (outcome?.$case !== 'failed') return t.fail(`not failed but ${outcome?.$case}`);
    t.is(outcome.value.error!.code, 'TIMEOUT');
    t.is(outcome.value.error!.message, 'the attempt took longer than its timeout of 30 ms');
    t.false(outcome.value.permanent);
  }
  t.true(gate.signals.get('deaf')!.reason instanceof JobTimeoutError);
  t.is(log.events('handler_ignores_timeout').length, 1);
  gate.open();
  await stop();
});

test('the signal of a batch fires once none of its jobs needs work; each job has its own', async (t) => {
  let context: BatchContext | undefined;
  const { stream, stop } = await connected(t, {
    batchHandlers: {
      work: async (_jobs, batchContext) => {
        context = batchContext;
        await new Promise<void>((resolve) => batchContext.signal.addEventListener('abort', () => resolve()));
      },
    },
  });
  stream.lease('1.aa', [leasedJob('one'), leasedJob('two')]);
  await waitFor(() => context !== undefined, { deadlineMs, what: 'the batch to start' });
  t.is(context!.token, '1.aa');
  t.throws(() => context!.of({ id: 'three' }), { instanceOf: RangeError });
  const one = context!.of({ id: 'one' }).signal;
  stream.say({ $case: 'cancel', value: { token: '1.aa', jobIds: ['one'], reason: CancelReason.JOB_CANCELLED, message: '' } });
  await waitFor(() => one.aborted, { deadlineMs, what: 'the signal of the one job' });
  t.false(context!.signal.aborted);
  stream.say({ $case: 'cancel', value: { token: '1.aa', jobIds: [], reason: CancelReason.LEASE_LOST, message: '' } });
  await waitFor(() => context!.signal.aborted, { deadlineMs, what: 'the signal of the batch' });
  t.true(context!.signal.reason instanceof LeaseLostError);
  await stop();
});

test('a type without a handler is handed back with a delay, and one warning names it and those that exist', async (t) => {
  const log = new KeptLog();
  const { stream, stop } = await connected(t, { handlers: { work: () => 1 }, batchHandlers: { batch: () => undefined }, logger: log });
  stream.lease('1.aa', [leasedJob('a', { type: 'unheard.of' }), leasedJob('b', { type: 'unheard.of' }), leasedJob('c')]);
  const report = await stream.take('report');
  const delays = report.outcomes.map(({ outcome }) => outcome?.$case === 'released' && msFromDuration(outcome.value.delay));
  t.deepEqual(delays, [5_000, 5_000, false]);
  t.is(log.events('no_handler').length, 1);
  t.regex(log.events('no_handler')[0]!.message, /unheard\.of.*work, batch/);
  stream.receipt(report, ACCEPTED);
  await stop();
});
