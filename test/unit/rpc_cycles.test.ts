import fc from 'fast-check';
import test from 'ava';
import { checkCycles, findCycle } from '../../coordinator/rpc/check_cycles.ts';
import { newJob } from '../support/store_jobs.ts';

const edges = fc.array(fc.tuple(fc.nat(11), fc.nat(11)), { maxLength: 25 });
const jobsOf = (pairs: [number, number][]) =>
  Array.from({ length: 12 }, (_, index) => ({ id: `job ${index}`, after: pairs.filter(([from]) => from === index).map(([, to]) => `job ${to}`) }));

test('a circle is found where there is one, and is one', (t) => {
  fc.assert(fc.property(edges, (pairs) => {
    const jobs = jobsOf(pairs);
    const circle = findCycle(jobs);
    // Whoever waits for nobody but those that can end can end.
    const ends = new Set<string>();
    for (let round = 0; round < jobs.length; round += 1) {
      jobs.filter(({ after }) => after.every((id) => ends.has(id))).forEach(({ id }) => ends.add(id));
    }
    t.is(circle === undefined, ends.size === jobs.length);
    circle?.forEach((index, place) => t.true(jobs[index]!.after.includes(`job ${circle[(place + 1) % circle.length]}`)));
  }));
});

test('jobs of other requests make no circle, and a long one is found quickly', (t) => {
  t.is(findCycle([{ id: 'a', after: ['b'] }, { id: 'c', after: ['a', 'x'] }]), undefined);
  const ring = Array.from({ length: 10_000 }, (_, index) => ({ id: `${index}`, after: [`${(index + 1) % 10_000}`] }));
  t.is(findCycle(ring)!.length, 10_000);
});

test('it is said by field, with the first of them by name', (t) => {
  const [a, b] = [newJob(), newJob()];
  const violationsOf = (jobs: typeof a[]) => {
    const violations: { field: string; description: string }[] = [];
    checkCycles(jobs, (index) => `jobs[${index}]`, violations);
    return violations;
  };
  t.deepEqual(violationsOf([a, b]), []);
  const circle = [newJob(), { ...a, options: { after: [b.id] } }, { ...b, options: { after: [a.id] } }];
  t.deepEqual(violationsOf(circle), [{ field: 'jobs[1].after_job_ids', description: `makes 2 jobs wait for each other in a circle: ${a.id} after ${b.id} after ${a.id}` }]);
  t.deepEqual(violationsOf([{ ...a, options: { after: [a.id] } }]), [{ field: 'jobs[0].after_job_ids', description: 'makes it wait for itself' }]);
});
