import test from 'ava';
import { status as codes } from '@grpc/grpc-js';
import { CancelReason, ReceiptStatus } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { JobCancelledError, LeaseLostError, SkipleaseError } from '../../worker/index.ts';
import { durationFromMs } from '../../worker/wire/duration.ts';
import { waitFor, within } from '../support/wait.ts';
import { everythingHasArrived, Gate, KeptLog, makeWorker } from './worker_parts.ts';
import { leasedJob, ScriptedCoordinator } from './worker_scripted_coordinator.ts';

const deadlineMs = 10_000;
const { ACCEPTED, DUPLICATE } = ReceiptStatus;

test('hello names window and queues; what is held is named again after a break, runs once, and waits for its receipt', async (t) => {
  const [first, second, third] = [await start(t), await start(t), await start(t)];
  const gate = new Gate();
  const queues = ['queue', { queue: 'capped', jobsMax: 2 }];
  const worker = makeWorker([first, second, third], { handlers: { work: gate.handler }, concurrency: 3, queues });
  const running = worker.run();

  const one = await first.stream();
  t.deepEqual(one.hello.heldTokens, []);
  t.is(one.hello.window?.jobs, 6);
  t.deepEqual(one.hello.queues, [
    { queue: 'queue', jobsMax: 0 },
    { queue: 'capped', jobsMax: 2 },
  ]);
  one.stream.welcome();
  one.stream.lease('1.aa', [leasedJob('job-1'), leasedJob('job-2')]);
  await waitFor(() => gate.started.length === 2, { deadlineMs, what: 'both handlers to start' });
  first.close();

  const two = await second.stream();
  t.is(two.hello.instanceId, one.hello.instanceId);
  t.deepEqual(two.hello.heldTokens, ['1.aa']);
  two.stream.welcome({ resumed: [{ token: '1.aa', jobIds: ['job-1', 'job-2'] }] });
  gate.open();
  const report = await two.stream.take('report');
  t.deepEqual(report.outcomes.map(({ jobId }) => jobId), ['job-1', 'job-2'], 'what is known together goes together');
  second.close();

  const three = await third.stream();
  t.deepEqual(three.hello.heldTokens, ['1.aa'], 'a report without a receipt keeps its lease in mind');
  three.stream.welcome({ lostTokens: ['1.aa'] });
  three.stream.receipt(await three.stream.take('report'), DUPLICATE);
  await worker.stop();
  await running;
  t.deepEqual(gate.started, ['job-1', 'job-2'], 'each ran once');
});

test('what the welcome does not name as resumed is stopped: the jobs of lost leases, and jobs that were ended', async (t) => {
  const [first, second] = [await start(t), await start(t)];
  const gate = new Gate();
  const worker = makeWorker([first, second], { handlers: { work: gate.handler } });
  const running = worker.run();
  const one = await first.stream();
  one.stream.welcome();
  one.stream.lease('1.aa', [leasedJob('lost')]);
  one.stream.lease('2.bb', [leasedJob('kept'), leasedJob('ended')]);
  await waitFor(() => gate.started.length === 3, { deadlineMs, what: 'the handlers to start' });
  first.close();

  const two = await second.stream();
  t.deepEqual(two.hello.heldTokens, ['1.aa', '2.bb']);
  two.stream.welcome({ lostTokens: ['1.aa'], resumed: [{ token: '2.bb', jobIds: ['kept'] }] });
  await waitFor(() => gate.signals.get('lost')!.aborted, { deadlineMs, what: 'the lost job to be stopped' });
  t.true(gate.signals.get('lost')!.reason instanceof LeaseLostError);
  t.true(gate.signals.get('ended')!.reason instanceof JobCancelledError);
  t.false(gate.signals.get('kept')!.aborted);
  gate.open();
  const report = await two.stream.take('report');
  t.deepEqual(report.outcomes.map(({ jobId }) => jobId), ['kept']);
  two.stream.receipt(report, ACCEPTED);
  await worker.stop();
  await running;
});

test('a hello that is refused for good ends run() with the reason', async (t) => {
  for (const code of [codes.INVALID_ARGUMENT, codes.UNIMPLEMENTED, codes.PERMISSION_DENIED, codes.UNAUTHENTICATED]) {
    const coordinator = await start(t);
    const running = makeWorker([coordinator], {}).run();
    const { stream } = await coordinator.stream();
    stream.refuse(code, 'this worker may not', 'NOT_THIS_ONE');
    const error = await t.throwsAsync(running, { instanceOf: SkipleaseError });
    t.is(error.code, codes[code] as SkipleaseError['code']);
    t.is(error.reason, 'NOT_THIS_ONE');
  }
});

test('an address where nobody answers is tried again until somebody does', async (t) => {
  const coordinator = await start(t);
  const log = new KeptLog();
  const worker = makeWorker([coordinator], { addresses: ['127.0.0.1:1', coordinator.address], logger: log });
  const running = worker.run();
  const { stream } = await coordinator.stream();
  stream.refuse(codes.UNAVAILABLE, 'the database is away', 'DATABASE_UNAVAILABLE');
  const again = await coordinator.stream();
  again.stream.welcome();
  await waitFor(() => log.events('connected').length === 1, { deadlineMs, what: 'the worker to be connected' });
  const reasons = log.events('connect_failed').map(({ fields }) => [fields.code, fields.reason]);
  t.deepEqual(reasons.slice(0, 2), [['UNAVAILABLE', ''], ['UNAVAILABLE', 'DATABASE_UNAVAILABLE']]);
  await worker.stop();
  await running;
});

test('asked to leave, it resumes elsewhere first; a lease that still arrives on the old stream is not begun', async (t) => {
  const [first, second] = [await start(t), await start(t)];
  const gate = new Gate();
  const worker = makeWorker([first, second], { handlers: { work: gate.handler } });
  const running = worker.run();
  const one = await first.stream();
  one.stream.welcome();
  one.stream.lease('1.aa', [leasedJob('held'), leasedJob('mark')]);
  await waitFor(() => gate.started.length === 2, { deadlineMs, what: 'the handlers to start' });
  one.stream.say({ $case: 'drain', value: { deadline: durationFromMs(10_000) } });

  const two = await second.stream();
  t.deepEqual(two.hello.heldTokens, ['1.aa']);
  t.false(one.stream.ended, 'the old stream stays until the new one is welcomed');
  one.stream.lease('2.bb', [leasedJob('not-named')]);
  one.stream.say({ $case: 'cancel', value: { token: '1.aa', jobIds: [], reason: CancelReason.LEASE_LOST, message: '' } });
  await everythingHasArrived(one.stream, gate, '1.aa');
  t.deepEqual(gate.started, ['held', 'mark']);
  two.stream.welcome({ resumed: [{ token: '1.aa', jobIds: ['held'] }] });
  await one.stream.untilEnded();
  t.false(gate.signals.get('held')!.aborted, 'our own move is not a loss');
  gate.open();
  const report = await two.stream.take('report');
  t.deepEqual(report.outcomes.map(({ jobId }) => jobId), ['held']);
  two.stream.receipt(report, ACCEPTED);
  await worker.stop();
  await running;
  t.deepEqual(gate.started, ['held', 'mark']);
});

test('with nowhere to go, it stays until the stream ends, and loses nothing that arrived meanwhile', async (t) => {
  const coordinator = await start(t);
  const gate = new Gate();
  const worker = makeWorker([coordinator], { handlers: { work: gate.handler } });
  const running = worker.run();
  const one = await coordinator.stream();
  one.stream.welcome();
  one.stream.lease('1.aa', [leasedJob('mark')]);
  await waitFor(() => gate.started.length === 1, { deadlineMs, what: 'the handler to start' });
  one.stream.say({ $case: 'drain', value: { deadline: durationFromMs(10_000) } });
  const refused = await coordinator.stream();
  one.stream.lease('2.bb', [leasedJob('late')]);
  await everythingHasArrived(one.stream, gate, '1.aa');
  t.deepEqual(gate.started, ['mark']);
  refused.stream.refuse(codes.UNAVAILABLE, 'going away', 'DRAINING');
  await waitFor(() => gate.started.includes('late'), { deadlineMs, what: 'the late lease to be begun' });
  one.stream.end();
  let next = await coordinator.stream();
  // A try that was under way when the old stream ended may come first.
  if (!next.hello.heldTokens.includes('2.bb')) next = await coordinator.stream();
  t.deepEqual(next.hello.heldTokens, ['2.bb']);
  next.stream.welcome({ resumed: [{ token: '2.bb', jobIds: ['late'] }] });
  gate.open();
  next.stream.receipt(await next.stream.take('report'), ACCEPTED);
  await worker.stop();
  await running;
});

test('a report under way is said again after a break, even when its lease was called lost meanwhile', async (t) => {
  const coordinator = await start(t);
  const gate = new Gate();
  const worker = makeWorker([coordinator], { handlers: { work: gate.handler } });
  const running = worker.run();
  const one = await coordinator.stream();
  one.stream.welcome();
  one.stream.lease('1.aa', [leasedJob('done')]);
  one.stream.lease('2.bb', [leasedJob('mark')]);
  await waitFor(() => gate.started.length === 2, { deadlineMs, what: 'the handlers to start' });
  gate.open('done');
  await one.stream.take('report');
  one.stream.say({ $case: 'cancel', value: { token: '1.aa', jobIds: [], reason: CancelReason.LEASE_LOST, message: '' } });
  await everythingHasArrived(one.stream, gate, '2.bb');
  one.stream.end();
  const two = await coordinator.stream();
  t.deepEqual(two.hello.heldTokens, ['1.aa']);
  two.stream.welcome({ lostTokens: ['1.aa'] });
  two.stream.receipt(await two.stream.take('report'), ReceiptStatus.LEASE_LOST);
  gate.open();
  await worker.stop();
  await running;
});

test('a coordinator that falls silent is left for one that answers, before the lease is in danger', async (t) => {
  const [first, second] = [await start(t), await start(t)];
  const worker = makeWorker([first, second], {});
  const running = worker.run();
  const one = await first.stream();
  one.stream.welcome({ ttlMs: 60_000, heartbeatMs: 40 });
  const beat = await one.stream.take('heartbeat');
  t.is(beat.sequence, 1);
  t.is(beat.received, 0);
  one.stream.say({ $case: 'alive', value: { sequence: 1, validFor: durationFromMs(60_000) } });
  const two = await second.stream();
  two.stream.welcome({ heartbeatMs: 60_000 });
  await one.stream.untilEnded();
  await worker.stop();
  await running;
  t.pass();
});

test('a coordinator without its database is left for another, where there is one', async (t) => {
  const [first, second] = [await start(t), await start(t)];
  const worker = makeWorker([first, second], {});
  const running = worker.run();
  const one = await first.stream();
  one.stream.welcome({ ttlMs: 60_000, heartbeatMs: 100 });
  const { sequence } = await one.stream.take('heartbeat');
  one.stream.say({ $case: 'alive', value: { sequence, validFor: durationFromMs(44_000) } });
  const two = await second.stream();
  two.stream.welcome({ ttlMs: 60_000, heartbeatMs: 60_000 });
  await one.stream.untilEnded();
  await worker.stop();
  await running;

  const [alone, log] = [await start(t), new KeptLog()];
  const stays = makeWorker([alone], { logger: log });
  const runs = stays.run();
  const { stream } = await alone.stream();
  stream.welcome({ ttlMs: 60_000, heartbeatMs: 100 });
  for (let beats = 0; beats < 4; beats += 1) {
    const beat = await stream.take('heartbeat');
    stream.say({ $case: 'alive', value: { sequence: beat.sequence, validFor: durationFromMs(44_000) } });
  }
  t.deepEqual(log.events('moving'), []);
  await stays.stop();
  await runs;
});

test('heartbeats go on while handlers run, and name the highest lease that arrived', async (t) => {
  const coordinator = await start(t);
  const gate = new Gate();
  const worker = makeWorker([coordinator], { handlers: { work: gate.handler } });
  const running = worker.run();
  const { stream } = await coordinator.stream();
  stream.welcome({ heartbeatMs: 100 });
  stream.lease('1.aa', [leasedJob('one')]);
  stream.lease('2.bb', [leasedJob('two')]);
  for (;;) {
    const beat = await stream.take('heartbeat');
    stream.say({ $case: 'alive', value: { sequence: beat.sequence, validFor: durationFromMs(20_000) } });
    if (beat.received === 2) break;
  }
  t.deepEqual(gate.started, ['one', 'two']);
  gate.open();
  const reports = [await stream.take('report'), await stream.take('report')];
  for (const report of reports) stream.receipt(report, ACCEPTED);
  await worker.stop();
  await running;
});

test('past what the coordinator vouches for nothing new is started; its next answer sets it going again', async (t) => {
  const coordinator = await start(t);
  const gate = new Gate();
  const worker = makeWorker([coordinator], { handlers: { work: gate.handler }, concurrency: 1 });
  const running = worker.run();
  const { stream } = await coordinator.stream();
  stream.welcome({ ttlMs: 1_000, heartbeatMs: 400 });
  stream.lease('1.aa', [leasedJob('first'), leasedJob('second')]);
  await waitFor(() => gate.started.length === 1, { deadlineMs, what: 'the first job to start' });
  const beats = [await stream.take('heartbeat'), await stream.take('heartbeat'), await stream.take('heartbeat')];
  gate.open('first');
  const report = await stream.take('report');
  t.deepEqual(report.outcomes.map(({ jobId }) => jobId), ['first'], 'what runs goes on');
  t.deepEqual(gate.started, ['first'], 'the time to live had passed by then');
  stream.receipt(report, ACCEPTED);
  stream.say({ $case: 'alive', value: { sequence: beats[2]!.sequence, validFor: durationFromMs(60_000) } });
  await waitFor(() => gate.started.length === 2, { deadlineMs, what: 'the second job to start' });
  gate.open();
  stream.receipt(await stream.take('report'), ACCEPTED);
  await worker.stop();
  await running;
});

test('taken over by another stream of the same instance, it says so and reconnects', async (t) => {
  const coordinator = await start(t);
  const log = new KeptLog();
  const worker = makeWorker([coordinator], { logger: log });
  const running = worker.run();
  const one = await coordinator.stream();
  one.stream.welcome();
  await waitFor(() => log.events('connected').length === 1, { deadlineMs, what: 'the worker to be connected' });
  one.stream.refuse(codes.ABORTED, 'replaced', 'SESSION_REPLACED');
  const two = await coordinator.stream();
  two.stream.welcome();
  await waitFor(() => log.events('connected').length === 2, { deadlineMs, what: 'the worker to be connected again' });
  t.regex(log.events('disconnected')[0]!.message, /another stream with our instance_id/);
  await worker.stop();
  await running;
});

test('stop: window 0, the unstarted handed back, the running finished, receipts awaited, half-closed', async (t) => {
  const coordinator = await start(t);
  const gate = new Gate();
  const worker = makeWorker([coordinator], { handlers: { work: gate.handler }, concurrency: 1 });
  const running = worker.run();
  const { stream } = await coordinator.stream();
  stream.welcome();
  stream.lease('1.aa', [leasedJob('runs'), leasedJob('waits')]);
  await waitFor(() => gate.started.length === 1, { deadlineMs, what: 'the first job to start' });
  const stopped = worker.stop();
  t.is((await stream.take('window')).jobs, 0);
  stream.lease('2.bb', [leasedJob('late')]);
  const handedBack = [await stream.take('report'), await stream.take('report')];
  t.deepEqual(
    handedBack.flatMap(({ outcomes }) => outcomes.map(({ jobId, outcome }) => [jobId, outcome?.$case])),
    [['waits', 'released'], ['late', 'released']],
  );
  gate.open();
  const last = await stream.take('report');
  t.deepEqual(last.outcomes.map(({ jobId, outcome }) => [jobId, outcome?.$case]), [['runs', 'succeeded']]);
  t.false(stream.ended, 'no goodbye before the receipts');
  for (const report of [...handedBack, last]) stream.receipt(report, ACCEPTED);
  await stopped;
  t.true(stream.ended);
  await within(running, deadlineMs, 'run() to resolve');
  t.deepEqual(gate.started, ['runs']);
});

test('past the drain deadline handlers are told to stop, and what still runs is handed back', async (t) => {
  const coordinator = await start(t);
  const gate = new Gate();
  const worker = makeWorker([coordinator], { handlers: { work: gate.handler }, drainDeadlineMs: 0 });
  const running = worker.run();
  const { stream } = await coordinator.stream();
  stream.welcome();
  stream.lease('1.aa', [leasedJob('endless')]);
  await waitFor(() => gate.started.length === 1, { deadlineMs, what: 'the job to start' });
  const stopped = worker.stop();
  const report = await stream.take('report');
  t.is(report.outcomes[0]!.outcome?.$case, 'released');
  t.is((gate.signals.get('endless')!.reason as { code: string }).code, 'STOPPING');
  stream.receipt(report, ACCEPTED);
  await stopped;
  await running;
});

async function start(t: { teardown(undo: () => void): void }): Promise<ScriptedCoordinator> {
  const coordinator = await ScriptedCoordinator.start();
  t.teardown(() => coordinator.close());
  return coordinator;
}
