import test from 'ava';
import { ReceiptStatus } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { JobOutcome } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { PermanentError, ReleaseError, RetryAfterError, SnoozeError } from '../../worker/index.ts';
import { durationFromMs } from '../../worker/wire/duration.ts';
import { waitFor } from '../support/wait.ts';
import { connected, everythingHasArrived, Gate, KeptLog } from './worker_parts.ts';
import { leasedJob } from './worker_scripted_coordinator.ts';

const deadlineMs = 10_000;
const { ACCEPTED, CANCELLED, INVALID, LEASE_LOST } = ReceiptStatus;

function kinds(outcomes: readonly JobOutcome[]): (string | undefined)[] {
  return outcomes.map(({ outcome }) => outcome?.$case);
}

function failedOf({ outcome }: JobOutcome): { code?: string; message?: string; permanent: boolean; delayMs?: number } {
  if (outcome?.$case !== 'failed') throw new Error(`not failed but ${outcome?.$case}`);
  const { error, permanent, retryDelay } = outcome.value;
  const delayMs = retryDelay === undefined ? {} : { delayMs: retryDelay.seconds * 1_000 + retryDelay.nanos / 1e6 };
  return { code: error!.code, message: error!.message, permanent, ...delayMs };
}

test('what a handler returns or throws becomes the outcome', async (t) => {
  const thrown: Record<string, unknown> = {
    permanent: new PermanentError('CARD_DECLINED', 'no funds'),
    later: new RetryAfterError(1_500, 'PROVIDER_BUSY', 'busy'),
    snooze: new SnoozeError(2_500),
    release: new ReleaseError(),
    ordinary: new TypeError('x is not a function'),
    coded: Object.assign(new Error('duplicate key'), { code: '23505' }),
    text: 'a string',
    nul: new Error('a\0b'),
  };
  const results: Record<string, unknown> = {
    nothing: undefined,
    bytes: new Uint8Array([1, 2, 3]),
    json: { amount: 5 },
    cycle: 10n,
    large: 'x'.repeat(300_000),
  };
  const { stream, stop } = await connected(t, {
    handlers: {
      work: async (job) => {
        if (job.id in thrown) throw thrown[job.id];
        return results[job.id];
      },
    },
    concurrency: 100,
  });
  const ids = [...Object.keys(thrown), ...Object.keys(results)];
  stream.lease('1.aa', ids.map((id) => leasedJob(id)));
  const report = await stream.take('report');
  stream.receipt(report, ACCEPTED);
  const by = Object.fromEntries(report.outcomes.map((outcome) => [outcome.jobId, outcome]));
  t.deepEqual(failedOf(by.permanent!), { code: 'CARD_DECLINED', message: 'no funds', permanent: true });
  t.deepEqual(failedOf(by.later!), { code: 'PROVIDER_BUSY', message: 'busy', permanent: false, delayMs: 1_500 });
  t.deepEqual(by.snooze!.outcome, { $case: 'snoozed', value: { delay: durationFromMs(2_500) } });
  t.deepEqual(by.release!.outcome, { $case: 'released', value: { delay: undefined } });
  t.deepEqual(failedOf(by.ordinary!), { code: 'TypeError', message: 'x is not a function', permanent: false });
  t.deepEqual(failedOf(by.coded!), { code: '23505', message: 'duplicate key', permanent: false });
  t.deepEqual(failedOf(by.text!), { code: 'THROWN', message: 'a string', permanent: false });
  t.is(failedOf(by.nul!).message, 'a\ufffdb', 'PostgreSQL has no NUL in text');
  t.deepEqual(by.nothing!.outcome, { $case: 'succeeded', value: { result: undefined } });
  t.deepEqual(resultOf(by.bytes!), ['', '\x01\x02\x03']);
  t.deepEqual(resultOf(by.json!), ['application/json', '{"amount":5}']);
  t.like(failedOf(by.cycle!), { code: 'RESULT_NOT_JSON', permanent: true });
  t.like(failedOf(by.large!), { code: 'RESULT_TOO_LARGE', permanent: true });
  await stop();
});

test('a batch handler answers with an array, a Map, nothing, or an error for all; what it forgets has failed', async (t) => {
  const { stream, stop } = await connected(t, {
    handlers: { single: () => 'one' },
    batchHandlers: {
      array: (jobs) => jobs.map((job, index) => (index === 0 ? new PermanentError('BAD', 'bad') : job.id)),
      short: () => ['only one'],
      map: (jobs) => new Map([[jobs[1]!.id, 'second']]),
      nothing: () => undefined,
      throws: () => {
        throw new RetryAfterError(1_000, 'LATER', 'all of it');
      },
    },
  });
  const types = ['single', 'array', 'short', 'map', 'nothing', 'throws'];
  stream.lease('1.aa', types.flatMap((type) => [1, 2].map((number) => leasedJob(`${type}-${number}`, { type }))));
  const outcomes: JobOutcome[] = [];
  while (outcomes.length < 12) {
    const report = await stream.take('report');
    outcomes.push(...report.outcomes);
    stream.receipt(report, ACCEPTED);
  }
  const of = (type: string) => outcomes.filter(({ jobId }) => jobId.startsWith(type)).toSorted((a, b) => (a.jobId < b.jobId ? -1 : 1));
  t.deepEqual(kinds(of('single')), ['succeeded', 'succeeded']);
  t.deepEqual(kinds(of('array')), ['failed', 'succeeded']);
  t.is(failedOf(of('array')[0]!).code, 'BAD');
  t.deepEqual(of('short').map((outcome) => failedOf(outcome).code), ['OUTCOME_MISSING', 'OUTCOME_MISSING']);
  t.deepEqual(kinds(of('map')), ['failed', 'succeeded']);
  t.deepEqual(kinds(of('nothing')), ['succeeded', 'succeeded']);
  t.deepEqual(of('throws').map((outcome) => failedOf(outcome).delayMs), [1_000, 1_000]);
  await stop();
});

test('outcomes that are known together go in one report for each lease; while four wait for receipts, more gather', async (t) => {
  const gate = new Gate();
  const handlers = { work: gate.handler, quick: () => undefined };
  const { stream, stop } = await connected(t, { handlers, concurrency: 1_000 });
  const ids = Array.from({ length: 500 }, (_, index) => `quick-${index}`);
  stream.lease('1.aa', ids.map((id) => leasedJob(id, { type: 'quick' })));
  const whole = await stream.take('report');
  t.deepEqual(whole.outcomes.map(({ jobId }) => jobId), ids);
  stream.receipt(whole, ACCEPTED);

  const slow = Array.from({ length: 10 }, (_, index) => `slow-${index}`);
  stream.lease('2.bb', [...slow, 'mark'].map((id) => leasedJob(id)));
  await waitFor(() => gate.started.length === 11, { deadlineMs, what: 'all to start' });
  const waiting = [];
  for (const id of slow.slice(0, 4)) {
    gate.open(id);
    waiting.push(await stream.take('report'));
  }
  gate.open(slow[4]!);
  await everythingHasArrived(stream, gate, '2.bb');
  gate.open(...slow.slice(5));
  stream.receipt(waiting[0]!, ACCEPTED);
  const rest = await stream.take('report');
  t.deepEqual(rest.outcomes.map(({ jobId }) => jobId), slow.slice(4));
  for (const report of [...waiting.slice(1), rest]) stream.receipt(report, ACCEPTED);
  gate.open();
  await stop();
});

test('many small leases are reported side by side, and none waits for the receipts of another', async (t) => {
  const { stream, stop } = await connected(t, { handlers: { quick: () => undefined }, concurrency: 1_000 });
  const tokens = Array.from({ length: 100 }, (_, index) => `${index + 1}.aa`);
  for (const token of tokens) stream.lease(token, [leasedJob(`of ${token}`, { type: 'quick' })]);
  const reports = [];
  while (reports.length < tokens.length) reports.push(await stream.take('report'));
  t.deepEqual(reports.map(({ token }) => token), tokens);
  for (const report of reports) stream.receipt(report, ACCEPTED);
  await stop();
});

test('reports are cut by what the coordinator takes in one message', async (t) => {
  const limits = { receiveBytesMax: 300_000, payloadBytesMax: 1, resultBytesMax: 100_000, checkpointBytesMax: 1, reportOutcomesMax: 5 };
  const { stream, stop } = await connected(
    t,
    { handlers: { small: () => undefined, large: () => 'x'.repeat(90_000) }, concurrency: 100 },
    { limits },
  );
  stream.lease('1.aa', Array.from({ length: 7 }, (_, index) => leasedJob(`small-${index}`, { type: 'small' })));
  stream.lease('2.bb', Array.from({ length: 4 }, (_, index) => leasedJob(`large-${index}`, { type: 'large' })));
  const sizes: Record<string, number[]> = { '1.aa': [], '2.bb': [] };
  for (let left = 11; left > 0; ) {
    const report = await stream.take('report');
    sizes[report.token]!.push(report.outcomes.length);
    left -= report.outcomes.length;
    stream.receipt(report, ACCEPTED);
  }
  t.deepEqual(sizes, { '1.aa': [5, 2], '2.bb': [3, 1] });
  await stop();
});

test('INVALID: reported failed once, with the message; refused again, it is given up and not repeated', async (t) => {
  const log = new KeptLog();
  const { stream, stop } = await connected(t, { handlers: { work: () => 'done', other: () => 1 }, logger: log });
  stream.lease('1.aa', [leasedJob('refused')]);
  stream.receipt(await stream.take('report'), INVALID, 'a trigger says no');
  const second = await stream.take('report');
  t.deepEqual(failedOf(second.outcomes[0]!), { code: 'REPORT_INVALID', message: 'a trigger says no', permanent: true });
  stream.receipt(second, INVALID, 'still no');
  await waitFor(() => log.events('report_without_effect').length === 1, { deadlineMs, what: 'the job to be given up' });
  stream.lease('2.bb', [leasedJob('next', { type: 'other' })]);
  const next = await stream.take('report');
  t.deepEqual(next.outcomes.map(({ jobId }) => jobId), ['next']);
  stream.receipt(next, ACCEPTED);
  await stop();
});

test('LEASE_LOST and CANCELLED: the job is let go', async (t) => {
  const log = new KeptLog();
  const { stream, stop } = await connected(t, { handlers: { work: () => 'done' }, logger: log });
  stream.lease('1.aa', [leasedJob('lost')]);
  stream.receipt(await stream.take('report'), LEASE_LOST);
  stream.lease('2.bb', [leasedJob('cancelled')]);
  stream.receipt(await stream.take('report'), CANCELLED);
  await stop();
  t.deepEqual(log.events('report_without_effect').map(({ fields }) => fields.job_id), ['lost', 'cancelled']);
});

test('progress is coalesced, and the last word goes before the report', async (t) => {
  const gate = new Gate();
  const { stream, stop } = await connected(t, {
    handlers: {
      work: async (job, context) => {
        for (let percent = 0; percent <= 100; percent += 1) context.progress(percent, `step ${percent}`);
        context.checkpoint({ at: 'the end' });
        await gate.handler(job, context);
      },
    },
  });
  stream.lease('1.aa', [leasedJob('job')]);
  await waitFor(() => gate.started.length === 1, { deadlineMs, what: 'the handler to run' });
  gate.open();
  const report = await stream.take('report');
  const said = stream.said.filter((message) => message.$case === 'progress' || message.$case === 'report');
  t.deepEqual(said.map(({ $case }) => $case), ['progress', 'progress', 'report']);
  const last = said[1]!.$case === 'progress' ? said[1]!.value : undefined;
  t.like(last, { token: '1.aa', jobId: 'job', percent: 100, note: 'step 100' });
  t.is(Buffer.from((last!.checkpoint!.content as { value: Uint8Array }).value).toString(), '{"at":"the end"}');
  stream.receipt(report, ACCEPTED);
  await stop();
});

test('follow-ups go with the success of their job, under ids that a repeated report keeps', async (t) => {
  const ids: string[] = [];
  const { stream, stop } = await connected(t, {
    handlers: {
      work: (job, context) => {
        ids.push(context.followUp({ queue: 'next', type: 'mail', payload: { for: job.id } }));
        if (job.id === 'fails') throw new Error('no');
        if (job.id === 'many') for (;;) context.followUp({ queue: 'next', type: 'mail' });
      },
    },
    concurrency: 1,
  });
  stream.lease('1.aa', [leasedJob('succeeds'), leasedJob('fails'), leasedJob('many')]);
  const report = await stream.take('report');
  t.deepEqual(report.outcomes.map(({ followUps }) => followUps.map(({ id }) => id)), [[ids[0]!], [], []]);
  t.like(report.outcomes[0]!.followUps[0], { queue: 'next', type: 'mail' });
  t.is(failedOf(report.outcomes[2]!).code, 'RangeError');
  stream.receipt(report, ACCEPTED);
  await stop();
});

test('a checkpoint over the limit, or a percent out of range, is the handler’s error', async (t) => {
  const { stream, stop } = await connected(t, {
    handlers: {
      checkpoint: (_job, context) => context.checkpoint('x'.repeat(65_536)),
      percent: (_job, context) => context.progress(101),
    },
    concurrency: 1,
  });
  stream.lease('1.aa', [leasedJob('a', { type: 'checkpoint' }), leasedJob('b', { type: 'percent' })]);
  const report = await stream.take('report');
  t.deepEqual(report.outcomes.map((outcome) => failedOf(outcome).code), ['RangeError', 'RangeError']);
  stream.receipt(report, ACCEPTED);
  await stop();
});

function resultOf({ outcome }: JobOutcome): [string, string] | undefined {
  if (outcome?.$case !== 'succeeded' || outcome.value.result?.content?.$case !== 'data') return undefined;
  return [outcome.value.result.contentType, Buffer.from(outcome.value.result.content.value).toString()];
}
