/** What workers say of their progress is written a few times a second, whatever they send; the newest word counts. */
import { mock } from 'node:test';
import test from 'ava';
import type { Clock } from '../../coordinator/clock.ts';
import { ProgressWriter } from '../../coordinator/engine/progress_writer.ts';
import type { ProgressRow } from '../../coordinator/store/progress.ts';
import type { Store } from '../../coordinator/store/store.ts';

// Time that the test lets pass.
mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000 });
const clock: Clock = { nowMs: () => Date.now(), after: (ms, run) => setTimeout(run, ms), every: (ms, run) => setInterval(run, ms) };
test.after(() => mock.timers.reset());

const row = (jobId: string, percent: number): ProgressRow =>
  ({ jobId, leaseId: 1n, secret: 1n, percent, note: '', checkpoint: null, checkpointType: null });

test('a stream without a pause is written five times a second, also while a write is under way', async (t) => {
  const writes: { percents: number[]; done: () => void }[] = [];
  let written = 0;
  const writer = new ProgressWriter({
    clock,
    store: { saveProgress: (rows: ProgressRow[]) => new Promise<void>((done) => writes.push({ percents: rows.map(({ percent }) => percent), done })) } as unknown as Store,
    written: () => {
      written += 1;
    },
  });
  for (let ms = 0; ms < 2_000; ms += 10) {
    writer.add(row('a', ms));
    writer.add(row('b', ms));
    mock.timers.tick(10);
    // Each write takes 50 ms.
    if (ms % 50 === 0) {
      writes.at(-1)?.done();
    }
    await new Promise(setImmediate);
  }
  t.true(writes.length >= 7 && writes.length <= 10, `${writes.length} writes in two seconds`);
  t.true(writes.every(({ percents }) => percents.length === 2));
  const flushed = writer.flush();
  await new Promise(setImmediate);
  writes.forEach(({ done }) => done());
  await new Promise(setImmediate);
  writes.forEach(({ done }) => done());
  await flushed;
  t.deepEqual(writes.at(-1)!.percents, [1_990, 1_990], 'the last word');
  t.is(written, writes.length);
  t.false(writer.busy);
});

test('what waits is bounded, by what it weighs; the newest word of a job takes the place of the one before', async (t) => {
  const writer = new ProgressWriter({ clock, store: { saveProgress: () => Promise.resolve() } as unknown as Store, written: () => {} });
  const large = (jobId: string) => ({ ...row(jobId, 1), checkpoint: new Uint8Array(65_536) });
  for (let count = 0; count < 600; count += 1) writer.add(large('a'));
  t.false(writer.isFull);
  for (let count = 0; count < 600; count += 1) writer.add(large(`job ${count}`));
  t.true(writer.isFull);
  await writer.flush();
  t.false(writer.isFull);
});
