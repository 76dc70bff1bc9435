import test from 'ava';
import { validate, version } from 'uuid';
import { jobIdOf, jobIdRange, newRun } from '../../worker/payments/job_id.ts';

test('a job id derives from run, copy and line, and from nothing else', (t) => {
  const run = newRun();
  t.is(jobIdOf(run, 1, 2), jobIdOf(run, 1, 2));
  t.is(jobIdOf('0198f3a0-1111-7222-8333-444455556666', 1, 2), '0198f3a0-1111-7450-bfc7-8f4ef1557efc');
  const ids = new Set([jobIdOf(run, 1, 2), jobIdOf(run, 2, 1), jobIdOf(run, 1, 12), jobIdOf(run, 11, 2), jobIdOf(newRun(), 1, 2)]);
  t.is(ids.size, 5);
});

test('it is a UUIDv7 of the run\'s time, within the run\'s range', (t) => {
  const run = newRun();
  const { least, most } = jobIdRange(run);
  for (let line = 1; line <= 500; line += 1) {
    const id = jobIdOf(run, 1, line);
    t.true(validate(id) && version(id) === 7);
    t.is(id.slice(0, 13), run.slice(0, 13));
    t.true(id >= least && id <= most);
  }
});
