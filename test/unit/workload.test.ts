/** How much work a queue has for workers: the arithmetic that every way of scaling stands on. */
import test from 'ava';
import fc from 'fast-check';
import { RATE_AHEAD_MS, workloadJobs } from '../../coordinator/observe/workload.ts';
import type { QueueWork } from '../../coordinator/observe/workload.ts';

const work = (fields: Partial<QueueWork>): QueueWork => ({ ready: 0, leased: 0, paused: false, limit: null, tokens: null, ...fields });
const running = (runningMax: number) => ({ runningMax, rate: null });
const rate = (starts: number, periodMs: number, burst = 1) => ({ runningMax: null, rate: { starts, periodMs, burst } });

for (const [what, fields, jobs] of [
  ['nothing', {}, 0],
  ['ready and leased', { ready: 700, leased: 300 }, 1_000],
  ['all leased: those who have them are still needed', { leased: 300 }, 300],
  ['paused: what waits does not count, what runs does', { ready: 700, leased: 300, paused: true }, 300],
  ['a limit that is not reached', { ready: 5, leased: 3, limit: running(20) }, 8],
  ['a limit: no more than may run', { ready: 700, leased: 12, limit: running(20) }, 20],
  ['a limit that was lowered while more ran', { ready: 700, leased: 30, limit: running(20) }, 30],
  ['a rate: what may start soon', { ready: 700, leased: 4, limit: rate(10, 1_000), tokens: 0 }, 4 + 10 * RATE_AHEAD_MS / 1_000],
  ['a rate of one an hour, and no token: nobody is needed yet', { ready: 700, limit: rate(1, 3_600_000), tokens: 0.4 }, 0],
  ['a rate of one an hour, and its token', { ready: 700, limit: rate(1, 3_600_000), tokens: 1 }, 1],
  ['a rate whose bucket was never used is full', { ready: 700, limit: rate(1, 3_600_000, 50), tokens: null }, 50],
  ['a limit and a rate: the tighter one', { ready: 700, leased: 1, limit: { runningMax: 7, rate: rate(100, 1_000).rate }, tokens: 3 }, 7],
] as const) {
  test(`${what}: ${jobs}`, (t) => {
    t.is(workloadJobs(work(fields)), jobs);
  });
}

test('never less than what runs, never more than there is, never more than the limit but for what runs', (t) => {
  const count = fc.nat(50_000);
  const limit = fc.option(fc.record({
    runningMax: fc.option(fc.integer({ min: 1, max: 100_000 })),
    rate: fc.option(fc.record({ starts: fc.integer({ min: 1, max: 1_000 }), periodMs: fc.integer({ min: 1, max: 86_400_000 }), burst: fc.integer({ min: 1, max: 1_000 }) })),
  }));
  fc.assert(fc.property(count, count, fc.boolean(), limit, fc.option(fc.double({ min: 0, max: 1_000, noNaN: true })), (ready, leased, paused, given, tokens) => {
    const jobs = workloadJobs({ ready, leased, paused, limit: given, tokens });
    return Number.isInteger(jobs) && jobs >= leased && jobs <= ready + leased && jobs <= Math.max(leased, given?.runningMax ?? Infinity);
  }));
  t.pass();
});
