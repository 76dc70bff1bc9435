/** Who may submit: bounds of what waits, each client's part of it, and its rate. */
import test from 'ava';
import fc from 'fast-check';
import { Admission, type ClientLimits } from '../../coordinator/engine/admission.ts';
import type { SkipleaseError } from '../../coordinator/errors.ts';
import { SUBMIT_WAITING_BYTES_MAX, SUBMIT_WAITING_CALLS_MAX, SUBMIT_WAITING_JOBS_MAX } from '../../coordinator/limits.ts';

function admission(limits: Partial<ClientLimits> = {}) {
  const clock = { ms: 0, nowMs: () => clock.ms, after: () => null as never, every: () => null as never };
  const made = new Admission({ waitingJobsMax: SUBMIT_WAITING_JOBS_MAX, jobsPerSecond: 0, ...limits }, clock);
  /** undefined: it may. */
  const enter = (client: string, jobs: number, bytes = 0): SkipleaseError | undefined => {
    try {
      made.enter({ client, jobs, bytes });
      return undefined;
    } catch (error) {
      return error as SkipleaseError;
    }
  };
  return { made, clock, enter };
}

test('jobs, bytes and calls that wait are bounded, each overshot by one submit at most, and leave room when they leave', (t) => {
  for (const [count, jobs, bytes] of [[SUBMIT_WAITING_JOBS_MAX / 10_000, 10_000, 1], [128, 1, SUBMIT_WAITING_BYTES_MAX / 128], [SUBMIT_WAITING_CALLS_MAX, 1, 1]] as const) {
    const { made, enter } = admission();
    for (let number = 0; number < count; number += 1) t.is(enter(`client ${number}`, jobs, bytes), undefined);
    const refused = enter('another', 1, 1)!;
    t.like(refused, { code: 'RESOURCE_EXHAUSTED', reason: 'TOO_MANY_SUBMITS_WAITING' });
    t.true(refused.retryAfterMs! > 0);
    made.leave({ client: 'client 0', jobs, bytes });
    t.is(enter('another', 10_000, 1), undefined, 'however large it is');
  }
});

test('one client has its part of it, and leaves the rest to others', (t) => {
  const { made, enter } = admission({ waitingJobsMax: 2_000 });
  t.is(enter('a', 1_999), undefined);
  t.is(enter('a', 1_000), undefined);
  t.like(enter('a', 1), { code: 'RESOURCE_EXHAUSTED', reason: 'CLIENT_SUBMITS_WAITING' });
  t.is(enter('b', 1), undefined);
  made.leave({ client: 'a', jobs: 1_000, bytes: 0 });
  t.is(enter('a', 1), undefined);
});

test('a client\'s rate: a second\'s worth at once, what is more is owed, and the answer says until when', (t) => {
  const { clock, enter } = admission({ jobsPerSecond: 100 });
  t.is(enter('a', 60), undefined);
  t.is(enter('a', 90), undefined, 'while there is one token');
  const refused = enter('a', 1)!;
  t.like(refused, { code: 'RESOURCE_EXHAUSTED', reason: 'CLIENT_TOO_FAST' });
  t.is(enter('b', 100), undefined);
  clock.ms += refused.retryAfterMs! - 2;
  t.like(enter('a', 1), { reason: 'CLIENT_TOO_FAST' });
  clock.ms += 2;
  t.is(enter('a', 1), undefined);
});

test('whoever does as the answer says never submits faster than its rate, and never waits for ever', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000 }), fc.array(fc.tuple(fc.integer({ min: 1, max: 10_000 }), fc.integer({ min: 0, max: 3_000 })), { maxLength: 50 }), (jobsPerSecond, submits) => {
      const { clock, enter } = admission({ jobsPerSecond });
      let jobs = 0;
      let last = 0;
      for (const [size, pauseMs] of submits) {
        clock.ms += pauseMs;
        const refused = enter('a', size);
        if (refused !== undefined) {
          clock.ms += refused.retryAfterMs!;
          t.is(enter('a', size), undefined);
        }
        jobs += size;
        last = size;
      }
      // All but the last were paid for, beyond the second's worth that it began with.
      t.true(jobs - last <= jobsPerSecond * (1 + clock.ms / 1_000) + 1);
    }),
    { numRuns: 200 },
  );
});
