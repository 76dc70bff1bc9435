import { readFile } from 'node:fs/promises';
import test from 'ava';
import { JobClient, ReleaseError, RetryAfterError, SnoozeError, Worker } from '../../worker/index.ts';
import { settingsFrom } from '../../worker/options.ts';
import { sdkVersion } from '../../worker/version.ts';

const needed = { addresses: ['127.0.0.1:7420'], queues: ['payments'] };

test('options that cannot be used are refused, each by its name', (t) => {
  const bad: [object, RegExp][] = [
    [{ addresses: [] }, /addresses/],
    [{ queues: [] }, /queues/],
    [{ queues: ['no spaces'] }, /queues\[0\]/],
    [{ concurrency: 0 }, /concurrency/],
    [{ window: { jobs: 100_001 } }, /window\.jobs/],
    [{ workerId: '' }, /workerId/],
    [{ handlers: { capture: 'not a function' } }, /handlers\.capture/],
    [{ handler: {} }, /handler/],
    [{ handlers: { both: () => 1 }, batchHandlers: { both: () => [] } }, /both has a handler and a batch handler/],
  ];
  for (const [change, message] of bad) {
    t.throws(() => new Worker({ ...needed, ...change }), { instanceOf: TypeError, message });
  }
  t.throws(() => new JobClient({ addresses: [] }), { instanceOf: TypeError, message: /addresses/ });
});

test('the window is twice the concurrency, and two leases wide where whole leases are handled', (t) => {
  t.is(settingsFrom(needed).windowJobs, 16);
  t.is(settingsFrom({ ...needed, concurrency: 1 }).windowJobs, 2);
  t.is(settingsFrom({ ...needed, batchHandlers: { capture: () => undefined } }).windowJobs, 1_000);
  t.is(settingsFrom({ ...needed, batchHandlers: { capture: () => undefined }, window: { jobs: 7 } }).windowJobs, 7);
});

test('every process of a worker has an instance id of its own', (t) => {
  t.not(settingsFrom(needed).instanceId, settingsFrom(needed).instanceId);
  t.regex(settingsFrom(needed).workerId, new RegExp(`:${process.pid}$`));
});

test('delays that the protocol cannot carry are refused where they are made', (t) => {
  for (const delayMs of [-1, Number.NaN, Infinity, 366 * 86_400_000]) {
    t.throws(() => new RetryAfterError(delayMs), { instanceOf: RangeError });
    t.throws(() => new SnoozeError(delayMs), { instanceOf: RangeError });
    t.throws(() => new ReleaseError(delayMs), { instanceOf: RangeError });
  }
});

test('the version that hello names is the package’s', async (t) => {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  t.is(sdkVersion, (JSON.parse(text) as { version: string }).version);
});
